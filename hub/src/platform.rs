//! Where agents run: four verbs and no policy, one file for each platform.
//!
//! When to start or stop an agent is decided in `mayfly-session`; a platform only carries it out. It does not know
//! what an agent says: health and turns are `agent.rs`.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio_util::sync::CancellationToken;

pub mod process;
pub mod static_;

/// A place that can run agents.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Starts an agent and returns without waiting until it is healthy.
    ///
    /// # Errors
    /// [`SpawnError`] when nothing was started; then nothing is left behind.
    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError>;

    /// Ends an agent and all it started, and returns when it is gone; false when it was gone already.
    async fn stop(&self, agent: &AgentHandle) -> bool;

    /// The agents that this hub started and that are not gone.
    async fn list(&self) -> Vec<Incarnation>;
}

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct SpawnSpec {
    /// The session it belongs to.
    pub session: SessionId,
    /// Names this life of it.
    pub incarnation: Incarnation,
    /// What it asks of callers.
    pub token: AgentToken,
    /// When it exits at the latest.
    pub deadline: SystemTime,
}

/// A started agent.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    /// Names this life of it.
    pub incarnation: Incarnation,
    /// The way to it.
    pub address: AgentAddress,
    /// What it asks of callers.
    pub token: AgentToken,
    /// Cancelled when the platform sees that it is gone.
    pub gone: CancellationToken,
}

/// The way to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentAddress {
    /// A Unix socket that an operator named.
    Unix(PathBuf),
    /// A Unix socket in a directory that is the agent's to write: nothing but a socket there is connected to.
    Contained(PathBuf),
    /// `HOST:PORT`, plain HTTP.
    Tcp(String),
}

/// The bearer token of one agent. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentToken(String);

/// Why an agent was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The command could not be run.
    #[error("cannot run {command}: {cause}")]
    Command {
        /// What was to be run.
        command: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// The agent's directory could not be made.
    #[error("cannot make {}: {cause}", path.display())]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The agent's control groups could not be made.
    #[error("cannot make a control group: {0}")]
    Group(std::io::Error),
    /// There is no agent to hand out.
    #[error("no static agent is configured")]
    NoAddress,
    /// The platform is shutting down.
    #[error("the platform is shutting down")]
    ShuttingDown,
}

impl AgentToken {
    /// A token with this text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for an `Authorization` header or an agent's environment.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentToken(…)")
    }
}
