//! Platform `process`: an agent is a child process with a Unix socket in a directory of its own.
//!
//! It is started through the launcher (`launcher.rs`), which ends its whole tree with it or with this hub. What it is
//! contained by is decided in `process/contain.rs`, what it may use is bounded by `process/cgroup.rs`. It gets the
//! variables of the wire and nothing else. What it writes to stdout and stderr goes to the operator's log.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mayfly_protocol::agent::{ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN};
use mayfly_protocol::ids::{Incarnation, SessionId};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{AccessFlags, Pid, access, geteuid};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::launcher::Launch;
use crate::launcher::sandbox::Sandbox;
use crate::launcher::tree;
use crate::limits::AGENT_STOP_TIMEOUT;
use crate::process::cgroup::Groups;
use crate::process::contain::ContainError;
use crate::process::output::Output;
use crate::run_dir::{Directory, RunDir, RunDirError};
use crate::settings::{AgentEnv, Containment};
use crate::{
    AgentAddress, AgentHandle, Found, Lifetime, Platform, PlatformError, SpawnError, SpawnSpec, Stats,
};
use mayfly_egress::{self as egress, Egress};

mod cgroup;
pub mod contain;
mod output;

/// Child processes of this hub.
pub struct ProcessPlatform {
    command: Vec<String>,
    launcher: PathBuf,
    run_dir: RunDir,
    egress: Option<Arc<Egress>>,
    sandbox: Sandbox,
    groups: Groups,
    /// To the thread that starts processes; see [`start_processes`].
    starter: mpsc::Sender<Start>,
    agents: Arc<Mutex<HashMap<Incarnation, Running>>>,
    tasks: TaskTracker,
}

/// Why the platform cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The thread that starts processes cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
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
    /// What a dead hub left there is removed. With `egress`, agents have that way out. Must be called within a runtime.
    ///
    /// # Errors
    /// [`ProcessError`] says what to do.
    pub fn new(
        command: Vec<String>,
        launcher: PathBuf,
        data_dir: &Path,
        containment: &Containment,
        egress: Option<Arc<Egress>>,
    ) -> Result<Self, ProcessError> {
        let run_dir = RunDir::open(data_dir)?;
        // Agents end with their hub.
        run_dir.clear(&HashSet::new())?;
        let sandbox = contain::choose(containment, &command, run_dir.path())?;
        let groups = contain::bound(run_dir.path());
        let (starter, requests) = mpsc::channel();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("process-starter".to_owned())
            .spawn(move || start_processes(&runtime, &requests))
            .map_err(ProcessError::Thread)?;
        let (agents, tasks) = (Arc::default(), TaskTracker::new());
        Ok(Self { command, launcher, run_dir, egress, sandbox, groups, starter, agents, tasks })
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
        directory: &Directory,
        groups: Vec<PathBuf>,
    ) -> Result<(Command, pipe::Receiver), SpawnError> {
        let failed = |cause| SpawnError::Command { command: self.command.join(" "), cause };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let deadline = spec.deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let program = self.program()?;
        let sandbox = self.sandbox.clone().reading(program.clone());
        let launch = Launch { sandbox, groups, directory: directory.path().to_owned() };
        let launch = serde_json::to_string(&launch).map_err(|error| failed(error.into()))?;
        let mut command = Command::new(&self.launcher);
        command
            .args(["launch", "supervise", &std::process::id().to_string(), &launch, "--"])
            .arg(program)
            .args(self.command.iter().skip(1))
            .env_clear()
            .envs(spec.env.iter())
            .env(ENV_LISTEN, unix(&directory.socket()))
            .env(ENV_TOKEN, spec.token.expose())
            .env(ENV_DEADLINE, deadline.to_string())
            .envs(self.egress.as_ref().map(|_| (ENV_EGRESS, unix(&directory.path().join(egress::SOCKET)))))
            .envs(spec.session.map(|session| (ENV_SESSION, session.to_string())))
            .envs(spec.owner.as_ref().map(|owner| (ENV_OWNER, owner)))
            .current_dir(directory.path())
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
        let directory = self.run_dir.make(spec.incarnation, None)?;
        let gate = self.egress.as_ref().map(|egress| egress.open(directory.path(), spec.incarnation, None));
        let gate = gate.transpose().map_err(SpawnError::Egress)?;
        let group = self.groups.make(&spec.incarnation.short()).map_err(SpawnError::Group)?;
        let (command, output) = self.launch(&spec, &directory, group.directories.clone())?;
        let (reply, started) = oneshot::channel();
        self.starter.send(Start { command, reply }).map_err(|_| SpawnError::ShuttingDown)?;
        let child = started.await.map_err(|_| SpawnError::ShuttingDown)?.map_err(|cause| {
            let command = self.launcher.display().to_string();
            SpawnError::Command { command, cause }
        })?;
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let found = Found {
            incarnation: spec.incarnation,
            address: AgentAddress::Contained { socket: directory.socket(), user: geteuid().as_raw() },
            gone: gone.clone(),
            session: spec.session,
            created: SystemTime::now(),
            version: None,
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
            drop((gate, group));
            directory.remove().await;
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
    async fn version(&self, _env: &AgentEnv) -> String {
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

/// A Unix socket as an agent's environment has it.
fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
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
