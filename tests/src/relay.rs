//! A Unix socket in front of another one, which a test can cut and restore, for example that of a container engine.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// A relay to another socket.
#[derive(Debug)]
pub struct Relay {
    target: PathBuf,
    path: PathBuf,
    _directory: TempDir,
    /// The task that relays; `None` while the relay is cut.
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Relay {
    /// Starts a relay to `target`. Must be called within a runtime.
    ///
    /// # Errors
    /// Returns an error if the socket cannot be created.
    pub fn start(target: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("relay.sock");
        let relay = Self { target: target.to_owned(), path, _directory: directory, task: Mutex::new(None) };
        relay.mend()?;
        Ok(relay)
    }

    /// Returns the path of the relay's socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends all connections and accepts no others.
    pub fn cut(&self) {
        if let Ok(mut task) = self.task.lock() {
            task.take();
        }
        let _ = std::fs::remove_file(&self.path);
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// Returns an error if the socket cannot be created.
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
