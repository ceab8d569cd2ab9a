//! The policy of the warm pool: how many agents it keeps, and when one is replaced. It is pure: time and names are passed
//! in. Each agent's own states are those of `mayfly_session::lifecycle`; [`PoolPolicy::poll`] says what to do next, and
//! `pool.rs` does it.
//!
//! Every agent counts until it is gone or a session's, so there are never more than `size` of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mayfly_protocol::ids::Incarnation;
use mayfly_session::lifecycle::{Lifecycle, LifecycleAction, LifecycleChange, LifecycleEvent, Output, Stage};

use crate::limits::{
    POOL_AGE_JITTER_PERCENT, POOL_AGE_MAX, POOL_BACKOFF_MAX, POOL_BACKOFF_MIN, POOL_SPAWN_INTERVAL,
};
use crate::ops::metrics::PoolCounts;

#[cfg(test)]
mod tests;

/// The warm agents of one hub.
#[derive(Debug)]
pub(super) struct PoolPolicy {
    size: usize,
    spawn_timeout: Duration,
    /// Version that a spawn would start now; nothing is started before it is known.
    version: Option<String>,
    /// Version whose agents cannot be bound, so none are kept.
    unusable: Option<String>,
    agents: BTreeMap<Incarnation, Warm>,
    next_spawn: Instant,
    /// Failed starts and lost agents in a row.
    failures: u32,
    orders: VecDeque<Order>,
    is_closed: bool,
}

#[derive(Debug)]
struct Warm {
    lifecycle: Lifecycle,
    version: String,
    /// Time at which the agent was asked for, by this hub or an earlier one.
    born: Instant,
}

/// An action for one agent of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) agent: Incarnation,
    pub(super) action: LifecycleAction,
}

impl PoolPolicy {
    /// Creates the policy of a pool that keeps `size` agents.
    pub(super) fn new(size: usize, spawn_timeout: Duration, now: Instant) -> Self {
        Self {
            size,
            spawn_timeout,
            version: None,
            unusable: None,
            agents: BTreeMap::new(),
            next_spawn: now,
            failures: 0,
            orders: VecDeque::new(),
            is_closed: false,
        }
    }

    /// Returns the next action; `fresh` is a name that was never used, for an agent to start.
    pub(super) fn poll(&mut self, fresh: Incarnation, now: Instant) -> Option<Order> {
        self.handle_timeouts(now);
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        if !self.is_short() || now < self.next_spawn {
            return None;
        }
        let version = self.version.clone()?;
        self.next_spawn = now + POOL_SPAWN_INTERVAL;
        let (lifecycle, first) = Lifecycle::for_pool(self.spawn_timeout);
        self.agents.insert(fresh, Warm { lifecycle, version, born: now });
        first.action.map(|action| Order { agent: fresh, action })
    }

    /// Returns the time at which [`PoolPolicy::poll`] may have something new.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let agents = self.agents.iter().filter_map(|(agent, warm)| {
            let expiry = (warm.lifecycle.stage() == Stage::Ready).then(|| expiry(*agent, warm));
            warm.lifecycle.poll_timeout().into_iter().chain(expiry).min()
        });
        agents.chain(self.is_short().then_some(self.next_spawn)).min()
    }

    /// Handles the outcome of an action, or news about an agent. Ignored if the agent is not, or no longer, the pool's.
    pub(super) fn handle(&mut self, agent: Incarnation, event: LifecycleEvent, now: Instant) {
        if let Some(warm) = self.agents.get_mut(&agent) {
            let output = warm.lifecycle.handle(event, now);
            self.apply(agent, output, now);
        }
    }

    /// Hands out the oldest agent that is ready. It no longer counts here.
    pub(super) fn take(&mut self, now: Instant) -> Option<Incarnation> {
        let is_good = |(agent, warm): &(&Incarnation, &Warm)| {
            warm.lifecycle.stage() == Stage::Ready && now < expiry(**agent, warm) && !self.is_closed
        };
        let oldest = self.agents.iter().filter(is_good).min_by_key(|(_, warm)| warm.born);
        let agent = *oldest?.0;
        self.agents.remove(&agent);
        self.orders.retain(|order| order.agent != agent);
        Some(agent)
    }

    /// Takes back an agent that was handed out and could not be used. It counts again until it is gone.
    pub(super) fn discard(&mut self, agent: Incarnation, now: Instant) {
        let (lifecycle, output) = Lifecycle::unwanted(self.spawn_timeout, now);
        self.agents.insert(agent, Warm { lifecycle, version: String::new(), born: now });
        self.apply(agent, output, now);
    }

    /// Takes over an agent of this age that another hub kept warm, and has it probed. Returns `false` if it is not
    /// wanted.
    pub(super) fn adopt(&mut self, agent: Incarnation, version: String, age: Duration, now: Instant) -> bool {
        let Some(born) = now.checked_sub(age) else { return false };
        let (lifecycle, output) = Lifecycle::adopted(self.spawn_timeout, now);
        let warm = Warm { lifecycle, version, born };
        let is_wanted = !self.is_closed && self.agents.len() < self.size && now < expiry(agent, &warm);
        if is_wanted {
            self.agents.insert(agent, warm);
            self.apply(agent, output, now);
        }
        is_wanted
    }

    /// Stops one agent, whatever its state.
    pub(super) fn dismiss(&mut self, agent: Incarnation) {
        self.dismiss_if(|other, _| other == agent);
    }

    /// Sets the version that a spawn would start now. Agents of another version are replaced.
    pub(super) fn set_version(&mut self, version: String) {
        self.dismiss_if(|_, warm| warm.version != version);
        self.version = Some(version);
    }

    /// Stops all agents, and keeps none until the version changes: agents of this version cannot be bound.
    pub(super) fn give_up(&mut self) {
        self.unusable.clone_from(&self.version);
        self.dismiss_if(|_, _| true);
    }

    /// Stops all agents for good, since the hub shuts down.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.dismiss_if(|_, _| true);
    }

    /// Returns `true` if this agent is the pool's.
    pub(super) fn has(&self, agent: Incarnation) -> bool {
        self.agents.contains_key(&agent)
    }

    /// Returns `true` if no agent is left.
    pub(super) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Returns the number of agents in each stage.
    pub(super) fn counts(&self) -> PoolCounts {
        let mut counts = PoolCounts::default();
        for warm in self.agents.values() {
            match warm.lifecycle.stage() {
                Stage::Starting => counts.starting += 1,
                Stage::Ready => counts.ready += 1,
                Stage::Stopping | Stage::Gone => counts.stopping += 1,
            }
        }
        counts
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let due: Vec<_> = self.agents.keys().copied().collect();
        for agent in due {
            let Some(warm) = self.agents.get_mut(&agent) else { continue };
            let is_expired = warm.lifecycle.stage() == Stage::Ready && now >= expiry(agent, warm);
            let output = if is_expired { warm.lifecycle.stop() } else { warm.lifecycle.handle_timeout(now) };
            self.apply(agent, output, now);
        }
    }

    fn apply(&mut self, agent: Incarnation, Output { action, change }: Output, now: Instant) {
        self.orders.extend(action.map(|action| Order { agent, action }));
        match change {
            Some(LifecycleChange::Ready) => self.failures = 0,
            Some(LifecycleChange::Failed { .. } | LifecycleChange::Lost { .. }) => self.back_off(now),
            Some(LifecycleChange::Step(_) | LifecycleChange::Gone) | None => {}
        }
        if self.agents.get(&agent).is_some_and(|warm| warm.lifecycle.stage() == Stage::Gone) {
            self.agents.remove(&agent);
        }
    }

    fn is_short(&self) -> bool {
        let is_usable = self.version.is_some() && self.version != self.unusable;
        is_usable && !self.is_closed && self.agents.len() < self.size
    }

    fn dismiss_if(&mut self, is_meant: impl Fn(Incarnation, &Warm) -> bool) {
        for (agent, warm) in &mut self.agents {
            if is_meant(*agent, warm) {
                let action = warm.lifecycle.stop().action;
                self.orders.extend(action.map(|action| Order { agent: *agent, action }));
            }
        }
    }

    /// Counts one failure more, and delays the next spawn.
    fn back_off(&mut self, now: Instant) {
        let wait = POOL_BACKOFF_MIN * 2_u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        self.next_spawn = now + wait.min(POOL_BACKOFF_MAX);
    }
}

/// Returns the time at which an agent is too old. The agent's random name decides how much sooner than the bound, so that
/// not all are replaced at once.
fn expiry(agent: Incarnation, warm: &Warm) -> Instant {
    let sooner = agent.digest() % (POOL_AGE_JITTER_PERCENT + 1);
    warm.born + POOL_AGE_MAX * (100 - sooner) / 100
}
