//! `mayfly-agent shim`: for others' agents that only speak TCP, in a container that has no network.
//!
//! ```text
//!   hub --agent.sock--> shim --127.0.0.1:PORT--> COMMAND --HTTP_PROXY, 127.0.0.1--> shim --egress.sock--> hub
//! ```
//!
//! Starts the agent and moves bytes between loopback and the hub's two sockets; knows nothing of what is said. It ends
//! with its agent, and ends its agent when the hub says so, when no hub has called for too long and at the deadline, so
//! that an agent that knows nothing of hubs is left over by none.

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

use crate::lifetime::{Lifetime, deadline_at};
use crate::limits::{SHIM_CONNECTIONS_MAX, SHIM_STOP_TIMEOUT};
use crate::server::bind_unix;

/// The port as many platforms name it; also in [`ENV_LISTEN`], as `127.0.0.1:PORT`.
const ENV_PORT: &str = "PORT";
/// What HTTP clients look at; the small ones are what curl does.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOCAL: &str = "127.0.0.1,localhost,::1";
/// Between two tries to accept where there are no descriptors left.
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

/// What it is to start, and the sockets on either side.
#[derive(Debug)]
pub struct Shim {
    command: Vec<OsString>,
    /// The agent's; any free one without.
    port: Option<u16>,
    listen: PathBuf,
    egress: Option<PathBuf>,
    deadline: Option<u64>,
}

/// What it cannot start with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShimError {
    /// The arguments are none of its own.
    #[error("expected: mayfly-agent shim [--port PORT] -- COMMAND [ARGUMENT…]")]
    Usage,
    /// A variable is not accepted.
    #[error("{0} must be unix:PATH")]
    Socket(&'static str),
    /// The deadline is not accepted.
    #[error("{ENV_DEADLINE} must be a Unix time in whole seconds, or absent")]
    Deadline,
}

impl Shim {
    /// Reads arguments (without `shim` itself), and the environment through `get`.
    ///
    /// # Errors
    /// [`ShimError`].
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

    /// Runs the agent to its end; what to exit with, as shells have it.
    ///
    /// # Errors
    /// When a socket cannot be made, or the command cannot be run.
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
        let mut child = self.command(port, proxy_port)?.spawn()?;
        info!(port, proxy_port, "started");
        let inbound = pass_in(&self.listen, port, &lifetime)?;
        let outbound = async {
            match (proxy, self.egress.clone()) {
                (Some(listener), Some(egress)) => pass_out(listener, egress).await,
                _ => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            () = inbound => "no connections can be taken",
            () = outbound => "no connections can be taken",
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = outlived(&lifetime) => "its time is up",
        };
        info!("stopping: {why}");
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

/// From the hub's connections to the agent's port.
fn pass_in(
    listen: &std::path::Path,
    port: u16,
    lifetime: &Arc<Mutex<Lifetime>>,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = bind_unix(listen)?;
    let lifetime = Arc::clone(lifetime);
    let room = Arc::new(Semaphore::new(SHIM_CONNECTIONS_MAX));
    Ok(async move {
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            let Some((hub, _)) = accepted(listener.accept().await).await else { continue };
            lifetime.lock().unwrap_or_else(PoisonError::into_inner).called(Instant::now());
            tokio::spawn(async move {
                // One that is not there yet is told by the end of the connection: the hub asks again.
                let agent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                pass(hub, agent, permit).await;
            });
        }
    })
}

/// From the agent's connections to the hub's proxy.
async fn pass_out(listener: TcpListener, egress: PathBuf) {
    let room = Arc::new(Semaphore::new(SHIM_CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Some((agent, _)) = accepted(listener.accept().await).await else { continue };
        let egress = egress.clone();
        tokio::spawn(async move {
            let hub = UnixStream::connect(egress).await;
            pass(agent, hub, permit).await;
        });
    }
}

async fn accepted<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            warn!(%error, "cannot take a connection");
            sleep(ACCEPT_RETRY_INTERVAL).await;
            None
        }
    }
}

async fn pass<A, B>(mut from: A, to: io::Result<B>, permit: OwnedSemaphorePermit)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let passed = match to {
        Ok(mut to) => copy_bidirectional(&mut from, &mut to).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = passed {
        debug!(%error, "a connection ended");
    }
    drop(permit);
}

async fn outlived(lifetime: &Mutex<Lifetime>) {
    let lifetime = || lifetime.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let ends_at = lifetime().ends_at();
        sleep_until(ends_at.into()).await;
        if lifetime().outlived(Instant::now()).is_some() {
            return;
        }
    }
}

/// SIGTERM, then SIGKILL.
async fn stop(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended just now.
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

/// As shells have it: 128 and the signal when there was one.
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
    fn what_it_cannot_start_with_is_told() {
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
