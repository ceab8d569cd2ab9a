//! Which warm agents there should be: pure, with its time and its names passed in. What is to be done about it comes from
//! [`Policy::poll`]; `pool.rs` carries it out and tells what came of it.
//!
//! ```text
//!            spawned             ready                take
//!   spawning --------> starting -------> ready ----------------> (a session's)
//!       |  failed         |                |  too old, silent, out of date
//!       v                 | too late       v              gone
//!      (none) <-----------+----------> stopping ------------------> (none)
//! ```
//!
//! All of these count: there are never more than `size`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::ids::Incarnation;

use crate::limits::{
    POOL_AGE_JITTER_PERCENT, POOL_AGE_MAX, POOL_BACKOFF_MAX, POOL_BACKOFF_MIN, POOL_SPAWN_INTERVAL,
};

/// The warm agents of one hub.
#[derive(Debug)]
pub(super) struct Policy {
    size: usize,
    spawn_timeout: Duration,
    /// What a spawn would start now; nothing is started before that is known.
    version: Option<String>,
    /// Agents of this version cannot be bound, so none are kept.
    unusable: Option<String>,
    agents: BTreeMap<Incarnation, Warm>,
    next_spawn: Instant,
    /// In a row.
    failures: u32,
    orders: VecDeque<Order>,
    is_closed: bool,
}

#[derive(Debug)]
struct Warm {
    stage: Stage,
    version: String,
    /// When it was asked for.
    born: Instant,
    /// When it was asked for or taken over by this hub.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Spawning,
    /// As [`Stage::Spawning`], to be stopped as soon as there is something to stop.
    Unwanted,
    Starting,
    Ready {
        sign_at: Instant,
    },
    Stopping,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Start an agent: [`Policy::spawned`] or [`Policy::failed`], then [`Policy::ready`] when it is healthy.
    Spawn(Incarnation),
    /// Ask it whether it is there: [`Policy::alive`] or [`Policy::silent`].
    SignOfLife(Incarnation),
    /// End it: [`Policy::gone`].
    Stop(Incarnation),
}

/// How many there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// To be handed out.
    pub(crate) ready: usize,
    /// On their way.
    pub(crate) starting: usize,
    /// On their way out.
    pub(crate) stopping: usize,
}

impl Policy {
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

    /// What is to be done next; `fresh` is the name of an agent that was never used.
    pub(super) fn poll(&mut self, fresh: Incarnation, now: Instant) -> Option<Order> {
        for (incarnation, warm) in &mut self.agents {
            match warm.stage {
                Stage::Starting if now >= warm.since + self.spawn_timeout => {
                    warm.stage = Stage::Stopping;
                    self.orders.push_back(Order::Stop(*incarnation));
                    (self.failures, self.next_spawn) = back_off(self.failures, now);
                }
                Stage::Ready { .. } if now >= expiry(*incarnation, warm) => {
                    warm.stage = Stage::Stopping;
                    self.orders.push_back(Order::Stop(*incarnation));
                }
                Stage::Ready { sign_at } if now >= sign_at => {
                    warm.stage = Stage::Ready { sign_at: now + SIGN_OF_LIFE };
                    self.orders.push_back(Order::SignOfLife(*incarnation));
                }
                Stage::Spawning
                | Stage::Unwanted
                | Stage::Starting
                | Stage::Ready { .. }
                | Stage::Stopping => {}
            }
        }
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        if !self.is_short() || now < self.next_spawn {
            return None;
        }
        let version = self.version.clone()?;
        self.next_spawn = now + POOL_SPAWN_INTERVAL;
        self.agents.insert(fresh, Warm { stage: Stage::Spawning, version, born: now, since: now });
        Some(Order::Spawn(fresh))
    }

    /// When [`Policy::poll`] may have something new.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let agents = self.agents.iter().filter_map(|(incarnation, warm)| match warm.stage {
            Stage::Starting => Some(warm.since + self.spawn_timeout),
            Stage::Ready { sign_at } => Some(sign_at.min(expiry(*incarnation, warm))),
            Stage::Spawning | Stage::Unwanted | Stage::Stopping => None,
        });
        agents.chain(self.is_short().then_some(self.next_spawn)).min()
    }

    /// Hands out the oldest that is ready. It is not counted here any more.
    pub(super) fn take(&mut self, now: Instant) -> Option<Incarnation> {
        let is_good = |(incarnation, warm): &(&Incarnation, &Warm)| {
            matches!(warm.stage, Stage::Ready { .. }) && now < expiry(**incarnation, warm) && !self.is_closed
        };
        let oldest = self.agents.iter().filter(is_good).min_by_key(|(_, warm)| warm.born);
        let incarnation = *oldest?.0;
        self.agents.remove(&incarnation);
        Some(incarnation)
    }

    /// One that was handed out could not be used: it is counted again until it is gone.
    pub(super) fn discard(&mut self, incarnation: Incarnation, now: Instant) {
        let (stage, version) = (Stage::Stopping, String::new());
        self.agents.insert(incarnation, Warm { stage, version, born: now, since: now });
        self.orders.push_back(Order::Stop(incarnation));
    }

    /// One that another hub has kept warm, and that is so old: [`Policy::ready`] when it is healthy. False when it is not
    /// wanted.
    pub(super) fn adopt(
        &mut self,
        incarnation: Incarnation,
        version: String,
        age: Duration,
        now: Instant,
    ) -> bool {
        let Some(born) = now.checked_sub(age) else { return false };
        let warm = Warm { stage: Stage::Starting, version, born, since: now };
        let is_wanted = !self.is_closed && self.agents.len() < self.size && now < expiry(incarnation, &warm);
        if is_wanted {
            self.agents.insert(incarnation, warm);
        }
        is_wanted
    }

    /// It was started.
    pub(super) fn spawned(&mut self, incarnation: Incarnation) {
        let Some(warm) = self.agents.get_mut(&incarnation) else { return };
        match warm.stage {
            Stage::Spawning => warm.stage = Stage::Starting,
            Stage::Unwanted => {
                warm.stage = Stage::Stopping;
                self.orders.push_back(Order::Stop(incarnation));
            }
            Stage::Starting | Stage::Ready { .. } | Stage::Stopping => {}
        }
    }

    /// It could not be started, and nothing is left of it.
    pub(super) fn failed(&mut self, incarnation: Incarnation, now: Instant) {
        if self.agents.remove(&incarnation).is_some() {
            (self.failures, self.next_spawn) = back_off(self.failures, now);
        }
    }

    /// It is healthy.
    pub(super) fn ready(&mut self, incarnation: Incarnation, now: Instant) {
        let Some(warm) = self.agents.get_mut(&incarnation) else { return };
        if warm.stage == Stage::Starting {
            warm.stage = Stage::Ready { sign_at: now + SIGN_OF_LIFE };
            self.failures = 0;
        }
    }

    /// It did not answer.
    pub(super) fn silent(&mut self, incarnation: Incarnation) {
        self.dismiss(|other, _| other == incarnation);
    }

    /// Nothing is left of it; unasked, that is a failure.
    pub(super) fn gone(&mut self, incarnation: Incarnation, now: Instant) {
        let gone = self.agents.remove(&incarnation);
        if gone.is_some_and(|warm| warm.stage != Stage::Stopping) {
            (self.failures, self.next_spawn) = back_off(self.failures, now);
        }
    }

    /// What a spawn would start now: agents that are something else are replaced.
    pub(super) fn set_version(&mut self, version: String) {
        self.dismiss(|_, warm| warm.version != version);
        self.version = Some(version);
    }

    /// Agents as they are now cannot be bound: none are kept until they are others.
    pub(super) fn give_up(&mut self) {
        self.unusable.clone_from(&self.version);
        self.dismiss(|_, _| true);
    }

    /// The hub shuts down: nothing is handed out or started any more, and all go.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.dismiss(|_, _| true);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for warm in self.agents.values() {
            match warm.stage {
                Stage::Spawning | Stage::Starting => counts.starting += 1,
                Stage::Ready { .. } => counts.ready += 1,
                Stage::Unwanted | Stage::Stopping => counts.stopping += 1,
            }
        }
        counts
    }

    fn is_short(&self) -> bool {
        let is_usable = self.version.is_some() && self.version != self.unusable;
        is_usable && !self.is_closed && self.agents.len() < self.size
    }

    /// Has those stopped that are not on their way out already.
    fn dismiss(&mut self, is_meant: impl Fn(Incarnation, &Warm) -> bool) {
        for (incarnation, warm) in &mut self.agents {
            if !is_meant(*incarnation, warm) {
                continue;
            }
            match warm.stage {
                Stage::Spawning => warm.stage = Stage::Unwanted,
                Stage::Starting | Stage::Ready { .. } => {
                    warm.stage = Stage::Stopping;
                    self.orders.push_back(Order::Stop(*incarnation));
                }
                Stage::Unwanted | Stage::Stopping => {}
            }
        }
    }
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(SIGN_OF_LIFE_SECS);

/// When it is too old. Its random name says how much sooner than others, so that not all go at once.
fn expiry(incarnation: Incarnation, warm: &Warm) -> Instant {
    let sooner = incarnation.digest() % (POOL_AGE_JITTER_PERCENT + 1);
    warm.born + POOL_AGE_MAX * (100 - sooner) / 100
}

/// One failure more, and when the next spawn may be.
fn back_off(failures: u32, now: Instant) -> (u32, Instant) {
    let wait = POOL_BACKOFF_MIN * 2_u32.saturating_pow(failures.min(16));
    (failures + 1, now + wait.min(POOL_BACKOFF_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);

    fn name(bits: u128) -> Incarnation {
        Incarnation::from_u128(bits)
    }

    /// A pool, the time it believes in, and the next name.
    struct Rig {
        policy: Policy,
        now: Instant,
        next: u128,
    }

    impl Rig {
        fn new(size: usize) -> Self {
            let now = Instant::now();
            let mut policy = Policy::new(size, SPAWN_TIMEOUT, now);
            policy.set_version("one".to_owned());
            Self { policy, now, next: 1 }
        }

        /// With this many that are ready.
        fn filled(size: usize) -> Self {
            let mut rig = Self::new(size);
            while rig.policy.counts().ready < size {
                rig.wait(POOL_SPAWN_INTERVAL);
                for order in rig.orders() {
                    let Order::Spawn(agent) = order else { panic!("{order:?}") };
                    rig.policy.spawned(agent);
                    rig.policy.ready(agent, rig.now);
                }
            }
            rig
        }

        fn orders(&mut self) -> Vec<Order> {
            std::iter::from_fn(|| {
                let order = self.policy.poll(name(self.next), self.now);
                self.next += 1;
                order
            })
            .collect()
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }
    }

    fn stops(orders: &[Order]) -> usize {
        orders.iter().filter(|order| matches!(order, Order::Stop(_))).count()
    }

    #[test]
    fn it_is_filled_at_a_capped_rate_and_those_on_their_way_count() {
        let mut rig = Rig::new(3);
        let first = rig.orders();
        assert!(matches!(first[..], [Order::Spawn(_)]), "one at a time: {first:?}");
        assert_eq!(rig.policy.timeout(), Some(rig.now + POOL_SPAWN_INTERVAL));
        let mut spawned = 1;
        for _ in 0..20 {
            rig.wait(POOL_SPAWN_INTERVAL);
            spawned += rig.orders().len();
        }
        assert_eq!((spawned, rig.policy.counts().starting), (3, 3));
        assert_eq!(rig.policy.timeout(), None, "nothing to wait for but what is told");
    }

    #[test]
    fn nothing_is_started_before_it_is_known_what() {
        let now = Instant::now();
        let mut policy = Policy::new(1, SPAWN_TIMEOUT, now);
        assert_eq!((policy.poll(name(1), now), policy.timeout()), (None, None));
        policy.set_version("one".to_owned());
        assert_eq!(policy.poll(name(1), now), Some(Order::Spawn(name(1))));
    }

    #[test]
    fn one_is_handed_out_once_oldest_first_and_is_replaced() {
        let mut rig = Rig::filled(2);
        let (first, second) = (rig.policy.take(rig.now), rig.policy.take(rig.now));
        assert!(first < second && first.is_some(), "{first:?}, {second:?}");
        assert_eq!(rig.policy.take(rig.now), None);
        rig.wait(POOL_SPAWN_INTERVAL);
        assert!(matches!(rig.orders()[..], [Order::Spawn(_)]));
    }

    #[test]
    fn what_is_not_healthy_is_not_handed_out() {
        let mut rig = Rig::new(1);
        let [Order::Spawn(agent)] = rig.orders()[..] else { panic!("one") };
        assert_eq!(rig.policy.take(rig.now), None);
        rig.policy.spawned(agent);
        assert_eq!(rig.policy.take(rig.now), None);
        rig.policy.ready(agent, rig.now);
        assert_eq!(rig.policy.take(rig.now), Some(agent));
        rig.policy.ready(agent, rig.now);
        assert_eq!(rig.policy.take(rig.now), None, "late news of one that is a session's");
    }

    #[test]
    fn what_does_not_become_healthy_in_time_goes() {
        let mut rig = Rig::new(1);
        let [Order::Spawn(agent)] = rig.orders()[..] else { panic!("one") };
        rig.policy.spawned(agent);
        rig.wait(SPAWN_TIMEOUT - Duration::from_nanos(1));
        assert_eq!(rig.orders(), []);
        rig.wait(Duration::from_nanos(1));
        assert_eq!(rig.orders(), [Order::Stop(agent)]);
        rig.policy.ready(agent, rig.now);
        assert_eq!(rig.policy.take(rig.now), None, "it is on its way out");
        rig.policy.gone(agent, rig.now);
        assert_eq!(rig.policy.timeout(), Some(rig.now + POOL_BACKOFF_MIN));
    }

    #[test]
    fn the_old_go_and_not_all_at_once() {
        let mut rig = Rig::filled(100);
        let mut gone = 0;
        let mut most = 0;
        let youngest = rig.now;
        while gone < 100 {
            rig.wait(Duration::from_secs(1));
            let now = stops(&rig.orders());
            (gone, most) = (gone + now, most.max(now));
        }
        assert!(rig.now - youngest <= POOL_AGE_MAX + Duration::from_secs(1), "{:?}", rig.now - youngest);
        assert!(most <= 20, "{most} at once");
    }

    #[test]
    fn what_is_too_old_is_not_handed_out_even_if_nobody_has_looked() {
        let mut rig = Rig::filled(1);
        rig.wait(POOL_AGE_MAX);
        assert_eq!(rig.policy.take(rig.now), None);
    }

    #[test]
    fn a_warm_agent_gets_signs_of_life_and_one_that_is_silent_goes() {
        let mut rig = Rig::filled(1);
        rig.wait(SIGN_OF_LIFE);
        let [Order::SignOfLife(agent)] = rig.orders()[..] else { panic!("one") };
        assert_eq!(rig.orders(), []);
        assert_eq!(rig.policy.timeout(), Some(rig.now + SIGN_OF_LIFE));
        rig.policy.silent(agent);
        assert_eq!(rig.policy.take(rig.now), None);
        assert_eq!(rig.orders(), [Order::Stop(agent)]);
    }

    #[test]
    fn failures_back_off_and_a_success_is_a_new_start() {
        let mut rig = Rig::new(1);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let [Order::Spawn(agent)] = rig.orders()[..] else { panic!("one") };
            rig.policy.failed(agent, rig.now);
            let next = rig.policy.timeout().unwrap();
            waits.push((next - rig.now).as_secs());
            rig.wait(next - rig.now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let [Order::Spawn(agent)] = rig.orders()[..] else { panic!("one") };
        rig.policy.spawned(agent);
        rig.policy.ready(agent, rig.now);
        rig.policy.gone(agent, rig.now);
        assert_eq!(rig.policy.timeout(), Some(rig.now + POOL_BACKOFF_MIN), "a crash is a failure, the first");
    }

    #[test]
    fn what_is_out_of_date_is_replaced() {
        let mut rig = Rig::filled(2);
        rig.policy.take(rig.now);
        rig.wait(POOL_SPAWN_INTERVAL);
        let [Order::Spawn(on_its_way)] = rig.orders()[..] else { panic!("one") };
        rig.policy.set_version("one".to_owned());
        assert_eq!(rig.orders(), []);
        rig.policy.set_version("two".to_owned());
        assert_eq!(rig.policy.take(rig.now), None);
        assert_eq!(stops(&rig.orders()), 1);
        rig.policy.spawned(on_its_way);
        assert_eq!(rig.orders(), [Order::Stop(on_its_way)]);
    }

    #[test]
    fn agents_that_cannot_be_bound_are_not_kept_until_they_are_others() {
        let mut rig = Rig::filled(2);
        let agent = rig.policy.take(rig.now).unwrap();
        rig.policy.discard(agent, rig.now);
        rig.policy.give_up();
        let orders = rig.orders();
        assert_eq!((stops(&orders), orders.len()), (2, 2));
        rig.policy.gone(agent, rig.now);
        rig.wait(POOL_BACKOFF_MAX);
        assert_eq!((rig.orders(), rig.policy.timeout()), (vec![], None));
        rig.policy.set_version("two".to_owned());
        assert!(matches!(rig.orders()[..], [Order::Spawn(_)]));
    }

    #[test]
    fn what_was_handed_out_and_discarded_counts_until_it_is_gone() {
        let mut rig = Rig::filled(1);
        let agent = rig.policy.take(rig.now).unwrap();
        rig.policy.discard(agent, rig.now);
        rig.wait(POOL_BACKOFF_MAX);
        assert_eq!(rig.orders(), [Order::Stop(agent)]);
        assert_eq!(rig.policy.take(rig.now), None);
        rig.policy.gone(agent, rig.now);
        assert!(matches!(rig.orders()[..], [Order::Spawn(_)]));
    }

    #[test]
    fn those_of_another_hub_are_taken_over_as_far_as_there_is_room() {
        let now = Instant::now();
        let mut policy = Policy::new(2, SPAWN_TIMEOUT, now);
        let mut adopt = |agent, age| policy.adopt(name(agent), "one".to_owned(), age, now);
        assert!(!adopt(1, POOL_AGE_MAX), "too old");
        assert!(adopt(2, POOL_AGE_MAX / 2) && adopt(3, Duration::ZERO));
        assert!(!adopt(4, Duration::ZERO), "one too many");
        policy.set_version("one".to_owned());
        let mut rig = Rig { policy, now, next: 10 };
        assert_eq!((rig.orders(), rig.policy.take(now)), (vec![], None), "not yet healthy");
        rig.policy.ready(name(2), now);
        rig.policy.ready(name(3), now);
        assert_eq!(rig.policy.take(now), Some(name(2)), "the oldest first");
        rig.policy.set_version("two".to_owned());
        assert_eq!(rig.orders()[0], Order::Stop(name(3)));
    }

    #[test]
    fn one_that_was_taken_over_has_as_long_as_others_to_be_healthy_and_is_as_old_as_it_is() {
        let now = Instant::now();
        for (age, is_ready, until) in
            [(POOL_AGE_MAX / 2, false, SPAWN_TIMEOUT), (POOL_AGE_MAX / 2, true, POOL_AGE_MAX / 2)]
        {
            let mut policy = Policy::new(1, SPAWN_TIMEOUT, now);
            policy.set_version("one".to_owned());
            assert!(policy.adopt(name(1), "one".to_owned(), age, now));
            if is_ready {
                policy.ready(name(1), now);
            }
            let mut rig = Rig { policy, now: now + until - Duration::from_secs(1), next: 10 };
            // Its random name is all zeros but for one bit, so it is not replaced sooner than need be.
            assert_eq!(stops(&rig.orders()), 0);
            rig.wait(Duration::from_secs(1));
            assert_eq!(rig.orders(), [Order::Stop(name(1))]);
        }
    }

    #[test]
    fn when_it_is_closed_all_go_and_none_come() {
        let mut rig = Rig::filled(2);
        rig.policy.take(rig.now);
        rig.wait(POOL_SPAWN_INTERVAL);
        let [Order::Spawn(on_its_way)] = rig.orders()[..] else { panic!("one") };
        rig.policy.close();
        assert_eq!(rig.policy.take(rig.now), None);
        let [Order::Stop(ready)] = rig.orders()[..] else { panic!("one") };
        rig.policy.spawned(on_its_way);
        assert_eq!(rig.orders(), [Order::Stop(on_its_way)]);
        rig.policy.gone(ready, rig.now);
        rig.policy.gone(on_its_way, rig.now);
        rig.wait(POOL_BACKOFF_MAX);
        assert!(rig.policy.is_empty() && rig.orders().is_empty() && rig.policy.timeout().is_none());
    }

    #[derive(Debug, Clone)]
    enum Input {
        Wait(u64),
        Spawned(usize),
        Ready(usize),
        Failed(usize),
        Silent(usize),
        Gone(usize),
        Take,
        Discard(usize),
        Version(bool),
        GiveUp,
        Close,
    }

    fn input() -> impl Strategy<Value = Input> {
        let agent = || 0..64_usize;
        prop_oneof![
            8 => (0..30_000_u64).prop_map(Input::Wait),
            8 => agent().prop_map(Input::Spawned),
            8 => agent().prop_map(Input::Ready),
            2 => agent().prop_map(Input::Failed),
            2 => agent().prop_map(Input::Silent),
            6 => agent().prop_map(Input::Gone),
            6 => Just(Input::Take),
            2 => agent().prop_map(Input::Discard),
            1 => any::<bool>().prop_map(Input::Version),
            1 => Just(Input::GiveUp),
            1 => Just(Input::Close),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever is told in whatever order: never more than may be, none handed out twice or before it was healthy,
        /// each stopped once.
        #[test]
        fn no_more_than_may_be_none_twice(inputs in prop::collection::vec(input(), 1..120)) {
            let mut rig = Rig::new(3);
            let (mut known, mut healthy) = (Vec::new(), Vec::new());
            let (mut taken, mut stopped): (Vec<Incarnation>, Vec<Incarnation>) = (Vec::new(), Vec::new());
            for input in inputs {
                let pick = |at: usize, of: &[Incarnation]| of.get(at % of.len().max(1)).copied().unwrap_or(name(0));
                match input {
                    Input::Wait(ms) => rig.wait(Duration::from_millis(ms)),
                    Input::Spawned(at) => rig.policy.spawned(pick(at, &known)),
                    Input::Ready(at) => {
                        healthy.push(pick(at, &known));
                        rig.policy.ready(pick(at, &known), rig.now);
                    }
                    Input::Failed(at) => rig.policy.failed(pick(at, &known), rig.now),
                    Input::Silent(at) => rig.policy.silent(pick(at, &known)),
                    Input::Gone(at) => rig.policy.gone(pick(at, &known), rig.now),
                    Input::Take => {
                        let was_closed = rig.policy.is_closed;
                        if let Some(agent) = rig.policy.take(rig.now) {
                            prop_assert!(!was_closed && healthy.contains(&agent) && !taken.contains(&agent));
                            prop_assert!(!stopped.contains(&agent));
                            taken.push(agent);
                        }
                    }
                    // The shell does that at most once, with one that was handed out.
                    Input::Discard(at) => {
                        if let Some(agent) = taken.get(at).copied().filter(|agent| !stopped.contains(agent)) {
                            rig.policy.discard(agent, rig.now);
                        }
                    }
                    Input::Version(is_new) => rig.policy.set_version(if is_new { "two" } else { "one" }.to_owned()),
                    Input::GiveUp => rig.policy.give_up(),
                    Input::Close => rig.policy.close(),
                }
                for order in rig.orders() {
                    match order {
                        Order::Spawn(agent) => {
                            prop_assert!(!known.contains(&agent) && !rig.policy.is_closed);
                            prop_assert!(rig.policy.agents.len() <= 3);
                            known.push(agent);
                        }
                        Order::Stop(agent) => {
                            prop_assert!(!stopped.contains(&agent), "stopped twice");
                            stopped.push(agent);
                        }
                        Order::SignOfLife(agent) => prop_assert!(healthy.contains(&agent)),
                    }
                }
                prop_assert!(rig.policy.timeout().is_none_or(|at| at > rig.now), "nothing is left undone");
            }
        }
    }
}
