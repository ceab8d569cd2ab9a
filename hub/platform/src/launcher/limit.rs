//! What an agent's whole tree may use of the machine, taken on by its process before it becomes the agent.
//!
//! Control groups bound a tree exactly, and are made by whoever starts it (`platform/process/cgroup.rs`). What a process
//! can be told by itself is second best: it holds for each process, or for all of a user's. Facts: setrlimit(2).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

use crate::limits::{AGENT_FILE_MAX_BYTES, AGENT_PROCESSES_MAX};

/// Moves this process into these control groups, and so all it will start.
///
/// # Errors
/// When one cannot be entered.
pub(super) fn join(groups: &[PathBuf]) -> io::Result<()> {
    groups.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), "0"))
}

/// Lowers what each process may use; the number of processes only where none of the groups bounds it.
///
/// # Errors
/// As setrlimit(2).
pub(super) fn lower(groups: &[PathBuf]) -> io::Result<()> {
    lower_to(Resource::RLIMIT_CORE, 0)?;
    lower_to(Resource::RLIMIT_FSIZE, AGENT_FILE_MAX_BYTES)?;
    if groups.iter().any(|group| group.join("pids.max").exists()) {
        return Ok(());
    }
    // The kernel counts all of a user's, and root's not at all.
    lower_to(Resource::RLIMIT_NPROC, threads_of_this_user()? + AGENT_PROCESSES_MAX)
}

fn lower_to(resource: Resource, limit: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let limit = limit.min(hard);
    Ok(setrlimit(resource, limit, limit)?)
}

fn threads_of_this_user() -> io::Result<u64> {
    let user = geteuid().as_raw();
    let threads = |process: io::Result<fs::DirEntry>| {
        // A directory of one for each thread; none in what is no process, or is gone.
        let tasks = fs::metadata(process.ok()?.path().join("task")).ok()?;
        (tasks.uid() == user).then(|| tasks.nlink())
    };
    Ok(fs::read_dir("/proc")?.filter_map(threads).sum())
}
