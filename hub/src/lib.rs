//! Mayfly's hub: one WebSocket for each session, one agent for each session, and nothing left when the person is gone.
//!
//! ```text
//!   edge/        accepts connections; TLS, HTTP, REST, the page, upgrades to WebSockets
//!     |
//!   sessions/    admission, registry, one driver task for each session around the rules in mayfly-session
//!     |
//!   agents/      client of the agents' wire, warm pool, limit on parallel starts, reaper
//!     |
//!   mayfly-platform    runs agents: processes, containers, agents that run already
//!     |
//!   mayfly-egress      the agents' egress proxy; exit.rs decides which hosts it connects to
//! ```
//!
//! Beside them: `ops/` (journal, metrics, traces, drain), `socket/` (the WebSocket layer), `identity/` (secrets, tokens,
//! tickets), `settings/` (command line, environment, file) and `limits.rs` (every bound).
//!
//! `ARCHITECTURE.md` has the lifecycles, the path of a message, the invariants and the decisions.

use std::sync::Arc;

use mayfly_platform::Platform;

use crate::agents::{AgentSettings, Agents};
use crate::edge::tls::HubListener;
use crate::edge::{Edge, EdgeSettings};
use crate::identity::Secret;
use crate::limits::WAITING_MAX;
use crate::ops::Ops;
use crate::ops::drain::{Drained, Stop};
use crate::ops::journal::Journal;
use crate::ops::trace::{Traces, TracesError};
use crate::sessions::Sessions;
use crate::sessions::admission::AdmissionSettings;
use crate::sessions::admission::policy::Bounds;
use crate::settings::Config;

pub mod agents;
pub mod edge;
pub mod exit;
pub mod identity;
pub mod limits;
pub mod ops;
pub mod sessions;
pub mod settings;
pub mod socket;

/// Serves until `stop` begins the shutdown, then drains as [`ops::drain`] says, and returns the outcome.
///
/// # Errors
/// Returns [`TracesError`] if traces cannot be sent to the collector that the settings name.
pub async fn run(
    config: Config,
    secret: Secret,
    journal: Journal,
    listener: impl Into<HubListener>,
    platform: Arc<dyn Platform>,
    stop: Stop,
) -> Result<Drained, TracesError> {
    let traces = config.ops.otlp_endpoint.as_deref().map(Traces::to).transpose()?;
    let ops = Arc::new(Ops::new(journal, traces, config.platform.kind.name(), stop));
    let agent_settings = AgentSettings {
        spawn_timeout: config.session.spawn_timeout,
        session_max_ttl: config.session.max_ttl,
        ..config.agents
    };
    let agents = Arc::new(Agents::new(&ops, secret, agent_settings, platform));
    let sessions =
        Arc::new(Sessions::new(&agents, config.session, config.admission.wait, bounds(&config.admission)));
    let edge_settings = EdgeSettings { max_sessions: config.admission.max_sessions, ..config.edge };
    let edge = Arc::new(Edge::new(&sessions, edge_settings));
    sessions::adoption::adopt_all(&sessions).await;
    ops.drain.pool.spawn(agents::pool::run(agents));
    let listener = listener.into();
    let router = edge::http::router(&edge, listener.scheme());
    let ((), drained) = tokio::join!(edge::server::serve(listener, router, &edge), ops::drain::conduct(&ops));
    if let Some(traces) = &ops.traces {
        traces.close().await;
    }
    Ok(drained)
}

fn bounds(settings: &AdmissionSettings) -> Bounds {
    let AdmissionSettings { max_sessions, per_owner, per_address, wait } = *settings;
    let line = if wait.is_zero() { 0 } else { edge::server::connections_to_spare(max_sessions) / 2 };
    Bounds { sessions: max_sessions, per_owner, per_address, line: line.min(WAITING_MAX) }
}
