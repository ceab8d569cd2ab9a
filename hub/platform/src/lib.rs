//! Where agents run: few verbs and no policy, one file for each platform.
//!
//! A platform starts, stops, lists and measures agents. When to start or stop one is decided by the agent's lifecycle in
//! `mayfly-session`, and the hub repeats a stop until the agent is gone. What an agent says is not known here: health and
//! turns belong to the hub's client of the agent's wire.
//!
//! `docs/containers.md` and `docs/security.md` describe the platforms' use and what contains an agent.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio_util::sync::CancellationToken;

use crate::settings::AgentEnv;

#[cfg(feature = "docker")]
pub mod docker;
pub mod launcher;
pub mod limits;
pub mod process;
pub mod run_dir;
pub mod settings;
pub mod static_;

/// A place that can run agents. A handle is good for one incarnation: what is asked of one that is gone finds nothing.
/// `tests/src/contract.rs` has the rules as tests.
#[async_trait]
pub trait Platform: Send + Sync {
    /// What becomes of its agents when this hub ends.
    fn lifetime(&self) -> Lifetime;

    /// Starts an agent and returns without waiting until it is healthy. Must be polled to its end: one that is dropped
    /// may leave an agent, which is in the list then.
    ///
    /// # Errors
    /// [`SpawnError`] when nothing was started; then nothing is left behind.
    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError>;

    /// Writes down that a warm agent is a session's, so that [`Platform::list`] says so, also to another hub. Before the
    /// agent is told.
    ///
    /// # Errors
    /// [`PlatformError`] when it is not written; then the agent must not be used.
    async fn claim(&self, agent: &AgentHandle, session: SessionId) -> Result<(), PlatformError>;

    /// Ends an agent and all it started, and returns when it is gone; false when it was gone already, or another stop is
    /// to be thanked.
    ///
    /// # Errors
    /// [`PlatformError`] when it may still be there: to be tried again.
    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError>;

    /// The agents of this hub's cluster that are not gone; nobody else's.
    ///
    /// # Errors
    /// [`PlatformError`] when that cannot be said: not to be taken for none.
    async fn list(&self) -> Result<Vec<Found>, PlatformError>;

    /// What an agent uses now; none when it is gone or that cannot be said.
    async fn stats(&self, agent: &AgentHandle) -> Option<Stats>;

    /// Names what [`Platform::spawn`] would start now with these further variables: the image, the program's file. Another
    /// answer than at an agent's start means that the agent is out of date. Tells no secret.
    async fn version(&self, _env: &AgentEnv) -> String {
        String::new()
    }
}

/// What becomes of a platform's agents when the hub ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// They run whether there is a hub or not: it neither starts nor ends them.
    Fixed,
    /// They end with it.
    Hub,
    /// They go on, and the next hub finds them in its list.
    Own,
}

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct SpawnSpec {
    /// The session it belongs to; none while it is warm.
    pub session: Option<SessionId>,
    /// Whose session that is, where the hub knows.
    pub owner: Option<String>,
    /// Names this life of it.
    pub incarnation: Incarnation,
    /// What it asks of callers.
    pub token: AgentToken,
    /// When it exits at the latest.
    pub deadline: SystemTime,
    /// Further variables of its environment; some are secrets.
    pub env: AgentEnv,
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

/// An agent in a platform's list.
#[derive(Debug, Clone)]
pub struct Found {
    /// Names this life of it.
    pub incarnation: Incarnation,
    /// The way to it.
    pub address: AgentAddress,
    /// Cancelled when the platform sees that it is gone.
    pub gone: CancellationToken,
    /// The session that it was started for or claimed by.
    pub session: Option<SessionId>,
    /// When it was started.
    pub created: SystemTime,
    /// [`Platform::version`] at its start, where that is known.
    pub version: Option<String>,
}

/// What an agent uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Memory of its whole tree, without what the kernel only caches for it.
    pub memory_bytes: u64,
}

/// The way to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentAddress {
    /// A Unix socket that an operator named.
    Unix(PathBuf),
    /// A Unix socket in a directory that is the agent's to write: nothing but a socket there is connected to.
    Contained {
        /// Where it is.
        socket: PathBuf,
        /// The user that the agent runs as, as this machine's kernel has it; nobody else is talked to.
        user: u32,
    },
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
    /// The agent's way out could not be opened.
    #[error("cannot open the agent's way out: {0}")]
    Egress(std::io::Error),
    /// The agent's control groups could not be made.
    #[error("cannot make a control group: {0}")]
    Group(std::io::Error),
    /// The engine does not have the image, and pulls none.
    #[error("there is no image {image} in the container engine, and none is pulled")]
    Image {
        /// Its name.
        image: String,
    },
    /// The container engine does not answer.
    #[error("the container engine does not answer: {0}")]
    EngineGone(String),
    /// The container engine has no room.
    #[error("the container engine's disk is full: {0}")]
    DiskFull(String),
    /// Another container has the agent's name.
    #[error("the container's name is taken: {0}")]
    NameTaken(String),
    /// The container engine did not start it.
    #[error("{0}")]
    Engine(String),
    /// There is no agent to hand out.
    #[error("no static agent is configured")]
    NoAddress,
    /// The platform is shutting down.
    #[error("the platform is shutting down")]
    ShuttingDown,
}

/// Why a platform could not say or do something.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// It does not answer, or not as it should: to be tried again.
    #[error("the platform does not answer: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The agent is gone.
    #[error("the agent is gone")]
    Gone,
}

impl SpawnError {
    /// What a client is told; the rest is the operator's.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Image { .. } => ErrorCode::SpawnImage,
            Self::Command { .. }
            | Self::Directory { .. }
            | Self::Egress(_)
            | Self::Group(_)
            | Self::EngineGone(_)
            | Self::DiskFull(_)
            | Self::NameTaken(_)
            | Self::Engine(_)
            | Self::NoAddress
            | Self::ShuttingDown => ErrorCode::SpawnFailed,
        }
    }
}

impl Found {
    /// A handle to it, with the token that it asks of callers.
    pub fn handle(&self, token: AgentToken) -> AgentHandle {
        let Self { incarnation, address, gone, .. } = self.clone();
        AgentHandle { incarnation, address, token, gone }
    }
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
