//! Sees to it that what is to be gone is gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use mayfly_platform::{AgentHandle, ListedAgent};
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::agents::Agents;
use crate::limits::{
    STOP_RETRY_INTERVAL_MAX, STOP_RETRY_INTERVAL_MIN, STRAYS_INTERVAL_MAX, STRAYS_INTERVAL_MIN,
};

/// Looks again and again for agents that are older than this hub and not among those that it has found: what a dead hub
/// had asked for last, its platform may do late.
pub(crate) async fn sweep(agents: Arc<Agents>, began: SystemTime, mut known: HashSet<Incarnation>) {
    let mut interval = STRAYS_INTERVAL_MIN;
    while agents.ops.shutdown.run_until_cancelled(sleep(interval)).await.is_some() {
        // Where it cannot be said now, it may be the next time.
        for found in agents.platform.list().await.unwrap_or_default() {
            if found.created < began && known.insert(found.incarnation) {
                remove(&agents, found, None);
            }
        }
        interval = (interval * 3).min(STRAYS_INTERVAL_MAX);
    }
}

/// Ends what a dead hub left. Only when it is gone the journal says so, of it and of the session that is lost with it: a
/// hub that dies meanwhile leaves the next one to know whose it was.
pub(crate) fn remove(agents: &Arc<Agents>, stray: ListedAgent, lost: Option<SessionId>) {
    info!(incarnation = %stray.incarnation, session = ?stray.session, "removing what a dead hub left");
    let agents = Arc::clone(agents);
    agents.ops.tasks.clone().spawn(async move {
        let agent = stray.handle(agents.secret.agent_token(stray.incarnation));
        stop(Arc::clone(&agents), agent.clone()).await;
        if agent.gone.is_cancelled() {
            agents.ops.journal.agent_is_gone(agent.incarnation);
            lost.into_iter().for_each(|session| agents.ops.journal.lose(session));
        }
    });
}

/// Stops an agent, ever less often again until it is gone. A hub that shuts down leaves one that cannot be stopped to
/// the next.
pub(crate) async fn stop(agents: Arc<Agents>, agent: AgentHandle) {
    let incarnation = agent.incarnation;
    tokio::select! {
        () = stop_until_gone(&agents, &agent) => {}
        () = agent.gone.cancelled() => {}
        () = agents.ops.drain.closing.cancelled() => {
            agents.ops.drain.leave_agent();
            error!(%incarnation, "an agent cannot be stopped, and is left to the next hub");
        }
    }
}

async fn stop_until_gone(agents: &Agents, agent: &AgentHandle) {
    let mut interval = STOP_RETRY_INTERVAL_MIN;
    while let Err(error) = agents.platform.stop(agent).await {
        warn!(incarnation = %agent.incarnation, %error, "an agent could not be stopped");
        sleep(interval).await;
        interval = (interval * 2).min(STOP_RETRY_INTERVAL_MAX);
    }
}
