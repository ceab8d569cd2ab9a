//! How a warm agent becomes the session's: written down first, so that whoever finds it knows, then the agent is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use mayfly_protocol::agent::BindRequest;
use mayfly_protocol::hub::Step;
use mayfly_session::PlatformEvent;
use tracing::warn;

use crate::agents::client::{CallError, call};
use crate::ops::journal::Claim;
use crate::platform::{AgentHandle, PlatformError};
use crate::sessions::Sessions;
use crate::sessions::driver::{Driver, Outcome};

/// Why a warm agent is not the session's.
#[derive(Debug, thiserror::Error)]
enum ClaimError {
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Agent(#[from] CallError),
}

impl Driver {
    pub(super) fn claim(&mut self, agent: AgentHandle) {
        self.session.handle_platform(PlatformEvent::Step(Step::Claiming), Instant::now());
        self.jobs.push(Box::pin(claim(Arc::clone(&self.sessions), agent, self.binding())));
    }

    /// What an agent is told that was not started for this session.
    pub(super) fn binding(&self) -> BindRequest {
        let deadline = self.agent_deadline().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let owner = self.place.owner().map(str::to_owned);
        BindRequest { session_id: self.session.id(), deadline, owner, env: BTreeMap::new() }
    }
}

async fn claim(sessions: Arc<Sessions>, agent: AgentHandle, bind: BindRequest) -> Outcome {
    match try_claim(&sessions, &agent, &bind).await {
        Ok(()) => Outcome::Claimed(agent),
        Err(error) => {
            warn!(incarnation = %agent.incarnation, session = %bind.session_id, %error, "a warm agent cannot be used");
            if matches!(&error, ClaimError::Agent(error) if error.cannot()) {
                warn!(
                    "agents that cannot be bound cannot be kept warm: the pool stays empty; see --pool-size"
                );
                sessions.agents.pool.give_up();
            }
            sessions.agents.pool.discard(agent);
            Outcome::NotClaimed
        }
    }
}

async fn try_claim(sessions: &Sessions, agent: &AgentHandle, bind: &BindRequest) -> Result<(), ClaimError> {
    let claim = Claim { session: bind.session_id, owner: bind.owner.clone() };
    sessions.ops.journal.claim(agent.incarnation, claim).await;
    sessions.agents.platform.claim(agent, bind.session_id).await?;
    Ok(call::bind(agent, bind).await?)
}
