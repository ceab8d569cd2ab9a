//! What a session has done elsewhere: each call of its agent, and what comes of it.

use std::sync::Arc;

use mayfly_protocol::agent::BindRequest;
use mayfly_protocol::ids::TurnId;
use mayfly_session::PlatformEvent;
use tracing::{debug, warn};

use crate::agents::client::call;
use crate::platform::{AgentHandle, Lifetime};
use crate::sessions::Sessions;
use crate::sessions::admission::LineWatch;
use crate::sessions::driver::Outcome;

/// Waits until an agent that was started is healthy. One that was there before the hub has to be told whose it is.
pub(super) async fn probe(sessions: Arc<Sessions>, agent: AgentHandle, binding: BindRequest) -> Outcome {
    let Some(health) = call::until_healthy(agent.clone()).await else { return Outcome::Nothing };
    let is_nobodys = health.is_some_and(|health| health.session_id.is_none());
    if is_nobodys && sessions.agents.platform.lifetime() == Lifetime::Fixed {
        // One that serves many does not know this call.
        let bound = call::bind(&agent, &binding).await;
        debug!(incarnation = %agent.incarnation, ?bound, "told whose it is");
    }
    Outcome::Platform(PlatformEvent::Ready)
}

/// Waits for a change of a session's place in the line.
pub(super) async fn line_change(mut watch: LineWatch) -> Outcome {
    Outcome::Line(watch.changed().await, watch)
}

pub(super) async fn gone(agent: AgentHandle) -> Outcome {
    agent.gone.cancelled().await;
    Outcome::Platform(PlatformEvent::Gone)
}

pub(super) async fn sign_of_life(agent: AgentHandle) -> Outcome {
    let incarnation = agent.incarnation;
    Outcome::Platform(match call::health(&agent).await {
        Ok(_) => PlatformEvent::Alive,
        Err(error) => {
            warn!(%incarnation, %error, "the agent gave no sign of life");
            PlatformEvent::Silent
        }
    })
}

pub(super) async fn cancel(agent: AgentHandle, turn: TurnId) -> Outcome {
    let incarnation = agent.incarnation;
    if let Err(error) = call::cancel(agent, turn).await {
        debug!(%incarnation, %turn, %error, "the agent did not take the cancel");
    }
    Outcome::Cancelled
}
