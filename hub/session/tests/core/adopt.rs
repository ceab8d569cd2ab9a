//! Sessions of another hub.

use std::time::Duration;

use mayfly_protocol::agent::{History, PastTurn};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::{Epoch, TurnId};
use mayfly_session::lifecycle::LifecycleChange;
use mayfly_session::limits::ADOPTION_GRACE_MIN;
use mayfly_session::{Adopted, AgentEvent, JournalEntry, Settings};
use mayfly_transcript::Fold;
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::harness::{EPOCH, FINISH, HI, NANOSECOND, QUIET, Rig};

const MINUTE: Duration = Duration::from_secs(60);

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("a chunk is JSON")
}

fn past(turn: u32, message_id: Option<&str>, chunks: &[&str], end: Option<&str>) -> PastTurn {
    PastTurn {
        turn: TurnId(turn),
        message: format!("message {turn}"),
        message_id: message_id.map(str::to_owned),
        replaces: None,
        chunks: chunks.iter().map(|chunk| raw(chunk)).collect(),
        end: end.map(raw),
    }
}

fn known(turns: Vec<PastTurn>) -> Adopted {
    Adopted {
        age: MINUTE,
        was_joined: true,
        history: Some(History { truncated: false, turns }),
        running: None,
    }
}

/// A session with one turn that is over and one that runs.
fn answering() -> Rig {
    let turns = vec![past(1, Some("c1"), &[HI], Some(FINISH)), past(2, Some("c2"), &[], None)];
    Rig::adopted(QUIET, Adopted { running: Some(TurnId(2)), ..known(turns) })
}

#[test]
fn adopted_transcript_has_another_epoch() {
    let mut rig = Rig::adopted(QUIET, known(vec![past(1, Some("c1"), &[HI], Some(FINISH))]));
    assert_eq!((rig.status(), rig.commands()), (Status::Active, vec![]));
    rig.resume(1, Epoch(1), 99);
    assert_eq!(rig.received(1), ["ready active, head 4", "snapshot epoch, 1-4"]);
    rig.resume(2, EPOCH, 1);
    assert_eq!(
        rig.received(2),
        [
            "ready active, head 4, resumed",
            "#2 t1 text-delta hi",
            "#3 t1 done complete",
            "#4 status active 60000 ms"
        ]
    );
}

#[test]
fn truncated_history_makes_a_truncated_snapshot() {
    let history = History { truncated: true, turns: vec![past(9, None, &[], Some(FINISH))] };
    let mut rig = Rig::adopted(QUIET, Adopted { history: Some(history), ..Adopted::default() });
    rig.attach(1);
    assert_eq!(rig.received(1), ["ready active, head 3", "snapshot new truncated, 1-3"]);
}

#[test]
fn finished_turns_are_not_journalled_again() {
    let mut rig = answering();
    assert_eq!(rig.journalled(), [JournalEntry::Status(Status::Active)]);
    rig.chunk(2, FINISH);
    let kept = rig.journalled();
    let [JournalEntry::Turn(turn)] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((turn.turn, turn.took, turn.first_token), (TurnId(2), None, None), "its begin is not known");
}

#[test]
fn running_turn_is_resumed_and_ends_once() {
    let mut rig = answering();
    assert_eq!(rig.commands(), ["resume t2"]);
    rig.resume(1, EPOCH, 5);
    rig.send(1, "next");
    rig.chunk(2, HI);
    rig.chunk(2, FINISH);
    assert_eq!(rig.commands(), ["start t3 next"]);
    assert_eq!(
        rig.received(1),
        [
            "ready active, head 5, resumed",
            "#6 t3 accepted at 1: next",
            "#7 t2 text-delta hi",
            "#8 t2 done complete"
        ]
    );
}

#[test]
fn turn_that_cannot_be_resumed_ends_with_an_error() {
    let mut rig = answering();
    let message = "it is not told again";
    rig.agent(2, AgentEvent::Failed { code: ErrorCode::AgentStreamTruncated, message });
    rig.resume(1, EPOCH, 5);
    let told = "#6 t2 done error agent.stream_truncated: it is not told again";
    assert_eq!(rig.received(1), ["ready active, head 6, resumed", told]);
}

#[test]
fn resent_message_keeps_its_turn_after_adoption() {
    let mut rig = answering();
    rig.commands();
    rig.attach(1);
    rig.received(1);
    for (id, text) in [("c1", "message 1"), ("c2", "message 2")] {
        rig.send(1, &format!(r#"{{"type":"message","id":"{id}","text":"{text}"}}"#));
    }
    assert_eq!(
        rig.received(1),
        ["#1 t1 accepted at 0 (c1): message 1", "#4 t2 accepted at 0 (c2): message 2"]
    );
    rig.send(1, r#"{"type":"message","id":"c3","text":"of the queue"}"#);
    rig.chunk(2, FINISH);
    assert_eq!(rig.commands(), ["start t3 of the queue"]);
}

#[test]
fn agent_without_history_gets_unused_turn_numbers() {
    let mut rig = Rig::adopted(QUIET, Adopted { age: MINUTE, ..Adopted::default() });
    rig.attach(1);
    assert_eq!(rig.received(1), ["ready active, head 1", "snapshot new truncated, 1-1"]);
    rig.send(1, r#"{"type":"regenerate"}"#);
    rig.send(1, "hello");
    assert_eq!(rig.commands(), ["start t60001 hello"]);
    let heard = rig.received(1);
    assert!(heard[0].starts_with("error turn.not_found"), "{heard:?}");
}

#[test]
fn agent_without_history_may_have_a_running_turn() {
    for (running, next) in [(3, 60_001), (70_000, 70_001)] {
        let adopted = Adopted { age: MINUTE, running: Some(TurnId(running)), ..Adopted::default() };
        let mut rig = Rig::adopted(QUIET, adopted);
        assert_eq!(rig.commands(), [format!("resume t{running}")]);
        rig.chunk(running, FINISH);
        rig.attach(1);
        rig.send(1, "hello");
        assert_eq!(rig.commands(), [format!("start t{next} hello")]);
    }
}

#[test]
fn impossible_turn_number_is_ignored() {
    let adopted = Adopted { running: Some(TurnId(u32::MAX)), ..known(vec![]) };
    let mut rig = Rig::adopted(QUIET, adopted);
    assert!(rig.commands().is_empty());
    rig.attach(1);
    rig.send(1, "hello");
    assert_eq!(rig.commands(), ["start t1 hello"]);
}

#[test]
fn adopted_session_has_a_grace() {
    for (grace, patience) in [(Duration::ZERO, ADOPTION_GRACE_MIN), (2 * MINUTE, 2 * MINUTE)] {
        let mut rig = Rig::adopted(Settings { grace, ..QUIET }, known(vec![]));
        rig.advance(patience - NANOSECOND);
        assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
        rig.commands();
        rig.advance(NANOSECOND);
        assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    }
}

#[test]
fn resumed_session_has_the_usual_grace() {
    let mut rig = Rig::adopted(QUIET, known(vec![]));
    rig.attach(1);
    rig.advance(ADOPTION_GRACE_MIN);
    assert_eq!(rig.status(), Status::Active);
    rig.lose(1);
    assert_eq!(rig.status(), Status::Terminating, "which is none here");
}

#[test]
fn session_begun_again_requests_an_agent_and_has_a_grace() {
    let mut rig = Rig::begun_again(QUIET, MINUTE);
    assert_eq!((rig.status(), rig.commands()), (Status::Creating, vec!["spawn".to_owned()]));
    rig.lifecycle(LifecycleChange::Ready);
    rig.advance(ADOPTION_GRACE_MIN - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Terminating);
    let mut rig = Rig::begun_again(Settings { max_ttl: 2 * MINUTE, ..QUIET }, MINUTE + MINUTE / 2);
    rig.lifecycle(LifecycleChange::Ready);
    rig.attach(1);
    rig.advance(MINUTE / 2);
    assert_eq!(rig.status(), Status::Terminating, "it is as old as it is");
}

#[test]
fn session_that_was_never_joined_has_no_grace() {
    let settings = Settings { idle_ttl: 3 * MINUTE, ..QUIET };
    let mut rig = Rig::adopted(settings, Adopted { was_joined: false, ..known(vec![]) });
    rig.advance(3 * MINUTE - NANOSECOND);
    assert_eq!(rig.status(), Status::Idle, "warned, and no more");
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Terminating, "for idleness");
    let mut rig = Rig::adopted(settings, Adopted { was_joined: false, ..known(vec![]) });
    rig.journalled();
    rig.attach(1);
    assert_eq!(rig.journalled(), [JournalEntry::Joined]);
    rig.lose(1);
    assert_eq!(rig.status(), Status::Terminating, "who had one has the usual grace");
}

#[test]
fn adopted_session_keeps_its_age() {
    let settings = Settings { max_ttl: 2 * MINUTE, ..QUIET };
    let mut rig = Rig::adopted(settings, known(vec![]));
    rig.attach(1);
    rig.advance(MINUTE - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Terminating);
    let mut rig =
        Rig::adopted(settings, Adopted { age: 3 * MINUTE, ..known(vec![past(1, None, &[HI], None)]) });
    rig.advance(Duration::ZERO);
    assert_eq!(
        (rig.status(), rig.commands()),
        (Status::Terminating, vec!["resume t1".to_owned(), "stop".to_owned()])
    );
}

#[test]
fn crash_of_an_adopted_agent_ends_its_session() {
    let mut rig = Rig::adopted(QUIET, known(vec![]));
    rig.attach(1);
    rig.crash();
    assert_eq!(rig.status(), Status::Terminated);
}

#[test]
fn invalid_history_is_ignored() {
    let long = "x".repeat(65);
    let turns = vec![
        past(2, Some(&long), &[HI], Some(FINISH)),
        past(2, None, &[HI], Some(FINISH)),
        past(1, None, &[HI], Some(FINISH)),
        past(3, Some(""), &[HI, r#"{"type":"text-delta","id":"a","delta":"b","seq":1}"#, HI], Some(FINISH)),
        past(4, None, &[HI, FINISH, HI], Some(FINISH)),
        past(5, None, &[], Some(HI)),
        past(6, None, &[HI], None),
        past(7, None, &[], Some(FINISH)),
    ];
    let mut rig = Rig::adopted(QUIET, Adopted { running: Some(TurnId(3)), ..known(turns) });
    assert_eq!(rig.commands(), [""; 0]);
    rig.resume(1, EPOCH, 0);
    let heard = rig.received(1);
    let of_turns: Vec<_> = heard.iter().filter(|line| line.contains(" t")).cloned().collect();
    let expected = [
        "#1 t2 accepted at 0: message 2",
        "#2 t2 text-delta hi",
        "#3 t2 done complete",
        "#4 t3 accepted at 0: message 3",
        "#5 t3 text-delta hi",
        "#6 t3 done error agent.protocol: the agent sent a key that is the hub's own",
        "#7 t4 accepted at 0: message 4",
        "#8 t4 text-delta hi",
        "#9 t4 done complete",
        "#10 t5 accepted at 0: message 5",
        "#11 t5 text-delta hi",
        "#12 t5 done error agent.protocol: the agent told a turn's end that is none",
        "#13 t6 accepted at 0: message 6",
        "#14 t6 done error agent.stream_truncated: the agent does not know how the turn ended",
        "#15 t7 accepted at 0: message 7",
        "#16 t7 done complete",
    ];
    assert_eq!(of_turns, expected);
    rig.send(1, "hello");
    assert_eq!(rig.commands(), ["start t8 hello"], "no cancel is waited for");
}

/// An answer, and how it ends.
fn answer() -> impl Strategy<Value = (Vec<String>, &'static str)> {
    let delta = ("[ab]", "[a-z]{0,3}")
        .prop_map(|(part, text)| format!(r#"{{"type":"text-delta","id":"{part}","delta":"{text}"}}"#));
    let chunk = prop_oneof![8 => delta, 1 => Just(r#"{"type":"start-step"}"#.to_owned())];
    let end = prop::sample::select(vec![
        FINISH,
        r#"{"type":"finish","finishReason":"length"}"#,
        r#"{"type":"abort"}"#,
        r#"{"type":"error","errorText":"no"}"#,
    ]);
    (prop::collection::vec(chunk, 0..20), end)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A client that comes back after the hub was lost has the same transcript as one that never left.
    #[test]
    fn adoption_keeps_the_transcript(
        answers in prop::collection::vec(answer(), 0..6),
        cut in 0..20_usize,
        is_running in any::<bool>(),
    ) {
        let mut before = Rig::active();
        before.attach(2);
        let mut history = Vec::new();
        let count = answers.len();
        for ((chunks, end), turn) in answers.iter().zip(1..) {
            let id = format!("c{turn}");
            before.send(1, &format!(r#"{{"type":"message","id":"{id}","text":"message {turn}"}}"#));
            let runs = is_running && turn as usize == count;
            let shown = if runs { cut.min(chunks.len()) } else { chunks.len() };
            chunks[..shown].iter().for_each(|chunk| before.chunk(turn, chunk));
            if !runs {
                before.chunk(turn, end);
            }
            let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
            let told = if runs { past(turn, Some(&id), &[], None) } else { past(turn, Some(&id), &chunks, Some(end)) };
            history.push(told);
        }
        let mut after = Rig::adopted(QUIET, known(history));
        after.resume(3, Epoch(1), 2);
        if let Some((chunks, _)) = answers.last().filter(|_| is_running) {
            let turn = u32::try_from(count).expect("few turns");
            chunks.iter().for_each(|chunk| after.chunk(turn, chunk));
            chunks.iter().skip(cut.min(chunks.len())).for_each(|chunk| before.chunk(turn, chunk));
        }
        let mut folds = [Fold::default(), Fold::default()];
        for (fold, (rig, socket)) in folds.iter_mut().zip([(&mut before, 2), (&mut after, 3)]) {
            for frame in rig.frames(socket) {
                fold.receive(&serde_json::from_slice(&frame).expect("a frame is JSON"));
            }
        }
        let [before, after] = folds;
        prop_assert_eq!(before.transcript.turns, after.transcript.turns);
        prop_assert!(!after.is_truncated);
    }
}
