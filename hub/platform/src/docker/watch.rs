//! Watches the engine's events for containers that have died, and the agents' directories for those that are too large.
//!
//! The events are requested from a time before the list, so that no death between the two is missed. After a lost
//! connection both are requested again.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use mayfly_protocol::ids::Incarnation;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use crate::docker::Shared;
use crate::docker::engine::EngineError;
use crate::docker::spec::{LABEL_INCARNATION, filter};
use crate::launcher::is_overfull;
use crate::limits::{AGENT_DIRECTORY_INTERVAL, ENGINE_RETRY_INTERVAL_MAX, ENGINE_RETRY_INTERVAL_MIN};

/// Follows the engine's events until the platform is dropped.
pub(super) async fn follow_events(shared: Weak<Shared>) {
    let mut retry = ENGINE_RETRY_INTERVAL_MIN;
    let mut is_down = false;
    while let Some(shared) = shared.upgrade() {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match shared.find_dead().await {
            Ok(()) => {
                if std::mem::take(&mut is_down) {
                    info!("container engine reachable again");
                }
                retry = ENGINE_RETRY_INTERVAL_MIN;
            }
            Err(error) if !is_down => {
                is_down = true;
                warn!(%error, "container engine unreachable, retrying");
            }
            Err(_) => {}
        }
        let weak = Arc::downgrade(&shared);
        let filters: HashMap<_, _> = filter(&shared.cluster)
            .into_iter()
            .chain([("type", vec!["container".to_owned()]), ("event", vec!["die".to_owned()])])
            .collect();
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        let mut events = Box::pin(shared.docker.events(Some(options)));
        // Not held while waiting, so that the platform can be dropped.
        drop(shared);
        while let Some(Ok(event)) = events.next().await {
            let Some(shared) = weak.upgrade() else { return };
            if let Some(agent) = agent_of(event) {
                shared.died(agent);
            }
        }
        sleep(retry).await;
        retry = (retry * 2).min(ENGINE_RETRY_INTERVAL_MAX);
    }
}

fn agent_of(event: EventMessage) -> Option<Incarnation> {
    event.actor?.attributes?.get(LABEL_INCARNATION)?.parse().ok()
}

/// Checks the size of the agents' directories until the platform is dropped.
pub(super) async fn check_directories(shared: Weak<Shared>) {
    let mut ticks = interval(AGENT_DIRECTORY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let directories = shared.directories();
        let overfull = tokio::task::spawn_blocking(move || {
            let is_overfull = |(_, path): &(Incarnation, PathBuf)| is_overfull(path);
            directories.into_iter().filter(is_overfull).map(|(agent, _)| agent).collect::<Vec<_>>()
        });
        for agent in overfull.await.unwrap_or_default() {
            shared.overfull(agent);
        }
    }
}

impl Shared {
    /// Signals the agents whose containers do not run any more.
    async fn find_dead(&self) -> Result<(), EngineError> {
        // Before the list, which lacks containers that are started after it.
        let known = self.started();
        let listed = self.listed().await?;
        let is_alive =
            |agent: &Incarnation| listed.iter().any(|listed| listed.incarnation == *agent && listed.is_alive);
        for agent in known.iter().filter(|agent| !is_alive(agent)) {
            self.died(*agent);
        }
        Ok(())
    }
}
