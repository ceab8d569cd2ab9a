//! Platform `process`: an agent is a child process with a Unix socket in a directory of its own.
//!
//! The platform starts an agent through the launcher (`launcher.rs`), which ends the agent's whole process tree with the
//! agent or with this hub. `process/contain.rs` chooses the sandbox, `process/cgroup.rs` limits memory, processes and
//! processor time, `process/output.rs` logs what the agent writes to stdout and stderr. The agent's environment holds the
//! variables of the agents' wire and those of `--agent-env`, and no others.

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

use crate::launcher::sandbox::Sandbox;
use crate::launcher::{self, Launch, tree};
use crate::limits::AGENT_STOP_TIMEOUT;
use crate::process::cgroup::Groups;
use crate::process::contain::ContainError;
use crate::process::output::Output;
use crate::run_dir::{Directory, RunDir, RunDirError};
use crate::settings::{AgentEnv, Containment};
use crate::{
    AgentAddress, AgentHandle, AgentStats, Lifetime, ListedAgent, Platform, PlatformError, SpawnError,
    SpawnSpec,
};
use mayfly_egress::{self as egress, Egress};

mod cgroup;
pub mod contain;
mod output;

/// The platform of child processes.
pub struct ProcessPlatform {
    command: Vec<String>,
    launcher: PathBuf,
    run_dir: RunDir,
    egress: Option<Arc<Egress>>,
    sandbox: Sandbox,
    groups: Groups,
    /// Requests to the thread that starts processes; see [`start_processes`].
    starter: mpsc::Sender<Start>,
    agents: Arc<Mutex<HashMap<Incarnation, Running>>>,
    tasks: TaskTracker,
}

/// Error of [`ProcessPlatform::new`].
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The thread that starts processes cannot be started.
    #[error("cannot start the thread that starts agents: {0}")]
    Thread(io::Error),
    /// Agents cannot be contained as the settings demand.
    #[error(transparent)]
    Contain(#[from] ContainError),
}

/// An agent that is not gone.
struct Running {
    listed: ListedAgent,
    stop: CancellationToken,
    group: Vec<PathBuf>,
    supervisor: Option<Pid>,
}

/// A request to start a process.
struct Start {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl ProcessPlatform {
    /// Returns a platform that starts `command` through the program `launcher`, which runs [`crate::launcher::main`]. The
    /// agents' sockets are below `data_dir`; leftovers of an earlier hub there are removed. With `egress`, agents have
    /// that egress proxy. Must be called within a runtime.
    ///
    /// # Errors
    /// Returns [`ProcessError`] if the directory cannot be used or agents cannot be contained as the settings demand.
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
        let groups = contain::limit(run_dir.path());
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
            cause: io::Error::new(io::ErrorKind::NotFound, "no such executable"),
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
            .args([launcher::COMMAND, "supervise", &std::process::id().to_string(), &launch, "--"])
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
        let listed = ListedAgent {
            incarnation: spec.incarnation,
            address: AgentAddress::Contained { socket: directory.socket(), user: geteuid().as_raw() },
            gone: gone.clone(),
            session: spec.session,
            created: SystemTime::now(),
            version: None,
        };
        let handle = listed.handle(spec.token);
        let running =
            Running { listed, stop: stop.clone(), group: group.directories.clone(), supervisor: pid(&child) };
        self.agents().insert(spec.incarnation, running);
        let agents = Arc::clone(&self.agents);
        self.tasks.spawn(async move {
            let mut output = Output::new(spec.incarnation, output);
            match run_to_end(child, &stop, &mut output).await {
                Ok(status) => output.finish(status, stop.is_cancelled()),
                Err(error) => {
                    warn!(incarnation = %spec.incarnation, %error, "agent process lost");
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
        running.listed.session = Some(session);
        Ok(())
    }

    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError> {
        let running = |running: &Running| (running.listed.gone.clone(), running.stop.clone());
        let Some((gone, stop)) = self.agents().get(&agent.incarnation).map(running) else { return Ok(false) };
        let is_first = !stop.is_cancelled();
        stop.cancel();
        gone.cancelled().await;
        Ok(is_first)
    }

    async fn list(&self) -> Result<Vec<ListedAgent>, PlatformError> {
        Ok(self.agents().values().map(|running| running.listed.clone()).collect())
    }

    async fn stats(&self, agent: &AgentHandle) -> Option<AgentStats> {
        let (group, supervisor) = {
            let agents = self.agents();
            let running = agents.get(&agent.incarnation)?;
            (running.group.clone(), running.supervisor)
        };
        let memory = move || cgroup::memory_bytes(&group).or_else(|| supervisor.and_then(tree::memory_bytes));
        let memory_bytes = tokio::task::spawn_blocking(memory).await.ok().flatten()?;
        Some(AgentStats { memory_bytes })
    }

    /// Names the program's file by its identity and time; empty if there is no such file.
    async fn version(&self, _env: &AgentEnv) -> String {
        let file = self.program().ok().and_then(|program| fs::metadata(program).ok());
        file.map_or_else(String::new, |file| {
            let (device, inode, size) = (file.dev(), file.ino(), file.size());
            format!("{device}:{inode}:{size}:{}.{}", file.mtime(), file.mtime_nsec())
        })
    }
}

/// Starts processes one after the other, on a thread that lives as long as the platform: the kernel sends the parent-death
/// signal when the *thread* that started the process ends (prctl(2)).
fn start_processes(runtime: &Handle, requests: &mpsc::Receiver<Start>) {
    let _guard = runtime.enter();
    for Start { mut command, reply } in requests {
        // If nobody waits, the child is dropped, which kills it.
        let _ = reply.send(command.spawn());
    }
}

/// Waits until the process has ended by itself, or stops it.
async fn run_to_end(
    mut child: Child,
    stop: &CancellationToken,
    output: &mut Output,
) -> io::Result<ExitStatus> {
    tokio::select! {
        status = wait(&mut child, output) => return status,
        () = stop.cancelled() => {}
    }
    signal(&child, output.incarnation(), Signal::SIGTERM);
    if let Ok(status) = timeout(AGENT_STOP_TIMEOUT, wait(&mut child, output)).await {
        return status;
    }
    warn!(incarnation = %output.incarnation(), "supervisor killed: it did not end in time");
    if let Some(pid) = pid(&child) {
        // Fails if the group has just ended.
        let _ = killpg(pid, Signal::SIGKILL);
    }
    child.wait().await
}

/// Waits for the process, and reads its output meanwhile.
async fn wait(child: &mut Child, output: &mut Output) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => status,
        never = output.read_all() => match never {},
    }
}

fn signal(child: &Child, incarnation: Incarnation, signal: Signal) {
    if let Some(Err(error)) = pid(child).map(|pid| kill(pid, signal)) {
        debug!(%incarnation, %error, "supervisor not signalled");
    }
}

/// Returns the pid of a child that was not waited for, so it is never another process's.
fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw)
}

/// Returns a Unix socket's path as it stands in an agent's environment.
fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Finds a program as a shell does. The agent itself has no PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let is_runnable = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let candidates: Vec<PathBuf> = if name.contains('/') {
        std::path::absolute(name).into_iter().collect()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(name)).collect()
    };
    candidates.into_iter().find(is_runnable)
}
