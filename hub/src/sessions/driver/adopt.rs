//! How a session of a dead hub goes on: its agent is asked whose it is and what was said, then the session is made anew.
//!
//! Who comes meanwhile waits at the session's door. An agent that says something else than its container, or nothing, is
//! ended, and its session is lost.

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
use crate::sessions::registry::{Place, Visits};

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
enum AdoptError {
    #[error("its agent does not answer")]
    Silent,
    #[error("its agent is gone")]
    Gone,
    #[error("its agent says that it is another session's")]
    Another,
    #[error("its agent does not become its own: {0}")]
    Unbound(#[from] CallError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// Starts a session again whose agent was never there.
pub(crate) fn begin_again(
    sessions: &Arc<Sessions>,
    age: Duration,
    was_joined: bool,
    place: Place,
    visits: Visits,
) {
    let session = place.session();
    info!(%session, "begun again: a dead hub left it before its agent was there");
    let now = Instant::now();
    let session = Session::begin_again(identity(sessions, session), sessions.settings, age, was_joined, now);
    let driver = Driver::new(sessions, session, age, Vec::new(), place, visits);
    sessions.ops.drain.sessions.spawn(driver.drive());
}

/// Goes on with a session whose agent was found. In a task: nobody waits for what agents have to say.
pub(crate) fn adopt(
    sessions: &Arc<Sessions>,
    found: ListedAgent,
    age: Duration,
    was_joined: bool,
    place: Place,
    visits: Visits,
) {
    let sessions = Arc::clone(sessions);
    sessions.ops.drain.sessions.clone().spawn(async move {
        let id = place.session();
        let began = Instant::now();
        let agent = found.handle(sessions.secret.agent_token(found.incarnation));
        let adopted = match learn(&sessions, &found, &agent, age, &place).await {
            Ok(adopted) => {
                let turns = adopted.history.as_ref().map(|history| history.turns.len());
                info!(session = %id, incarnation = %agent.incarnation, turns, running = ?adopted.running, "adopted");
                adopted
            }
            // The hub is to end: the next one finds it as it was.
            Err(_) if sessions.ops.shutdown.is_cancelled() => return,
            Err(error) => {
                warn!(session = %id, incarnation = %agent.incarnation, %error, "a session of a dead hub is lost");
                reaper::stop(Arc::clone(&sessions.agents), agent.clone()).await;
                Adopted::default()
            }
        };
        let now = Instant::now();
        let age = age + began.elapsed();
        let session = Session::adopt(identity(&sessions, id), sessions.settings, Adopted { age, was_joined, ..adopted }, now);
        let mut driver = Driver::new(&sessions, session, age, Vec::new(), place, visits);
        driver.adopt_agent(&sessions.agents, agent);
        driver.drive().await;
    });
}

/// Asks the agent. One that was claimed and not told so is told now.
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
        warn!(%session, %error, "what was said is not known");
        None
    });
    // A turn that ended since is over.
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
        // One that was started for its session need not know the call.
        Err(error) if error.cannot() && found.session.is_some() => Ok(()),
        bound => Ok(bound?),
    }
}

/// Who a session is at this hub.
pub(super) fn identity(sessions: &Sessions, session: SessionId) -> Identity {
    Identity { session, epoch: Epoch::random(), token: sessions.secret.session_token(session) }
}
