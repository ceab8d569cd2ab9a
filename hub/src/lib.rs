//! Mayfly's hub: one WebSocket for each session, one agent for each session, and nothing left when the person is gone.
//!
//! ```text
//!   edge/        accepts connections; TLS, HTTP, REST, the page, upgrades to WebSockets
//!     |
//!   sessions/    admission, registry, one driver task for each session around the rules in mayfly-session
//!     |
//!   agents/      client of the agents' wire, warm pool, limit on parallel starts, reaper
//!     |
//!   platform     runs agents: processes, containers, agents that run already; egress is their way out
//! ```
//!
//! Beside them: `ops/` (journal, metrics, traces, drain), `socket/` (the WebSocket layer), `identity/` (secrets, tokens,
//! tickets), `settings/` (command line, environment, file) and `limits.rs` (every bound).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::pool::Pool;
use crate::agents::spawns::Spawns;
use crate::edge::tls::Door;
use crate::identity::Secret;
use crate::identity::ticket::Tickets;
use crate::limits::WAITING_MAX;
use crate::ops::drain::{Drain, Drained, Stop};
use crate::ops::journal::Journal;
use crate::ops::metrics::Metrics;
use crate::ops::trace::Traces;
use crate::platform::Platform;
use crate::sessions::admission::Admission;
use crate::sessions::admission::policy::Bounds;
use crate::sessions::registry::Registry;
use crate::sessions::vitals::Roster;
use crate::settings::Config;

pub mod agents;
pub mod edge;
pub mod egress;
pub mod identity;
pub mod launcher;
pub mod limits;
pub mod ops;
pub mod platform;
mod sessions;
pub mod settings;
pub mod socket;

/// What every session of this hub shares.
pub(crate) struct Hub {
    config: Config,
    secret: Secret,
    journal: Journal,
    tickets: Tickets,
    metrics: Metrics,
    traces: Option<Traces>,
    roster: Roster,
    platform: Arc<dyn Platform>,
    admission: Admission,
    registry: Registry,
    spawns: Spawns,
    pool: Pool,
    /// Every task of the hub; shutdown waits for all of them.
    tasks: TaskTracker,
    /// The hub is to end: no new session, no new turn.
    shutdown: CancellationToken,
    drain: Drain,
}

/// Serves until it is to stop, then drains as [`drain`] says, and returns how that went.
///
/// # Errors
/// When it cannot begin to serve.
pub async fn run(
    config: Config,
    secret: Secret,
    journal: Journal,
    listener: impl Into<Door>,
    platform: Arc<dyn Platform>,
    stop: Stop,
) -> std::io::Result<Drained> {
    let line =
        if config.wait.is_zero() { 0 } else { edge::server::connections_to_spare(config.max_sessions) / 2 };
    let admission = Admission::new(Bounds {
        sessions: config.max_sessions,
        per_owner: config.sessions_per_owner,
        per_address: config.sessions_per_address,
        line: line.min(WAITING_MAX),
    });
    let (registry, spawns) = (Registry::default(), Spawns::new(config.parallel_spawns));
    let traces = config.otlp_endpoint.as_deref().map(Traces::to).transpose();
    let traces = traces.map_err(std::io::Error::other)?;
    let Stop { begin: shutdown, hurry } = stop;
    let drain = Drain::new(hurry);
    let pool = Pool::new(config.pool_size, config.session.spawn_timeout);
    let (metrics, roster) = (Metrics::new(config.platform, &journal), Roster::default());
    let (tickets, tasks) = (Tickets::default(), TaskTracker::new());
    let hub = Arc::new(Hub {
        config,
        secret,
        journal,
        metrics,
        traces,
        roster,
        tickets,
        platform,
        admission,
        registry,
        spawns,
        pool,
        tasks,
        shutdown,
        drain,
    });
    sessions::adopt::conduct(&hub).await;
    hub.drain.pool.spawn(agents::pool::run(Arc::clone(&hub)));
    let listener = listener.into();
    let router = edge::http::router(&hub, listener.scheme());
    let ((), drained) = tokio::join!(edge::server::serve(listener, router, &hub), ops::drain::conduct(&hub));
    if let Some(traces) = &hub.traces {
        traces.close().await;
    }
    Ok(drained)
}
