//! An agent's process tree, as its supervisor sees it: who is in it, and its end.
//!
//! The supervisor is the subreaper of the tree, so that all of it is always among its descendants. Knows of control
//! groups only that one of them can forbid new processes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// The agent inside a bubblewrap: the first child of its first process, which is bubblewrap's only child. None as long
/// as bubblewrap has not started it.
pub(super) fn inside(bubblewrap: Pid) -> Option<Pid> {
    let first = |parent| children(parent).into_iter().next();
    first(bubblewrap).and_then(first)
}

/// Ends every descendant, and returns when all are gone. What starts processes faster than they can be killed does not
/// get away: nothing new may be started where one of the `groups` can forbid it, then all are stopped, then killed.
///
/// # Errors
/// When children cannot be waited for.
pub(super) fn end(groups: &[PathBuf]) -> io::Result<()> {
    for group in groups {
        // A group of another controller has no such file.
        let _ = fs::write(group.join("pids.max"), "0");
    }
    loop {
        for process in stop_descendants() {
            // One that has ended is reaped by whoever is its parent.
            let _ = kill(process, Signal::SIGKILL);
        }
        if !reap_some()? {
            return Ok(());
        }
    }
}

/// All descendants, none of them running any more, so that there will be no others.
fn stop_descendants() -> HashSet<Pid> {
    let mut stopped = HashSet::new();
    loop {
        let mut found = descendants(getpid());
        found.retain(|process| stopped.insert(*process));
        if found.is_empty() {
            return stopped;
        }
        for process in found {
            // As above.
            let _ = kill(process, Signal::SIGSTOP);
        }
    }
}

/// Waits for a child, and reaps all others that have ended too; false when there are none.
fn reap_some() -> io::Result<bool> {
    let mut wait = WaitPidFlag::empty();
    loop {
        match waitpid(None, Some(wait)) {
            Ok(WaitStatus::StillAlive) => return Ok(true),
            Ok(_) => wait = WaitPidFlag::WNOHANG,
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn descendants(ancestor: Pid) -> Vec<Pid> {
    let mut all = children(ancestor);
    let mut next = 0;
    while let Some(process) = all.get(next) {
        all.extend(children(*process));
        next += 1;
    }
    all
}

/// What the descendants of a process use of memory, each its share of what it shares (proc_pid_smaps(5)); none when there
/// are none.
pub(crate) fn memory_bytes(ancestor: Pid) -> Option<u64> {
    let share = |process: Pid| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    };
    descendants(ancestor).into_iter().filter_map(share).reduce(|sum, share| sum + share)
}

/// In the order in which they were started or adopted; none of a process that is gone.
fn children(parent: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| -> Vec<Pid> {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
    };
    lists.flat_map(pids).collect()
}
