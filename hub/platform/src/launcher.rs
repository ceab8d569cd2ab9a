//! The launcher: starts an agent's process in two stages, so that the agent's whole process tree ends with the agent, with
//! its hub, or when the hub asks for it.
//!
//! ```text
//!   hub --spawn--> launch supervise --spawn--> launch exec --exec--> [bwrap -->] the agent --> its own processes
//!        <--SIGTERM when the hub dies--   <--SIGKILL when the supervisor dies--
//! ```
//!
//! The supervisor is the subreaper of the tree: an orphan in the tree becomes its child, even a detached one, so it can
//! find and end every process (`launcher/tree.rs`). It also ends an agent whose directory grows too large. The second stage
//! lowers its limits and enters the sandbox (`launcher/sandbox.rs`). Both stages are single-threaded programs without a
//! runtime, and know no sessions. Sources: prctl(2), `PR_SET_PDEATHSIG` and `PR_SET_CHILD_SUBREAPER`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, getpid, getppid};

use serde::{Deserialize, Serialize};

use crate::launcher::sandbox::Sandbox;
use crate::limits::{
    AGENT_DIRECTORY_INTERVAL, AGENT_DIRECTORY_MAX_BYTES, AGENT_DIRECTORY_MAX_FILES, AGENT_ORPHANED_GRACE,
    AGENT_STOP_GRACE,
};

mod limit;
pub mod sandbox;
pub(crate) mod tree;

/// The hub's own program as an agent's program. The launcher runs from the same file, so the link leads there also after
/// the file was replaced or removed.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// First argument of a program that acts as the launcher.
pub const COMMAND: &str = "launch";

/// Exit code of a wrong call, as clap has it.
const USAGE: u8 = 2;
/// Exit code of a supervisor that could not do its work.
const FAILED: u8 = 125;
/// Exit code of the second stage if the agent's program cannot be run, as shells have it.
const CANNOT_RUN: u8 = 127;

/// Parameters of one agent's start; passed to both stages as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The agent's sandbox.
    pub sandbox: Sandbox,
    /// Directories of the control groups that the agent joins.
    pub groups: Vec<PathBuf>,
    /// The agent's own directory.
    pub directory: PathBuf,
}

/// The stage that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Supervise,
    Exec,
}

/// A call of the launcher.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    stage: Stage,
    parent: Pid,
    launch: Launch,
    command: Vec<OsString>,
}

/// Runs the launcher with the arguments that follow [`COMMAND`]: `supervise|exec PARENT LAUNCH -- PROGRAM [ARGUMENT...]`.
/// Only the process platform calls it.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(call) = Call::parse(arguments) else {
        print_error("this command is for the hub itself: it starts agents with it");
        return ExitCode::from(USAGE);
    };
    match call.stage {
        Stage::Supervise => supervise(&call),
        Stage::Exec => exec(&call),
    }
}

impl Call {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter();
        let stage = match arguments.next()?.to_str()? {
            "supervise" => Stage::Supervise,
            "exec" => Stage::Exec,
            _ => return None,
        };
        let parent = Pid::from_raw(arguments.next()?.to_str()?.parse().ok()?);
        let launch = serde_json::from_str(arguments.next()?.to_str()?).ok()?;
        let _ = arguments.next().filter(|separator| separator == "--")?;
        Some(Self { stage, parent, launch, command: arguments.collect() })
    }
}

/// First stage: starts the second, waits for the agent's end, ends the tree. Exits with the agent's code.
fn supervise(call: &Call) -> ExitCode {
    let ended = try_supervise(call);
    for group in &call.launch.groups {
        // If the hub is alive, it removes the group too, and logs a failure.
        let _ = fs::remove_dir(group);
    }
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            print_error(&format!("supervisor failed: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Second stage: becomes the agent.
fn exec(call: &Call) -> ExitCode {
    let error = try_exec(call);
    let program = call.command.first().cloned().unwrap_or_default();
    print_error(&format!("cannot run {}: {error}", program.display()));
    ExitCode::from(CANNOT_RUN)
}

fn try_supervise(call: &Call) -> io::Result<u8> {
    let Call { parent: hub, launch, command, .. } = call;
    let signals: SigSet =
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGALRM].into_iter().collect();
    // Before anything else: no signal may end the supervisor before it has ended the tree.
    signals.thread_block()?;
    die_with(*hub, Signal::SIGTERM)?;
    prctl::set_child_subreaper(true)?;
    let agent = Command::new("/proc/self/exe")
        .args([COMMAND, "exec", &getpid().to_string(), &serde_json::to_string(launch)?, "--"])
        .args(command)
        .spawn()?;
    let agent = Pid::from_raw(agent.id().try_into().map_err(io::Error::other)?);
    let status = wait_for(agent, *hub, launch, &signals)?;
    tree::end(&launch.groups)?;
    Ok(status.map_or(FAILED, exit_code))
}

fn try_exec(call: &Call) -> io::Error {
    let Call { parent: supervisor, launch, command, .. } = call;
    let Some((program, arguments)) = command.split_first() else { return io::ErrorKind::InvalidInput.into() };
    let prepare = || {
        die_with(*supervisor, Signal::SIGKILL)?;
        limit::join(&launch.groups)?;
        limit::lower(&launch.groups)?;
        prctl::set_no_new_privs()?;
        // The supervisor blocks signals, and its children inherit that.
        SigSet::all().thread_unblock()?;
        launch.sandbox.enter(program, &launch.directory)
    };
    match prepare() {
        Ok(mut command) => command.args(arguments).exec(),
        Err(error) => error,
    }
}

/// Asks the kernel to signal this process when its parent ends. Fails if the parent has ended already.
fn die_with(parent: Pid, signal: Signal) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent process is gone")) }
}

/// Waits for the agent's end; after a request to end, at most for the grace. Returns `None` if the agent still runs and
/// must be killed.
fn wait_for(agent: Pid, hub: Pid, launch: &Launch, signals: &SigSet) -> io::Result<Option<ExitStatus>> {
    let (mut is_stopping, mut was_orphaned) = (false, false);
    set_alarm(AGENT_DIRECTORY_INTERVAL);
    loop {
        let signal = signals.wait()?;
        if signal == Signal::SIGCHLD {
            if let Some(status) = reap(agent)? {
                return Ok(Some(status));
            }
        } else if signal == Signal::SIGALRM {
            if is_stopping {
                return Ok(None);
            }
            if is_overfull(&launch.directory) {
                print_error(&format!(
                    "agent ended: its directory holds more than {AGENT_DIRECTORY_MAX_BYTES} bytes or \
                     {AGENT_DIRECTORY_MAX_FILES} files, or cannot be read"
                ));
                return Ok(None);
            }
            set_alarm(AGENT_DIRECTORY_INTERVAL);
        } else {
            // A second request, which may come from the agent itself, does not extend the grace. The hub's death shortens it.
            let is_orphaned = getppid() != hub;
            if !is_stopping || is_orphaned && !was_orphaned {
                set_alarm(if is_orphaned { AGENT_ORPHANED_GRACE } else { AGENT_STOP_GRACE });
            }
            (is_stopping, was_orphaned) = (true, is_orphaned);
            // Bubblewrap does not forward signals.
            let agent = match launch.sandbox {
                Sandbox::Bubblewrap(_) => tree::inside(agent).unwrap_or(agent),
                Sandbox::Landlock { .. } | Sandbox::None => agent,
            };
            // An agent that has ended is seen by SIGCHLD.
            let _ = kill(agent, Signal::SIGTERM);
        }
    }
}

/// Writes to stderr, which the hub logs. Nobody reads it after the hub's death, so an error is ignored.
fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "mayfly launch: {text}");
}

fn set_alarm(after: Duration) {
    alarm::set(after.as_secs().try_into().unwrap_or(u32::MAX));
}

/// Returns `true` if a directory holds more bytes or files than an agent may have, or cannot be read. Follows no links.
/// Does not see files that are open but have no name.
pub(crate) fn is_overfull(directory: &Path) -> bool {
    let (mut bytes, mut files) = (0, 0);
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Made unreadable, or too deep for a path: the only ways to hide files.
            Err(_) => return true,
        };
        for entry in entries.flatten() {
            // Fails for a file that was just removed.
            let Ok(metadata) = entry.metadata() else { continue };
            files += 1;
            bytes += metadata.blocks() * 512;
            if files > AGENT_DIRECTORY_MAX_FILES || bytes > AGENT_DIRECTORY_MAX_BYTES {
                return true;
            }
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    false
}

/// Reaps all children that have ended, and returns the agent's status if it is among them.
fn reap(agent: Pid) -> io::Result<Option<ExitStatus>> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == agent => {
                found = Some(ExitStatus::from_raw(code << 8));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => {
                found = Some(ExitStatus::from_raw(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(found),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the exit code as shells have it: 128 plus the signal, if there was one.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| code.try_into().ok()).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<Call> {
        Call::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_of_the_agent_are_passed_on_unchanged() {
        let launch = Launch { sandbox: Sandbox::None, groups: Vec::new(), directory: "/run/agent".into() };
        let json = serde_json::to_string(&launch).unwrap();
        let call = parse(&["supervise", "7", &json, "--", "/bin/agent", "--", "-x"]).unwrap();
        let command = ["/bin/agent", "--", "-x"].map(OsString::from).to_vec();
        assert_eq!(call, Call { stage: Stage::Supervise, parent: Pid::from_raw(7), launch, command });
    }

    #[test]
    fn malformed_calls_are_refused() {
        let launch = r#"{"sandbox":"None","groups":[],"directory":"/run/agent"}"#;
        assert!(parse(&["exec", "7", launch, "--", "x"]).is_some());
        for arguments in [
            &[][..],
            &["watch", "7", launch, "--", "x"],
            &["exec", "me", launch, "--", "x"],
            &["exec", "7", "{}", "--", "x"],
            &["exec", "7", launch, "x"],
        ] {
            assert_eq!(parse(arguments), None, "{arguments:?}");
        }
    }
}
