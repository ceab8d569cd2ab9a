//! The reaper: stops agents until they are gone, and removes agents that belong to no session.

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

/// Looks at a growing interval for agents that are older than this hub and not `known`: the platform may start an agent
/// after the hub that asked for it has died.
pub(crate) async fn sweep(agents: Arc<Agents>, began: SystemTime, mut known: HashSet<Incarnation>) {
    let mut interval = STRAYS_INTERVAL_MIN;
    while agents.ops.shutdown.run_until_cancelled(sleep(interval)).await.is_some() {
        // A list that fails now may succeed the next time.
        for found in agents.platform.list().await.unwrap_or_default() {
            if found.created < began && known.insert(found.incarnation) {
                remove(&agents, found, None);
            }
        }
        interval = (interval * 3).min(STRAYS_INTERVAL_MAX);
    }
}

/// Stops an agent that a dead hub left. The journal records its end, and that of the session `lost` with it, only when the
/// agent is gone, so that the next hub still knows the agent if this hub dies meanwhile.
pub(crate) fn remove(agents: &Arc<Agents>, stray: ListedAgent, lost: Option<SessionId>) {
    let session = stray.session.map(tracing::field::display);
    info!(incarnation = %stray.incarnation, session, "stray agent found");
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

/// Stops an agent, and tries again at a growing interval until it is gone. A hub that shuts down leaves an agent that cannot
/// be stopped to the next hub.
pub(crate) async fn stop(agents: Arc<Agents>, agent: AgentHandle) {
    let incarnation = agent.incarnation;
    tokio::select! {
        () = stop_until_gone(&agents, &agent) => {}
        () = agent.gone.cancelled() => {}
        () = agents.ops.drain.closing.cancelled() => {
            agents.ops.drain.leave_agent();
            error!(%incarnation, "agent left to the next hub: it cannot be stopped");
        }
    }
}

async fn stop_until_gone(agents: &Agents, agent: &AgentHandle) {
    let mut interval = STOP_RETRY_INTERVAL_MIN;
    while let Err(error) = agents.platform.stop(agent).await {
        warn!(incarnation = %agent.incarnation, %error, "agent stop failed");
        sleep(interval).await;
        interval = (interval * 2).min(STOP_RETRY_INTERVAL_MAX);
    }
}
