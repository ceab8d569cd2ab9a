//! Settings of the platforms, as types. How an operator writes them is the hub's business.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::{AgentAddress, AgentToken};

/// Settings of all platforms: which one runs agents, and how each one does.
#[derive(Debug, Clone, Default)]
pub struct PlatformSettings {
    /// The platform in use.
    pub kind: PlatformKind,
    /// The program that the process platform starts, and its arguments.
    pub agent_command: Vec<String>,
    /// Containment of the process platform's agents.
    pub containment: Containment,
    /// Settings of the docker platform.
    pub docker: DockerSettings,
    /// Addresses of the static platform's agents.
    pub static_agents: Vec<AgentAddress>,
    /// Token that the static platform's agents ask of their callers.
    pub agent_token: AgentToken,
}

/// The kind of platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlatformKind {
    /// A child process for each session.
    #[default]
    Process,
    /// A container for each session.
    Docker,
    /// Agents that already run.
    Static,
}

impl PlatformKind {
    /// The words that name platforms.
    pub const WORDS: [(&str, Self); 3] =
        [("process", Self::Process), ("docker", Self::Docker), ("static", Self::Static)];

    /// Returns the platform's name in settings and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Static => "static",
        }
    }
}

/// Containment of agents that are processes of this machine.
#[derive(Debug, Clone, Default)]
pub struct Containment {
    /// The means.
    pub sandbox: SandboxKind,
    /// Absolute paths that agents may read, besides the system's folders, their program and the paths in their command.
    pub paths: Vec<PathBuf>,
    /// The agents' network, where the means can withhold the host's.
    pub network: AgentNetwork,
}

/// The means of containment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SandboxKind {
    /// The best that this machine has.
    #[default]
    Auto,
    /// Bubblewrap; without it the hub does not start.
    Bwrap,
    /// No sandbox: only no-new-privileges and the limits of control groups.
    None,
}

impl SandboxKind {
    /// The words that name the means.
    pub const WORDS: [(&str, Self); 3] = [("auto", Self::Auto), ("bwrap", Self::Bwrap), ("none", Self::None)];
}

/// The network of agents in a sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentNetwork {
    /// A loopback interface of the agent's own.
    #[default]
    None,
    /// The host's.
    Host,
}

impl AgentNetwork {
    /// The words that name the networks.
    pub const WORDS: [(&str, Self); 2] = [("none", Self::None), ("host", Self::Host)];
}

/// Settings of the docker platform.
#[derive(Debug, Clone, Default)]
pub struct DockerSettings {
    /// The engine: `unix://PATH`.
    pub host: String,
    /// The agents' image. The hub never pulls it.
    pub image: String,
    /// Memory limit of each container.
    pub memory_bytes: u64,
    /// Processors that each container may use at once.
    pub cpus: f64,
    /// The containers' network.
    pub network: DockerNetwork,
    /// The engine's runtime for agents; `None` means the engine's default.
    pub runtime: Option<String>,
    /// Path of the data directory on the engine's machine, if it differs from the path that this hub uses.
    pub data_dir: Option<PathBuf>,
}

/// The network of containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DockerNetwork {
    /// A loopback interface of the container's own.
    #[default]
    None,
    /// A bridge of this cluster.
    Bridge,
}

impl DockerNetwork {
    /// The words that name the networks.
    pub const WORDS: [(&str, Self); 2] = [("none", Self::None), ("bridge", Self::Bridge)];
}

impl DockerSettings {
    /// Returns the processors in the engine's unit.
    pub fn nano_cpus(&self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "bounded when the setting was read")]
        let nano_cpus = (self.cpus * 1e9) as i64;
        nano_cpus
    }
}

/// Environment variables for agents; some hold secrets, so `Debug` shows names only. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentEnv(Arc<[(String, String)]>);

impl AgentEnv {
    /// Iterates over names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for AgentEnv {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for AgentEnv {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

impl fmt::Debug for AgentEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_variables_has_no_values() {
        let env = AgentEnv::from([("KEY", "secret")]);
        assert_eq!(format!("{env:?}"), r#"{"KEY"}"#);
    }
}
