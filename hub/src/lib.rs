//! Mayfly's hub: one WebSocket for each session, one agent for each session, and nothing left when the person is gone.
//!
//! ```text
//!   server.rs   accepts connections; tls.rs
//!     http.rs   who may ask for what: http/guard.rs, http/caller.rs; the page: ui.rs
//!       http/upgrade.rs   a WebSocket becomes a session, or joins one of registry.rs; http/rest.rs does without
//!         admission.rs    a place for each, or one in line: waiting.rs
//!         driver.rs       one task for each session, around the rules in mayfly-session
//!           pool.rs       agents that are there before anybody asks
//!           socket.rs     the person's side; listener.rs for who has no socket
//!           agent.rs      the agent's side
//!           spawns.rs     how many are started at once
//!           platform.rs   where the agent runs; reaper.rs sees to it that it is gone; adopt.rs, what a dead hub left
//!             egress.rs   its way out
//! ```
//!
//! `config.rs`, `identity.rs` and `limits.rs` say what all of it works with; `launcher.rs` is what an agent's process
//! is started through.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::admission::policy::Bounds;
use crate::config::Config;
use crate::drain::{Drain, Drained, Stop};
use crate::identity::Secret;
use crate::identity::ticket::Tickets;
use crate::journal::Journal;
use crate::limits::WAITING_MAX;
use crate::metrics::Metrics;
use crate::platform::Platform;
use crate::pool::Pool;
use crate::registry::Registry;
use crate::spawns::Spawns;
use crate::tls::Door;
use crate::trace::Traces;
use crate::vitals::Roster;

mod admission;
mod adopt;
pub mod agent;
pub mod config;
pub mod drain;
mod driver;
pub mod egress;
mod http;
pub mod identity;
pub mod journal;
pub mod launcher;
pub mod limits;
mod listener;
mod metrics;
mod peer;
pub mod platform;
mod pool;
mod reaper;
mod registry;
mod server;
pub mod socket;
mod spawns;
pub mod tls;
mod trace;
mod ui;
mod vitals;
mod waiting;

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
    let line = if config.wait.is_zero() { 0 } else { server::connections_to_spare(config.max_sessions) / 2 };
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
    adopt::conduct(&hub).await;
    hub.drain.pool.spawn(pool::run(Arc::clone(&hub)));
    let listener = listener.into();
    let router = http::router(&hub, listener.scheme());
    let ((), drained) = tokio::join!(server::serve(listener, router, &hub), drain::conduct(&hub));
    if let Some(traces) = &hub.traces {
        traces.close().await;
    }
    Ok(drained)
}
