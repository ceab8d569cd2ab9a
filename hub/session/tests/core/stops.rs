//! Stops of turns.

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Status;
use mayfly_session::AgentEvent;
use mayfly_session::lifecycle::LifecycleChange;
use mayfly_session::limits::{AGENT_SILENCE_MAX, CANCEL_GRACE};

use crate::harness::{BY_MESSAGE, FINISH, HI, NANOSECOND, Rig, SECOND};

fn truncated(rig: &mut Rig, turn: u32) {
    let event = AgentEvent::Failed { code: ErrorCode::AgentStreamTruncated, message: "cut off" };
    rig.agent(turn, event);
}

#[test]
fn stop_is_idempotent() {
    let mut rig = Rig::answering();
    rig.send(1, "/stop");
    let due = rig.due();
    rig.now += NANOSECOND;
    rig.send(1, "/stop");
    rig.send(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!(rig.commands(), ["cancel t1"]);
    assert_eq!(rig.due().map(|left| left + NANOSECOND), due);
    rig.chunk(1, r#"{"type":"abort"}"#);
    rig.send(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!((rig.received(1), rig.commands()), (vec!["#3 t1 done stopped".to_owned()], vec![]));
}

#[test]
fn ignored_stop_ends_the_turn_after_the_grace() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.send(1, "/stop");
    rig.discard();
    assert_eq!(rig.due(), Some(CANCEL_GRACE));
    rig.advance(CANCEL_GRACE - NANOSECOND);
    rig.chunk(1, HI);
    assert_eq!((rig.received(1), rig.commands()), (vec!["#4 t1 text-delta hi".to_owned()], vec![]));
    rig.advance(NANOSECOND);
    assert_eq!(rig.received(1), ["#5 t1 done stopped, first token after 1999 of 2000 ms"]);
    assert_eq!(rig.commands(), ["start t2 next"]);
    assert_eq!(rig.due(), Some(AGENT_SILENCE_MAX));
}

#[test]
fn failure_during_a_stop_counts_as_stopped() {
    let fails: [fn(&mut Rig); 4] = [
        |rig| truncated(rig, 1),
        |rig| rig.chunk(1, r#"{"type":"error","errorText":"I was interrupted"}"#),
        |rig| rig.chunk(1, r#"{"type":"finish","finishReason":"error"}"#),
        |rig| rig.chunk(1, "not JSON"),
    ];
    for fail in fails {
        let mut rig = Rig::answering();
        rig.send(1, "/stop");
        fail(&mut rig);
        assert_eq!(rig.received(1), ["#3 t1 done stopped"]);
        assert_eq!(rig.due(), None);
    }
}

#[test]
fn complete_answer_stays_complete_despite_a_stop() {
    let mut rig = Rig::answering();
    rig.send(1, "/stop");
    rig.chunk(1, FINISH);
    assert_eq!(rig.received(1), ["#3 t1 done complete"]);
}

#[test]
fn queued_turn_is_stopped_without_the_agent() {
    let mut rig = Rig::answering();
    rig.send(1, "two");
    rig.send(1, "three");
    rig.discard();
    rig.send(1, r#"{"type":"stop","turn":"t2"}"#);
    assert_eq!((rig.received(1), rig.commands()), (vec!["#5 t2 done stopped".to_owned()], vec![]));
    rig.chunk(1, FINISH);
    assert_eq!(rig.commands(), ["start t3 three"]);
}

#[test]
fn stop_during_the_start_takes_the_next_turn() {
    let mut rig = Rig::creating();
    rig.send(1, "one");
    rig.send(1, "two");
    rig.send(1, "/stop");
    assert_eq!(rig.received(1).last().map(String::as_str), Some("#3 t1 done stopped"));
    rig.lifecycle(LifecycleChange::Ready);
    assert_eq!(rig.commands(), ["start t2 two"]);
}

#[test]
fn stop_of_an_unknown_turn_is_refused() {
    let mut rig = Rig::active();
    let refusal = "error turn.not_found of the frame: there is no such turn";
    rig.send(1, "/stop");
    rig.send(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!(rig.received(1), [refusal, refusal]);
    rig.send(1, "hello");
    rig.send(1, r#"{"type":"stop","turn":"t2"}"#);
    assert_eq!(rig.received(1), [refusal, "#2 t1 accepted at 0: hello"]);
}

#[test]
fn session_is_idle_once_its_last_queued_turn_was_stopped() {
    let mut rig = Rig::answering_with(BY_MESSAGE);
    rig.send(1, "next");
    // The first turn fails, and the agent has not answered its cancel.
    rig.chunk(1, "{}");
    rig.send(1, r#"{"type":"stop","turn":"t2"}"#);
    rig.advance(50 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
}
