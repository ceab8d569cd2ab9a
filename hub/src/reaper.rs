//! Sees to it that what is to be gone is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly_protocol::ids::Incarnation;
use tokio::time::sleep;
use tracing::{error, warn};

use crate::Hub;
use crate::limits::{STOP_RETRY_INTERVAL_MAX, STOP_RETRY_INTERVAL_MIN};
use crate::platform::{AgentHandle, Lifetime, SpawnError, SpawnSpec};

use tokio_util::sync::CancellationToken;

/// The agents that somebody in this hub answers for, with what tells that one is gone; none while it is being started.
#[derive(Default)]
pub(crate) struct Roll(Mutex<HashMap<Incarnation, Option<CancellationToken>>>);

impl Roll {
    fn entries(&self) -> MutexGuard<'_, HashMap<Incarnation, Option<CancellationToken>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts an agent that the caller answers for.
///
/// # Errors
/// As [`Platform::spawn`](crate::platform::Platform::spawn).
pub(crate) async fn spawn(hub: &Hub, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
    let incarnation = spec.incarnation;
    if hub.platform.lifetime() != Lifetime::Own {
        return hub.platform.spawn(spec).await;
    }
    hub.roll.entries().insert(incarnation, None);
    let spawned = hub.platform.spawn(spec).await;
    match &spawned {
        Ok(agent) => hub.roll.entries().insert(incarnation, Some(agent.gone.clone())),
        Err(_) => hub.roll.entries().remove(&incarnation),
    };
    spawned
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
