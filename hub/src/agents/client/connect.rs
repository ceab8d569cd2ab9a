//! Connecting to a socket in a directory that the agent can write: whatever it puts there, nothing else is reached.
//!
//! The name is looked up once, without following a link, and the connection goes to what was found and looked at.
//! Facts: `O_PATH` and `/proc/self/fd` in open(2), `SO_PEERCRED` in unix(7).

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use tokio::net::UnixStream;

use crate::agents::client::CallError;

/// Connects to an agent that runs as this user. The directory itself is the hub's; the socket is the agent's.
///
/// # Errors
/// [`CallError`] when there is no socket, something else in its place, or somebody else behind it.
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
        uid => Err(CallError::Stranger(uid)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::geteuid;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_connected_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(contained(&path, geteuid().as_raw()).await.is_ok());
        assert!(listener.accept().await.is_ok());
    }

    #[tokio::test]
    async fn a_link_is_not_followed_and_nothing_but_a_socket_will_do() {
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
    async fn what_is_not_there_or_does_not_listen_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let Err(CallError::Io(error)) = contained(&path, geteuid().as_raw()).await else {
            panic!("there is nothing")
        };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        let Err(CallError::Io(error)) = contained(&path, geteuid().as_raw()).await else {
            panic!("nobody listens")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
