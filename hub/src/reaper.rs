//! Sees to it that what is to be gone is gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use mayfly_protocol::ids::Incarnation;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::Hub;
use crate::limits::{
    STOP_RETRY_INTERVAL_MAX, STOP_RETRY_INTERVAL_MIN, STRAYS_INTERVAL_MAX, STRAYS_INTERVAL_MIN,
};
use crate::platform::AgentHandle;

/// Looks again and again for agents that are older than this hub and not among those that it has found: what a dead hub
/// had asked for last, its platform may do late.
pub(crate) async fn sweep(hub: Arc<Hub>, began: SystemTime, mut known: HashSet<Incarnation>) {
    let mut interval = STRAYS_INTERVAL_MIN;
    while hub.shutdown.run_until_cancelled(sleep(interval)).await.is_some() {
        // Where it cannot be said now, it may be the next time.
        for found in hub.platform.list().await.unwrap_or_default() {
            if found.created < began && known.insert(found.incarnation) {
                info!(incarnation = %found.incarnation, "removing what a dead hub left late");
                let token = hub.secret.agent_token(found.incarnation);
                hub.tasks.spawn(stop(Arc::clone(&hub), found.handle(token)));
            }
        }
        interval = (interval * 3).min(STRAYS_INTERVAL_MAX);
    }
}

/// Stops an agent, ever less often again until it is gone. A hub that shuts down leaves one that cannot be stopped to
/// the next.
pub(crate) async fn stop(hub: Arc<Hub>, agent: AgentHandle) {
    let incarnation = agent.incarnation;
    tokio::select! {
        () = stop_until_gone(&hub, &agent) => {}
        () = agent.gone.cancelled() => {}
        () = hub.drain.closing.cancelled() => {
            hub.drain.leave_agent();
            error!(%incarnation, "an agent cannot be stopped, and is left to the next hub");
        }
    }
}

async fn stop_until_gone(hub: &Hub, agent: &AgentHandle) {
    let mut interval = STOP_RETRY_INTERVAL_MIN;
    while let Err(error) = hub.platform.stop(agent).await {
        warn!(incarnation = %agent.incarnation, %error, "an agent could not be stopped");
        sleep(interval).await;
        interval = (interval * 2).min(STOP_RETRY_INTERVAL_MAX);
    }
}
