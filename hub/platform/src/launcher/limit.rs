//! Limits on what an agent's processes may use, set by the second stage before it becomes the agent.
//!
//! Control groups limit the whole tree, and are made by the platform (`process/cgroup.rs`). Resource limits are second
//! best: they hold for each process, or for all processes of a user. Source: setrlimit(2).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

use crate::limits::{AGENT_FILE_MAX_BYTES, AGENT_PROCESSES_MAX};

/// Moves this process, and all that it will start, into these control groups.
///
/// # Errors
/// Returns the error of the file system if a group cannot be joined.
pub(super) fn join(groups: &[PathBuf]) -> io::Result<()> {
    groups.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), "0"))
}

/// Lowers this process's resource limits. Limits the number of processes only if none of the groups does.
///
/// # Errors
/// Returns the errors of setrlimit(2).
pub(super) fn lower(groups: &[PathBuf]) -> io::Result<()> {
    lower_to(Resource::RLIMIT_CORE, 0)?;
    lower_to(Resource::RLIMIT_FSIZE, AGENT_FILE_MAX_BYTES)?;
    if groups.iter().any(|group| group.join("pids.max").exists()) {
        return Ok(());
    }
    // The kernel counts all processes of a user, and does not limit root's.
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
        // `task` has a directory for each thread. It does not exist if the entry is not a process, or the process is gone.
        let tasks = fs::metadata(process.ok()?.path().join("task")).ok()?;
        (tasks.uid() == user).then(|| tasks.nlink())
    };
    Ok(fs::read_dir("/proc")?.filter_map(threads).sum())
}
