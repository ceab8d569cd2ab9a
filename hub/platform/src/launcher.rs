//! What an agent's process is started through: `mayfly launch`, in two stages, so that its whole tree ends with it,
//! with its hub, or when the hub says so.
//!
//! ```text
//!   hub --spawn--> launch supervise --spawn--> launch exec --exec--> [bwrap -->] the agent --> whatever it starts
//!        <--SIGTERM when the hub dies--   <--SIGKILL when the supervisor dies--
//! ```
//!
//! The supervisor is the subreaper of the tree: what is orphaned in it becomes its child, however it was detached, so
//! all of it can be found and ended (`launcher/tree.rs`). It also sees to it that the agent's directory does not fill
//! the disk. The second stage takes on the limits and enters the sandbox (`launcher/sandbox.rs`). Both are
//! single-threaded, have no runtime and know no sessions.
//! Facts: prctl(2), `PR_SET_PDEATHSIG` and `PR_SET_CHILD_SUBREAPER`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::str::FromStr;
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

/// What the supervisor exits with when it could not do its work.
const FAILED: u8 = 125;
/// What the second stage exits with when the agent's program cannot be run; as shells do.
const CANNOT_RUN: u8 = 127;

/// How one agent is started; as JSON it is an argument of both stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// What it is kept in.
    pub sandbox: Sandbox,
    /// The directories of the control groups that it is to be in.
    pub groups: Vec<PathBuf>,
    /// Its own directory.
    pub directory: PathBuf,
}

impl FromStr for Launch {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// First stage: starts the second, waits for the agent's end, ends the tree. Exits as the agent did.
pub fn supervise(hub: i32, launch: &Launch, command: &[OsString]) -> ExitCode {
    let ended = try_supervise(Pid::from_raw(hub), launch, command);
    for group in &launch.groups {
        // For a hub that is gone; one that is there tells what it could not remove.
        let _ = fs::remove_dir(group);
    }
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(FAILED)
        }
    }
}

/// Second stage: becomes the agent.
pub fn exec(supervisor: i32, launch: &Launch, command: &[OsString]) -> ExitCode {
    let error = try_exec(Pid::from_raw(supervisor), launch, command);
    say(&format!("cannot run {}: {error}", command.first().unwrap_or(&OsString::new()).display()));
    ExitCode::from(CANNOT_RUN)
}

fn try_supervise(hub: Pid, launch: &Launch, command: &[OsString]) -> io::Result<u8> {
    let signals: SigSet =
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGALRM].into_iter().collect();
    // First, so that nothing ends it before it has cleared up.
    signals.thread_block()?;
    die_with(hub, Signal::SIGTERM)?;
    prctl::set_child_subreaper(true)?;
    let agent = Command::new("/proc/self/exe")
        .args(["launch", "exec", &getpid().to_string(), &serde_json::to_string(launch)?, "--"])
        .args(command)
        .spawn()?;
    let agent = Pid::from_raw(agent.id().try_into().map_err(io::Error::other)?);
    let status = wait_for(agent, hub, launch, &signals)?;
    tree::end(&launch.groups)?;
    Ok(status.map_or(FAILED, exit_code))
}

fn try_exec(supervisor: Pid, launch: &Launch, command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else { return io::ErrorKind::InvalidInput.into() };
    let prepare = || {
        die_with(supervisor, Signal::SIGKILL)?;
        limit::join(&launch.groups)?;
        limit::lower(&launch.groups)?;
        prctl::set_no_new_privs()?;
        // The supervisor's blocked signals are inherited, and are none of the agent's business.
        SigSet::all().thread_unblock()?;
        launch.sandbox.enter(program, &launch.directory)
    };
    match prepare() {
        Ok(mut command) => command.args(arguments).exec(),
        Err(error) => error,
    }
}

/// Has this process signalled when its parent ends. A parent that ended before is noticed by its pid.
fn die_with(parent: Pid, signal: Signal) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}

/// Waits for the agent's end; once told to end, for no longer than its grace. None when it has to be made to end.
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
                say(&format!(
                    "ended: its directory holds more than {AGENT_DIRECTORY_MAX_BYTES} bytes or \
                     {AGENT_DIRECTORY_MAX_FILES} files, or hides them"
                ));
                return Ok(None);
            }
            set_alarm(AGENT_DIRECTORY_INTERVAL);
        } else {
            // Told again, also by its own agent, it has no more time than before; without a hub, less.
            let is_orphaned = getppid() != hub;
            if !is_stopping || is_orphaned && !was_orphaned {
                set_alarm(if is_orphaned { AGENT_ORPHANED_GRACE } else { AGENT_STOP_GRACE });
            }
            (is_stopping, was_orphaned) = (true, is_orphaned);
            // Bubblewrap passes no signal on. An agent that is gone already is told by SIGCHLD.
            let agent = match launch.sandbox {
                Sandbox::Bubblewrap(_) => tree::inside(agent).unwrap_or(agent),
                Sandbox::Landlock { .. } | Sandbox::None => agent,
            };
            let _ = kill(agent, Signal::SIGTERM);
        }
    }
}

/// Where nobody listens any more, nothing is said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "mayfly launch: {text}");
}

fn set_alarm(after: Duration) {
    alarm::set(after.as_secs().try_into().unwrap_or(u32::MAX));
}

/// Whether a directory holds more than it may, as far as its files have names, or hides it. Follows no link.
pub(crate) fn is_overfull(directory: &Path) -> bool {
    let (mut bytes, mut files) = (0, 0);
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Made unreadable, or so deep that it has no path: nothing else hides what it holds.
            Err(_) => return true,
        };
        for entry in entries.flatten() {
            // One that is gone meanwhile holds nothing.
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

/// Reaps every child that has ended; the agent's status when it is among them.
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

/// As shells have it: 128 and the signal when there was one.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| code.try_into().ok()).unwrap_or(FAILED)
}
