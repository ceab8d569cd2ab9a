//! A Unix socket in front of another, that can be cut and mended: a container engine that goes away and comes back.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// The way to another socket.
#[derive(Debug)]
pub struct Relay {
    target: PathBuf,
    path: PathBuf,
    _directory: TempDir,
    /// None while it is cut.
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Relay {
    /// A way to `target`. Must be called within a runtime.
    ///
    /// # Errors
    /// When there is no socket to be made.
    pub fn start(target: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("relay.sock");
        let relay = Self { target: target.to_owned(), path, _directory: directory, task: Mutex::new(None) };
        relay.mend()?;
        Ok(relay)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends all connections, and takes no others.
    pub fn cut(&self) {
        if let Ok(mut task) = self.task.lock() {
            task.take();
        }
        let _ = std::fs::remove_file(&self.path);
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// When there is no socket to be made.
    pub fn mend(&self) -> anyhow::Result<()> {
        let listener = UnixListener::bind(&self.path)?;
        let target = self.target.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            // Ended with the task.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    let mut far = UnixStream::connect(target).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        }));
        if let Ok(mut slot) = self.task.lock() {
            *slot = Some(task);
        }
        Ok(())
    }
}
