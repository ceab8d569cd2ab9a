//! The address and the credential of one agent.

use std::fmt;
use std::path::PathBuf;

/// Address of an agent's HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentAddress {
    /// A Unix socket that an operator named.
    Unix(PathBuf),
    /// A Unix socket in a directory that the agent can write. The hub connects only to a socket, never through a link.
    Contained {
        /// The socket's path.
        socket: PathBuf,
        /// The agent's user id, as this machine's kernel sees it; the hub talks to no other user's process.
        user: u32,
    },
    /// `HOST:PORT`, plain HTTP.
    Tcp(String),
}

/// Bearer token of one agent. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentToken(String);

impl AgentToken {
    /// Returns a token with this text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for an `Authorization` header or an agent's environment.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentToken(…)")
    }
}
