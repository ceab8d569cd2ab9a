//! The policy of the warm pool, in invented time.

use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::code::ErrorCode;
use mayfly_session::lifecycle::{LifecycleAction as Action, LifecycleEvent as Event, Source};
use mayfly_session::limits::SIGN_OF_LIFE_MISSES;
use proptest::prelude::*;

use super::*;

const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);
const SIGN_OF_LIFE: Duration = Duration::from_secs(SIGN_OF_LIFE_SECS);

fn name(bits: u128) -> Incarnation {
    Incarnation::from_u128(bits)
}

fn order(agent: Incarnation, action: Action) -> Order {
    Order { agent, action }
}

fn spawn_failed() -> Event {
    Event::Failed { code: ErrorCode::SpawnFailed, message: "no room".to_owned() }
}

/// A pool, the time that it is told, and the next fresh name.
struct Rig {
    policy: PoolPolicy,
    now: Instant,
    next: u128,
}

impl Rig {
    fn new(size: usize) -> Self {
        let now = Instant::now();
        let mut policy = PoolPolicy::new(size, SPAWN_TIMEOUT, now);
        policy.set_version("one".to_owned());
        Self { policy, now, next: 1 }
    }

    /// A pool whose agents are all ready.
    fn filled(size: usize) -> Self {
        let mut rig = Self::new(size);
        while rig.policy.counts().ready < size {
            rig.wait(POOL_SPAWN_INTERVAL);
            for Order { agent, action } in rig.orders() {
                assert_eq!(action, Action::AcquirePermit);
                rig.make_ready(agent);
            }
        }
        rig
    }

    fn tell(&mut self, agent: Incarnation, event: Event) {
        self.policy.handle(agent, event, self.now);
    }

    fn spawned(&mut self, agent: Incarnation) {
        self.tell(agent, Event::Acquired(Source::Permit));
        assert_eq!(self.orders(), [order(agent, Action::Spawn)]);
        self.tell(agent, Event::Spawned);
        assert_eq!(self.orders(), [order(agent, Action::Probe)]);
    }

    fn make_ready(&mut self, agent: Incarnation) {
        self.spawned(agent);
        self.tell(agent, Event::Healthy);
    }

    fn orders(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| {
            let order = self.policy.poll(name(self.next), self.now);
            self.next += 1;
            order
        })
        .collect()
    }

    /// Expects one agent to be asked for, and nothing else.
    fn asked_for(&mut self) -> Incarnation {
        let orders = self.orders();
        let [Order { agent, action: Action::AcquirePermit }] = orders[..] else { panic!("{orders:?}") };
        agent
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

fn stops(orders: &[Order]) -> usize {
    orders.iter().filter(|order| order.action == Action::Stop).count()
}

#[test]
fn pool_fills_at_a_capped_rate_and_counts_starting_agents() {
    let mut rig = Rig::new(3);
    rig.asked_for();
    assert_eq!(rig.policy.poll_timeout(), Some(rig.now + POOL_SPAWN_INTERVAL));
    let mut started = 1;
    for _ in 0..20 {
        rig.wait(POOL_SPAWN_INTERVAL);
        started += rig.orders().len();
    }
    assert_eq!((started, rig.policy.counts().starting), (3, 3));
}

#[test]
fn nothing_starts_before_the_version_is_known() {
    let now = Instant::now();
    let mut policy = PoolPolicy::new(1, SPAWN_TIMEOUT, now);
    assert_eq!((policy.poll(name(1), now), policy.poll_timeout()), (None, None));
    policy.set_version("one".to_owned());
    assert_eq!(policy.poll(name(1), now), Some(order(name(1), Action::AcquirePermit)));
}

#[test]
fn oldest_agent_is_handed_out_once_and_replaced() {
    let mut rig = Rig::filled(2);
    let (first, second) = (rig.policy.take(rig.now), rig.policy.take(rig.now));
    assert!(first < second && first.is_some(), "{first:?}, {second:?}");
    assert_eq!(rig.policy.take(rig.now), None);
    rig.wait(POOL_SPAWN_INTERVAL);
    rig.asked_for();
}

#[test]
fn agent_is_handed_out_only_when_healthy() {
    let mut rig = Rig::new(1);
    let agent = rig.asked_for();
    assert_eq!(rig.policy.take(rig.now), None);
    rig.spawned(agent);
    assert_eq!(rig.policy.take(rig.now), None);
    rig.tell(agent, Event::Healthy);
    assert_eq!(rig.policy.take(rig.now), Some(agent));
    rig.tell(agent, Event::Healthy);
    assert_eq!(rig.policy.take(rig.now), None, "news of an agent that was taken");
}

#[test]
fn agent_that_is_not_healthy_in_time_is_stopped() {
    let mut rig = Rig::new(1);
    let agent = rig.asked_for();
    rig.spawned(agent);
    rig.wait(SPAWN_TIMEOUT - Duration::from_nanos(1));
    assert_eq!(rig.orders(), []);
    rig.wait(Duration::from_nanos(1));
    assert_eq!(rig.orders(), [order(agent, Action::Stop)]);
    rig.tell(agent, Event::Healthy);
    assert_eq!(rig.policy.take(rig.now), None, "it is being stopped");
    rig.tell(agent, Event::Gone);
    assert_eq!(rig.policy.poll_timeout(), Some(rig.now + POOL_BACKOFF_MIN));
}

#[test]
fn old_agents_are_replaced_and_not_all_at_once() {
    let mut rig = Rig::filled(100);
    let (mut gone, mut most) = (0, 0);
    let youngest = rig.now;
    while gone < 100 {
        rig.wait(Duration::from_secs(1));
        let orders = rig.orders();
        for asked in orders.iter().filter(|order| order.action == Action::SignOfLife) {
            rig.tell(asked.agent, Event::Alive);
        }
        let now = stops(&orders);
        (gone, most) = (gone + now, most.max(now));
    }
    assert!(rig.now - youngest <= POOL_AGE_MAX + Duration::from_secs(1), "{:?}", rig.now - youngest);
    assert!(most <= 20, "{most} at once");
}

#[test]
fn expired_agent_is_not_handed_out_before_the_next_poll() {
    let mut rig = Rig::filled(1);
    rig.wait(POOL_AGE_MAX);
    assert_eq!(rig.policy.take(rig.now), None);
}

#[test]
fn warm_agent_tolerates_as_many_missed_signs_of_life_as_a_session() {
    let mut rig = Rig::filled(1);
    for miss in 1..=SIGN_OF_LIFE_MISSES {
        rig.wait(SIGN_OF_LIFE);
        let orders = rig.orders();
        let [Order { agent, action: Action::SignOfLife }] = orders[..] else { panic!("{orders:?}") };
        assert_eq!(rig.orders(), []);
        rig.tell(agent, Event::Silent);
        let is_lost = miss == SIGN_OF_LIFE_MISSES;
        let expected = if is_lost { vec![order(agent, Action::Stop)] } else { vec![] };
        assert_eq!(rig.orders(), expected, "after miss {miss}");
    }
    assert_eq!(rig.policy.take(rig.now), None);
}

#[test]
fn failures_back_off_and_a_success_resets_the_backoff() {
    let mut rig = Rig::new(1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let agent = rig.asked_for();
        rig.tell(agent, spawn_failed());
        let next = rig.policy.poll_timeout().unwrap();
        waits.push((next - rig.now).as_secs());
        rig.wait(next - rig.now);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    let agent = rig.asked_for();
    rig.make_ready(agent);
    rig.tell(agent, Event::Gone);
    assert_eq!(rig.policy.poll_timeout(), Some(rig.now + POOL_BACKOFF_MIN), "a crash is the first failure");
}

#[test]
fn agents_of_an_old_version_are_replaced() {
    let mut rig = Rig::filled(2);
    rig.policy.take(rig.now);
    rig.wait(POOL_SPAWN_INTERVAL);
    let starting = rig.asked_for();
    rig.tell(starting, Event::Acquired(Source::Permit));
    assert_eq!(rig.orders(), [order(starting, Action::Spawn)]);
    rig.policy.set_version("one".to_owned());
    assert_eq!(rig.orders(), []);
    rig.policy.set_version("two".to_owned());
    assert_eq!(rig.policy.take(rig.now), None);
    let orders = rig.orders();
    assert_eq!((stops(&orders), orders.contains(&order(starting, Action::Cancel))), (1, true));
    rig.tell(starting, Event::Spawned);
    assert_eq!(rig.orders(), [order(starting, Action::Stop)]);
}

#[test]
fn unbindable_version_empties_the_pool_until_it_changes() {
    let mut rig = Rig::filled(2);
    let agent = rig.policy.take(rig.now).unwrap();
    rig.policy.discard(agent, rig.now);
    rig.policy.give_up();
    let orders = rig.orders();
    assert_eq!((stops(&orders), orders.len()), (2, 2));
    rig.tell(agent, Event::Gone);
    rig.wait(POOL_BACKOFF_MAX);
    assert_eq!((rig.orders(), rig.policy.poll_timeout()), (vec![], None));
    rig.policy.set_version("two".to_owned());
    rig.asked_for();
}

#[test]
fn discarded_agent_counts_until_it_is_gone() {
    let mut rig = Rig::filled(1);
    let agent = rig.policy.take(rig.now).unwrap();
    rig.policy.discard(agent, rig.now);
    rig.wait(POOL_BACKOFF_MAX);
    assert_eq!(rig.orders(), [order(agent, Action::Stop)]);
    assert_eq!(rig.policy.take(rig.now), None);
    rig.tell(agent, Event::Gone);
    rig.asked_for();
}

#[test]
fn agents_of_another_hub_are_adopted_as_far_as_there_is_room() {
    let now = Instant::now();
    let mut policy = PoolPolicy::new(2, SPAWN_TIMEOUT, now);
    let mut adopt = |agent, age| policy.adopt(name(agent), "one".to_owned(), age, now);
    assert!(!adopt(1, POOL_AGE_MAX), "too old");
    assert!(adopt(2, POOL_AGE_MAX / 2) && adopt(3, Duration::ZERO));
    assert!(!adopt(4, Duration::ZERO), "one too many");
    policy.set_version("one".to_owned());
    let mut rig = Rig { policy, now, next: 10 };
    let probes = vec![order(name(2), Action::Probe), order(name(3), Action::Probe)];
    assert_eq!((rig.orders(), rig.policy.take(now)), (probes, None), "not yet healthy");
    rig.tell(name(2), Event::Healthy);
    rig.tell(name(3), Event::Healthy);
    assert_eq!(rig.policy.take(now), Some(name(2)), "the oldest first");
    rig.policy.set_version("two".to_owned());
    assert_eq!(rig.orders()[0], order(name(3), Action::Stop));
}

#[test]
fn adopted_agent_keeps_its_age_and_has_the_usual_time_to_become_healthy() {
    let now = Instant::now();
    for (is_ready, until) in [(false, SPAWN_TIMEOUT), (true, POOL_AGE_MAX / 2)] {
        let mut policy = PoolPolicy::new(1, SPAWN_TIMEOUT, now);
        policy.set_version("one".to_owned());
        assert!(policy.adopt(name(1), "one".to_owned(), POOL_AGE_MAX / 2, now));
        let mut rig = Rig { policy, now, next: 10 };
        assert_eq!(rig.orders(), [order(name(1), Action::Probe)]);
        if is_ready {
            rig.tell(name(1), Event::Healthy);
        }
        // Its random name is all zeros but for one bit, so that it is not replaced sooner than need be.
        rig.wait(until - Duration::from_secs(1));
        assert_eq!(stops(&rig.orders()), 0);
        rig.wait(Duration::from_secs(1));
        assert_eq!(rig.orders(), [order(name(1), Action::Stop)]);
    }
}

#[test]
fn closed_pool_stops_all_agents_and_starts_none() {
    let mut rig = Rig::filled(2);
    rig.policy.take(rig.now);
    rig.wait(POOL_SPAWN_INTERVAL);
    let starting = rig.asked_for();
    rig.policy.close();
    assert_eq!(rig.policy.take(rig.now), None);
    let orders = rig.orders();
    let ready = orders.iter().find(|order| order.action == Action::Stop).unwrap().agent;
    assert_eq!(orders.len(), 2, "a stop and a cancel: {orders:?}");
    rig.tell(starting, spawn_failed());
    rig.tell(ready, Event::Gone);
    rig.wait(POOL_BACKOFF_MAX);
    assert!(rig.policy.is_empty() && rig.orders().is_empty() && rig.policy.poll_timeout().is_none());
}

#[derive(Debug, Clone)]
enum Input {
    Wait(u64),
    Tell(usize, Event),
    Take,
    Discard(usize),
    Version(bool),
    GiveUp,
    Close,
}

fn input() -> impl Strategy<Value = Input> {
    let tell = |event: Event| (0..64_usize).prop_map(move |at| Input::Tell(at, event.clone()));
    prop_oneof![
        8 => (0..30_000_u64).prop_map(Input::Wait),
        8 => tell(Event::Acquired(Source::Permit)),
        8 => tell(Event::Spawned),
        8 => tell(Event::Healthy),
        2 => tell(spawn_failed()),
        2 => tell(Event::Silent),
        2 => tell(Event::Alive),
        6 => tell(Event::Gone),
        6 => Just(Input::Take),
        2 => (0..64_usize).prop_map(Input::Discard),
        1 => any::<bool>().prop_map(Input::Version),
        1 => Just(Input::GiveUp),
        1 => Just(Input::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens in whatever order: there are never more agents than `size`, none is handed out twice or before it
    /// is healthy, and each is stopped at most once.
    #[test]
    fn pool_never_exceeds_its_size_nor_reuses_an_agent(inputs in prop::collection::vec(input(), 1..120)) {
        let mut rig = Rig::new(3);
        let (mut known, mut healthy) = (Vec::new(), Vec::new());
        let (mut taken, mut stopped): (Vec<Incarnation>, Vec<Incarnation>) = (Vec::new(), Vec::new());
        for input in inputs {
            let pick = |at: usize, of: &[Incarnation]| of.get(at % of.len().max(1)).copied().unwrap_or(name(0));
            match input {
                Input::Wait(ms) => rig.wait(Duration::from_millis(ms)),
                Input::Tell(at, event) => {
                    let agent = pick(at, &known);
                    if event == Event::Healthy {
                        healthy.push(agent);
                    }
                    rig.tell(agent, event);
                }
                Input::Take => {
                    let was_closed = rig.policy.is_closed;
                    if let Some(agent) = rig.policy.take(rig.now) {
                        prop_assert!(!was_closed && healthy.contains(&agent) && !taken.contains(&agent));
                        prop_assert!(!stopped.contains(&agent));
                        taken.push(agent);
                    }
                }
                // The shell does that at most once, with an agent that was handed out.
                Input::Discard(at) => {
                    if let Some(agent) = taken.get(at).copied().filter(|agent| !stopped.contains(agent)) {
                        rig.policy.discard(agent, rig.now);
                    }
                }
                Input::Version(is_new) => rig.policy.set_version(if is_new { "two" } else { "one" }.to_owned()),
                Input::GiveUp => rig.policy.give_up(),
                Input::Close => rig.policy.close(),
            }
            for Order { agent, action } in rig.orders() {
                match action {
                    Action::AcquirePermit => {
                        prop_assert!(!known.contains(&agent) && !rig.policy.is_closed);
                        prop_assert!(rig.policy.agents.len() <= 3);
                        known.push(agent);
                    }
                    Action::Stop => {
                        prop_assert!(!stopped.contains(&agent), "stopped twice");
                        stopped.push(agent);
                    }
                    Action::SignOfLife => prop_assert!(healthy.contains(&agent)),
                    Action::Spawn | Action::Probe | Action::Cancel => prop_assert!(known.contains(&agent)),
                    Action::Acquire | Action::Claim => prop_assert!(false, "a pool agent is never claimed here"),
                }
            }
            prop_assert!(rig.policy.poll_timeout().is_none_or(|at| at > rig.now), "nothing is left undone");
        }
    }
}
