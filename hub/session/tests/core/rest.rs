//! REST calls: listening, sending a message, and ending a session.

use std::time::Duration;

use mayfly_protocol::hub::{EndReason, Status};
use mayfly_session::lifecycle::LifecycleChange;
use mayfly_session::limits::{LISTENERS_MAX, LOG_MAX_BYTES, QUEUE_MAX_TURNS, SOCKETS_MAX};
use mayfly_session::{Fate, Settings, SocketId, Transmit};

use crate::harness::{FINISH, HI, NANOSECOND, QUIET, Rig};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NONE: [&str; 0] = [];

/// A session that was made without a socket; its agent is there.
fn without_socket(settings: Settings) -> Rig {
    let mut rig = Rig::with(settings);
    rig.lifecycle(LifecycleChange::Ready);
    rig.commands();
    rig
}

#[test]
fn caller_receives_its_turn_only() {
    let mut rig = Rig::with(QUIET);
    rig.ask(1, None, "hello");
    rig.ask(2, None, "next");
    assert_eq!(rig.received(1), ["#1 t1 accepted at 0: hello"]);
    assert_eq!(rig.received(2), ["#2 t2 accepted at 1: next"]);
    rig.lifecycle(LifecycleChange::Ready);
    assert_eq!(rig.commands(), ["spawn", "start t1 hello"]);
    rig.chunk(1, HI);
    assert_eq!((rig.received(1), rig.received(2)), (vec!["#4 t1 text-delta hi".to_owned()], vec![]));
    rig.chunk(1, FINISH);
    assert_eq!(rig.received(1), ["#5 t1 done complete", "close 1000 bye"]);
    assert_eq!(rig.commands(), ["start t2 next"]);
    rig.chunk(2, HI);
    rig.chunk(2, FINISH);
    assert_eq!(rig.received(2), ["#6 t2 text-delta hi", "#7 t2 done complete", "close 1000 bye"]);
    assert_eq!(rig.status(), Status::Active);
}

#[test]
fn turn_outlives_its_caller() {
    let mut rig = without_socket(Settings { grace: SECOND, ..QUIET });
    rig.ask(1, None, "hello");
    rig.lose(1);
    rig.advance(MINUTE / 4);
    rig.chunk(1, FINISH);
    assert_eq!((rig.status(), rig.commands()), (Status::Active, vec!["start t1 hello".to_owned()]));
}

#[test]
fn resent_call_receives_the_same_turn() {
    let mut rig = without_socket(QUIET);
    rig.ask(1, Some("m"), "hello");
    rig.chunk(1, HI);
    rig.ask(2, Some("m"), "hello");
    rig.chunk(1, FINISH);
    let answer =
        ["#2 t1 accepted at 0 (m): hello", "#3 t1 text-delta hi", "#4 t1 done complete", "close 1000 bye"];
    assert_eq!(
        (rig.received(1), rig.received(2)),
        (answer.map(str::to_owned).into(), answer.map(str::to_owned).into())
    );
    rig.ask(3, Some("m"), "hello");
    assert_eq!(rig.received(3), answer);
    rig.ask(4, Some("m"), "something else");
    let refused =
        "error proto.invalid of the frame: that id was given to another message: each has one of its own";
    assert_eq!(rig.received(4), [refused, "close 1000 bye"]);
    assert_eq!(rig.commands(), ["start t1 hello"]);
}

#[test]
fn forgotten_answer_is_not_found() {
    let mut rig = without_socket(QUIET);
    rig.ask(1, Some("m"), "hello");
    rig.chunk(1, FINISH);
    rig.ask(2, None, "much");
    let long = format!(r#"{{"type":"data-x","data":"{}"}}"#, "x".repeat(60_000));
    (0..LOG_MAX_BYTES / 60_000 + 1).for_each(|_| rig.chunk(2, &long));
    rig.ask(3, Some("m"), "hello");
    let gone =
        "error turn.not_found of the frame: that message was answered, and the answer is no longer kept";
    assert_eq!(rig.received(3), [gone, "close 1000 bye"]);
}

#[test]
fn refused_caller_receives_one_error() {
    let mut rig = Rig::with(QUIET);
    for asker in 0..QUEUE_MAX_TURNS as u32 {
        rig.ask(asker, None, "hello");
    }
    rig.ask(99, None, "hello");
    let full = "error quota.queue of the frame retryable after 1000 ms: too many messages are waiting";
    assert_eq!(rig.received(99), [full, "close 1000 bye"]);

    let mut rig = without_socket(QUIET);
    rig.ask(1, None, "hello");
    rig.session.handle_drain(Fate::Ends, rig.now);
    rig.ask(2, None, "hello");
    let heard = rig.received(2);
    assert!(heard[0].starts_with("error hub.draining of the frame retryable"), "{heard:?}");
    rig.session.handle_delete(rig.now);
    rig.ask(3, None, "hello");
    rig.listen(4);
    let ended = ["error session.ended of the session: the session has ended", "close 4501 session.ended"];
    assert_eq!(
        (rig.received(3), rig.received(4)),
        (ended.map(str::to_owned).into(), ended.map(str::to_owned).into())
    );
}

#[test]
fn end_of_the_session_ends_every_call() {
    let mut rig = without_socket(QUIET);
    rig.ask(1, None, "hello");
    rig.ask(2, None, "next");
    rig.listen(3);
    rig.received(3);
    rig.session.handle_delete(rig.now);
    assert_eq!(rig.received(1), ["#2 t1 accepted at 0: hello", "#4 t1 done expired", "close 1000 bye"]);
    assert_eq!(rig.received(2), ["#3 t2 accepted at 1: next", "#5 t2 done expired", "close 1000 bye"]);
    assert_eq!(
        rig.received(3),
        ["#4 t1 done expired", "#5 t2 done expired", "ended deleted", "close 4501 session.ended"]
    );
    assert_eq!(
        (rig.status(), rig.commands()),
        (Status::Terminating, vec!["start t1 hello".to_owned(), "stop".to_owned()])
    );
    rig.session.handle_delete(rig.now);
    assert_eq!(rig.commands(), NONE);
    rig.gone();
    let view = rig.session.view(rig.now);
    assert_eq!(
        (view.status, view.reason, view.deadline),
        (Status::Terminated, Some(EndReason::Deleted), None)
    );
}

#[test]
fn listener_receives_everything_and_takes_no_part() {
    let mut rig = Rig::active_with(Settings { heartbeat: 15 * SECOND, ..QUIET });
    rig.listen(7);
    assert_eq!(rig.received(7), ["ready active, head 1", "snapshot new, 1-1"]);
    rig.send(7, "hello");
    rig.send_pong(7);
    assert_eq!((rig.received(7), rig.received(1)), (vec![], vec![]));
    rig.send(1, "hello");
    rig.send(1, "/extend");
    assert_eq!(rig.received(7), ["extended max 3600000 ms", "#2 t1 accepted at 0: hello"]);
    rig.advance(15 * SECOND);
    assert_eq!(rig.received(7), NONE, "it is not pinged");
    rig.detach(7);
    assert_eq!(rig.status(), Status::Active, "its leaving ends nothing");
    rig.listen(8);
    rig.detach(1);
    assert_eq!(rig.status(), Status::Terminating, "a listener does not keep the session");
}

#[test]
fn frames_carry_the_number_that_they_complete() {
    let mut rig = Rig::active();
    rig.listen(7);
    rig.send(1, "hello");
    rig.send(1, "/extend");
    let places: Vec<_> = std::iter::from_fn(|| rig.session.poll_transmit(SocketId(7)))
        .map(|transmit| if let Transmit::Frame(_, seq) = transmit { seq } else { Some(0) })
        .collect();
    assert_eq!(places, [None, Some(1), None, Some(2)], "ready, snapshot, time, turn.accepted");
}

#[test]
fn listeners_are_bounded_apart_from_sockets() {
    let mut rig = Rig::active();
    (0..LISTENERS_MAX as u32).for_each(|listener| rig.listen(100 + listener));
    rig.listen(200);
    rig.ask(201, None, "hello");
    let full = [
        "error quota.sockets of the session retryable after 1000 ms: as many listen to the session as may",
        "close 4004 quota.sockets",
    ];
    assert_eq!(
        (rig.received(200), rig.received(201)),
        (full.map(str::to_owned).into(), full.map(str::to_owned).into())
    );
    assert_eq!(rig.commands(), NONE);
    (2..=SOCKETS_MAX as u32).for_each(|socket| rig.attach(socket));
    assert_eq!(rig.session.view(rig.now).sockets, SOCKETS_MAX);
    rig.detach(100);
    rig.listen(202);
    assert_eq!(rig.received(202)[0], "ready active, head 1");
}

#[test]
fn slow_listener_is_closed_and_the_session_stays() {
    let mut rig = without_socket(QUIET);
    rig.listen(1);
    rig.ask(2, None, "much");
    let long = format!(r#"{{"type":"data-x","data":"{}"}}"#, "x".repeat(60_000));
    (0..LOG_MAX_BYTES / 60_000 + 1).for_each(|_| rig.chunk(1, &long));
    assert_eq!(
        (rig.received(1), rig.received(2)),
        (vec!["close 4001 quota.slow".to_owned()], vec!["close 4001 quota.slow".to_owned()])
    );
    assert_eq!(rig.status(), Status::Active);
}

#[test]
fn session_without_sockets_ends_when_idle() {
    let settings = Settings { idle_ttl: MINUTE, warning: 10 * SECOND, ..QUIET };
    let mut rig = without_socket(settings);
    rig.listen(1);
    rig.advance(30 * SECOND);
    rig.ask(2, None, "hello");
    rig.chunk(1, FINISH);
    rig.advance(50 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
    rig.session.handle_extend(rig.now);
    assert_eq!(rig.status(), Status::Active);
    assert_eq!(rig.session.view(rig.now).deadline.and_then(|deadline| deadline.idle_ms), Some(60_000));
    rig.advance(50 * SECOND);
    rig.advance(10 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Idle, "listening keeps nothing");
    rig.advance(NANOSECOND);
    assert_eq!(rig.session.view(rig.now).reason, Some(EndReason::Idle));
}

#[test]
fn listener_neither_ends_the_grace_nor_is_activity() {
    let settings = Settings { idle_ttl: MINUTE, warning: 10 * SECOND, grace: 20 * SECOND, ..QUIET };
    let mut rig = without_socket(settings);
    rig.advance(30 * SECOND);
    rig.listen(7);
    rig.advance(20 * SECOND);
    assert_eq!(rig.status(), Status::Idle, "coming to listen is nothing done");

    let mut rig = Rig::active_with(settings);
    rig.lose(1);
    rig.listen(7);
    rig.advance(20 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.advance(NANOSECOND);
    assert_eq!(rig.session.view(rig.now).reason, Some(EndReason::Disconnected));
}
