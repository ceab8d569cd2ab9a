//! The agents' egress proxy: an HTTP proxy on a Unix socket in each agent's own directory, for agents without a network.
//!
//! ```text
//!   agent --egress.sock--> Gate, one for each agent --> proxy.rs --> connect.rs --> the host
//!                                                          |             |
//!                                                          +--> ExitPolicy: may it?
//! ```
//!
//! This crate knows HTTP (CONNECT, and requests for `http` URLs), tunnels and counts. Every decision is made by an
//! [`ExitPolicy`], implemented by the program that opens the proxy. An agent is known by its socket, so the proxy asks for
//! no credential.
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
use tracing::warn;

use crate::account::Account;
use crate::connect::Connector;
use crate::limits::{ACCEPT_RETRY_INTERVAL, BACKLOG, CONNECTIONS_MAX, CONNECTIONS_PER_AGENT};

pub use policy::{Denial, ExitPolicy, Host, Target};

mod account;
mod connect;
mod error;
pub mod limits;
mod policy;
mod proxy;
mod tunnel;

/// The socket's name in an agent's directory.
pub const SOCKET: &str = "egress.sock";

/// The egress proxy of all agents of one hub.
pub struct Egress {
    policy: Arc<dyn ExitPolicy>,
    connector: Arc<Connector>,
    connections: Arc<Semaphore>,
}

/// One agent's egress proxy. Dropping it closes the socket and all its connections.
#[derive(Debug)]
pub struct Gate(#[expect(dead_code, reason = "closes the gate when dropped")] DropGuard);

/// The user and group that an agent runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentUid {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

impl Egress {
    /// Returns an egress proxy with this policy.
    pub fn new(policy: Arc<dyn ExitPolicy>) -> Arc<Self> {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Arc::new(Self { policy, connector: Arc::new(Connector::new()), connections })
    }

    /// Opens the socket in an agent's directory, and replaces one that is there. With `uid` the socket belongs to that user,
    /// if this process is root's. Must be called within a runtime.
    ///
    /// # Errors
    /// Returns the error of the file system if the socket cannot be made.
    pub fn open(&self, directory: &Path, agent: Incarnation, uid: Option<AgentUid>) -> io::Result<Gate> {
        let listener = bind(directory, agent, uid)?;
        let closed = CancellationToken::new();
        let account = Account::new(agent, Arc::clone(&self.policy));
        let (connector, connections) = (Arc::clone(&self.connector), Arc::clone(&self.connections));
        tokio::spawn(serve(listener, account, connector, connections, closed.clone()));
        Ok(Gate(closed.drop_guard()))
    }
}

/// Makes the socket beside the directory, and moves it into the directory after the change of its owner. An agent that
/// changes its directory meanwhile cannot have another file given away.
fn bind(directory: &Path, agent: Incarnation, uid: Option<AgentUid>) -> io::Result<UnixListener> {
    let draft = beside(directory, agent);
    remove_if_there(&draft)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(&draft)?;
    let made = std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| match uid.filter(|_| geteuid().is_root()) {
            Some(AgentUid { user, group }) => chown(&draft, Some(user), Some(group)),
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

/// Serves one agent until its gate is closed, and returns after the last of its connections has ended.
async fn serve(
    listener: UnixListener,
    account: Account,
    connector: Arc<Connector>,
    connections: Arc<Semaphore>,
    closed: CancellationToken,
) {
    let own = Arc::new(Semaphore::new(CONNECTIONS_PER_AGENT));
    let (account, tasks) = (Arc::new(account), TaskTracker::new());
    let accept_all = async {
        loop {
            // With too many connections, the next one waits in the socket's backlog.
            let Ok(own) = Arc::clone(&own).acquire_owned().await else { return };
            let Ok(shared) = Arc::clone(&connections).acquire_owned().await else { return };
            let Some(stream) = accept(&listener).await else { continue };
            let served = proxy::serve(stream, Arc::clone(&connector), Arc::clone(&account), tasks.clone());
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
    account.log_totals();
}

async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            // Most likely no descriptor is free; an immediate retry would only spin.
            warn!(%error, "egress accept failed");
            sleep(ACCEPT_RETRY_INTERVAL).await;
            None
        }
    }
}
