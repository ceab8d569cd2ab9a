//! The end of the hub, to the nanosecond.

use std::time::Duration;

use mayfly_protocol::hub::Status;
use mayfly_session::Fate;
use mayfly_session::limits::DRAIN_TURNS_MAX;

use crate::harness::{EPOCH, FINISH, HI, NANOSECOND, Rig};

const BACK: &str = "error hub.draining of the hub retryable after 2000 ms: \
                    the hub shuts down; the session goes on: come back in a moment";
const REFUSED: &str = "error hub.draining of the frame retryable after 2000 ms: \
                       the hub shuts down and takes no more messages";
const NONE: [&str; 0] = [];

fn drained(mut rig: Rig, fate: Fate) -> Rig {
    rig.session.handle_drain(fate, rig.now);
    rig
}

#[test]
fn drain_ends_a_session_without_turns() {
    for rig in [Rig::creating(), Rig::active()] {
        let mut rig = drained(rig, Fate::Ends);
        assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
        assert_eq!(rig.received(1), ["ended drained", "close 4501 session.ended"]);
    }
}

#[test]
fn drain_waits_for_turns_and_refuses_new_ones() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.discard();
    rig.advance(Duration::from_secs(1));
    let mut rig = drained(rig, Fate::Ends);
    rig.advance(Duration::from_secs(2));
    rig.session.handle_drain(Fate::Ends, rig.now);
    assert_eq!(rig.received(1), ["expiring drain in 18000 ms"]);
    rig.attach(2);
    assert!(rig.received(2).contains(&"expiring drain in 16000 ms".to_owned()));
    rig.send(1, "more");
    rig.send(1, r#"{"type":"regenerate"}"#);
    assert_eq!(rig.received(1), [REFUSED, REFUSED]);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    assert_eq!((rig.status(), rig.commands()), (Status::Active, vec!["start t2 next".to_owned()]));
    rig.chunk(2, FINISH);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    let heard = rig.received(1);
    assert_eq!(
        heard[heard.len() - 3..],
        ["#6 t2 done complete", "ended drained", "close 4501 session.ended"],
        "{heard:?}"
    );
}

#[test]
fn drain_waits_for_a_limited_time() {
    let mut rig = drained(Rig::answering(), Fate::Ends);
    rig.discard();
    rig.advance(DRAIN_TURNS_MAX - NANOSECOND);
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
    rig.advance(NANOSECOND);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.received(1), ["#3 t1 done expired", "ended drained", "close 4501 session.ended"]);
}

#[test]
fn drain_waits_for_a_queued_message() {
    let mut rig = Rig::creating();
    rig.send(1, "hello");
    let mut rig = drained(rig, Fate::Ends);
    assert_eq!(rig.status(), Status::Creating);
    rig.send(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
}

#[test]
fn shutdown_waits_for_no_turn() {
    let mut rig = drained(Rig::answering(), Fate::Ends);
    rig.discard();
    rig.session.handle_shutdown(Fate::Ends, rig.now);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.received(1), ["#3 t1 done expired", "ended drained", "close 4501 session.ended"]);
}

#[test]
fn drain_leaves_a_session_whose_agent_lives_on() {
    let mut rig = drained(Rig::active(), Fate::LivesOn);
    assert!(rig.session.is_left());
    assert_eq!((rig.status(), rig.commands(), rig.journalled()), (Status::Active, vec![], vec![]));
    assert_eq!(rig.received(1), [BACK, "close 4000 hub.draining"]);
    rig.resume(2, EPOCH, 1);
    assert_eq!(rig.received(2), [BACK, "close 4000 hub.draining"]);
    rig.crash();
    rig.advance(Duration::from_secs(60 * 60));
    assert_eq!((rig.status(), rig.due(), rig.commands()), (Status::Active, None, vec![]));
}

#[test]
fn drain_leaves_a_running_turn_to_the_agent() {
    let mut rig = drained(Rig::answering(), Fate::LivesOn);
    assert_eq!(rig.received(1), ["expiring drain in 18000 ms"]);
    rig.advance(DRAIN_TURNS_MAX - NANOSECOND);
    assert!(!rig.session.is_left());
    rig.advance(NANOSECOND);
    assert!(rig.session.is_left());
    rig.chunk(1, FINISH);
    assert_eq!(rig.received(1), [BACK, "close 4000 hub.draining"]);
    assert_eq!(rig.commands(), NONE);
}

#[test]
fn session_without_a_ready_agent_is_not_left() {
    let mut rig = drained(Rig::creating(), Fate::LivesOn);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert!(!rig.session.is_left());
}

#[test]
fn ended_session_is_not_drained() {
    let mut rig = Rig::active();
    rig.send(1, "/bye");
    rig.discard();
    let mut rig = drained(rig, Fate::LivesOn);
    assert!(!rig.session.is_left());
    assert_eq!((rig.received(1), rig.commands()), (vec![], vec![]));
}
