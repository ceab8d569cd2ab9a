//! `mayfly-agent shim`: runs an agent that only speaks TCP in a container without a network.
//!
//! ```text
//!   hub --agent.sock--> shim --127.0.0.1:PORT--> COMMAND --HTTP_PROXY, 127.0.0.1--> shim --egress.sock--> hub
//! ```
//!
//! The shim starts the agent and moves bytes between loopback and the hub's two sockets. It exits with the agent. It stops
//! the agent on SIGTERM, at the deadline and when no hub has called for too long, so that an agent that knows nothing of
//! hubs does not outlive them.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mayfly_protocol::agent::{ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::lifetime::{ExitReason, Lifetime, deadline_at};
use crate::limits::{SHIM_CONNECTIONS_MAX, SHIM_STOP_TIMEOUT};
use crate::server::bind_unix;

/// Variable with the port, as many platforms set it. [`ENV_LISTEN`] has it, too, as `127.0.0.1:PORT`.
const ENV_PORT: &str = "PORT";
/// Variables with the proxy; curl reads only those in lower case.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOCAL: &str = "127.0.0.1,localhost,::1";
/// Delay after a failed accept, for example without free descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Help of `mayfly-agent shim`.
pub const HELP: &str = "\
Runs an agent that only speaks TCP in a container without a network.
The shim moves bytes between the hub's Unix sockets and the agent's port on loopback.

Usage: mayfly-agent shim [--port PORT] -- COMMAND [ARG]...

Options:
  --port PORT      Port on which COMMAND listens, on 127.0.0.1: 1 to 65535 [default: a free port]

Environment (set by the hub):
  MAYFLY_LISTEN    Socket to listen on: unix:PATH [required]
  MAYFLY_EGRESS    Socket of the egress proxy: unix:PATH [default: none]
  MAYFLY_DEADLINE  Unix time at which COMMAND is stopped, in seconds [default: none]

Environment of COMMAND, besides the shim's own:
  PORT, MAYFLY_LISTEN (127.0.0.1:PORT)            Address to listen on
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY               Egress proxy on loopback, if MAYFLY_EGRESS is set

The shim exits with the exit code of COMMAND. It stops COMMAND on SIGTERM, at the deadline, and after 120 seconds
without a connection from a hub.

Example:
  mayfly-agent shim --port 8000 -- node agent.js";

/// A shim: the command, and the sockets on both sides.
#[derive(Debug)]
pub struct Shim {
    command: Vec<OsString>,
    /// The agent's port; a free one if `None`.
    port: Option<u16>,
    listen: PathBuf,
    egress: Option<PathBuf>,
    deadline: Option<u64>,
}

/// Error returned when the shim cannot start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShimError {
    /// The arguments are not accepted.
    #[error("wrong arguments: expected mayfly-agent shim [--port PORT] -- COMMAND [ARG]..., see shim --help")]
    Usage,
    /// A variable is not a socket.
    #[error("{0} must be unix:PATH")]
    Socket(&'static str),
    /// The deadline is not accepted.
    #[error("{ENV_DEADLINE} must be a Unix time in whole seconds, or absent")]
    Deadline,
}

impl Shim {
    /// Reads the arguments after `shim`, and the environment through `get`.
    ///
    /// # Errors
    /// Returns a [`ShimError`] if an argument or a variable is not accepted.
    pub fn read(
        arguments: Vec<OsString>,
        get: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, ShimError> {
        let mut arguments = arguments.into_iter();
        let mut port = None;
        loop {
            match arguments.next().as_ref().and_then(|word| word.to_str()) {
                Some("--") => break,
                Some("--port") => {
                    let number = arguments.next().and_then(|word| word.to_str()?.parse().ok());
                    port = Some(number.ok_or(ShimError::Usage)?);
                }
                _ => return Err(ShimError::Usage),
            }
        }
        let command: Vec<_> = arguments.collect();
        let socket = |name| {
            let path = |value: OsString| Some(PathBuf::from(value.to_str()?.strip_prefix("unix:")?));
            get(name).map(|value| path(value).ok_or(ShimError::Socket(name))).transpose()
        };
        let seconds = |value: OsString| value.to_str().and_then(|text| text.parse().ok());
        if command.is_empty() {
            return Err(ShimError::Usage);
        }
        Ok(Self {
            command,
            port,
            listen: socket(ENV_LISTEN)?.ok_or(ShimError::Socket(ENV_LISTEN))?,
            egress: socket(ENV_EGRESS)?,
            deadline: get(ENV_DEADLINE).map(|value| seconds(value).ok_or(ShimError::Deadline)).transpose()?,
        })
    }

    /// Runs the agent to its end and returns its exit code, or 128 and the number of the signal that ended it.
    ///
    /// # Errors
    /// Returns an error if a socket cannot be made or the command cannot be run.
    pub async fn run(self) -> io::Result<u8> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let now = Instant::now();
        let deadline = self.deadline.and_then(|deadline| deadline_at(deadline, now, SystemTime::now()));
        let lifetime = Arc::new(Mutex::new(Lifetime::new(now, deadline)));
        let port = match self.port {
            Some(port) => port,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port(),
        };
        let proxy = match &self.egress {
            Some(_) => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
            None => None,
        };
        let proxy_port = proxy.as_ref().map(TcpListener::local_addr).transpose()?.map(|at| at.port());
        // The socket is there before the agent, so that an agent that says it listens can be reached.
        let inbound = forward_in(&self.listen, port, &lifetime)?;
        let mut child = self.command(port, proxy_port)?.spawn()?;
        info!(port, proxy_port = proxy_port.unwrap_or_default(), "agent started behind shim");
        let outbound = async {
            match (proxy, self.egress.clone()) {
                (Some(listener), Some(egress)) => forward_out(listener, egress).await,
                _ => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            () = inbound => "listener_closed",
            () = outbound => "listener_closed",
            _ = terminate.recv() => "sigterm",
            _ = interrupt.recv() => "sigint",
            reason = expired(&lifetime) => reason.name(),
        };
        info!(reason, "agent behind shim stopping");
        stop(&mut child).await.map(exit_code)
    }

    fn command(&self, port: u16, proxy_port: Option<u16>) -> io::Result<Command> {
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).env(ENV_LISTEN, format!("127.0.0.1:{port}")).env(ENV_PORT, port.to_string());
        if let Some(proxy_port) = proxy_port {
            let proxy = format!("http://127.0.0.1:{proxy_port}");
            command.envs(PROXIES.map(|name| (name, proxy.clone()))).envs(NO_PROXY.map(|name| (name, LOCAL)));
        }
        command.kill_on_drop(true);
        Ok(command)
    }
}

/// Forwards the hub's connections to the agent's port.
fn forward_in(
    listen: &std::path::Path,
    port: u16,
    lifetime: &Arc<Mutex<Lifetime>>,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = bind_unix(listen)?;
    let lifetime = Arc::clone(lifetime);
    let permits = Arc::new(Semaphore::new(SHIM_CONNECTIONS_MAX));
    Ok(async move {
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let Some((hub, _)) = accepted(listener.accept().await).await else { continue };
            lifetime.lock().unwrap_or_else(PoisonError::into_inner).record_call(Instant::now());
            tokio::spawn(async move {
                // If the agent does not listen yet, the connection ends and the hub tries again.
                let agent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                forward(hub, agent, permit).await;
            });
        }
    })
}

/// Forwards the agent's connections to the hub's egress proxy.
async fn forward_out(listener: TcpListener, egress: PathBuf) {
    let permits = Arc::new(Semaphore::new(SHIM_CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let Some((agent, _)) = accepted(listener.accept().await).await else { continue };
        let egress = egress.clone();
        tokio::spawn(async move {
            let hub = UnixStream::connect(egress).await;
            forward(agent, hub, permit).await;
        });
    }
}

async fn accepted<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            warn!(%error, "connection not accepted");
            sleep(ACCEPT_RETRY_INTERVAL).await;
            None
        }
    }
}

/// Moves bytes both ways until both ends are closed.
async fn forward<A, B>(mut from: A, to: io::Result<B>, permit: OwnedSemaphorePermit)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let result = match to {
        Ok(mut to) => copy_bidirectional(&mut from, &mut to).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        debug!(%error, "connection ended");
    }
    drop(permit);
}

/// Waits until the agent has to exit on its own.
async fn expired(lifetime: &Mutex<Lifetime>) -> ExitReason {
    let lifetime = || lifetime.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let expires_at = lifetime().expires_at();
        sleep_until(expires_at.into()).await;
        if let Some(reason) = lifetime().exit_reason(Instant::now()) {
            return reason;
        }
    }
}

/// Stops the agent: SIGTERM, then SIGKILL after a timeout.
async fn stop(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw);
    if let Some(pid) = pid {
        // The agent may just have exited.
        let _ = kill(pid, Signal::SIGTERM);
    }
    match timeout(SHIM_STOP_TIMEOUT, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            child.kill().await?;
            child.wait().await
        }
    }
}

/// Returns the exit code, or 128 and the signal's number, as shells do.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| code.try_into().ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Shim, ShimError> {
        Shim::read(arguments.iter().map(OsString::from).collect(), |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn arguments_and_environment_are_read() {
        let variables =
            [("MAYFLY_LISTEN", "unix:/a.sock"), ("MAYFLY_EGRESS", "unix:/e.sock"), ("MAYFLY_DEADLINE", "5")];
        let shim = read(&["--port", "8000", "--", "node", "--", "x"], &variables).unwrap();
        assert_eq!(shim.command, ["node", "--", "x"]);
        assert_eq!((shim.port, shim.deadline), (Some(8000), Some(5)));
        assert_eq!((shim.listen, shim.egress), ("/a.sock".into(), Some("/e.sock".into())));
    }

    #[test]
    fn wrong_arguments_and_variables_are_errors() {
        let listen = ("MAYFLY_LISTEN", "unix:/a.sock");
        for arguments in
            [&[][..], &["--"], &["node"], &["--port", "--", "x"], &["--port", "70000", "--", "x"]]
        {
            assert_eq!(read(arguments, &[listen]).unwrap_err(), ShimError::Usage, "{arguments:?}");
        }
        let error = |variables: &[(&str, &str)]| read(&["--", "x"], variables).unwrap_err();
        assert_eq!(error(&[]), ShimError::Socket(ENV_LISTEN));
        assert_eq!(error(&[("MAYFLY_LISTEN", "127.0.0.1:80")]), ShimError::Socket(ENV_LISTEN));
        assert_eq!(error(&[listen, ("MAYFLY_EGRESS", "/e.sock")]), ShimError::Socket(ENV_EGRESS));
        assert_eq!(error(&[listen, ("MAYFLY_DEADLINE", "soon")]), ShimError::Deadline);
    }
}
