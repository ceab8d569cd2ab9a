//! The journal of a session.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, Status, Step, TurnReason, Usage};
use mayfly_protocol::ids::TurnId;
use mayfly_session::lifecycle::LifecycleChange;
use mayfly_session::{Activity, JournalEntry, SessionSummary, Settings, TurnSummary};

use crate::harness::{FINISH, HI, QUIET, Rig};

const MILLISECOND: Duration = Duration::from_millis(1);

fn turn(number: u32, reason: TurnReason) -> TurnSummary {
    let turn = TurnId(number);
    TurnSummary { turn, reason, code: None, took: None, first_token: None, usage: None }
}

fn kept(record: TurnSummary) -> JournalEntry {
    JournalEntry::Turn(Box::new(record))
}

fn status(status: Status) -> JournalEntry {
    JournalEntry::Status(status)
}

#[test]
fn turn_is_journalled_with_times_and_usage() {
    let mut rig = Rig::answering();
    rig.advance(3 * MILLISECOND);
    rig.chunk(1, HI);
    rig.advance(4 * MILLISECOND);
    rig.chunk(1, r#"{"type":"finish","finishReason":"stop","messageMetadata":{"usage":{"totalTokens":9}}}"#);
    let usage = Some(Usage { total_tokens: Some(9), ..Usage::default() });
    let (took, first_token) = (Some(7 * MILLISECOND), Some(3 * MILLISECOND));
    assert_eq!(
        rig.journalled(),
        [kept(TurnSummary { took, first_token, usage, ..turn(1, TurnReason::Complete) })]
    );
}

#[test]
fn failed_turn_is_journalled_with_its_code() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.send(1, r#"{"type":"stop","turn":"t2"}"#);
    rig.advance(MILLISECOND);
    rig.chunk(1, r#"{"type":"nonsense"}"#);
    let (code, took) = (Some(ErrorCode::AgentProtocol), Some(MILLISECOND));
    let failed = TurnSummary { code, took, ..turn(1, TurnReason::Error) };
    assert_eq!(rig.journalled(), [kept(turn(2, TurnReason::Stopped)), kept(failed)]);
}

#[test]
fn states_and_summary_are_journalled() {
    let idle = Settings { idle_ttl: Duration::from_secs(60), activity: Activity::Message, ..QUIET };
    let mut rig = Rig::creating_with(idle);
    rig.lifecycle(LifecycleChange::Ready);
    rig.send(1, "hello");
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    rig.send(1, r#"{"type":"regenerate"}"#);
    rig.chunk(2, FINISH);
    let bytes = sum_of_frames(&mut rig);
    rig.journalled();

    rig.advance(Duration::from_secs(59));
    rig.send(1, "/extend");
    assert_eq!(rig.journalled(), [status(Status::Idle), status(Status::Active)]);
    let bytes = bytes + sum_of_frames(&mut rig);
    rig.send(1, "/bye");
    let ended = SessionSummary { reason: EndReason::Bye, code: None, turns: 2, messages: 1, bytes };
    assert_eq!(rig.journalled(), [status(Status::Terminating), JournalEntry::Ended(ended)]);
    rig.gone();
    assert_eq!(rig.journalled(), [status(Status::Terminated)]);
}

#[test]
fn steps_of_the_start_are_journalled() {
    let mut rig = Rig::creating();
    rig.lifecycle(LifecycleChange::Step(Step::Starting));
    rig.advance(2 * MILLISECOND);
    rig.lifecycle(LifecycleChange::Step(Step::Probing));
    rig.advance(5 * MILLISECOND);
    rig.lifecycle(LifecycleChange::Ready);
    let (starting, probing) = (
        JournalEntry::Step(Step::Starting, 2 * MILLISECOND),
        JournalEntry::Step(Step::Probing, 5 * MILLISECOND),
    );
    assert_eq!(rig.journalled(), [starting, probing, status(Status::Active)]);
}

#[test]
fn turns_of_a_lost_agent_are_journalled_before_the_end() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    let bytes = 0;
    rig.crash();
    let code = Some(ErrorCode::AgentCrashed);
    let lost = |number| TurnSummary { code, ..turn(number, TurnReason::Error) };
    let mut records = rig.journalled();
    let Some(JournalEntry::Ended(ended)) = records.get_mut(2) else { panic!("{records:?}") };
    assert!(std::mem::replace(&mut ended.bytes, bytes) > 0);
    let ended = SessionSummary { reason: EndReason::AgentLost, code, turns: 2, messages: 2, bytes };
    assert_eq!(
        records,
        [
            kept(TurnSummary { took: Some(Duration::ZERO), ..lost(1) }),
            kept(lost(2)),
            JournalEntry::Ended(ended),
            status(Status::Terminated)
        ]
    );
}

/// The bytes of all numbered frames that socket 1 can take.
fn sum_of_frames(rig: &mut Rig) -> u64 {
    rig.frames(1)
        .iter()
        .filter(|frame| frame.windows(6).any(|part| part == b"\"seq\":"))
        .map(|frame| frame.len() as u64)
        .sum()
}
