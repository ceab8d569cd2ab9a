//! An agent's process tree: its processes, their memory, and how to end them all.
//!
//! The supervisor is the subreaper of the tree, so every process of the tree is always its descendant. Source:
//! proc_tid_children(5).

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// Returns the agent inside a bubblewrap: the first child of the sandbox's first process, which is bubblewrap's only child.
/// Returns `None` until bubblewrap has started the agent.
pub(super) fn inside(bubblewrap: Pid) -> Option<Pid> {
    let first = |parent| children(parent).into_iter().next();
    first(bubblewrap).and_then(first)
}

/// Kills every descendant, and returns when all are gone. Stops all of them before it kills them, and lets the `groups`
/// forbid new processes if one of them can, so that a tree cannot grow faster than it is killed.
///
/// # Errors
/// Returns the errors of waitpid(2).
pub(super) fn end(groups: &[PathBuf]) -> io::Result<()> {
    for group in groups {
        // Only the group of the pids controller has this file.
        let _ = fs::write(group.join("pids.max"), "0");
    }
    loop {
        for process in stop_descendants() {
            // Fails if the process has just ended.
            let _ = kill(process, Signal::SIGKILL);
        }
        if !reap_some()? {
            return Ok(());
        }
    }
}

/// Stops all descendants and returns them. None of them runs any more, so none can start another.
fn stop_descendants() -> HashSet<Pid> {
    let mut stopped = HashSet::new();
    loop {
        let mut found = descendants(getpid());
        found.retain(|process| stopped.insert(*process));
        if found.is_empty() {
            return stopped;
        }
        for process in found {
            // Fails if the process has just ended.
            let _ = kill(process, Signal::SIGSTOP);
        }
    }
}

/// Waits for one child, and reaps all others that have ended. Returns `false` if there are no children.
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

/// Returns the proportional memory (PSS, proc_pid_smaps(5)) of all descendants of a process; `None` if it has none.
pub(crate) fn memory_bytes(ancestor: Pid) -> Option<u64> {
    let share = |process: Pid| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    };
    descendants(ancestor).into_iter().filter_map(share).reduce(|sum, share| sum + share)
}

/// Returns the children in the order of their start or adoption; none for a process that is gone.
fn children(parent: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| -> Vec<Pid> {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
    };
    lists.flat_map(pids).collect()
}
