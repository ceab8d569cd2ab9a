//! Warm agents: started before anybody asks, healthy, and nobody's until one is claimed.
//!
//! What there should be is decided in `pool/policy.rs`; here it is carried out, by one task. Who takes an agent claims it
//! (`driver/claim.rs`) or gives it back to be ended: none is ever used twice.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use mayfly_protocol::agent::Health;
use mayfly_protocol::ids::Incarnation;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::agents::Agents;
use crate::agents::client::call;
use crate::agents::pool::policy::{Order, Policy};
use crate::agents::reaper;
use crate::agents::spawns::Start;
use crate::limits::{AGENT_DEADLINE_MARGIN, POOL_AGE_MAX, POOL_VERSION_INTERVAL};
use crate::platform::{AgentHandle, Lifetime, SpawnError, SpawnSpec};

mod policy;

pub(crate) use policy::Counts;

/// The warm agents, for whoever takes one.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Something was taken or given back.
    changed: Notify,
    claims: AtomicU64,
    misses: AtomicU64,
}

struct State {
    policy: Policy,
    agents: HashMap<Incarnation, Warm>,
}

struct Warm {
    handle: AgentHandle,
    /// Cancelled when it is no longer here: nobody has to watch it then.
    left: CancellationToken,
}

/// What became of the pool so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) agents: Counts,
    /// Agents that were handed out.
    pub(crate) claims: u64,
    /// Sessions that found none.
    pub(crate) misses: u64,
}

enum Event {
    Changed,
    Timeout,
    Job(Outcome),
    Shutdown,
}

enum Outcome {
    Spawned(Incarnation, Result<AgentHandle, SpawnError>, Start),
    NotSpawned(Incarnation),
    Healthy(Incarnation),
    Silent(Incarnation),
    Gone(Incarnation),
    Version(String),
    Nothing,
}

type Jobs = FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>;

impl Pool {
    /// A pool that is to have this many.
    pub(crate) fn new(size: usize, spawn_timeout: Duration) -> Self {
        let policy = Policy::new(size, spawn_timeout, Instant::now());
        let state = Mutex::new(State { policy, agents: HashMap::new() });
        Self { state, changed: Notify::new(), claims: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// An agent that is healthy and nobody's, if there is one. Who takes it claims it, or gives it to
    /// [`Pool::discard`].
    pub(crate) fn take(&self) -> Option<AgentHandle> {
        let mut state = self.state();
        let taken = state.policy.take(Instant::now()).and_then(|agent| state.agents.remove(&agent));
        drop(state);
        let count = if taken.is_some() { &self.claims } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        let Warm { handle, left } = taken?;
        left.cancel();
        self.changed.notify_one();
        Some(handle)
    }

    /// Takes an agent that another hub has kept warm, is of this version and so old; false when it is not wanted. To be
    /// called before [`run`].
    pub(crate) fn adopt(&self, agent: AgentHandle, version: String, age: Duration) -> bool {
        let mut state = self.state();
        let is_wanted = state.policy.adopt(agent.incarnation, version, age, Instant::now());
        if is_wanted {
            let left = CancellationToken::new();
            state.agents.insert(agent.incarnation, Warm { handle: agent, left });
        }
        is_wanted
    }

    /// Has an agent ended that could not be claimed.
    pub(crate) fn discard(&self, agent: AgentHandle) {
        let mut state = self.state();
        state.policy.discard(agent.incarnation, Instant::now());
        let left = CancellationToken::new();
        state.agents.insert(agent.incarnation, Warm { handle: agent, left });
        drop(state);
        self.changed.notify_one();
    }

    /// Agents as they are now cannot be bound: none are kept until they are others.
    pub(crate) fn give_up(&self) {
        self.state().policy.give_up();
        self.changed.notify_one();
    }

    pub(crate) fn stats(&self) -> Stats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            agents: self.state().policy.counts(),
            claims: count(&self.claims),
            misses: count(&self.misses),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the pool as it should be, until the hub shuts down and nothing of it is left.
pub(crate) async fn run(agents: Arc<Agents>) {
    let size = agents.settings.pool_size;
    if size == 0 || agents.platform.lifetime() == Lifetime::Fixed {
        return;
    }
    info!(size, "agents are kept warm");
    let mut keeper = Keeper { agents, jobs: Jobs::new() };
    keeper.look_after_adopted();
    keeper.jobs.push(Box::pin(version(Arc::clone(&keeper.agents), Duration::ZERO)));
    keeper.keep().await;
}

struct Keeper {
    agents: Arc<Agents>,
    jobs: Jobs,
}

impl Keeper {
    async fn keep(&mut self) {
        let shutdown = self.agents.ops.shutdown.clone();
        let mut is_closed = false;
        loop {
            let timeout = self.carry_out();
            if is_closed && self.agents.pool.state().policy.is_empty() {
                let Stats { claims, misses, .. } = self.agents.pool.stats();
                return info!(claims, misses, "no agents are kept warm any more");
            }
            let event = tokio::select! {
                () = self.agents.pool.changed.notified() => Event::Changed,
                () = until(timeout) => Event::Timeout,
                Some(outcome) = self.jobs.next() => Event::Job(outcome),
                () = shutdown.cancelled(), if !is_closed => Event::Shutdown,
            };
            match event {
                Event::Changed | Event::Timeout => {}
                Event::Job(outcome) => self.handle(outcome),
                Event::Shutdown => {
                    is_closed = true;
                    self.agents.pool.state().policy.close();
                }
            }
        }
    }

    /// Those that were taken over are probed as others are.
    fn look_after_adopted(&self) {
        for Warm { handle, left } in self.agents.pool.state().agents.values() {
            self.jobs.push(Box::pin(probe(handle.clone(), left.clone())));
            self.jobs.push(Box::pin(gone(handle.clone(), left.clone())));
        }
    }

    /// Does what is to be done, and says when to look again.
    fn carry_out(&mut self) -> Option<Instant> {
        let pool = &self.agents.pool;
        loop {
            let now = Instant::now();
            let mut state = pool.state();
            let Some(order) = state.policy.poll(Incarnation::random(), now) else {
                return state.policy.timeout();
            };
            let handle = |agent| state.agents.get(&agent).map(|warm| warm.handle.clone());
            let agents = Arc::clone(&self.agents);
            match order {
                Order::Spawn(agent) => self.jobs.push(Box::pin(spawn(agents, agent))),
                Order::SignOfLife(agent) => match handle(agent) {
                    Some(handle) => self.jobs.push(Box::pin(sign_of_life(handle))),
                    None => state.policy.silent(agent),
                },
                Order::Stop(agent) => match handle(agent) {
                    Some(handle) => {
                        self.jobs
                            .push(Box::pin(reaper::stop(agents, handle).map(move |()| Outcome::Gone(agent))));
                    }
                    None => state.policy.gone(agent, now),
                },
            }
        }
    }

    fn handle(&mut self, outcome: Outcome) {
        let now = Instant::now();
        let mut state = self.agents.pool.state();
        match outcome {
            Outcome::Spawned(agent, Ok(handle), start) => {
                let left = CancellationToken::new();
                self.jobs.push(Box::pin(start.lasts(probe(handle.clone(), left.clone()))));
                self.jobs.push(Box::pin(gone(handle.clone(), left.clone())));
                state.agents.insert(agent, Warm { handle, left });
                state.policy.spawned(agent);
            }
            Outcome::NotSpawned(incarnation) => state.policy.failed(incarnation, now),
            Outcome::Spawned(incarnation, Err(error), _) => {
                warn!(%incarnation, %error, "a warm agent was not started");
                state.policy.failed(incarnation, now);
            }
            Outcome::Healthy(incarnation) => {
                state.policy.ready(incarnation, now);
                debug!(%incarnation, pool = ?state.policy.counts(), "a warm agent is ready");
            }
            Outcome::Silent(incarnation) => {
                warn!(%incarnation, "a warm agent gave no sign of life");
                state.policy.silent(incarnation);
            }
            Outcome::Gone(agent) => {
                state.policy.gone(agent, now);
                if let Some(warm) = state.agents.remove(&agent) {
                    warm.left.cancel();
                    self.agents.ops.journal.agent_is_gone(agent);
                }
            }
            Outcome::Version(version) => {
                state.policy.set_version(version);
                self.jobs.push(Box::pin(self::version(Arc::clone(&self.agents), POOL_VERSION_INTERVAL)));
            }
            Outcome::Nothing => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn spawn(agents: Arc<Agents>, incarnation: Incarnation) -> Outcome {
    let start = agents.ops.shutdown.run_until_cancelled(agents.spawns.begin()).await;
    let Some(start) = start.flatten() else { return Outcome::NotSpawned(incarnation) };
    let spec = SpawnSpec {
        session: None,
        owner: None,
        incarnation,
        token: agents.secret.agent_token(incarnation),
        deadline: SystemTime::now() + POOL_AGE_MAX + agents.settings.spawn_timeout + AGENT_DEADLINE_MARGIN,
        env: agents.settings.env.clone(),
    };
    agents.ops.journal.intend(incarnation, None).await;
    let spawned = agents.platform.spawn(spec).await;
    if spawned.is_err() {
        agents.ops.journal.agent_is_gone(incarnation);
    }
    Outcome::Spawned(incarnation, spawned, start)
}

async fn probe(agent: AgentHandle, left: CancellationToken) -> Outcome {
    let incarnation = agent.incarnation;
    tokio::select! {
        health = call::until_healthy(agent) => match health {
            // Told whose it is by a hub that is dead.
            Some(Some(Health { session_id: Some(_), .. })) => Outcome::Silent(incarnation),
            Some(_) => Outcome::Healthy(incarnation),
            None => Outcome::Nothing,
        },
        () = left.cancelled() => Outcome::Nothing,
    }
}

async fn gone(agent: AgentHandle, left: CancellationToken) -> Outcome {
    tokio::select! {
        () = agent.gone.cancelled() => Outcome::Gone(agent.incarnation),
        () = left.cancelled() => Outcome::Nothing,
    }
}

async fn sign_of_life(agent: AgentHandle) -> Outcome {
    let incarnation = agent.incarnation;
    match call::health(&agent).await {
        Ok(_) => Outcome::Nothing,
        Err(error) => {
            debug!(%incarnation, %error, "not healthy");
            Outcome::Silent(incarnation)
        }
    }
}

async fn version(agents: Arc<Agents>, after: Duration) -> Outcome {
    tokio::select! {
        () = sleep(after) => {}
        () = agents.ops.shutdown.cancelled() => return Outcome::Nothing,
    }
    Outcome::Version(agents.platform.version(&agents.settings.env).await)
}
