//! Where agents run: the [`Platform`] trait, and one module for each platform.
//!
//! ```text
//!   process    a child process for each agent, started through launcher, contained by a sandbox and control groups
//!   docker     a container for each agent, on a local engine (feature `docker`)
//!   static_    agents that run already
//!      |
//!   run_dir    a directory for each agent, with the sockets between agent and hub; mayfly-egress opens one of them
//! ```
//!
//! A platform starts, lists and stops agents. It does not decide when: that is the hub's business. It does not speak to an
//! agent, and knows neither sessions (except for their ids) nor HTTP.
//!
//! `docs/containers.md` and `docs/security.md` describe the platforms' use and what contains an agent.

use std::error::Error;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio_util::sync::CancellationToken;

use crate::settings::AgentEnv;

pub use address::{AgentAddress, AgentToken};

mod address;
#[cfg(feature = "docker")]
pub mod docker;
pub mod launcher;
pub mod limits;
pub mod process;
pub mod run_dir;
pub mod settings;
pub mod static_;

/// A place that can run agents. A handle refers to one incarnation of an agent: an operation on an incarnation that is
/// gone affects no other. The rules of all platforms are tests in `tests/src/contract.rs`.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Returns the fate of the platform's agents when this hub ends.
    fn lifetime(&self) -> Lifetime;

    /// Starts an agent, and returns without waiting until the agent is healthy.
    ///
    /// Not cancel safe: a future that is dropped before its end may leave an agent, which [`Platform::list`] then returns.
    ///
    /// # Errors
    /// Returns [`SpawnError`] if no agent was started; nothing is left behind.
    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError>;

    /// Records that a warm agent belongs to a session, so that [`Platform::list`] of this hub and of a later one says so.
    /// The hub calls it before it tells the agent.
    ///
    /// # Errors
    /// Returns [`PlatformError`] if the claim is not recorded; the hub must not use the agent.
    async fn claim(&self, agent: &AgentHandle, session: SessionId) -> Result<(), PlatformError>;

    /// Ends an agent with all its processes, and returns when they are gone. Returns `false` if the agent was already gone
    /// or another call stopped it.
    ///
    /// # Errors
    /// Returns [`PlatformError`] if the agent may still run; the caller tries again.
    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError>;

    /// Returns all agents of this hub's cluster that are not gone, and no others.
    ///
    /// # Errors
    /// Returns [`PlatformError`] if the agents are unknown; this does not mean that there are none.
    async fn list(&self) -> Result<Vec<ListedAgent>, PlatformError>;

    /// Returns the resources that an agent uses now; `None` if it is gone or the platform cannot tell.
    async fn stats(&self, agent: &AgentHandle) -> Option<AgentStats>;

    /// Returns a name for the program or image that [`Platform::spawn`] would start now with these variables. An agent
    /// that was started under another version is out of date. Contains no secret.
    async fn version(&self, _env: &AgentEnv) -> String {
        String::new()
    }
}

/// Fate of a platform's agents when the hub ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// They run independently of any hub, which neither starts nor ends them.
    Fixed,
    /// They end with the hub.
    Hub,
    /// They continue, and the next hub finds them in [`Platform::list`].
    Own,
}

/// Parameters of an agent's start.
#[derive(Debug, Clone)]
pub struct SpawnSpec {
    /// The session that the agent belongs to; `None` for a warm agent.
    pub session: Option<SessionId>,
    /// The session's owner, if the hub knows it.
    pub owner: Option<String>,
    /// The agent's id.
    pub incarnation: Incarnation,
    /// The bearer token that the agent demands of callers.
    pub token: AgentToken,
    /// The time at which the agent exits at the latest.
    pub deadline: SystemTime,
    /// Further environment variables; some are secrets.
    pub env: AgentEnv,
}

/// A started agent.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    /// The agent's id.
    pub incarnation: Incarnation,
    /// The agent's address.
    pub address: AgentAddress,
    /// The bearer token that the agent demands of callers.
    pub token: AgentToken,
    /// Cancelled when the platform sees that the agent is gone.
    pub gone: CancellationToken,
}

/// An agent in a platform's list.
#[derive(Debug, Clone)]
pub struct ListedAgent {
    /// The agent's id.
    pub incarnation: Incarnation,
    /// The agent's address.
    pub address: AgentAddress,
    /// Cancelled when the platform sees that the agent is gone.
    pub gone: CancellationToken,
    /// The session that the agent was started for or claimed by.
    pub session: Option<SessionId>,
    /// The time of its start.
    pub created: SystemTime,
    /// [`Platform::version`] at its start, if recorded.
    pub version: Option<String>,
}

/// Resources that an agent uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentStats {
    /// Memory of all the agent's processes, without the kernel's file cache.
    pub memory_bytes: u64,
}

/// Error of [`Platform::spawn`].
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The command cannot be run.
    #[error("cannot run {command}: {cause}; see --agent-command")]
    Command {
        /// The command.
        command: String,
        /// The cause.
        cause: std::io::Error,
    },
    /// The agent's directory cannot be made.
    #[error("cannot make the agent's directory {}: {cause}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// The agent's egress socket cannot be opened.
    #[error("cannot open the agent's egress socket: {0}")]
    Egress(std::io::Error),
    /// The agent's control groups cannot be made.
    #[error("cannot make the agent's control group: {0}")]
    Group(std::io::Error),
    /// The engine does not have the image, and the hub does not pull it.
    #[error(
        "the container engine has no image {image}, and the hub does not pull it: load or build it, or see --agent-image"
    )]
    Image {
        /// The image.
        image: String,
    },
    /// The container engine does not answer.
    #[error("the container engine does not answer: {0}; see --docker-host")]
    EngineGone(String),
    /// The container engine's disk is full.
    #[error("the container engine's disk is full: {0}")]
    DiskFull(String),
    /// Another container has the agent's name.
    #[error("the container's name is taken: {0}")]
    NameTaken(String),
    /// The container engine refused to start the agent.
    #[error("{0}")]
    Engine(String),
    /// No static agent is configured.
    #[error("no static agent is configured: see --static-agents")]
    NoAddress,
    /// The platform is shutting down.
    #[error("the platform is shutting down")]
    ShuttingDown,
}

/// Error of an operation on a platform or on one of its agents.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The platform does not answer, or not as it should. The caller tries again.
    #[error("the platform does not answer: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The agent is gone.
    #[error("the agent is gone")]
    Gone,
}

impl SpawnError {
    /// Returns the code that a client receives. The message is for the operator.
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

impl ListedAgent {
    /// Returns a handle to the agent, which demands this token of callers.
    pub fn handle(&self, token: AgentToken) -> AgentHandle {
        let Self { incarnation, address, gone, .. } = self.clone();
        AgentHandle { incarnation, address, token, gone }
    }
}
