//! What is done without a socket: listening, asking, and ending a session over REST.

use std::time::Duration;

use mayfly_protocol::hub::{EndReason, Status};
use mayfly_session::limits::{LISTENERS_MAX, LOG_MAX_BYTES, QUEUE_MAX_TURNS, SOCKETS_MAX};
use mayfly_session::{Fate, PlatformEvent, Settings, SocketId, Transmit};

use crate::harness::{NANOSECOND, QUIET, Rig};
use crate::rules::{FINISH, HI};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NONE: [&str; 0] = [];

/// A session that was made without a socket; its agent is there.
fn without_socket(settings: Settings) -> Rig {
    let mut rig = Rig::with(settings);
    rig.platform(PlatformEvent::Ready);
    rig.does();
    rig
}

#[test]
fn who_asks_hears_that_turn_and_nothing_else() {
    let mut rig = Rig::with(QUIET);
    rig.ask(1, None, "hello");
    rig.ask(2, None, "next");
    assert_eq!(rig.hears(1), ["#1 t1 accepted at 0: hello"]);
    assert_eq!(rig.hears(2), ["#2 t2 accepted at 1: next"]);
    rig.platform(PlatformEvent::Ready);
    assert_eq!(rig.does(), ["spawn", "start t1 hello"]);
    rig.chunk(1, HI);
    assert_eq!((rig.hears(1), rig.hears(2)), (vec!["#4 t1 text-delta hi".to_owned()], vec![]));
    rig.chunk(1, FINISH);
    assert_eq!(rig.hears(1), ["#5 t1 done complete", "close 1000 bye"]);
    assert_eq!(rig.does(), ["start t2 next"]);
    rig.chunk(2, HI);
    rig.chunk(2, FINISH);
    assert_eq!(rig.hears(2), ["#6 t2 text-delta hi", "#7 t2 done complete", "close 1000 bye"]);
    assert_eq!(rig.status(), Status::Active);
}

#[test]
fn a_turn_goes_on_when_who_asked_has_gone() {
    let mut rig = without_socket(Settings { grace: SECOND, ..QUIET });
    rig.ask(1, None, "hello");
    rig.lose(1);
    rig.wait(MINUTE / 4);
    rig.chunk(1, FINISH);
    assert_eq!((rig.status(), rig.does()), (Status::Active, vec!["start t1 hello".to_owned()]));
}

#[test]
fn a_message_asked_again_is_the_same_turn_also_when_it_is_over() {
    let mut rig = without_socket(QUIET);
    rig.ask(1, Some("m"), "hello");
    rig.chunk(1, HI);
    rig.ask(2, Some("m"), "hello");
    rig.chunk(1, FINISH);
    let answer =
        ["#2 t1 accepted at 0 (m): hello", "#3 t1 text-delta hi", "#4 t1 done complete", "close 1000 bye"];
    assert_eq!(
        (rig.hears(1), rig.hears(2)),
        (answer.map(str::to_owned).into(), answer.map(str::to_owned).into())
    );
    rig.ask(3, Some("m"), "hello");
    assert_eq!(rig.hears(3), answer);
    rig.ask(4, Some("m"), "something else");
    let refused =
        "error proto.invalid of the frame: that id was given to another message: each has one of its own";
    assert_eq!(rig.hears(4), [refused, "close 1000 bye"]);
    assert_eq!(rig.does(), ["start t1 hello"]);
}

#[test]
fn an_answer_that_is_no_longer_kept_cannot_be_told_again() {
    let mut rig = without_socket(QUIET);
    rig.ask(1, Some("m"), "hello");
    rig.chunk(1, FINISH);
    rig.ask(2, None, "much");
    let long = format!(r#"{{"type":"data-x","data":"{}"}}"#, "x".repeat(60_000));
    (0..LOG_MAX_BYTES / 60_000 + 1).for_each(|_| rig.chunk(2, &long));
    rig.ask(3, Some("m"), "hello");
    let gone =
        "error turn.not_found of the frame: that message was answered, and the answer is no longer kept";
    assert_eq!(rig.hears(3), [gone, "close 1000 bye"]);
}

#[test]
fn who_is_refused_is_told_why_and_no_more() {
    let mut rig = Rig::with(QUIET);
    for asker in 0..QUEUE_MAX_TURNS as u32 {
        rig.ask(asker, None, "hello");
    }
    rig.ask(99, None, "hello");
    let full = "error quota.queue of the frame retryable after 1000 ms: too many messages are waiting";
    assert_eq!(rig.hears(99), [full, "close 1000 bye"]);

    let mut rig = without_socket(QUIET);
    rig.ask(1, None, "hello");
    rig.session.handle_drain(Fate::Ends, rig.now);
    rig.ask(2, None, "hello");
    let heard = rig.hears(2);
    assert!(heard[0].starts_with("error hub.draining of the frame retryable"), "{heard:?}");
    rig.session.handle_delete(rig.now);
    rig.ask(3, None, "hello");
    rig.listen(4);
    let ended = ["error session.ended of the session: the session has ended", "close 4501 session.ended"];
    assert_eq!(
        (rig.hears(3), rig.hears(4)),
        (ended.map(str::to_owned).into(), ended.map(str::to_owned).into())
    );
}

#[test]
fn the_end_of_a_session_is_the_end_of_its_turns() {
    let mut rig = without_socket(QUIET);
    rig.ask(1, None, "hello");
    rig.ask(2, None, "next");
    rig.listen(3);
    rig.hears(3);
    rig.session.handle_delete(rig.now);
    assert_eq!(rig.hears(1), ["#2 t1 accepted at 0: hello", "#4 t1 done expired", "close 1000 bye"]);
    assert_eq!(rig.hears(2), ["#3 t2 accepted at 1: next", "#5 t2 done expired", "close 1000 bye"]);
    assert_eq!(
        rig.hears(3),
        ["#4 t1 done expired", "#5 t2 done expired", "ended deleted", "close 4501 session.ended"]
    );
    assert_eq!(
        (rig.status(), rig.does()),
        (Status::Terminating, vec!["start t1 hello".to_owned(), "stop".to_owned()])
    );
    rig.session.handle_delete(rig.now);
    assert_eq!(rig.does(), NONE);
    rig.platform(PlatformEvent::Gone);
    let view = rig.session.view(rig.now);
    assert_eq!(
        (view.status, view.reason, view.deadline),
        (Status::Terminated, Some(EndReason::Deleted), None)
    );
}

#[test]
fn who_listens_hears_what_a_socket_hears_and_takes_no_part() {
    let mut rig = Rig::active_with(Settings { heartbeat: 15 * SECOND, ..QUIET });
    rig.listen(7);
    assert_eq!(rig.hears(7), ["ready active, head 1", "snapshot new, 1-1"]);
    rig.says(7, "hello");
    rig.pings(7);
    assert_eq!((rig.hears(7), rig.hears(1)), (vec![], vec![]));
    rig.says(1, "hello");
    rig.says(1, "/extend");
    assert_eq!(rig.hears(7), ["extended max 3600000 ms", "#2 t1 accepted at 0: hello"]);
    rig.wait(15 * SECOND);
    assert_eq!(rig.hears(7), NONE, "it is not pinged");
    rig.detach(7);
    assert_eq!(rig.status(), Status::Active, "its leaving ends nothing");
    rig.listen(8);
    rig.detach(1);
    assert_eq!(rig.status(), Status::Terminating, "it is nobody to stay for");
}

#[test]
fn each_frame_says_how_much_of_the_record_one_has_then() {
    let mut rig = Rig::active();
    rig.listen(7);
    rig.says(1, "hello");
    rig.says(1, "/extend");
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
        (rig.hears(200), rig.hears(201)),
        (full.map(str::to_owned).into(), full.map(str::to_owned).into())
    );
    assert_eq!(rig.does(), NONE);
    (2..=SOCKETS_MAX as u32).for_each(|socket| rig.attach(socket));
    assert_eq!(rig.session.view(rig.now).sockets, SOCKETS_MAX);
    rig.detach(100);
    rig.listen(202);
    assert_eq!(rig.hears(202)[0], "ready active, head 1");
}

#[test]
fn a_listener_that_does_not_read_is_let_go_and_the_session_stays() {
    let mut rig = without_socket(QUIET);
    rig.listen(1);
    rig.ask(2, None, "much");
    let long = format!(r#"{{"type":"data-x","data":"{}"}}"#, "x".repeat(60_000));
    (0..LOG_MAX_BYTES / 60_000 + 1).for_each(|_| rig.chunk(1, &long));
    assert_eq!(
        (rig.hears(1), rig.hears(2)),
        (vec!["close 4001 quota.slow".to_owned()], vec!["close 4001 quota.slow".to_owned()])
    );
    assert_eq!(rig.status(), Status::Active);
}

#[test]
fn a_session_without_a_socket_ends_when_nobody_does_anything() {
    let settings = Settings { idle_ttl: MINUTE, warning: 10 * SECOND, ..QUIET };
    let mut rig = without_socket(settings);
    rig.listen(1);
    rig.wait(30 * SECOND);
    rig.ask(2, None, "hello");
    rig.chunk(1, FINISH);
    rig.wait(50 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
    rig.session.handle_extend(rig.now);
    assert_eq!(rig.status(), Status::Active);
    assert_eq!(rig.session.view(rig.now).deadline.and_then(|deadline| deadline.idle_ms), Some(60_000));
    rig.wait(50 * SECOND);
    rig.wait(10 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Idle, "listening keeps nothing");
    rig.wait(NANOSECOND);
    assert_eq!(rig.session.view(rig.now).reason, Some(EndReason::Idle));
}

#[test]
fn who_listens_is_nobody_who_came_back() {
    let settings = Settings { idle_ttl: MINUTE, warning: 10 * SECOND, grace: 20 * SECOND, ..QUIET };
    let mut rig = without_socket(settings);
    rig.wait(30 * SECOND);
    rig.listen(7);
    rig.wait(20 * SECOND);
    assert_eq!(rig.status(), Status::Idle, "coming to listen is nothing done");

    let mut rig = Rig::active_with(settings);
    rig.lose(1);
    rig.listen(7);
    rig.wait(20 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.wait(NANOSECOND);
    assert_eq!(rig.session.view(rig.now).reason, Some(EndReason::Disconnected));
}
