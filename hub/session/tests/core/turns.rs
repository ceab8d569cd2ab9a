//! Turns: their order, their ends and their messages.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::TurnId;
use mayfly_session::limits::QUEUE_MAX_TURNS;
use mayfly_session::{AgentEvent, Settings};

use crate::harness::{FINISH, HI, QUIET, Rig, SECOND};

fn truncated(rig: &mut Rig, turn: u32) {
    let event = AgentEvent::Failed { code: ErrorCode::AgentStreamTruncated, message: "cut off" };
    rig.agent(turn, event);
}

#[test]
fn turns_run_one_after_another() {
    let mut rig = Rig::active();
    rig.send(1, r#"{"type":"message","id":"m1","text":"one"}"#);
    rig.send(1, "two");
    rig.send(1, "three");
    assert_eq!(rig.commands(), ["start t1 one"]);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    assert_eq!(rig.commands(), ["start t2 two"]);
    rig.chunk(2, FINISH);
    assert_eq!(rig.commands(), ["start t3 three"]);
    assert_eq!(
        rig.received(1),
        [
            "#2 t1 accepted at 0 (m1): one",
            "#3 t2 accepted at 1: two",
            "#4 t3 accepted at 2: three",
            "#5 t1 text-delta hi",
            "#6 t1 done complete",
            "#7 t2 done complete",
        ]
    );
}

#[test]
fn full_queue_refuses_messages() {
    let mut rig = Rig::answering();
    for _ in 0..QUEUE_MAX_TURNS {
        rig.send(1, "more");
    }
    assert_eq!(rig.received(1).last().map(String::as_str), Some("#10 t9 accepted at 8: more"));
    rig.send(1, "too much");
    assert_eq!(
        rig.received(1),
        ["error quota.queue of the frame retryable after 1000 ms: too many messages are waiting"]
    );
    rig.chunk(1, FINISH);
    rig.send(1, "now there is room");
    assert_eq!(rig.received(1), ["#11 t1 done complete", "#12 t10 accepted at 8: now there is room"]);
}

#[test]
fn turn_ends_with_its_finish_reason() {
    let refused = "done error model.refused: the model refused to answer";
    let failed = "done error agent.failed: the model did not finish its answer";
    for (chunk, done) in [
        (r#"{"type":"finish"}"#, "done complete"),
        (r#"{"type":"finish","finishReason":null}"#, "done complete"),
        (r#"{"type":"finish","finishReason":"stop"}"#, "done complete"),
        (r#"{"type":"finish","finishReason":"tool-calls"}"#, "done complete"),
        (r#"{"type":"finish","finishReason":"length"}"#, "done length"),
        (r#"{"type":"finish","finishReason":"content-filter"}"#, refused),
        (r#"{"type":"finish","finishReason":"error"}"#, failed),
        (r#"{"type":"finish","finishReason":"other"}"#, failed),
        (r#"{"type":"finish","finishReason":"boredom"}"#, failed),
        (r#"{"type":"abort"}"#, "done stopped"),
        (r#"{"type":"error","errorText":"out of luck"}"#, "done error agent.failed: out of luck"),
        (r#"{"type":"error"}"#, "done error agent.failed: the agent failed"),
        (
            r#"{"type":"error","errorText":"later","code":"model.overloaded"}"#,
            "done error model.overloaded: later",
        ),
        (r#"{"type":"error","errorText":"no","code":"tool.timeout"}"#, "done error tool.timeout: no"),
        (r#"{"type":"error","errorText":"no","code":"session.ended"}"#, "done error agent.failed: no"),
        (r#"{"type":"error","errorText":"no","code":"model.bored"}"#, "done error agent.failed: no"),
        (r#"{"type":"error","errorText":"no","code":{"a":1}}"#, "done error agent.failed: no"),
    ] {
        let mut rig = Rig::answering();
        rig.chunk(1, chunk);
        assert_eq!(rig.received(1), [format!("#3 t1 {done}")], "{chunk}");
        assert_eq!((rig.commands(), rig.session.running_turn()), (vec![], None), "{chunk}");
    }
}

#[test]
fn protocol_violation_fails_the_turn() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.discard();
    rig.chunk(1, r#"{"type":"text-delta","seq":1}"#);
    rig.chunk(1, HI);
    assert_eq!(rig.commands(), ["cancel t1", "start t2 next"]);
    assert_eq!(
        rig.received(1),
        ["#4 t1 done error agent.protocol: the agent sent a key that is the hub's own"]
    );
}

#[test]
fn truncated_stream_fails_the_turn() {
    let mut rig = Rig::answering();
    rig.chunk(1, HI);
    truncated(&mut rig, 1);
    assert_eq!(rig.received(1), ["#3 t1 text-delta hi", "#4 t1 done error agent.stream_truncated: cut off"]);
    assert!(rig.commands().is_empty());
}

#[test]
fn events_of_other_turns_are_ignored() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.chunk(1, FINISH);
    rig.discard();
    rig.chunk(1, HI);
    rig.chunk(1, "not JSON");
    rig.chunk(1, FINISH);
    truncated(&mut rig, 1);
    rig.chunk(3, FINISH);
    assert_eq!((rig.received(1), rig.commands()), (vec![], vec![]));
    assert_eq!(rig.session.running_turn(), Some(TurnId(2)));
}

#[test]
fn last_answer_can_be_regenerated() {
    let again = r#"{"type":"regenerate"}"#;
    let mut rig = Rig::active();
    rig.send(1, again);
    assert_eq!(rig.received(1), ["error turn.not_found of the frame: there is no such turn"]);
    rig.send(1, "hello");
    rig.send(1, again);
    assert_eq!(
        rig.received(1),
        [
            "error turn.conflict of the frame: another turn runs or waits: stop it first",
            "#2 t1 accepted at 0: hello",
        ]
    );
    rig.chunk(1, FINISH);
    rig.send(1, again);
    rig.chunk(2, r#"{"type":"error"}"#);
    rig.send(1, again);
    assert_eq!(
        rig.received(1),
        [
            "#3 t1 done complete",
            "#4 t2 accepted at 0 for t1: hello",
            "#5 t2 done error agent.failed: the agent failed",
            "#6 t3 accepted at 0 for t2: hello",
        ]
    );
    assert_eq!(rig.commands(), ["start t1 hello", "start t2 for t1 hello", "start t3 for t2 hello"]);
}

#[test]
fn named_answer_is_regenerated_once() {
    let again = |turn: u32| format!(r#"{{"type":"regenerate","turn":"t{turn}"}}"#);
    let mut rig = Rig::answering();
    rig.chunk(1, FINISH);
    rig.send(1, &again(2));
    rig.send(1, &again(1));
    let unknown = "error turn.not_found of the frame: there is no such turn";
    assert_eq!(rig.received(1), [unknown, "#3 t1 done complete", "#4 t2 accepted at 0 for t1: hello"]);
    // Whether the new answer runs or is over.
    rig.send(1, &again(1));
    rig.chunk(2, FINISH);
    rig.send(1, &again(1));
    assert_eq!(rig.received(1), ["#5 t2 done complete"]);
    rig.send(1, &again(2));
    rig.chunk(3, FINISH);
    rig.send(1, &again(1));
    let late = "error turn.conflict of the frame: only the last answer can be replaced";
    assert_eq!(rig.received(1), [late, "#6 t3 accepted at 0 for t2: hello", "#7 t3 done complete"]);
}

#[test]
fn refusal_has_the_id_of_its_message() {
    let mut rig = Rig::active();
    let message = |id: &str, text: &str| format!(r#"{{"type":"message","id":"{id}","text":"{text}"}}"#);
    rig.send(1, &message("c0", " "));
    rig.send(1, &message("c1", "hello"));
    rig.send(1, &message("c1", "another"));
    for _ in 0..QUEUE_MAX_TURNS {
        rig.send(1, "more");
    }
    rig.send(1, &message("c2", "too much"));
    let refused = rig.received(1).into_iter().filter(|line| line.starts_with("error")).collect::<Vec<_>>();
    assert_eq!(
        refused,
        [
            "error proto.invalid of the frame about c0: text must not be empty",
            "error proto.invalid of the frame about c1: that id was given to another message: \
             each has one of its own",
            "error quota.queue of the frame about c2 retryable after 1000 ms: too many messages are waiting",
        ]
    );
}

#[test]
fn turn_done_has_times_and_usage() {
    let mut rig = Rig::active();
    rig.send(1, "hello");
    rig.send(1, "next");
    rig.advance(100 * Duration::from_millis(1));
    rig.chunk(1, r#"{"type":"start"}"#);
    rig.advance(210 * Duration::from_millis(1));
    rig.chunk(1, HI);
    rig.advance(SECOND);
    rig.chunk(1, HI);
    rig.received(1);
    rig.chunk(1, r#"{"type":"finish","messageMetadata":{"usage":{"totalTokens":12}}}"#);
    rig.advance(30 * Duration::from_millis(1));
    rig.chunk(2, r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{"}"#);
    rig.chunk(2, FINISH);
    let heard = rig.received(1);
    assert_eq!(heard[0], "#7 t1 done complete, first token after 310 of 1310 ms, 12 tokens");
    assert_eq!(heard[2], "#9 t2 done complete, first token after 30 of 30 ms");
}

#[test]
fn message_id_is_unique_in_the_session() {
    let mut rig = Rig::active();
    rig.send(1, r#"{"type":"message","id":"m","text":"mine"}"#);
    rig.attach(2);
    rig.discard();
    rig.received(2);
    rig.send(2, r#"{"type":"message","id":"m","text":"another's"}"#);
    let refused = "error proto.invalid of the frame about m: that id was given to another message: each has one of its own";
    assert_eq!(rig.received(2), [refused]);
    assert_eq!(rig.received(1), [""; 0]);
}

/// A driver may be this late after the machine was asleep.
#[test]
fn late_driver_pings_before_it_closes_a_socket() {
    let mut rig = Rig::active_with(Settings { heartbeat: Duration::from_secs(15), ..QUIET });
    for _ in 0..2 {
        rig.advance(Duration::from_secs(600));
        rig.advance(Duration::ZERO);
        assert_eq!(rig.received(1), ["ping"]);
    }
    rig.advance(Duration::from_secs(600));
    assert_eq!(rig.received(1), ["close 4002 heartbeat"]);
}
