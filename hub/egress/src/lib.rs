//! The agents' way out: a proxy on a Unix socket in each agent's own directory, for agents that have no network.
//!
//! ```text
//!   agent --egress.sock--> Gate, one for each agent --proxy.rs--> allow.rs? --> the host
//! ```
//!
//! Speaks HTTP: CONNECT, and requests for `http` addresses. Passes to the hosts that the operator allows and to
//! nothing else (`allow.rs`). Every tunnel is bounded and counted for its agent. Knows an agent by its socket: it asks
//! for no credential, and does not know what an agent is for.
//!
//! `docs/security.md` describes its use.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mayfly_protocol::ids::Incarnation;
use nix::unistd::geteuid;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::allow::Rule;
use crate::limits::{ACCEPT_RETRY_INTERVAL, BACKLOG, CONNECTIONS_MAX, CONNECTIONS_PER_AGENT, LOOKUPS_MAX};
use crate::meter::Meter;

pub mod allow;
pub mod limits;
mod meter;
mod proxy;

/// The socket's name in an agent's directory.
pub const SOCKET: &str = "egress.sock";

/// The way out of all agents of this hub.
pub struct Egress {
    rules: Vec<Rule>,
    connections: Arc<Semaphore>,
    lookups: Semaphore,
}

/// One agent's way out; closed with all its connections when dropped.
#[derive(Debug)]
pub struct Gate(#[expect(dead_code, reason = "closes the gate when dropped")] DropGuard);

/// Whose an agent's directory is, when it is not this process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
}

impl Egress {
    /// A way out to these hosts; None when there are none. Tells which.
    pub fn new(rules: Vec<Rule>) -> Option<Arc<Self>> {
        if rules.is_empty() {
            info!("agents have no way out through this hub: --egress-allow is empty");
            return None;
        }
        let told = rules.iter().map(Rule::to_string).collect::<Vec<_>>().join(", ");
        info!("agents' way out through this hub leads to {told}");
        for rule in rules.iter().filter(|rule| rule.is_private()) {
            warn!("--egress-allow {rule} lets agents reach an address that is not public");
        }
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Some(Arc::new(Self { rules, connections, lookups: Semaphore::new(LOOKUPS_MAX) }))
    }

    /// Opens a socket in an agent's directory, in place of one that is there. Must be called within a runtime.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(
        self: &Arc<Self>,
        directory: &Path,
        agent: Incarnation,
        owner: Option<Owner>,
    ) -> io::Result<Gate> {
        let listener = bind(directory, agent, owner)?;
        let closed = CancellationToken::new();
        tokio::spawn(serve(Arc::clone(self), listener, agent, closed.clone()));
        Ok(Gate(closed.drop_guard()))
    }
}

/// Makes the socket beside the directory and moves it there when it is the owner's: whatever the agent does to its
/// directory meanwhile, nothing else changes hands.
fn bind(directory: &Path, agent: Incarnation, owner: Option<Owner>) -> io::Result<UnixListener> {
    let draft = beside(directory, agent);
    remove_if_there(&draft)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(&draft)?;
    let made = std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| match owner.filter(|_| geteuid().is_root()) {
            Some(Owner { user, group }) => chown(&draft, Some(user), Some(group)),
            None => Ok(()),
        })
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|listener| std::fs::rename(&draft, directory.join(SOCKET)).map(|()| listener));
    if made.is_err() {
        remove_if_there(&draft)?;
    }
    made
}

fn beside(directory: &Path, agent: Incarnation) -> PathBuf {
    directory.with_file_name(format!("{}.out", agent.short()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Serves one agent until its gate is closed; then nothing of it is left.
async fn serve(egress: Arc<Egress>, listener: UnixListener, agent: Incarnation, closed: CancellationToken) {
    let own = Arc::new(Semaphore::new(CONNECTIONS_PER_AGENT));
    let (meter, tasks) = (Arc::new(Meter::new(agent)), TaskTracker::new());
    let accept_all = async {
        loop {
            // Where there are too many, the next one waits in the system's backlog.
            let Ok(own) = Arc::clone(&own).acquire_owned().await else { return };
            let Ok(shared) = Arc::clone(&egress.connections).acquire_owned().await else { return };
            let Some(stream) = accept(&listener).await else { continue };
            let served = proxy::serve(stream, Arc::clone(&egress), Arc::clone(&meter), tasks.clone());
            let served = closed.clone().run_until_cancelled_owned(served);
            tasks.spawn(async move {
                served.await;
                drop((own, shared));
            });
        }
    };
    closed.run_until_cancelled(accept_all).await;
    tasks.close();
    tasks.wait().await;
    meter.tell();
}

async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            // Out of descriptors, most likely: trying again at once would only spin.
            warn!(%error, "cannot accept an agent's connection to the egress proxy");
            sleep(ACCEPT_RETRY_INTERVAL).await;
            None
        }
    }
}
