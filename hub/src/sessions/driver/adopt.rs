//! Adoption of one session of a dead hub. The hub asks the session's agent which session it belongs to and for its
//! history, then creates the session again.
//!
//! Requests wait in the session's mailbox meanwhile. An agent that contradicts its container's name, or does not answer, is
//! stopped, and its session is lost.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mayfly_platform::{AgentHandle, ListedAgent, PlatformError};
use mayfly_protocol::agent::BindRequest;
use mayfly_protocol::ids::{Epoch, SessionId};
use mayfly_session::{Adopted, Identity, Session};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::agents::client::{CallError, call};
use crate::agents::reaper;
use crate::limits::AGENT_DEADLINE_MARGIN;
use crate::ops::journal::Claim;
use crate::sessions::Sessions;
use crate::sessions::driver::Driver;
use crate::sessions::registry::{Mailbox, Place};

/// Reason why a session cannot be adopted.
#[derive(Debug, thiserror::Error)]
enum AdoptError {
    #[error("the agent does not answer")]
    Silent,
    #[error("the agent is gone")]
    Gone,
    #[error("the agent reports another session")]
    Another,
    #[error("the agent cannot be bound: {0}")]
    Unbound(#[from] CallError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// Starts a session again whose agent never existed.
pub(crate) fn begin_again(
    sessions: &Arc<Sessions>,
    age: Duration,
    was_joined: bool,
    place: Place,
    mailbox: Mailbox,
) {
    let session = place.session();
    info!(%session, "session begun again: the earlier hub died before its agent existed");
    let now = Instant::now();
    let session = Session::begin_again(identity(sessions, session), sessions.settings, age, was_joined, now);
    let driver = Driver::new(sessions, session, age, Vec::new(), place, mailbox);
    sessions.ops.drain.sessions.spawn(driver.drive());
}

/// Adopts a session whose agent was found, in a task of its own: the hub does not wait for answers of agents.
pub(crate) fn adopt(
    sessions: &Arc<Sessions>,
    found: ListedAgent,
    age: Duration,
    was_joined: bool,
    place: Place,
    mailbox: Mailbox,
) {
    let sessions = Arc::clone(sessions);
    sessions.ops.drain.sessions.clone().spawn(async move {
        let id = place.session();
        let began = Instant::now();
        let agent = found.handle(sessions.secret.agent_token(found.incarnation));
        let adopted = match learn(&sessions, &found, &agent, age, &place).await {
            Ok(adopted) => {
                let turns = adopted.history.as_ref().map(|history| history.turns.len());
                let running = adopted.running.map(tracing::field::display);
                info!(session = %id, incarnation = %agent.incarnation, turns, running, "session adopted");
                adopted
            }
            // This hub shuts down: the next one finds the session as it was.
            Err(_) if sessions.ops.shutdown.is_cancelled() => return,
            Err(error) => {
                warn!(session = %id, incarnation = %agent.incarnation, %error, "session of an earlier hub lost");
                reaper::stop(Arc::clone(&sessions.agents), agent.clone()).await;
                Adopted::default()
            }
        };
        let now = Instant::now();
        let age = age + began.elapsed();
        let session = Session::adopt(identity(&sessions, id), sessions.settings, Adopted { age, was_joined, ..adopted }, now);
        let mut driver = Driver::new(&sessions, session, age, Vec::new(), place, mailbox);
        driver.adopt_agent(&sessions.agents, agent);
        driver.drive().await;
    });
}

/// Asks the agent for its state and history. Binds an agent that was claimed and not yet bound.
async fn learn(
    sessions: &Sessions,
    found: &ListedAgent,
    agent: &AgentHandle,
    age: Duration,
    place: &Place,
) -> Result<Adopted, AdoptError> {
    let session = place.session();
    let healthy = timeout(sessions.settings.spawn_timeout, call::until_healthy(agent.clone()));
    let health = tokio::select! {
        health = healthy => health.map_err(|_| AdoptError::Silent)?.ok_or(AdoptError::Gone)?,
        () = sessions.ops.shutdown.cancelled() => return Err(AdoptError::Silent),
    };
    match health.as_ref().and_then(|health| health.session_id) {
        Some(own) if own != session => return Err(AdoptError::Another),
        Some(_) => {}
        None => finish_claim(sessions, found, agent, age, place).await?,
    }
    let running = health.and_then(|health| health.turn);
    let history = call::history(agent).await.unwrap_or_else(|error| {
        warn!(%session, %error, "agent history unavailable");
        None
    });
    // The turn may have ended between the two calls.
    let is_over = |turn| {
        let mut past = history.iter().flat_map(|history| &history.turns);
        past.any(|past| past.turn == turn && past.end.is_some())
    };
    let running = running.filter(|turn| !is_over(*turn));
    Ok(Adopted { history, running, ..Adopted::default() })
}

async fn finish_claim(
    sessions: &Sessions,
    found: &ListedAgent,
    agent: &AgentHandle,
    age: Duration,
    place: &Place,
) -> Result<(), AdoptError> {
    let session_id = place.session();
    let owner = place.owner().map(str::to_owned);
    sessions.ops.journal.claim(agent.incarnation, Claim { session: session_id, owner: owner.clone() }).await;
    if found.session.is_none() {
        sessions.agents.platform.claim(agent, session_id).await?;
    }
    let left = sessions.settings.max_ttl.saturating_sub(age) + AGENT_DEADLINE_MARGIN;
    let deadline = (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let bind = BindRequest { session_id, deadline, owner, env: Default::default() };
    match call::bind(agent, &bind).await {
        // An agent that was started for its session need not know the call.
        Err(error) if error.is_unsupported() && found.session.is_some() => Ok(()),
        bound => Ok(bound?),
    }
}

/// Returns the names of a session at this hub.
pub(super) fn identity(sessions: &Sessions, session: SessionId) -> Identity {
    Identity { session, epoch: Epoch::random(), token: sessions.secret.session_token(session) }
}
