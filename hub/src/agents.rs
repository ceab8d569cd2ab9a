//! Agents: the client of their wire, the warm pool, the limit on parallel starts, and the reaper that stops them.

use std::sync::Arc;
use std::time::Duration;

use mayfly_platform::Platform;
use mayfly_platform::settings::AgentEnv;

use crate::agents::pool::Pool;
use crate::agents::spawns::Spawns;
use crate::identity::Secret;
use crate::ops::Ops;

pub mod client;
pub(crate) mod lifecycle;
pub(crate) mod pool;
pub(crate) mod reaper;
pub(crate) mod spawns;

/// The agents of one hub, and everything that is needed to start, call and stop them.
pub(crate) struct Agents {
    pub(crate) ops: Arc<Ops>,
    pub(crate) secret: Secret,
    pub(crate) settings: AgentSettings,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) spawns: Spawns,
    pub(crate) pool: Pool,
}

/// Settings that apply to all agents of a hub.
#[derive(Debug, Clone, Default)]
pub struct AgentSettings {
    /// Variables of an agent's environment besides those of the wire; some are secrets.
    pub env: AgentEnv,
    /// Time for a started agent to become healthy; the session's own setting.
    pub spawn_timeout: Duration,
    /// Longest life of a session; its agent exits by itself soon after that. The session's own setting.
    pub session_max_ttl: Duration,
    /// Number of agents to keep warm besides those of sessions.
    pub pool_size: usize,
    /// Largest number of agents that are started at once.
    pub parallel_spawns: usize,
}

impl Agents {
    pub(crate) fn new(
        ops: &Arc<Ops>,
        secret: Secret,
        settings: AgentSettings,
        platform: Arc<dyn Platform>,
    ) -> Self {
        let pool = Pool::new(settings.pool_size, settings.spawn_timeout);
        let spawns = Spawns::new(settings.parallel_spawns);
        Self { ops: Arc::clone(ops), secret, settings, platform, spawns, pool }
    }
}
