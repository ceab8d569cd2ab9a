//! Reasons for which an agent refuses a call.

use mayfly_protocol::ids::TurnId;
use mayfly_protocol::owner::OwnerError;

/// Error returned when the agent does not accept a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The call names another session than the agent's.
    #[error("this agent belongs to another session")]
    OtherSession,
    /// The agent has no session yet.
    #[error("this agent has no session yet; call POST /bind first")]
    Unbound,
    /// The agent is bound, and the call differs from its binding.
    #[error("this agent is already bound")]
    Bound,
    /// The owner is not accepted.
    #[error(transparent)]
    BadOwner(OwnerError),
    /// The call would change the environment, which the agent reads only at start.
    #[error("env must be empty: this agent reads its environment only at start")]
    FixedEnvironment,
    /// Another turn is running.
    #[error("turn {0} is still running")]
    Busy(TurnId),
    /// The turn is older than those the agent can replay, and must not run twice.
    #[error("turn {0} is over and can no longer be replayed")]
    Forgotten(TurnId),
    /// The agent has never seen the turn.
    #[error("there is no turn {0}")]
    UnknownTurn(TurnId),
    /// The turn has no event with this number yet.
    #[error("turn {0} has no event {1}")]
    UnknownEvent(TurnId, usize),
    /// The message is empty.
    #[error("the message must not be empty")]
    EmptyMessage,
    /// The agent is about to exit.
    #[error("the agent is shutting down")]
    Closing,
}
