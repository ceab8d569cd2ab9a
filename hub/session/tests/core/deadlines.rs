//! The idle and max clocks and their warnings, to the nanosecond.

use std::time::Duration;

use mayfly_protocol::hub::Status;
use mayfly_session::lifecycle::LifecycleChange;
use mayfly_session::{Activity, AgentEvent, Settings};

use crate::harness::{BY_MESSAGE, FINISH, HI, MINUTE, NANOSECOND, QUIET, Rig, SECOND};

#[test]
fn idle_session_is_warned_and_ends() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.advance(50 * SECOND - NANOSECOND);
    rig.send_pong(1);
    rig.discard();
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
    assert_eq!(rig.received(1), ["expiring idle in 10000 ms, unless extended", "#2 status idle 50000 ms"]);
    rig.advance(10 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
    rig.commands();
    rig.advance(NANOSECOND);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.received(1), ["ended idle", "close 4500 session.expired"]);
    rig.attach(2);
    assert_eq!(
        rig.received(2),
        ["error session.expired of the session: the session's time is up", "close 4500 session.expired"]
    );
}

#[test]
fn activity_takes_back_the_warning() {
    for line in ["hello", "/extend", "/stop", r#"{"type":"regenerate"}"#] {
        let mut rig = Rig::active_with(BY_MESSAGE);
        rig.advance(55 * SECOND);
        rig.discard();
        assert_eq!(rig.status(), Status::Idle);
        rig.send(1, line);
        assert_eq!(rig.status(), Status::Active, "{line}");
        let heard = rig.received(1);
        let extended = heard.iter().filter(|line| line.starts_with("extended idle 60000 ms, max ")).count();
        assert_eq!(extended, 1, "{line}: {heard:?}");
        assert!(heard.contains(&"#3 status active 55000 ms".to_owned()), "{line}: {heard:?}");
        if line == "hello" {
            rig.chunk(1, FINISH);
        }
        rig.discard();
        rig.advance(50 * SECOND - NANOSECOND);
        assert_eq!(rig.status(), Status::Active, "{line}");
        rig.advance(NANOSECOND);
        assert_eq!(rig.status(), Status::Idle, "{line}");
    }
}

#[test]
fn automatic_frames_are_no_activity() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.advance(40 * SECOND);
    for line in ["/status", "/help", r#"{"type":"ping","t":1}"#, r#"{"type":"hello"}"#, "{"] {
        rig.send(1, line);
    }
    rig.send_pong(1);
    rig.attach(2);
    rig.advance(10 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
}

#[test]
fn heartbeats_are_activity_by_setting() {
    let settings = Settings { activity: Activity::Heartbeat, ..BY_MESSAGE };
    let mut rig = Rig::active_with(settings);
    for _ in 0..10 {
        rig.advance(50 * SECOND - NANOSECOND);
        rig.send_pong(1);
        assert_eq!(rig.status(), Status::Active);
    }
    rig.advance(50 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
    rig.send_pong(1);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(50 * SECOND);
    rig.attach(2);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(MINUTE);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn session_is_not_idle_during_a_turn_or_the_start() {
    let mut rig = Rig::creating_with(Settings { spawn_timeout: 5 * MINUTE, ..BY_MESSAGE });
    rig.advance(3 * MINUTE);
    rig.send(1, "hello");
    rig.lifecycle(LifecycleChange::Ready);
    for _ in 0..20 {
        rig.advance(20 * SECOND);
        rig.agent(1, AgentEvent::Alive);
        rig.chunk(1, HI);
        rig.discard();
        assert_eq!(rig.status(), Status::Active);
    }
    rig.chunk(1, FINISH);
    rig.advance(50 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
}

#[test]
fn warning_is_at_most_half_of_its_clock() {
    let mut rig = Rig::active_with(Settings { idle_ttl: 8 * SECOND, ..BY_MESSAGE });
    rig.advance(4 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
}

#[test]
fn extend_tells_every_socket_the_deadline() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.attach(2);
    rig.received(2);
    rig.advance(20 * SECOND);
    rig.send(1, "/extend");
    for socket in [1, 2] {
        assert_eq!(rig.received(socket), ["extended idle 60000 ms, max 3580000 ms"]);
    }
}

#[test]
fn newer_notice_replaces_an_older_one() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.advance(55 * SECOND);
    rig.send(1, "/extend");
    assert_eq!(
        rig.received(1),
        ["extended idle 60000 ms, max 3545000 ms", "#2 status idle 55000 ms", "#3 status active 55000 ms"]
    );
}

#[test]
fn new_socket_receives_a_current_warning() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.advance(52 * SECOND);
    rig.attach(2);
    assert_eq!(
        rig.received(2),
        ["ready idle, head 2", "snapshot new, 1-2", "expiring idle in 8000 ms, unless extended"]
    );
}

#[test]
fn max_cannot_be_extended() {
    let settings = Settings { max_ttl: 2 * MINUTE, warning: 10 * SECOND, ..QUIET };
    let mut rig = Rig::active_with(settings);
    rig.advance(110 * SECOND - NANOSECOND);
    rig.discard();
    rig.advance(NANOSECOND);
    assert_eq!(
        (rig.status(), rig.received(1)),
        (Status::Active, vec!["expiring max in 10000 ms".to_owned()])
    );
    rig.send(1, "/extend");
    assert_eq!(rig.received(1), ["extended idle 3600000 ms, max 10000 ms"]);
    rig.send(1, "hello");
    rig.advance(10 * SECOND - NANOSECOND);
    rig.discard();
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.received(1), ["#3 t1 done expired", "ended max", "close 4500 session.expired"]);
}

#[test]
fn warning_is_of_the_nearer_clock() {
    let mut rig = Rig::active_with(Settings { max_ttl: MINUTE + 5 * SECOND, ..BY_MESSAGE });
    rig.advance(50 * SECOND);
    assert_eq!(rig.received(1)[0], "expiring idle in 10000 ms, unless extended");
    rig.advance(8 * SECOND);
    rig.send(1, "/extend");
    assert_eq!(rig.received(1)[0], "extended idle 60000 ms, max 7000 ms");
    rig.advance(Duration::ZERO);
    assert_eq!(rig.received(1), ["expiring max in 7000 ms"]);
    rig.advance(7 * SECOND);
    assert_eq!(rig.received(1), ["ended max", "close 4500 session.expired"]);
}

#[test]
fn late_driver_handles_timers_in_order() {
    let mut rig = Rig::answering_with(Settings { max_ttl: MINUTE, ..QUIET });
    rig.advance(2 * MINUTE);
    assert_eq!(rig.commands(), ["cancel t1", "stop"]);
    let received = rig.received(1);
    assert!(received.iter().all(|line| !line.starts_with("expiring")), "{received:?}");
}

#[test]
fn max_ends_a_session_during_the_start() {
    let mut rig = Rig::creating_with(Settings { max_ttl: SECOND, ..QUIET });
    rig.advance(SECOND);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
}
