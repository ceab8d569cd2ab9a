//! The run directory: one directory for each agent on this machine, with the sockets between it and the hub.
//!
//! One hub at a time has it. What lies in an agent's directory is the agent's business; that it is there, whose it is and
//! that it goes with the agent is this file's.

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

/// The agent's socket in its directory.
pub(super) const SOCKET: &str = "agent.sock";

/// All agents' directories; locked as long as this lives.
pub(super) struct RunDir {
    path: PathBuf,
    _lock: File,
}

/// Why the run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It cannot be made, read or written.
    #[error("cannot use {}: {cause}", path.display())]
    Unusable {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Another hub has it.
    #[error("another hub uses {}: give this one a --data-dir of its own", path.display())]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// A socket's path would not fit (unix(7): 108 bytes with the final NUL).
    #[error("{} is too long for a socket's path: choose a shorter --data-dir", path.display())]
    TooLong {
        /// Which directory.
        path: PathBuf,
    },
}

impl RunDir {
    /// Makes it, and takes it for this hub.
    pub(super) fn open(data_dir: &Path) -> Result<Self, RunDirError> {
        let path = data_dir.join("run");
        let failed = |cause| RunDirError::Unusable { path: path.clone(), cause };
        let path = std::path::absolute(&path).map_err(failed)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        // As the kernel would have it: agents in a sandbox find no link.
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

    /// The directory itself; absolute, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an agent's directory, for this process's user or for another owner.
    pub(super) fn make(&self, agent: Incarnation, owner: Option<AgentUid>) -> Result<Directory, SpawnError> {
        let path = self.path.join(agent.short());
        let failed = |cause| SpawnError::Directory { path: path.clone(), cause };
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let directory = Directory(path.clone());
        if let Some(AgentUid { user, group }) = owner {
            chown(&directory.0, Some(user), Some(group)).map_err(failed)?;
        }
        Ok(directory)
    }

    /// The directory of an agent that was there before this hub.
    pub(super) fn of(&self, agent: Incarnation) -> Lasting {
        Lasting(self.path.join(agent.short()))
    }

    /// Removes the directories of all agents but these, as far as they can be removed.
    pub(super) fn clear(&self, but: &HashSet<Incarnation>) -> Result<(), RunDirError> {
        let kept: HashSet<_> = but.iter().map(Incarnation::short).collect();
        let failed = |cause| RunDirError::Unusable { path: self.path.clone(), cause };
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
            if !is_kept && entry.file_type().map_err(failed)?.is_dir() {
                debug!(path = %entry.path().display(), "removing what a dead hub left");
                told(&entry.path(), remove_all(&entry.path()));
            }
        }
        Ok(())
    }
}

/// An agent's directory; removed with all that is in it when dropped.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's socket in it.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }
}

impl Directory {
    /// Removes it, however much its agent put there, without keeping others waiting.
    pub(super) async fn remove(self) {
        // Nothing is left to be done when the runtime ends first: the next hub clears up.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// The same, of an agent that may outlive this hub.
    pub(super) fn lasting(mut self) -> Lasting {
        // Nothing is left to be removed.
        Lasting(std::mem::take(&mut self.0))
    }
}

/// An agent's directory that stays when this hub ends, as the agent does.
pub(super) struct Lasting(PathBuf);

impl Lasting {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's socket in it.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// As [`Directory::remove`].
    pub(super) async fn remove(self) {
        Directory(self.0).remove().await;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        told(&self.0, remove_all(&self.0));
    }
}

fn told(directory: &Path, removed: io::Result<()>) {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %directory.display(), %error, "cannot remove an agent's directory");
        }
        _ => {}
    }
}

/// Removes a directory of an agent that is gone, also what the agent has locked. However deep it is, this takes one
/// descriptor and short paths: what is in a directory is moved up before that directory goes.
fn remove_all(top: &Path) -> io::Result<()> {
    // Not to be foreseen by the agent, which may have chosen any name.
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

/// Removes the files of a directory, and says where the directories are that were in it, once `take` has had them.
fn empty(directory: &Path, mut take: impl FnMut(&Path) -> io::Result<PathBuf>) -> io::Result<Vec<PathBuf>> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    let mut directories = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        // A link to a directory is none.
        if entry.file_type()?.is_dir() {
            directories.push(path);
        } else {
            fs::remove_file(path)?;
        }
    }
    for path in &mut directories {
        // To be moved, it must be its owner's to write.
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        *path = take(path)?;
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_however_deep_wide_or_locked_it_is() {
        let base = tempfile::tempdir().unwrap();
        let top = base.path().join("agent");
        fs::create_dir(&top).unwrap();
        fs::write(base.path().join("outside"), "stays").unwrap();
        std::os::unix::fs::symlink(base.path(), top.join("link")).unwrap();
        // Twice as deep as any path reaches: built from the inside out.
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
