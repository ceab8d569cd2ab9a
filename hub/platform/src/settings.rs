//! Settings of the platforms, as types. How an operator writes them is the hub's business.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Containment of agents that are processes of this machine.
#[derive(Debug, Clone)]
pub struct Containment {
    /// The means.
    pub sandbox: SandboxKind,
    /// Absolute paths that agents may read, besides the system's folders, their program and the paths in their command.
    pub paths: Vec<PathBuf>,
    /// The agents' network, where the means can withhold the host's.
    pub network: AgentNetwork,
}

/// The means of containment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxKind {
    /// The best that this machine has.
    Auto,
    /// Bubblewrap; without it the hub does not start.
    Bwrap,
    /// No sandbox: only no-new-privileges and the limits of control groups.
    None,
}

/// The network of agents in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentNetwork {
    /// A loopback interface of the agent's own.
    None,
    /// The host's.
    Host,
}

/// Settings of the docker platform.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerNetwork {
    /// A loopback interface of the container's own.
    None,
    /// A bridge of this cluster.
    Bridge,
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
