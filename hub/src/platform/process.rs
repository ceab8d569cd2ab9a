//! Platform `process`: an agent is a child process with a Unix socket in a directory of its own.
//!
//! It is started through the launcher (`launcher.rs`), which ends its whole tree with it or with this hub. What it is
//! contained by is decided in `process/contain.rs`, what it may use is bounded by `process/cgroup.rs`. It gets the four
//! variables of the wire and nothing else. What it writes to stdout and stderr goes to the operator's log.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mayfly_protocol::agent::{ENV_DEADLINE, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN};
use mayfly_protocol::ids::{Incarnation, SessionId};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{AccessFlags, Pid, access};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::Containment;
use crate::launcher::Launch;
use crate::launcher::sandbox::Sandbox;
use crate::launcher::tree;
use crate::limits::{AGENT_STOP_TIMEOUT, SOCKET_PATH_MAX_BYTES};
use crate::platform::process::cgroup::Groups;
use crate::platform::process::contain::ContainError;
use crate::platform::process::output::Output;
use crate::platform::{
    AgentAddress, AgentHandle, Found, Lifetime, Platform, PlatformError, SpawnError, SpawnSpec, Stats,
};

mod cgroup;
pub mod contain;
mod output;

const SOCKET: &str = "agent.sock";

/// Child processes of this hub.
pub struct ProcessPlatform {
    command: Vec<String>,
    launcher: PathBuf,
    run_dir: PathBuf,
    sandbox: Sandbox,
    groups: Groups,
    /// To the thread that starts processes; see [`start_processes`].
    starter: mpsc::Sender<Start>,
    agents: Arc<Mutex<HashMap<Incarnation, Running>>>,
    tasks: TaskTracker,
    /// Held as long as this hub lives.
    _lock: File,
}

/// Why the platform cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The run directory cannot be used.
    #[error("cannot use {}: {cause}", path.display())]
    Directory {
        /// Which directory or file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Another hub has it.
    #[error("another hub uses {}: give this one a --data-dir of its own", path.display())]
    InUse {
        /// The run directory.
        path: PathBuf,
    },
    /// A socket's path would not fit (unix(7): 108 bytes with the final NUL).
    #[error("{} is too long for a socket's path: choose a shorter --data-dir", path.display())]
    TooLong {
        /// The run directory.
        path: PathBuf,
    },
    /// Agents cannot be contained as they should be.
    #[error(transparent)]
    Contain(#[from] ContainError),
}

/// An agent that is not gone.
struct Running {
    found: Found,
    stop: CancellationToken,
    group: Vec<PathBuf>,
    supervisor: Option<Pid>,
}

struct Start {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl ProcessPlatform {
    /// A platform that starts `command` through the `launcher` (a `mayfly` binary), with sockets below `data_dir`.
    /// What a dead hub left there is removed. Must be called within a runtime.
    ///
    /// # Errors
    /// [`ProcessError`] says what to do.
    pub fn new(
        command: Vec<String>,
        launcher: PathBuf,
        data_dir: &Path,
        containment: &Containment,
    ) -> Result<Self, ProcessError> {
        let run_dir = data_dir.join("run");
        let failed = |cause| ProcessError::Directory { path: run_dir.clone(), cause };
        let run_dir = std::path::absolute(&run_dir).map_err(failed)?;
        make_private(&run_dir).map_err(failed)?;
        // As the kernel would have it: agents in a sandbox find no link.
        let run_dir = run_dir.canonicalize().map_err(failed)?;
        let longest = run_dir.join("12345678").join(SOCKET);
        if longest.as_os_str().as_bytes().len() > SOCKET_PATH_MAX_BYTES {
            return Err(ProcessError::TooLong { path: run_dir });
        }
        let lock = File::create(run_dir.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProcessError::InUse { path: run_dir }),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        remove_leftovers(&run_dir).map_err(failed)?;
        let sandbox = contain::choose(containment, &command, &run_dir)?;
        let groups = contain::bound(&run_dir);
        let (starter, requests) = mpsc::channel();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("process-starter".to_owned())
            .spawn(move || start_processes(&runtime, &requests))
            .map_err(failed)?;
        let (agents, tasks) = (Arc::default(), TaskTracker::new());
        Ok(Self { command, launcher, run_dir, sandbox, groups, starter, agents, tasks, _lock: lock })
    }

    fn agents(&self) -> MutexGuard<'_, HashMap<Incarnation, Running>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn program(&self) -> Result<PathBuf, SpawnError> {
        let name = self.command.first().map(String::as_str).unwrap_or_default();
        find_program(name).ok_or_else(|| SpawnError::Command {
            command: name.to_owned(),
            cause: io::Error::new(io::ErrorKind::NotFound, "there is no such program that can be run"),
        })
    }

    fn launch(
        &self,
        spec: &SpawnSpec,
        directory: &Path,
        groups: Vec<PathBuf>,
    ) -> Result<(Command, pipe::Receiver), SpawnError> {
        let failed = |cause| SpawnError::Command { command: self.command.join(" "), cause };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let deadline = spec.deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let program = self.program()?;
        let sandbox = self.sandbox.clone().reading(program.clone());
        let launch = Launch { sandbox, groups, directory: directory.to_owned() };
        let launch = serde_json::to_string(&launch).map_err(|error| failed(error.into()))?;
        let mut command = Command::new(&self.launcher);
        command
            .args(["launch", "supervise", &std::process::id().to_string(), &launch, "--"])
            .arg(program)
            .args(self.command.iter().skip(1))
            .env_clear()
            .env(ENV_LISTEN, format!("unix:{}", directory.join(SOCKET).display()))
            .env(ENV_TOKEN, spec.token.expose())
            .env(ENV_DEADLINE, deadline.to_string())
            .envs(spec.session.map(|session| (ENV_SESSION, session.to_string())))
            .envs(spec.owner.as_ref().map(|owner| (ENV_OWNER, owner)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(failed)?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        Ok((command, pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?))
    }
}

#[async_trait]
impl Platform for ProcessPlatform {
    fn lifetime(&self) -> Lifetime {
        Lifetime::Hub
    }

    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        let directory = Directory::make(self.run_dir.join(spec.incarnation.short()))?;
        let group = self.groups.make(&spec.incarnation.short()).map_err(SpawnError::Group)?;
        let (command, output) = self.launch(&spec, &directory.0, group.directories.clone())?;
        let (reply, started) = oneshot::channel();
        self.starter.send(Start { command, reply }).map_err(|_| SpawnError::ShuttingDown)?;
        let child = started.await.map_err(|_| SpawnError::ShuttingDown)?.map_err(|cause| {
            let command = self.launcher.display().to_string();
            SpawnError::Command { command, cause }
        })?;
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let found = Found {
            incarnation: spec.incarnation,
            address: AgentAddress::Contained(directory.0.join(SOCKET)),
            gone: gone.clone(),
            session: spec.session,
            created: SystemTime::now(),
        };
        let handle = found.handle(spec.token);
        let running =
            Running { found, stop: stop.clone(), group: group.directories.clone(), supervisor: pid(&child) };
        self.agents().insert(spec.incarnation, running);
        let agents = Arc::clone(&self.agents);
        self.tasks.spawn(async move {
            let mut output = Output::new(spec.incarnation, output);
            match watch(child, &stop, &mut output).await {
                Ok(status) => output.finish(status, stop.is_cancelled()),
                Err(error) => {
                    warn!(incarnation = %spec.incarnation, %error, "cannot wait for an agent's process");
                }
            }
            drop((group, directory));
            agents.lock().unwrap_or_else(PoisonError::into_inner).remove(&spec.incarnation);
            gone.cancel();
        });
        Ok(handle)
    }

    async fn claim(&self, agent: &AgentHandle, session: SessionId) -> Result<(), PlatformError> {
        let mut agents = self.agents();
        let running = agents.get_mut(&agent.incarnation).ok_or(PlatformError::Gone)?;
        running.found.session = Some(session);
        Ok(())
    }

    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError> {
        let running = |running: &Running| (running.found.gone.clone(), running.stop.clone());
        let Some((gone, stop)) = self.agents().get(&agent.incarnation).map(running) else { return Ok(false) };
        let is_first = !stop.is_cancelled();
        stop.cancel();
        gone.cancelled().await;
        Ok(is_first)
    }

    async fn list(&self) -> Result<Vec<Found>, PlatformError> {
        Ok(self.agents().values().map(|running| running.found.clone()).collect())
    }

    async fn stats(&self, agent: &AgentHandle) -> Option<Stats> {
        let (group, supervisor) = {
            let agents = self.agents();
            let running = agents.get(&agent.incarnation)?;
            (running.group.clone(), running.supervisor)
        };
        let memory = move || cgroup::memory_bytes(&group).or_else(|| supervisor.and_then(tree::memory_bytes));
        let memory_bytes = tokio::task::spawn_blocking(memory).await.ok().flatten()?;
        Some(Stats { memory_bytes })
    }

    /// The program's file, as far as the system tells it from another.
    async fn version(&self) -> String {
        let metadata = self.program().ok().and_then(|program| fs::metadata(program).ok());
        let told =
            metadata.map(|file| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.size()));
        format!("{told:?}")
    }
}

/// Starts processes one after the other on a thread that lives as long as the platform: the kernel's parent-death
/// signal comes when the *thread* that started the process ends (prctl(2)).
fn start_processes(runtime: &Handle, requests: &mpsc::Receiver<Start>) {
    let _guard = runtime.enter();
    for Start { mut command, reply } in requests {
        // Nobody waiting means that the child is dropped, and killed with that.
        let _ = reply.send(command.spawn());
    }
}

/// Waits until the process has ended by itself, or because it was stopped.
async fn watch(mut child: Child, stop: &CancellationToken, output: &mut Output) -> io::Result<ExitStatus> {
    tokio::select! {
        status = wait(&mut child, output) => return status,
        () = stop.cancelled() => {}
    }
    signal(&child, Signal::SIGTERM);
    if let Ok(status) = timeout(AGENT_STOP_TIMEOUT, wait(&mut child, output)).await {
        return status;
    }
    warn!("an agent's supervisor does not end; killing its process group");
    if let Some(pid) = pid(&child) {
        // It may have ended just now.
        let _ = killpg(pid, Signal::SIGKILL);
    }
    child.wait().await
}

/// Waits for the process, taking what it writes meanwhile.
async fn wait(child: &mut Child, output: &mut Output) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => status,
        never = output.read_all() => match never {},
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(Err(error)) = pid(child).map(|pid| kill(pid, signal)) {
        debug!(%error, "an agent's supervisor cannot be signalled");
    }
}

/// Its pid, as long as it was not waited for: so never another process's.
fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw)
}

/// An agent's directory; removed with all that is in it when dropped.
struct Directory(PathBuf);

impl Directory {
    fn make(path: PathBuf) -> Result<Self, SpawnError> {
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(cause) => Err(SpawnError::Directory { path, cause }),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.0) {
            warn!(path = %self.0.display(), %error, "cannot remove an agent's directory");
        }
    }
}

/// A program, found as a shell would find it; the agent itself has no PATH.
fn find_program(name: &str) -> Option<PathBuf> {
    let is_runnable = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let candidates: Vec<PathBuf> = if name.contains('/') {
        std::path::absolute(name).into_iter().collect()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).collect()
    };
    candidates.into_iter().find(is_runnable)
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a directory of an agent that is gone, also one that the agent has locked.
fn remove_all(directory: &Path) -> io::Result<()> {
    let Err(error) = fs::remove_dir_all(directory) else { return Ok(()) };
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Err(error);
    }
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // A link to a directory is none.
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(directory)
}

fn remove_leftovers(run_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(run_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            debug!(path = %entry.path().display(), "removing what a dead hub left");
            remove_all(&entry.path())?;
        }
    }
    Ok(())
}
