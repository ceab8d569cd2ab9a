//! The lifecycle of one agent, in invented time.

use std::time::{Duration, Instant};

use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Step;
use mayfly_session::lifecycle::{
    Lifecycle, LifecycleAction as Action, LifecycleChange as Change, LifecycleEvent as Event, Output, Source,
    Stage,
};
use mayfly_session::limits::SIGN_OF_LIFE_MISSES;
use proptest::prelude::*;

const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);
const SIGN_OF_LIFE: Duration = Duration::from_secs(SIGN_OF_LIFE_SECS);

/// A lifecycle and the time it is told.
struct Rig {
    lifecycle: Lifecycle,
    now: Instant,
}

impl Rig {
    fn for_session() -> Self {
        let now = Instant::now();
        let (lifecycle, first) = Lifecycle::for_session(SPAWN_TIMEOUT, now);
        assert_eq!(first, action(Action::Acquire));
        Self { lifecycle, now }
    }

    fn ready() -> Self {
        let mut rig = Self::for_session();
        for event in [Event::Acquired(Source::Permit), Event::Spawned, Event::Healthy] {
            let _ = rig.tell(event);
        }
        assert_eq!(rig.lifecycle.stage(), Stage::Ready);
        rig
    }

    fn tell(&mut self, event: Event) -> Output {
        self.lifecycle.handle(event, self.now)
    }

    fn wait(&mut self, duration: Duration) -> Output {
        self.now += duration;
        self.lifecycle.handle_timeout(self.now)
    }
}

fn action(action: Action) -> Output {
    Output { action: Some(action), change: None }
}

fn change(change: Change) -> Output {
    Output { action: None, change: Some(change) }
}

fn step(step: Step, action: Action) -> Output {
    Output { action: Some(action), change: Some(Change::Step(step)) }
}

fn failed() -> Event {
    Event::Failed { code: ErrorCode::SpawnImage, message: "no image".to_owned() }
}

/// The code of a failure or a loss.
fn code(output: &Output) -> Option<ErrorCode> {
    match output.change {
        Some(Change::Failed { code, .. } | Change::Lost { code, .. }) => Some(code),
        Some(Change::Step(_) | Change::Ready | Change::Gone) | None => None,
    }
}

#[test]
fn cold_start_runs_through_every_step() {
    let mut rig = Rig::for_session();
    assert_eq!(rig.tell(Event::Queued), change(Change::Step(Step::Queued)));
    assert_eq!(rig.tell(Event::Acquired(Source::Permit)), step(Step::Starting, Action::Spawn));
    assert_eq!(rig.tell(Event::Spawned), step(Step::Probing, Action::Probe));
    assert_eq!(rig.lifecycle.stage(), Stage::Starting);
    assert_eq!(rig.tell(Event::Healthy), change(Change::Ready));
    assert_eq!(rig.lifecycle.stage(), Stage::Ready);
}

#[test]
fn warm_start_is_one_claim() {
    let mut rig = Rig::for_session();
    assert_eq!(rig.tell(Event::Acquired(Source::Warm)), step(Step::Claiming, Action::Claim));
    assert_eq!(rig.tell(Event::Claimed), change(Change::Ready));
}

#[test]
fn failed_claim_falls_back_to_a_cold_start() {
    let mut rig = Rig::for_session();
    let _ = rig.tell(Event::Acquired(Source::Warm));
    assert_eq!(rig.tell(Event::ClaimFailed), action(Action::AcquirePermit));
    assert_eq!(rig.tell(Event::Acquired(Source::Permit)), step(Step::Starting, Action::Spawn));
}

#[test]
fn failed_spawn_leaves_nothing_to_stop() {
    let mut rig = Rig::for_session();
    let _ = rig.tell(Event::Acquired(Source::Permit));
    assert_eq!(code(&rig.tell(failed())), Some(ErrorCode::SpawnImage));
    assert_eq!(rig.lifecycle.stage(), Stage::Gone);
    assert_eq!(rig.lifecycle.stop(), Output::default());
    assert_eq!(rig.lifecycle.poll_timeout(), None);
}

#[test]
fn slow_probe_fails_at_the_spawn_timeout_and_is_stopped() {
    let mut rig = Rig::for_session();
    let _ = rig.tell(Event::Acquired(Source::Permit));
    let _ = rig.tell(Event::Spawned);
    assert_eq!(rig.wait(SPAWN_TIMEOUT - Duration::from_nanos(1)), Output::default());
    let output = rig.wait(Duration::from_nanos(1));
    assert_eq!((output.action, code(&output)), (Some(Action::Stop), Some(ErrorCode::SpawnTimeout)));
    assert_eq!(rig.tell(Event::Healthy), Output::default());
    assert_eq!(rig.tell(Event::Gone), change(Change::Gone));
}

#[test]
fn time_in_the_queue_does_not_count_against_the_start() {
    let mut rig = Rig::for_session();
    let _ = rig.tell(Event::Queued);
    assert_eq!(rig.wait(SPAWN_TIMEOUT - Duration::from_secs(1)), Output::default());
    let _ = rig.tell(Event::Acquired(Source::Permit));
    assert_eq!(rig.wait(SPAWN_TIMEOUT - Duration::from_nanos(1)), Output::default());
    assert_eq!(code(&rig.wait(Duration::from_nanos(1))), Some(ErrorCode::SpawnTimeout));
}

#[test]
fn queue_itself_is_bounded_by_the_spawn_timeout() {
    let mut rig = Rig::for_session();
    let _ = rig.tell(Event::Queued);
    let output = rig.wait(SPAWN_TIMEOUT);
    assert_eq!((output.action, code(&output)), (Some(Action::Cancel), Some(ErrorCode::SpawnTimeout)));
    assert_eq!(rig.tell(failed()), change(Change::Gone));
}

#[test]
fn abandoned_spawn_is_stopped_when_its_outcome_is_known() {
    for (events, outcome) in [
        (vec![], Event::Acquired(Source::Warm)),
        (vec![Event::Acquired(Source::Permit)], Event::Spawned),
        (vec![Event::Acquired(Source::Warm)], Event::Claimed),
    ] {
        let mut rig = Rig::for_session();
        for event in events {
            let _ = rig.tell(event);
        }
        assert_eq!(rig.lifecycle.stop(), action(Action::Cancel));
        assert_eq!(rig.lifecycle.stage(), Stage::Stopping);
        assert_eq!(rig.tell(outcome), action(Action::Stop));
        assert_eq!(rig.tell(Event::Gone), change(Change::Gone));
    }
}

#[test]
fn abandoned_start_that_never_began_is_gone() {
    for outcome in [Event::Acquired(Source::Permit), Event::ClaimFailed, failed()] {
        let mut rig = Rig::for_session();
        assert_eq!(rig.lifecycle.stop(), action(Action::Cancel));
        assert_eq!(rig.tell(outcome), change(Change::Gone));
        assert_eq!(rig.lifecycle.stage(), Stage::Gone);
    }
}

#[test]
fn stop_is_idempotent() {
    let mut rig = Rig::ready();
    assert_eq!(rig.lifecycle.stop(), action(Action::Stop));
    assert_eq!(rig.lifecycle.stop(), Output::default());
    assert_eq!(rig.tell(Event::Gone), change(Change::Gone));
    assert_eq!(rig.lifecycle.stop(), Output::default());
}

#[test]
fn answered_sign_of_life_resets_the_misses() {
    let mut rig = Rig::ready();
    for _ in 0..3 {
        for _ in 1..SIGN_OF_LIFE_MISSES {
            assert_eq!(rig.wait(SIGN_OF_LIFE), action(Action::SignOfLife));
            assert_eq!(rig.lifecycle.poll_timeout(), None, "one question at a time");
            assert_eq!(rig.tell(Event::Silent), Output::default());
        }
        assert_eq!(rig.wait(SIGN_OF_LIFE), action(Action::SignOfLife));
        assert_eq!(rig.tell(Event::Alive), Output::default());
    }
    assert_eq!(rig.lifecycle.stage(), Stage::Ready);
}

#[test]
fn agent_that_misses_signs_of_life_is_lost_and_stopped() {
    let mut rig = Rig::ready();
    for _ in 1..SIGN_OF_LIFE_MISSES {
        let _ = rig.wait(SIGN_OF_LIFE);
        assert_eq!(rig.tell(Event::Silent), Output::default());
    }
    let _ = rig.wait(SIGN_OF_LIFE);
    let output = rig.tell(Event::Silent);
    assert_eq!((output.action, code(&output)), (Some(Action::Stop), Some(ErrorCode::AgentUnreachable)));
}

#[test]
fn agent_that_ends_by_itself_is_lost_or_failed() {
    let mut ready = Rig::ready();
    assert_eq!(code(&ready.tell(Event::Gone)), Some(ErrorCode::AgentCrashed));
    assert_eq!(ready.lifecycle.stage(), Stage::Gone);
    let mut probing = Rig::for_session();
    let _ = probing.tell(Event::Acquired(Source::Permit));
    let _ = probing.tell(Event::Spawned);
    assert_eq!(code(&probing.tell(Event::Gone)), Some(ErrorCode::SpawnFailed));
}

#[test]
fn pool_agent_never_claims_and_adopted_agent_is_probed() {
    let now = Instant::now();
    let (mut pooled, first) = Lifecycle::for_pool(SPAWN_TIMEOUT);
    assert_eq!((first, pooled.poll_timeout()), (action(Action::AcquirePermit), None), "nobody waits for it");
    let _ = pooled.handle(Event::Acquired(Source::Permit), now);
    assert_eq!(pooled.poll_timeout(), Some(now + SPAWN_TIMEOUT));
    let (mut adopted, first) = Lifecycle::adopted(SPAWN_TIMEOUT, now);
    assert_eq!(first, action(Action::Probe));
    assert_eq!(adopted.handle(Event::Healthy, now), change(Change::Ready));
    let (mut unwanted, first) = Lifecycle::unwanted(SPAWN_TIMEOUT, now);
    assert_eq!(first, action(Action::Stop));
    assert_eq!(unwanted.handle(Event::Gone, now), change(Change::Gone));
}

/// Inputs of every kind.
#[derive(Debug, Clone)]
enum Input {
    Event(Event),
    Wait(Duration),
    Stop,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let event = prop_oneof![
        Just(Event::Queued),
        Just(Event::Acquired(Source::Warm)),
        Just(Event::Acquired(Source::Permit)),
        Just(Event::Claimed),
        Just(Event::ClaimFailed),
        Just(Event::Spawned),
        Just(failed()),
        Just(Event::Healthy),
        Just(Event::Alive),
        Just(Event::Silent),
        Just(Event::Gone),
    ];
    let wait = (0..40_u64).prop_map(|seconds| Input::Wait(Duration::from_secs(seconds)));
    prop::collection::vec(
        prop_oneof![8 => event.prop_map(Input::Event), 2 => wait, 1 => Just(Input::Stop)],
        0..40,
    )
}

proptest! {
    /// Whatever the order of events: at most one stop, one end and nothing after the end, and no stop is left out of a
    /// state in which an agent runs.
    #[test]
    fn every_history_ends_once(inputs in inputs()) {
        let mut rig = Rig::for_session();
        let (mut stops, mut ends) = (0, 0);
        for input in inputs {
            let before = rig.lifecycle.stage();
            let output = match input {
                Input::Event(event) => rig.tell(event),
                Input::Wait(duration) => rig.wait(duration),
                Input::Stop => rig.lifecycle.stop(),
            };
            if before == Stage::Gone {
                prop_assert_eq!(&output, &Output::default());
            }
            stops += usize::from(output.action == Some(Action::Stop));
            let has_ended = before != Stage::Gone && rig.lifecycle.stage() == Stage::Gone;
            ends += usize::from(has_ended);
            prop_assert!(!has_ended || output.change.is_some(), "the owner learns of the end");
            prop_assert!(stops <= 1 && ends <= 1);
            if rig.lifecycle.stage() == Stage::Gone {
                prop_assert_eq!(rig.lifecycle.poll_timeout(), None);
            }
        }
        let _ = rig.lifecycle.stop();
        prop_assert!(matches!(rig.lifecycle.stage(), Stage::Stopping | Stage::Gone));
    }
}
