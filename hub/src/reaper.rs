//! Sees to it that what is to be gone is gone.

use std::sync::Arc;

use tokio::time::sleep;
use tracing::{error, warn};

use crate::Hub;
use crate::limits::{STOP_RETRY_INTERVAL_MAX, STOP_RETRY_INTERVAL_MIN};
use crate::platform::AgentHandle;

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
