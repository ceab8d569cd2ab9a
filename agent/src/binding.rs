//! The session that an agent belongs to.

use mayfly_protocol::ids::SessionId;
use mayfly_protocol::owner::Owner;

/// The session an agent belongs to, from its environment or `POST /bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The session.
    pub session: SessionId,
    /// The person the session belongs to, if the hub knows one.
    pub owner: Option<Owner>,
    /// Time at which the agent exits, in Unix seconds.
    pub deadline: Option<u64>,
}
