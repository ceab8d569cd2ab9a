//! What an agent's process is started through: `mayfly launch`, in two stages, so that its whole tree ends with it,
//! with its hub, or when the hub says so.
//!
//! ```text
//!   hub --spawn--> launch supervise --spawn--> launch exec --exec--> the agent --> whatever it starts
//!        <--SIGTERM when the hub dies--   <--SIGKILL when the supervisor dies--
//! ```
//!
//! The supervisor is the subreaper of the tree: what is orphaned in it becomes its child, however it was detached, so
//! killing children until there are none ends the tree. It is single-threaded, has no runtime and knows no sessions.
//! Facts: prctl(2), `PR_SET_PDEATHSIG` and `PR_SET_CHILD_SUBREAPER`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, getpid, getppid};

use crate::limits::{AGENT_ORPHANED_GRACE, AGENT_STOP_GRACE};

/// What the supervisor exits with when it could not do its work.
const FAILED: u8 = 125;
/// What the second stage exits with when the agent's program cannot be run; as shells do.
const CANNOT_RUN: u8 = 127;

/// First stage: starts the second, waits for the agent's end, ends the tree. Exits as the agent did.
pub fn supervise(hub: i32, command: &[OsString]) -> ExitCode {
    match try_supervise(Pid::from_raw(hub), command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("mayfly launch: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Second stage: becomes the agent.
pub fn exec(supervisor: i32, command: &[OsString]) -> ExitCode {
    let error = try_exec(Pid::from_raw(supervisor), command);
    eprintln!("mayfly launch: cannot run {}: {error}", command.first().unwrap_or(&OsString::new()).display());
    ExitCode::from(CANNOT_RUN)
}

fn try_supervise(hub: Pid, command: &[OsString]) -> io::Result<u8> {
    die_with(hub, Signal::SIGTERM)?;
    prctl::set_child_subreaper(true)?;
    let signals: SigSet =
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGALRM].into_iter().collect();
    signals.thread_block()?;
    let agent = Command::new("/proc/self/exe")
        .args(["launch", "exec", &getpid().to_string(), "--"])
        .args(command)
        .spawn()?;
    let agent = Pid::from_raw(agent.id().try_into().map_err(io::Error::other)?);
    let status = wait_for(agent, hub, &signals)?;
    end_tree()?;
    Ok(status.map_or(FAILED, exit_code))
}

fn try_exec(supervisor: Pid, command: &[OsString]) -> io::Error {
    let prepare = || {
        die_with(supervisor, Signal::SIGKILL)?;
        prctl::set_no_new_privs()?;
        // The supervisor's blocked signals are inherited, and are none of the agent's business.
        SigSet::all().thread_unblock()?;
        Ok::<(), io::Error>(())
    };
    let Some((program, arguments)) = command.split_first() else { return io::ErrorKind::InvalidInput.into() };
    match prepare() {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

/// Has this process signalled when its parent ends. A parent that ended before is noticed by its pid.
fn die_with(parent: Pid, signal: Signal) -> io::Result<()> {
    prctl::set_pdeathsig(signal)?;
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}

/// Waits for the agent's end; once told to end, for no longer than its grace.
fn wait_for(agent: Pid, hub: Pid, signals: &SigSet) -> io::Result<Option<ExitStatus>> {
    loop {
        let signal = signals.wait()?;
        if signal == Signal::SIGCHLD {
            if let Some(status) = reap(agent)? {
                return Ok(Some(status));
            }
        } else if signal == Signal::SIGALRM {
            return Ok(None);
        } else {
            let grace = if getppid() == hub { AGENT_STOP_GRACE } else { AGENT_ORPHANED_GRACE };
            // An agent that is gone already is told by SIGCHLD.
            let _ = kill(agent, Signal::SIGTERM);
            alarm::set(grace.as_secs().try_into().unwrap_or(u32::MAX));
        }
    }
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

/// Kills children until there are none: the children of a killed one become ours.
fn end_tree() -> io::Result<()> {
    loop {
        for child in children()? {
            // One that has just ended is reaped below.
            let _ = kill(child, Signal::SIGKILL);
        }
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn children() -> io::Result<Vec<Pid>> {
    let list = std::fs::read_to_string("/proc/thread-self/children")?;
    Ok(list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect())
}

/// As shells have it: 128 and the signal when there was one.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| code.try_into().ok()).unwrap_or(FAILED)
}
