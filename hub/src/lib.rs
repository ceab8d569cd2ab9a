//! Mayfly's hub: one WebSocket for each session, one agent for each session, and nothing left when the person is gone.
//!
//! ```text
//!   server.rs   accepts connections
//!     http.rs   who may ask for what: http/guard.rs, the page: ui.rs
//!       http/upgrade.rs   a WebSocket becomes a session, or joins one: registry.rs has a place for each
//!         driver.rs       one task for each session, around the rules in mayfly-session
//!           socket.rs     the person's side
//!           agent.rs      the agent's side
//!           platform.rs   where the agent runs; reaper.rs sees to it that it is gone
//!             egress.rs   its way out
//! ```
//!
//! `config.rs`, `identity.rs` and `limits.rs` say what all of it works with; `launcher.rs` is what an agent's process
//! is started through.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::identity::Secret;
use crate::journal::Journal;
use crate::platform::Platform;
use crate::registry::Registry;

pub mod agent;
pub mod config;
mod driver;
pub mod egress;
mod http;
pub mod identity;
pub mod journal;
pub mod launcher;
pub mod limits;
pub mod platform;
mod reaper;
mod registry;
mod server;
pub mod socket;
mod ui;

/// What every session of this hub shares.
pub(crate) struct Hub {
    config: Config,
    secret: Secret,
    journal: Journal,
    platform: Arc<dyn Platform>,
    registry: Registry,
    /// Every task of the hub; shutdown waits for all of them.
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Serves until `shutdown` is cancelled, then ends every session and returns when nothing of them is left.
///
/// # Errors
/// When the listener cannot tell its address.
pub async fn run(
    config: Config,
    secret: Secret,
    journal: Journal,
    listener: TcpListener,
    platform: Arc<dyn Platform>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let registry = Registry::new(config.max_sessions);
    let tasks = TaskTracker::new();
    let hub = Arc::new(Hub { config, secret, journal, platform, registry, tasks, shutdown });
    for lost in hub.journal.unfinished().await {
        hub.journal.lose(lost.session);
    }
    server::serve(listener, http::router(&hub, address), &hub).await;
    hub.tasks.close();
    hub.tasks.wait().await;
    hub.journal.close().await;
    Ok(())
}
