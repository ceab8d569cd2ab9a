//! The agent that ships with Mayfly: model, tools and memory behind HTTP and SSE.
//!
//! ```text
//! hub --HTTP--> server.rs --> agent.rs --> turn.rs --> model.rs   what thinks
//!     <--SSE---     |            |            |------> tool.rs    what acts
//!               record.rs <------+------------+------> conversation.rs
//! ```
//!
//! - [`config`]: the environment, checked at start
//! - [`server`]: HTTP: routes, statuses, event streams
//! - [`agent`]: whose agent it is, which turns it knows
//! - [`turn`]: model -> tools -> model, one chunk for each token
//! - [`record`]: a turn's events, replayed to whoever asks
//! - [`conversation`]: what models read
//! - [`memory`]: what outlives the process: turns and notes in libSQL
//! - [`history`]: the session's turns, for a hub that adopts the agent
//! - [`model`]: the trait, and the built-in model
//! - [`tool`]: the trait, the set at hand, and the tools: `weather`, `time`, `calculate`, `fetch_url`
//! - [`mcp`]: tools of MCP servers
//! - [`http`]: the way out, for models and tools
//! - [`lifetime`]: when the agent ends by itself
//! - [`shim`]: for agents that only speak TCP
//! - [`limits`]: every bound

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::{TcpListener, UnixListener, UnixSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::config::{Listen, Token};
use crate::limits::{LISTEN_BACKLOG, SHUTDOWN_TIMEOUT};

pub mod agent;
pub mod config;
pub mod conversation;
pub mod history;
pub mod http;
pub mod lifetime;
pub mod limits;
pub mod mcp;
pub mod memory;
pub mod model;
pub mod record;
pub mod server;
pub mod shim;
pub mod tool;
pub mod turn;

/// Serves until a signal or the end of the agent's time; then ends the running turn, and its stream with it.
///
/// # Errors
/// When it cannot listen.
pub async fn run(listen: &Listen, token: Token, agent: Arc<Agent>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = {
        let agent = Arc::clone(&agent);
        async move {
            tokio::select! {
                _ = terminate.recv() => info!("stopping: SIGTERM"),
                _ = interrupt.recv() => info!("stopping: SIGINT"),
                why = agent.outlived() => info!(?why, "stopping: the agent's time is up"),
            }
        }
    };
    match listen {
        Listen::Unix(path) => {
            let listener = bind_unix(path)?;
            info!(path = %path.display(), "listening");
            serve(listener, token, agent, stop).await;
            std::fs::remove_file(path)
        }
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            info!(address = %listener.local_addr()?, "listening");
            let listener = listener.tap_io(|stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    warn!(%error, "no TCP_NODELAY");
                }
            });
            serve(listener, token, agent, stop).await;
            Ok(())
        }
    }
}

/// A socket for this user only. It can be connected to no sooner than its mode is set.
///
/// # Errors
/// When there is something at `path` already, or it cannot be made.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves until `stop`, then ends what runs within [`SHUTDOWN_TIMEOUT`].
pub async fn serve<L>(listener: L, token: Token, agent: Arc<Agent>, stop: impl Future<Output = ()>)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let stopping = CancellationToken::new();
    let server = axum::serve(listener, server::router(Arc::clone(&agent), token))
        .with_graceful_shutdown(stopping.clone().cancelled_owned());
    let drained = async {
        stop.await;
        stopping.cancel();
        agent.close().await;
    };
    // A connection that outlives its stream is cut when the runtime ends.
    let bounded = async {
        stopping.cancelled().await;
        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
    };
    tokio::select! {
        _ = async { tokio::join!(server, drained) } => {}
        () = bounded => warn!("connections were still open"),
    }
}
