//! The run directory: one directory for each agent on this machine, with the sockets between the agent and the hub.
//!
//! One hub at a time owns the run directory. This module makes the agents' directories, gives them to their users and
//! removes them; their contents are the agents' business.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use mayfly_egress::{self as egress, AgentUid};
use mayfly_protocol::agent::SOCKET_PATH_MAX_BYTES;
use mayfly_protocol::ids::Incarnation;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::SpawnError;

/// Name of the agent's socket in its directory.
pub(super) const SOCKET: &str = "agent.sock";

/// The directories of all agents; locked until dropped.
pub(super) struct RunDir {
    path: PathBuf,
    _lock: File,
}

/// Error returned when the run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The directory cannot be made, read or written.
    #[error("cannot use {}: {cause}; see --data-dir", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Another hub uses the directory.
    #[error("another hub uses {}: give this hub another --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A socket's path would be longer than unix(7) allows.
    #[error("{} is too long for a Unix socket's path: choose a shorter --data-dir", path.display())]
    TooLong {
        /// The directory.
        path: PathBuf,
    },
}

impl RunDir {
    /// Makes the run directory and locks it for this hub.
    pub(super) fn open(data_dir: &Path) -> Result<Self, RunDirError> {
        let path = data_dir.join("run");
        let failed = |cause| RunDirError::Unusable { path: path.clone(), cause };
        let path = std::path::absolute(&path).map_err(failed)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        // Without links, which would lead nowhere in a sandbox.
        let path = path.canonicalize().map_err(failed)?;
        let longest = path.join("12345678").join(egress::SOCKET);
        if longest.as_os_str().as_bytes().len() > SOCKET_PATH_MAX_BYTES {
            return Err(RunDirError::TooLong { path });
        }
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunDirError::InUse { path }),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    /// Returns the absolute path, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an agent's directory; with `uid` it belongs to that user.
    pub(super) fn make(&self, agent: Incarnation, uid: Option<AgentUid>) -> Result<Directory, SpawnError> {
        let path = self.path.join(agent.short());
        let failed = |cause| SpawnError::Directory { path: path.clone(), cause };
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let directory = Directory(path.clone());
        if let Some(AgentUid { user, group }) = uid {
            chown(&directory.0, Some(user), Some(group)).map_err(failed)?;
        }
        Ok(directory)
    }

    /// Returns the directory of an agent that an earlier hub started.
    pub(super) fn of(&self, agent: Incarnation) -> LastingDirectory {
        LastingDirectory(self.path.join(agent.short()))
    }

    /// Removes the directories of all agents except these. Logs the ones that cannot be removed.
    pub(super) fn clear(&self, kept: &HashSet<Incarnation>) -> Result<(), RunDirError> {
        let kept: HashSet<_> = kept.iter().map(Incarnation::short).collect();
        let failed = |cause| RunDirError::Unusable { path: self.path.clone(), cause };
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
            if !is_kept && entry.file_type().map_err(failed)?.is_dir() {
                debug!(path = %entry.path().display(), "leftover directory found");
                log_failure(&entry.path(), remove_all(&entry.path()));
            }
        }
        Ok(())
    }
}

/// An agent's directory; dropping it removes it with its contents.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of the agent's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }
}

impl Directory {
    /// Removes the directory on another thread, as it may hold many files.
    pub(super) async fn remove(self) {
        // If the runtime ends first, the next hub removes the directory.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Returns the directory as that of an agent that may outlive this hub.
    pub(super) fn lasting(mut self) -> LastingDirectory {
        // Leaves an empty path to `drop`, which ignores it.
        LastingDirectory(std::mem::take(&mut self.0))
    }
}

/// The directory of an agent that outlives this hub; dropping it removes nothing.
pub(super) struct LastingDirectory(PathBuf);

impl LastingDirectory {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of the agent's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// Removes the directory; see [`Directory::remove`].
    pub(super) async fn remove(self) {
        Directory(self.0).remove().await;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        log_failure(&self.0, remove_all(&self.0));
    }
}

fn log_failure(directory: &Path, removed: io::Result<()>) {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %directory.display(), %error, "agent directory not removed");
        }
        _ => {}
    }
}

/// Removes the directory of an agent that is gone, including parts that the agent made unreadable. Moves every nested
/// directory to the top before it is emptied, so that any depth takes one descriptor and short paths.
fn remove_all(top: &Path) -> io::Result<()> {
    // Random, because the agent may have chosen any name that it can predict.
    let (unique, mut moved) = (Uuid::new_v4(), 0_u64);
    let mut left = empty(top, |directory| Ok(directory.to_owned()))?;
    while let Some(directory) = left.pop() {
        left.extend(empty(&directory, |below| {
            moved += 1;
            let above = top.join(format!("{unique}-{moved}"));
            fs::rename(below, &above)?;
            Ok(above)
        })?);
        fs::remove_dir(directory)?;
    }
    fs::remove_dir(top)
}

/// Removes the files of a directory, and returns the paths of its subdirectories after `take` has moved them.
fn empty(directory: &Path, mut take: impl FnMut(&Path) -> io::Result<PathBuf>) -> io::Result<Vec<PathBuf>> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    let mut directories = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        // The type of a link, not of its target.
        if entry.file_type()?.is_dir() {
            directories.push(path);
        } else {
            fs::remove_file(path)?;
        }
    }
    for path in &mut directories {
        // A directory can only be moved if its owner may write it.
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        *path = take(path)?;
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_and_unreadable_directories_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let top = base.path().join("agent");
        fs::create_dir(&top).unwrap();
        fs::write(base.path().join("outside"), "stays").unwrap();
        std::os::unix::fs::symlink(base.path(), top.join("link")).unwrap();
        // Deeper than the longest path reaches, so built from the inside out.
        for deep in 0..3_000 {
            let outer = base.path().join(format!("outer-{deep}"));
            fs::create_dir(&outer).unwrap();
            fs::write(outer.join("file"), "x").unwrap();
            let inner = top.join("deep");
            if inner.exists() {
                fs::rename(&inner, outer.join("d")).unwrap();
            }
            if deep % 1_000 == 999 {
                fs::set_permissions(&outer, Permissions::from_mode(0o000)).unwrap();
            }
            fs::rename(&outer, &inner).unwrap();
        }
        remove_all(&top).unwrap();
        let left: Vec<_> =
            fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["outside"]);
    }
}
