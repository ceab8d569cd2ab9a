//! Connecting to a socket in a directory that the agent can write. The agent cannot redirect the hub to another socket.
//!
//! The path is opened once, without following a link. The hub checks the opened file and connects to this same file.
//! Facts: `O_PATH` and `/proc/self/fd` in open(2), `SO_PEERCRED` in unix(7).

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use tokio::net::UnixStream;

use crate::agents::client::CallError;

/// Connects to an agent that runs as this user. The hub owns the directory; the agent owns the socket.
///
/// # Errors
/// Returns [`CallError`] if the socket is missing, is another kind of file, or belongs to a process of another user.
pub(super) async fn contained(path: &Path, user: u32) -> Result<UnixStream, CallError> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let socket = open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let mode = fstat(&socket).map_err(io::Error::from)?.st_mode;
    if mode & SFlag::S_IFMT.bits() != SFlag::S_IFSOCK.bits() {
        return Err(CallError::NotASocket);
    }
    let stream = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await?;
    match stream.peer_cred()?.uid() {
        uid if uid == user => Ok(stream),
        uid => Err(CallError::WrongUser(uid)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::geteuid;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn contained_connects_to_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(contained(&path, geteuid().as_raw()).await.is_ok());
        assert!(listener.accept().await.is_ok());
    }

    #[tokio::test]
    async fn links_and_other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let another = directory.path().join("another.sock");
        let _listener = UnixListener::bind(&another).unwrap();
        let path = directory.path().join("agent.sock");
        symlink(&another, &path).unwrap();
        assert!(UnixStream::connect(&path).await.is_ok(), "the link itself works");
        assert!(matches!(contained(&path, geteuid().as_raw()).await, Err(CallError::NotASocket)));
        for make in [
            |path: &Path| std::fs::write(path, "").unwrap(),
            |path: &Path| std::fs::create_dir(path).unwrap(),
            |path: &Path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        ] {
            let path = directory.path().join(uuid::Uuid::new_v4().to_string());
            make(&path);
            assert!(matches!(contained(&path, geteuid().as_raw()).await, Err(CallError::NotASocket)));
        }
    }

    #[tokio::test]
    async fn missing_or_unused_socket_is_an_io_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let Err(CallError::Io(error)) = contained(&path, geteuid().as_raw()).await else {
            panic!("the socket does not exist")
        };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        let Err(CallError::Io(error)) = contained(&path, geteuid().as_raw()).await else {
            panic!("nobody listens")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
