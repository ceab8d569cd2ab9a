//! The grace after the last socket, and clients that resume.

use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::Epoch;
use mayfly_session::Settings;
use mayfly_session::limits::{LOG_MAX_BYTES, MESSAGE_IDS_MAX, RECENT_MAX_BYTES};

use crate::harness::{EPOCH, FINISH, FORGIVING, HI, MINUTE, NANOSECOND, NONE, Rig, SECOND};

#[test]
fn lost_socket_starts_the_grace() {
    let mut rig = Rig::active_with(FORGIVING);
    rig.lose(1);
    rig.advance(20 * SECOND - NANOSECOND);
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
    rig.resume(2, EPOCH, 1);
    assert_eq!(rig.received(2), ["ready active, head 1, resumed"]);
    rig.advance(10 * SECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.lose(2);
    rig.advance(20 * SECOND - NANOSECOND);
    assert_eq!((rig.status(), rig.commands()), (Status::Active, vec![]));
    rig.advance(NANOSECOND);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
}

#[test]
fn closed_socket_ends_the_session_without_grace() {
    let mut rig = Rig::answering_with(FORGIVING);
    rig.attach(2);
    rig.detach(1);
    assert_eq!(rig.status(), Status::Active);
    rig.detach(2);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn only_the_last_socket_starts_the_grace() {
    let mut rig = Rig::active_with(FORGIVING);
    rig.attach(2);
    rig.lose(1);
    rig.advance(25 * SECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.lose(2);
    rig.advance(20 * SECOND);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn socket_closed_by_the_hub_starts_the_grace() {
    let settings = Settings { heartbeat: 5 * SECOND, ..FORGIVING };
    let mut rig = Rig::active_with(settings);
    for _ in 0..3 {
        rig.advance(5 * SECOND);
    }
    assert_eq!(rig.received(1), ["close 4002 heartbeat"]);
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(20 * SECOND)));
    let mut rig = Rig::active_with(FORGIVING);
    (0..101).for_each(|_| rig.send_pong(1));
    assert_eq!(rig.received(1).last().unwrap(), "close 4005 quota.rate");
    assert_eq!(rig.status(), Status::Active);
    rig.advance(20 * SECOND);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn linger_lasts_while_a_turn_runs() {
    let settings = Settings { linger: MINUTE, ..FORGIVING };
    let mut rig = Rig::answering_with(settings);
    rig.lose(1);
    rig.advance(25 * SECOND);
    rig.chunk(1, HI);
    assert_eq!(rig.status(), Status::Active);
    rig.chunk(1, FINISH);
    assert_eq!(rig.status(), Status::Terminating);

    let mut rig = Rig::answering_with(settings);
    rig.lose(1);
    for _ in 0..3 {
        rig.advance(20 * SECOND);
        rig.chunk(1, HI);
        assert_eq!(rig.status(), Status::Active);
    }
    rig.advance(20 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Terminating);

    let mut rig = Rig::answering_with(settings);
    rig.lose(1);
    rig.chunk(1, FINISH);
    rig.advance(20 * SECOND);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn resume_replays_missing_frames() {
    let mut rig = Rig::answering_with(FORGIVING);
    rig.chunk(1, HI);
    assert_eq!(rig.received(1), ["#3 t1 text-delta hi"]);
    rig.lose(1);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    rig.resume(2, EPOCH, 3);
    assert_eq!(
        rig.received(2),
        ["ready active, head 5, resumed", "#4 t1 text-delta hi", "#5 t1 done complete"]
    );
}

#[test]
fn failed_resume_yields_a_snapshot() {
    let mut rig = Rig::answering();
    rig.resume(2, Epoch(8), 1);
    rig.resume(3, EPOCH, 3);
    rig.attach(4);
    rig.chunk(1, HI);
    for (socket, why) in [(2, "epoch"), (3, "gap"), (4, "new")] {
        assert_eq!(
            rig.received(socket),
            ["ready active, head 2", &format!("snapshot {why}, 1-2"), "#3 t1 text-delta hi"]
        );
    }
}

fn delta(bytes: usize) -> String {
    format!(r#"{{"type":"text-delta","id":"p","delta":"{}"}}"#, "x".repeat(bytes))
}

#[test]
fn old_frames_are_merged_and_then_forgotten() {
    let mut rig = Rig::answering();
    let count = (RECENT_MAX_BYTES / 1_000) as u64;
    for _ in 0..2 * count {
        rig.chunk(1, &delta(1_000));
        rig.received(1);
    }
    let head = 2 + 2 * count;
    rig.resume(2, EPOCH, 2);
    let heard = rig.received(2);
    assert_eq!(heard[0], format!("ready active, head {head}, resumed"));
    assert!(heard[1].starts_with("#3-10 t1 text-delta xxx"), "{}", &heard[1][..20]);
    assert!(heard.last().unwrap().starts_with(&format!("#{head} t1 text-delta")));
    rig.resume(3, EPOCH, 4);
    assert_eq!(rig.received(3)[1], format!("snapshot gap, 1-{head}"));

    for _ in 0..LOG_MAX_BYTES / 1_000 {
        rig.chunk(1, &delta(1_000));
        rig.received(1);
        rig.received(2);
    }
    rig.resume(4, EPOCH, 2);
    let heard = rig.received(4);
    assert!(heard[1].starts_with("snapshot gone truncated, "), "{}", heard[1]);
}

#[test]
fn lagging_socket_receives_merged_deltas() {
    let mut rig = Rig::answering();
    rig.attach(2);
    rig.chunk(1, &delta(1));
    assert_eq!(rig.received(2).last().unwrap(), "#3 t1 text-delta x");
    for _ in 0..2 * RECENT_MAX_BYTES / 1_000 {
        rig.chunk(1, &delta(1_000));
        rig.received(1);
    }
    let heard = rig.received(2);
    assert!(heard[0].starts_with("#4-11 t1 text-delta xxx"), "{}", &heard[0][..20]);
}

#[test]
fn resent_message_is_accepted_once() {
    let message = r#"{"type":"message","id":"m1","text":"hello"}"#;
    let mut rig = Rig::active_with(FORGIVING);
    rig.send(1, message);
    rig.send(1, message);
    assert_eq!(rig.received(1), ["#2 t1 accepted at 0 (m1): hello"]);
    rig.send(1, message);
    assert_eq!(rig.received(1), ["#2 t1 accepted at 0 (m1): hello"]);
    rig.lose(1);
    rig.resume(2, EPOCH, 1);
    rig.send(2, message);
    assert_eq!(rig.received(2), ["ready active, head 2, resumed", "#2 t1 accepted at 0 (m1): hello"]);
    assert_eq!(rig.commands(), ["start t1 hello"]);
    rig.chunk(1, FINISH);
    rig.send(2, message);
    assert_eq!(rig.received(2)[0], "#2 t1 accepted at 0 (m1): hello");
    assert!(rig.commands().is_empty());
}

#[test]
fn message_ids_are_bounded() {
    let mut rig = Rig::active();
    for message in 0..=MESSAGE_IDS_MAX {
        rig.send(1, &format!(r#"{{"type":"message","id":"m{message}","text":"hello"}}"#));
        rig.chunk(message as u32 + 1, FINISH);
        rig.advance(SECOND);
        rig.discard();
    }
    rig.send(1, r#"{"type":"message","id":"m1","text":"hello"}"#);
    assert_eq!(rig.commands(), NONE);
    rig.send(1, r#"{"type":"message","id":"m0","text":"hello"}"#);
    assert_eq!(rig.commands().len(), 1);
}
