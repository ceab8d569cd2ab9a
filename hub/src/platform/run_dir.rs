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

use mayfly_protocol::ids::Incarnation;
use tracing::{debug, warn};

use crate::egress::{self, Owner};
use crate::limits::SOCKET_PATH_MAX_BYTES;
use crate::platform::SpawnError;

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
    pub(super) fn make(&self, agent: Incarnation, owner: Option<Owner>) -> Result<Directory, SpawnError> {
        let path = self.path.join(agent.short());
        let failed = |cause| SpawnError::Directory { path: path.clone(), cause };
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let directory = Directory(path.clone());
        if let Some(Owner { user, group }) = owner {
            chown(&directory.0, Some(user), Some(group)).map_err(failed)?;
        }
        Ok(directory)
    }

    /// The directory of an agent that was there before this hub.
    pub(super) fn of(&self, agent: Incarnation) -> Directory {
        Directory(self.path.join(agent.short()))
    }

    /// Removes the directories of all agents but these.
    pub(super) fn clear(&self, but: &HashSet<Incarnation>) -> Result<(), RunDirError> {
        let kept: HashSet<_> = but.iter().map(Incarnation::short).collect();
        let failed = |cause| RunDirError::Unusable { path: self.path.clone(), cause };
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
            if !is_kept && entry.file_type().map_err(failed)?.is_dir() {
                debug!(path = %entry.path().display(), "removing what a dead hub left");
                remove_all(&entry.path()).map_err(failed)?;
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

impl Drop for Directory {
    fn drop(&mut self) {
        match remove_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %self.0.display(), %error, "cannot remove an agent's directory");
            }
            _ => {}
        }
    }
}

/// Removes a directory of an agent that is gone, also one that the agent has locked.
fn remove_all(directory: &Path) -> io::Result<()> {
    let Err(error) = fs::remove_dir_all(directory) else { return Ok(()) };
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Err(error);
    }
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // A link to a directory is none.
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(directory)
}
