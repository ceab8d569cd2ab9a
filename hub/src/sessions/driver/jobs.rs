//! The jobs of a session that concern no agent's lifecycle.

use mayfly_platform::AgentHandle;
use mayfly_protocol::ids::TurnId;
use tracing::debug;

use crate::agents::client::call;
use crate::sessions::admission::LineWatch;
use crate::sessions::driver::Outcome;

/// Waits for a change of a session's place in the line.
pub(super) async fn line_change(mut watch: LineWatch) -> Outcome {
    Outcome::Line(watch.changed().await, watch)
}

/// Asks the agent to end a turn.
pub(super) async fn cancel(agent: AgentHandle, turn: TurnId) -> Outcome {
    let incarnation = agent.incarnation;
    if let Err(error) = call::cancel(agent, turn).await {
        debug!(%incarnation, %turn, %error, "turn cancel failed");
    }
    Outcome::Cancelled
}
