//! The warm pool: agents that are started before a session needs them, and are healthy and unbound.
//!
//! `pool/policy.rs` decides which agents there should be; one task carries that out. A session that takes an agent claims
//! it, or gives it back to be stopped: no agent is used twice.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use mayfly_platform::{AgentHandle, Lifetime};
use mayfly_protocol::agent::Health;
use mayfly_protocol::ids::Incarnation;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};
use tracing::{debug, info};

use crate::agents::Agents;
use crate::agents::lifecycle::{AgentRunner, Job, Purpose, Report};
use crate::agents::pool::policy::{Order, PoolPolicy};
use crate::limits::POOL_VERSION_INTERVAL;
use crate::ops::metrics::{PoolCounts, PoolStats};

mod policy;

/// The warm agents, for sessions that take one.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Notified when an agent was taken or given back.
    changed: Notify,
    claims: AtomicU64,
    misses: AtomicU64,
}

struct State {
    policy: PoolPolicy,
    /// Agents of the pool that have a handle but no runner yet: adopted or discarded.
    arrived: Vec<AgentHandle>,
    /// Handles of the agents that were started or have arrived.
    handles: HashMap<Incarnation, AgentHandle>,
}

enum Event {
    Changed,
    Timeout,
    Agent(Incarnation, Report),
    Version(Option<String>),
    Shutdown,
}

type Jobs = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

impl Pool {
    /// Creates a pool that keeps `size` agents.
    pub(crate) fn new(size: usize, spawn_timeout: Duration) -> Self {
        let policy = PoolPolicy::new(size, spawn_timeout, Instant::now());
        let state = Mutex::new(State { policy, arrived: Vec::new(), handles: HashMap::new() });
        Self { state, changed: Notify::new(), claims: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Takes a healthy, unbound agent, if there is one. The caller claims it, or gives it to [`Pool::discard`].
    pub(crate) fn take(&self) -> Option<AgentHandle> {
        let mut state = self.state();
        let taken = state.policy.take(Instant::now()).and_then(|agent| state.handles.remove(&agent));
        drop(state);
        let count = if taken.is_some() { &self.claims } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        if taken.is_some() {
            self.changed.notify_one();
        }
        taken
    }

    /// Takes over an agent of this version and age that another hub kept warm. Returns `false` if it is not wanted. Must
    /// be called before [`run`].
    pub(crate) fn adopt(&self, agent: AgentHandle, version: String, age: Duration) -> bool {
        let mut state = self.state();
        let is_wanted = state.policy.adopt(agent.incarnation, version, age, Instant::now());
        if is_wanted {
            state.arrived.push(agent);
        }
        is_wanted
    }

    /// Stops an agent that was taken and could not be claimed.
    pub(crate) fn discard(&self, agent: AgentHandle) {
        let mut state = self.state();
        state.policy.discard(agent.incarnation, Instant::now());
        state.arrived.push(agent);
        drop(state);
        self.changed.notify_one();
    }

    /// Keeps no agents until their version changes: agents of this version cannot be bound.
    pub(crate) fn give_up(&self) {
        self.state().policy.give_up();
        self.changed.notify_one();
    }

    /// Returns the numbers of agents, claims and misses.
    pub(crate) fn stats(&self) -> PoolStats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PoolStats {
            agents: self.state().policy.counts(),
            claims: count(&self.claims),
            misses: count(&self.misses),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the pool filled until the hub shuts down and no agent of the pool is left.
pub(crate) async fn run(agents: Arc<Agents>) {
    let size = agents.settings.pool_size;
    if size == 0 || agents.platform.lifetime() == Lifetime::Fixed {
        return;
    }
    info!(size, "warm pool started");
    let jobs = Jobs::new();
    jobs.push(version(Arc::clone(&agents), Duration::ZERO).boxed());
    PoolWorker { agents, runners: HashMap::new(), jobs }.run().await;
}

struct PoolWorker {
    agents: Arc<Agents>,
    runners: HashMap<Incarnation, AgentRunner>,
    jobs: Jobs,
}

impl PoolWorker {
    async fn run(&mut self) {
        let shutdown = self.agents.ops.shutdown.clone();
        let mut is_closed = false;
        loop {
            let timeout = self.carry_out();
            if is_closed && self.agents.pool.state().policy.is_empty() {
                let PoolStats { claims, misses, .. } = self.agents.pool.stats();
                return info!(claims, misses, "warm pool stopped");
            }
            let event = tokio::select! {
                () = self.agents.pool.changed.notified() => Event::Changed,
                () = until(timeout) => Event::Timeout,
                Some(event) = self.jobs.next() => event,
                () = shutdown.cancelled(), if !is_closed => Event::Shutdown,
            };
            match event {
                Event::Changed | Event::Timeout => {}
                Event::Agent(agent, report) => self.accept(agent, report),
                Event::Version(version) => self.set_version(version),
                Event::Shutdown => {
                    is_closed = true;
                    self.agents.pool.state().policy.close();
                }
            }
        }
    }

    /// Carries out what the policy decides, and returns the time at which to ask it again.
    fn carry_out(&mut self) -> Option<Instant> {
        let agents = Arc::clone(&self.agents);
        loop {
            let mut state = agents.pool.state();
            self.match_runners(&mut state);
            let Some(Order { agent, action }) = state.policy.poll(Incarnation::random(), Instant::now())
            else {
                return state.policy.poll_timeout();
            };
            drop(state);
            let new = || AgentRunner::new(&self.agents, Purpose::Pool(agent));
            let jobs = self.runners.entry(agent).or_insert_with(new).perform(action);
            self.push(agent, jobs);
        }
    }

    /// Drops the runners of agents that were taken, and makes runners for agents that were adopted or discarded.
    fn match_runners(&mut self, state: &mut State) {
        self.runners.retain(|agent, runner| runner.handle().is_none() || state.handles.contains_key(agent));
        for handle in std::mem::take(&mut state.arrived) {
            let agent = handle.incarnation;
            let runner = AgentRunner::with_handle(&self.agents, Purpose::Pool(agent), handle.clone());
            state.handles.insert(agent, handle);
            self.runners.insert(agent, runner);
        }
    }

    fn push(&self, agent: Incarnation, jobs: Vec<Job>) {
        let jobs = jobs.into_iter().map(|job| job.map(move |report| Event::Agent(agent, report)).boxed());
        jobs.for_each(|job| self.jobs.push(job));
    }

    fn accept(&mut self, agent: Incarnation, report: Report) {
        let agents = Arc::clone(&self.agents);
        let mut state = agents.pool.state();
        self.match_runners(&mut state);
        let Some(runner) = self.runners.get_mut(&agent) else { return };
        if !state.policy.has(agent) {
            // A session took it.
            self.runners.remove(&agent);
            return;
        }
        let (mut is_healthy, mut is_bound) = (false, false);
        if let Report::Healthy(health) = &report {
            // Another hub may have bound the agent before it died: then it belongs to a session.
            is_bound = health.as_ref().is_some_and(|Health { session_id, .. }| session_id.is_some());
            is_healthy = !is_bound;
        }
        if let Report::Spawned(_, Ok(handle)) = &report {
            state.handles.insert(agent, handle.clone());
        }
        match runner.accept(report) {
            Some(_) if is_bound => state.policy.dismiss(agent),
            Some(event) => state.policy.handle(agent, event, Instant::now()),
            None => {}
        }
        if is_healthy {
            let PoolCounts { ready, starting, stopping } = state.policy.counts();
            debug!(incarnation = %agent, ready, starting, stopping, "warm agent ready");
        }
        if !state.policy.has(agent) {
            self.runners.remove(&agent);
            if state.handles.remove(&agent).is_some() {
                self.agents.ops.journal.agent_is_gone(agent);
            }
        }
    }

    fn set_version(&mut self, version: Option<String>) {
        let Some(version) = version else { return };
        self.agents.pool.state().policy.set_version(version);
        self.jobs.push(self::version(Arc::clone(&self.agents), POOL_VERSION_INTERVAL).boxed());
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Asks the platform for the version of its agents, after a pause. `None` once the hub shuts down.
async fn version(agents: Arc<Agents>, after: Duration) -> Event {
    tokio::select! {
        () = sleep(after) => {}
        () = agents.ops.shutdown.cancelled() => return Event::Version(None),
    }
    Event::Version(Some(agents.platform.version(&agents.settings.env).await))
}
