//! The rules of a session, one by one, with invented time.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Status, Step};
use mayfly_protocol::ids::TurnId;
use mayfly_session::limits::{CANCEL_GRACE, DIRECT_MAX_FRAMES, LOG_MAX_BYTES, QUEUE_MAX_TURNS};
use mayfly_session::{AgentEvent, Attach, Command, Fate, PlatformEvent, SocketId};

use crate::harness::{NANOSECOND, Rig, SPAWN_TIMEOUT};

pub(crate) const HI: &str = r#"{"type":"text-delta","delta":"hi"}"#;
pub(crate) const FINISH: &str = r#"{"type":"finish","finishReason":"stop"}"#;
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

fn truncated(rig: &mut Rig, turn: u32) {
    let event = AgentEvent::Failed { code: ErrorCode::AgentStreamTruncated, message: "cut off" };
    rig.agent(turn, event);
}

// The start

#[test]
fn a_session_asks_for_its_agent_at_once_and_only_once() {
    let mut rig = Rig::new();
    assert_eq!(rig.does(), ["spawn"]);
    assert_eq!(rig.session.id().to_string(), format!("s_{:032x}", 7));
    rig.session.handle_attach(SocketId(1), Attach::Create, rig.now);
    assert_eq!(rig.hears(1), ["ready creating, head 0, token"]);
    rig.platform(PlatformEvent::Ready);
    assert!(rig.does().is_empty());
}

#[test]
fn the_steps_of_a_start_are_told_with_their_time() {
    let mut rig = Rig::creating();
    rig.wait(Duration::from_millis(3));
    rig.platform(PlatformEvent::Step(Step::Starting));
    rig.platform(PlatformEvent::Step(Step::Probing));
    rig.says(1, "/status");
    rig.wait(Duration::from_millis(4));
    rig.platform(PlatformEvent::Ready);
    assert_eq!(
        rig.hears(1),
        [
            "status creating probing 3 ms, 0 queued",
            "#1 status creating starting 3 ms",
            "#2 status creating probing 3 ms",
            "#3 status active 7 ms",
        ]
    );
}

#[test]
fn a_message_while_creating_waits_and_starts_when_the_agent_is_ready() {
    let mut rig = Rig::creating();
    rig.says(1, "hello");
    assert!(rig.does().is_empty());
    assert_eq!(rig.hears(1), ["#1 t1 accepted at 0: hello"]);
    rig.platform(PlatformEvent::Ready);
    assert_eq!(rig.does(), ["start t1 hello"]);
    assert_eq!(rig.session.running_turn(), Some(TurnId(1)));
}

#[test]
fn the_agent_has_until_the_spawn_timeout_and_no_longer() {
    let mut rig = Rig::creating();
    assert_eq!(rig.due(), Some(SPAWN_TIMEOUT));
    rig.wait(SPAWN_TIMEOUT - NANOSECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Creating, vec![]));
    rig.wait(NANOSECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.due(), None);
    assert_eq!(
        rig.hears(1),
        [
            "error spawn.timeout of the session: the agent did not become healthy in time",
            "ended spawn_failed",
            "close 4508 spawn.timeout",
        ]
    );
}

#[test]
fn an_agent_whose_start_waits_for_its_turn_has_the_whole_time_when_it_is_there() {
    let mut rig = Rig::creating();
    rig.platform(PlatformEvent::Step(Step::Queued));
    rig.wait(SPAWN_TIMEOUT - NANOSECOND);
    rig.platform(PlatformEvent::Step(Step::Starting));
    assert_eq!(rig.due(), Some(SPAWN_TIMEOUT));
    rig.platform(PlatformEvent::Step(Step::Probing));
    assert_eq!(rig.due(), Some(SPAWN_TIMEOUT), "only the wait is given back");
    let mut rig = Rig::creating();
    rig.platform(PlatformEvent::Step(Step::Queued));
    rig.wait(SPAWN_TIMEOUT);
    assert_eq!(rig.status(), Status::Terminating, "nobody waits for ever");
}

#[test]
fn an_agent_that_cannot_be_started_leaves_nothing_to_stop() {
    let failed = |code, message: &str| PlatformEvent::Failed { code, message: message.to_owned() };
    for (event, code, message) in [
        (failed(ErrorCode::SpawnImage, "no such image"), "spawn.image", "no such image"),
        (failed(ErrorCode::SpawnFailed, "no room"), "spawn.failed", "no room"),
        (PlatformEvent::Gone, "spawn.failed", "the agent ended before it was ready"),
    ] {
        let mut rig = Rig::creating();
        rig.says(1, "hello");
        rig.platform(event);
        assert_eq!((rig.status(), rig.does(), rig.due()), (Status::Terminated, vec![], None));
        assert_eq!(
            rig.hears(1),
            [
                "#1 t1 accepted at 0: hello".to_owned(),
                format!("#2 t1 done error {code}: {message}"),
                format!("error {code} of the session: {message}"),
                "ended spawn_failed".to_owned(),
                format!("close 4508 {code}"),
            ]
        );
    }
}

#[test]
fn a_stop_while_the_agent_is_started_waits_until_nothing_of_it_is_left() {
    for last in [
        PlatformEvent::Gone,
        PlatformEvent::Failed { code: ErrorCode::SpawnFailed, message: "stopped".to_owned() },
    ] {
        let mut rig = Rig::creating();
        rig.detach(1);
        assert_eq!(rig.does(), ["stop"]);
        rig.platform(PlatformEvent::Step(Step::Probing));
        rig.platform(PlatformEvent::Ready);
        assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec![]));
        rig.platform(last);
        assert_eq!((rig.status(), rig.does()), (Status::Terminated, vec![]));
    }
}

// Turns

#[test]
fn one_turn_runs_and_the_others_wait_in_order() {
    let mut rig = Rig::active();
    rig.says(1, r#"{"type":"message","id":"m1","text":"one"}"#);
    rig.says(1, "two");
    rig.says(1, "three");
    assert_eq!(rig.does(), ["start t1 one"]);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    assert_eq!(rig.does(), ["start t2 two"]);
    rig.chunk(2, FINISH);
    assert_eq!(rig.does(), ["start t3 three"]);
    assert_eq!(
        rig.hears(1),
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
fn a_full_queue_refuses_with_a_time_to_try_again() {
    let mut rig = Rig::answering();
    for _ in 0..QUEUE_MAX_TURNS {
        rig.says(1, "more");
    }
    assert_eq!(rig.hears(1).last().map(String::as_str), Some("#10 t9 accepted at 8: more"));
    rig.says(1, "too much");
    assert_eq!(
        rig.hears(1),
        ["error quota.queue of the frame retryable after 1000 ms: too many messages are waiting"]
    );
    rig.chunk(1, FINISH);
    rig.says(1, "now there is room");
    assert_eq!(rig.hears(1), ["#11 t1 done complete", "#12 t10 accepted at 8: now there is room"]);
}

#[test]
fn a_turn_ends_as_its_finish_reason_says() {
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
        assert_eq!(rig.hears(1), [format!("#3 t1 {done}")], "{chunk}");
        assert_eq!((rig.does(), rig.session.running_turn()), (vec![], None), "{chunk}");
    }
}

#[test]
fn an_agent_that_breaks_the_protocol_loses_its_turn_and_the_next_one_starts() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.forget();
    rig.chunk(1, r#"{"type":"text-delta","seq":1}"#);
    rig.chunk(1, HI);
    assert_eq!(rig.does(), ["cancel t1", "start t2 next"]);
    assert_eq!(rig.hears(1), ["#4 t1 done error agent.protocol: the agent sent a key that is the hub's own"]);
}

#[test]
fn a_stream_that_ends_early_is_an_error() {
    let mut rig = Rig::answering();
    rig.chunk(1, HI);
    truncated(&mut rig, 1);
    assert_eq!(rig.hears(1), ["#3 t1 text-delta hi", "#4 t1 done error agent.stream_truncated: cut off"]);
    assert!(rig.does().is_empty());
}

#[test]
fn what_comes_for_a_turn_that_does_not_run_is_ignored() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.chunk(1, FINISH);
    rig.forget();
    rig.chunk(1, HI);
    rig.chunk(1, "not JSON");
    rig.chunk(1, FINISH);
    truncated(&mut rig, 1);
    rig.chunk(3, FINISH);
    assert_eq!((rig.hears(1), rig.does()), (vec![], vec![]));
    assert_eq!(rig.session.running_turn(), Some(TurnId(2)));
}

// Stops

#[test]
fn a_stop_asks_the_agent_and_asking_again_changes_nothing() {
    let mut rig = Rig::answering();
    rig.says(1, "/stop");
    let due = rig.due();
    rig.now += NANOSECOND;
    rig.says(1, "/stop");
    rig.says(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!(rig.does(), ["cancel t1"]);
    assert_eq!(rig.due().map(|left| left + NANOSECOND), due);
    rig.chunk(1, r#"{"type":"abort"}"#);
    rig.says(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!((rig.hears(1), rig.does()), (vec!["#3 t1 done stopped".to_owned()], vec![]));
}

#[test]
fn a_stop_that_the_agent_ignores_is_carried_out_after_its_grace() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.says(1, "/stop");
    rig.forget();
    assert_eq!(rig.due(), Some(CANCEL_GRACE));
    rig.wait(CANCEL_GRACE - NANOSECOND);
    rig.chunk(1, HI);
    assert_eq!((rig.hears(1), rig.does()), (vec!["#4 t1 text-delta hi".to_owned()], vec![]));
    rig.wait(NANOSECOND);
    assert_eq!(rig.hears(1), ["#5 t1 done stopped, first token after 1999 of 2000 ms"]);
    assert_eq!(rig.does(), ["start t2 next"]);
    assert_eq!(rig.due(), Some(SIGN_OF_LIFE - CANCEL_GRACE));
}

#[test]
fn a_turn_that_fails_while_it_is_stopped_counts_as_stopped() {
    let fails: [fn(&mut Rig); 4] = [
        |rig| truncated(rig, 1),
        |rig| rig.chunk(1, r#"{"type":"error","errorText":"I was interrupted"}"#),
        |rig| rig.chunk(1, r#"{"type":"finish","finishReason":"error"}"#),
        |rig| rig.chunk(1, "not JSON"),
    ];
    for fail in fails {
        let mut rig = Rig::answering();
        rig.says(1, "/stop");
        fail(&mut rig);
        assert_eq!(rig.hears(1), ["#3 t1 done stopped"]);
        assert_eq!(rig.due(), Some(SIGN_OF_LIFE));
    }
}

#[test]
fn an_answer_that_is_complete_before_its_stop_arrives_counts_as_complete() {
    let mut rig = Rig::answering();
    rig.says(1, "/stop");
    rig.chunk(1, FINISH);
    assert_eq!(rig.hears(1), ["#3 t1 done complete"]);
}

#[test]
fn a_waiting_turn_is_stopped_without_the_agent() {
    let mut rig = Rig::answering();
    rig.says(1, "two");
    rig.says(1, "three");
    rig.forget();
    rig.says(1, r#"{"type":"stop","turn":"t2"}"#);
    assert_eq!((rig.hears(1), rig.does()), (vec!["#5 t2 done stopped".to_owned()], vec![]));
    rig.chunk(1, FINISH);
    assert_eq!(rig.does(), ["start t3 three"]);
}

#[test]
fn a_stop_before_the_agent_is_there_takes_the_next_turn() {
    let mut rig = Rig::creating();
    rig.says(1, "one");
    rig.says(1, "two");
    rig.says(1, "/stop");
    assert_eq!(rig.hears(1).last().map(String::as_str), Some("#3 t1 done stopped"));
    rig.platform(PlatformEvent::Ready);
    assert_eq!(rig.does(), ["start t2 two"]);
}

#[test]
fn a_stop_of_what_never_was_is_refused() {
    let mut rig = Rig::active();
    let refusal = "error turn.not_found of the frame: there is no such turn";
    rig.says(1, "/stop");
    rig.says(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!(rig.hears(1), [refusal, refusal]);
    rig.says(1, "hello");
    rig.says(1, r#"{"type":"stop","turn":"t2"}"#);
    assert_eq!(rig.hears(1), [refusal, "#2 t1 accepted at 0: hello"]);
}

// Signs of life

#[test]
fn a_sign_of_life_is_asked_for_every_30_seconds() {
    let mut rig = Rig::active();
    for _ in 0..3 {
        assert_eq!(rig.due(), Some(SIGN_OF_LIFE));
        rig.wait(SIGN_OF_LIFE - NANOSECOND);
        assert!(rig.does().is_empty());
        rig.wait(NANOSECOND);
        assert_eq!((rig.does(), rig.due()), (vec!["sign of life".to_owned()], None));
        rig.platform(PlatformEvent::Alive);
    }
}

#[test]
fn two_missed_signs_of_life_in_a_row_lose_the_agent_and_one_does_not() {
    let mut rig = Rig::active();
    for event in [PlatformEvent::Silent, PlatformEvent::Alive, PlatformEvent::Silent] {
        rig.wait(SIGN_OF_LIFE);
        assert_eq!(rig.does(), ["sign of life"]);
        rig.platform(event);
        assert_eq!((rig.status(), rig.due()), (Status::Active, Some(SIGN_OF_LIFE)));
    }
    rig.wait(SIGN_OF_LIFE);
    rig.says(1, "hello");
    rig.forget();
    rig.platform(PlatformEvent::Silent);
    assert_eq!((rig.does(), rig.due()), (vec!["stop".to_owned()], None));
    assert_eq!(
        rig.hears(1),
        [
            "#3 t1 done error agent.unreachable: the agent does not answer",
            "error agent.unreachable of the session: the agent does not answer",
            "ended agent_lost",
            "close 4509 agent.unreachable",
        ]
    );
    rig.platform(PlatformEvent::Gone);
    assert_eq!(rig.status(), Status::Terminated);
}

// Ends

#[test]
fn every_open_turn_is_done_once_when_the_agent_dies() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.forget();
    rig.platform(PlatformEvent::Gone);
    assert_eq!((rig.status(), rig.does(), rig.due()), (Status::Terminated, vec![], None));
    rig.chunk(1, FINISH);
    assert_eq!(
        rig.hears(1),
        [
            "#4 t1 done error agent.crashed: the agent ended unexpectedly",
            "#5 t2 done error agent.crashed: the agent ended unexpectedly",
            "error agent.crashed of the session: the agent ended unexpectedly",
            "ended agent_lost",
            "close 4509 agent.crashed",
        ]
    );
}

#[test]
fn every_open_turn_expires_once_when_a_client_says_bye() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.forget();
    rig.says(1, "/bye");
    assert!(rig.is_closed(1));
    rig.says(1, "one more");
    rig.says(1, "/bye");
    assert_eq!(rig.does(), ["stop"]);
    let expected = ["#4 t1 done expired", "#5 t2 done expired", "ended bye", "close 1000 bye"];
    assert_eq!(rig.hears(1), expected);
    assert!(!rig.is_closed(1));
    rig.chunk(1, FINISH);
    rig.platform(PlatformEvent::Gone);
    assert_eq!((rig.status(), rig.does()), (Status::Terminated, vec![]));
}

#[test]
fn a_hub_that_shuts_down_ends_the_session_in_every_state() {
    for mut rig in [Rig::creating(), Rig::active()] {
        assert!(!rig.is_closed(1));
        rig.session.handle_shutdown(Fate::Ends, rig.now);
        rig.session.handle_shutdown(Fate::Ends, rig.now);
        assert_eq!(
            (rig.status(), rig.does(), rig.due()),
            (Status::Terminating, vec!["stop".to_owned()], None)
        );
        assert_eq!(rig.hears(1), ["ended drained", "close 4501 session.ended"]);
        rig.platform(PlatformEvent::Gone);
        rig.session.handle_shutdown(Fate::Ends, rig.now);
        assert_eq!((rig.status(), rig.does()), (Status::Terminated, vec![]));
    }
}

#[test]
fn the_last_socket_takes_the_session_with_it() {
    let mut rig = Rig::answering();
    rig.attach(2);
    rig.detach(1);
    assert_eq!((rig.status(), rig.does()), (Status::Active, vec![]));
    rig.detach(2);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
}

#[test]
fn who_comes_after_the_end_is_told_so() {
    let mut rig = Rig::active();
    rig.says(1, "/bye");
    for status in [Status::Terminating, Status::Terminated] {
        assert_eq!(rig.status(), status);
        rig.attach(2);
        rig.says(2, "hello");
        assert!(rig.is_closed(2));
        assert_eq!(
            rig.hears(2),
            ["error session.ended of the session: the session has ended", "close 4501 session.ended"]
        );
        rig.platform(PlatformEvent::Gone);
    }
}

// Sockets

#[test]
fn a_late_socket_gets_all_that_is_kept_and_the_rest_as_it_comes() {
    let mut rig = Rig::answering();
    rig.chunk(1, HI);
    rig.attach(2);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    assert_eq!(
        rig.hears(2),
        ["ready active, head 3", "snapshot new, 1-3", "#4 t1 text-delta hi", "#5 t1 done complete"]
    );
    assert_eq!(rig.hears(1), ["#3 t1 text-delta hi", "#4 t1 text-delta hi", "#5 t1 done complete"]);
}

#[test]
fn answers_are_for_the_one_who_asked_and_no_part_of_the_record() {
    let mut rig = Rig::answering();
    rig.attach(2);
    rig.says(1, "next");
    rig.says(2, "/status");
    rig.says(2, "/help");
    rig.says(2, "/dance");
    assert_eq!(
        rig.hears(2),
        [
            "ready active, head 2",
            "snapshot new, 1-2",
            "status active 0 ms, t1 runs, 1 queued",
            "help with 5 commands",
            "error proto.unknown_type of the frame: unknown command; try /stop /extend /status /help /bye",
            "#3 t2 accepted at 1: next",
        ]
    );
    assert_eq!(rig.hears(1), ["#3 t2 accepted at 1: next"]);
}

#[test]
fn a_socket_that_the_session_does_not_know_is_ignored() {
    let mut rig = Rig::active();
    for line in ["hello", "/stop", "/status", "/bye", "{"] {
        rig.says(9, line);
    }
    assert_eq!((rig.status(), rig.does(), rig.hears(9)), (Status::Active, vec![], vec![]));
    rig.says(1, "/status");
    assert_eq!(rig.hears(1), ["status active 0 ms, 0 queued"]);
}

#[test]
fn a_slow_socket_is_closed_and_the_others_see_every_frame() {
    let mut rig = Rig::answering();
    rig.attach(2);
    let big = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(9_800));
    let fit = LOG_MAX_BYTES / 9_980;
    for _ in 0..fit {
        rig.chunk(1, &big);
        assert_eq!(rig.hears(1).len(), 1);
    }
    assert!(!rig.is_closed(2));
    rig.chunk(1, &big);
    assert!(rig.is_closed(2));
    rig.says(2, "/bye");
    assert_eq!(rig.hears(2), ["close 4001 quota.slow"]);
    rig.chunk(1, FINISH);
    assert_eq!(rig.hears(1).last(), Some(&format!("#{} t1 done complete", fit + 4)));
    assert_eq!((rig.status(), rig.does()), (Status::Active, vec![]));
}

#[test]
fn a_session_whose_only_socket_is_too_slow_ends() {
    let mut rig = Rig::answering();
    let big = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(LOG_MAX_BYTES / 2));
    rig.chunk(1, &big);
    rig.chunk(1, &big);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.hears(1), ["close 4001 quota.slow"]);
}

#[test]
fn a_flood_of_questions_closes_the_socket_that_does_not_read_the_answers() {
    let mut rig = Rig::active();
    rig.attach(2);
    for _ in 0..DIRECT_MAX_FRAMES {
        rig.says(1, "/help");
    }
    assert!(!rig.is_closed(1));
    rig.says(1, "/help");
    assert_eq!(rig.hears(1), ["close 4001 quota.slow"]);
    assert_eq!(rig.status(), Status::Active);
    rig.hears(2);
    for _ in 0..=DIRECT_MAX_FRAMES {
        rig.says(2, "/help");
    }
    assert_eq!((rig.hears(2), rig.status()), (vec!["close 4001 quota.slow".to_owned()], Status::Terminating));
}

/// Otherwise it would be refused by an agent that has not ended the turn before.
#[test]
fn no_turn_is_asked_for_before_the_agent_has_ended_the_last() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.chunk(1, "{}");
    let commands: Vec<_> = std::iter::from_fn(|| rig.session.poll_command()).collect();
    assert_eq!(commands[0], Command::CancelTurn { turn: TurnId(1) });
    assert!(!commands.iter().any(|command| matches!(command, Command::StartTurn { .. })), "{commands:?}");
    assert_eq!(rig.session.running_turn(), None);
    rig.session.handle_cancelled(rig.now);
    assert_eq!(rig.does(), ["start t2 next"]);
}
