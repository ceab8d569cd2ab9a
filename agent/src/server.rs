//! The agent's HTTP server: listens on a Unix socket or a TCP address and stops cleanly.
//!
//! The server stops on SIGTERM, on SIGINT and when the agent's time is up ([`crate::lifetime`]). It then refuses new
//! messages, cancels the running turn, and waits up to [`SHUTDOWN_TIMEOUT`] for streams and connections to end. What
//! each call means is in `server/routes.rs`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::{TcpListener, UnixListener, UnixSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::routes::router;
use crate::agent::Agent;
use crate::config::Listen;
use crate::limits::{LISTEN_BACKLOG, SHUTDOWN_TIMEOUT};
use crate::secret::Secret;

pub mod routes;

/// Serves until a signal or the end of the agent's time; then ends the running turn, and its stream with it.
///
/// # Errors
/// Returns an error if the agent cannot listen at `listen`.
pub async fn run(listen: &Listen, token: Secret, agent: Arc<Agent>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = {
        let agent = Arc::clone(&agent);
        async move {
            let reason = tokio::select! {
                _ = terminate.recv() => "sigterm",
                _ = interrupt.recv() => "sigint",
                reason = agent.expired() => reason.name(),
            };
            info!(reason, "agent stopping");
        }
    };
    match listen {
        Listen::Unix(path) => {
            let listener = bind_unix(path)?;
            info!(address = %listen, "agent listening");
            serve(listener, token, agent, stop).await;
            std::fs::remove_file(path)
        }
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            info!(address = %listener.local_addr()?, "agent listening");
            let listener = listener.tap_io(|stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    warn!(%error, "TCP_NODELAY not set");
                }
            });
            serve(listener, token, agent, stop).await;
            Ok(())
        }
    }
}

/// Binds a Unix socket with mode 0600. Nobody can connect to the socket before its mode is set.
///
/// # Errors
/// Returns an error if `path` exists or the socket cannot be made there.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves until `stop` completes, then closes the agent and its connections within [`SHUTDOWN_TIMEOUT`].
pub async fn serve<L>(listener: L, token: Secret, agent: Arc<Agent>, stop: impl Future<Output = ()>)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let stopping = CancellationToken::new();
    let server = axum::serve(listener, router(Arc::clone(&agent), token))
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
        () = bounded => warn!(timeout_ms = SHUTDOWN_TIMEOUT.as_millis(), "connections cut at shutdown"),
    }
}
