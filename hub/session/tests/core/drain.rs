//! What the end of the hub means for a session, to the nanosecond.

use std::time::Duration;

use mayfly_protocol::hub::Status;
use mayfly_session::limits::DRAIN_TURNS_MAX;
use mayfly_session::{Fate, PlatformEvent};

use crate::harness::{EPOCH, NANOSECOND, Rig};
use crate::rules::{FINISH, HI};

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
fn a_session_without_a_turn_ends_at_once() {
    for rig in [Rig::creating(), Rig::active()] {
        let mut rig = drained(rig, Fate::Ends);
        assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
        assert_eq!(rig.hears(1), ["ended drained", "close 4501 session.ended"]);
    }
}

#[test]
fn turns_are_finished_first_and_no_new_ones_are_taken() {
    let mut rig = Rig::answering();
    rig.says(1, "next");
    rig.forget();
    rig.wait(Duration::from_secs(1));
    let mut rig = drained(rig, Fate::Ends);
    rig.wait(Duration::from_secs(2));
    rig.session.handle_drain(Fate::Ends, rig.now);
    assert_eq!(rig.hears(1), ["expiring drain in 18000 ms"]);
    rig.attach(2);
    assert!(rig.hears(2).contains(&"expiring drain in 16000 ms".to_owned()));
    rig.says(1, "more");
    rig.says(1, r#"{"type":"regenerate"}"#);
    assert_eq!(rig.hears(1), [REFUSED, REFUSED]);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    assert_eq!((rig.status(), rig.does()), (Status::Active, vec!["start t2 next".to_owned()]));
    rig.chunk(2, FINISH);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    let heard = rig.hears(1);
    assert_eq!(
        heard[heard.len() - 3..],
        ["#6 t2 done complete", "ended drained", "close 4501 session.ended"],
        "{heard:?}"
    );
}

#[test]
fn a_turn_is_not_waited_for_longer_than_may_be() {
    let mut rig = drained(Rig::answering(), Fate::Ends);
    rig.forget();
    rig.wait(DRAIN_TURNS_MAX - NANOSECOND);
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
    rig.wait(NANOSECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.hears(1), ["#3 t1 done expired", "ended drained", "close 4501 session.ended"]);
}

#[test]
fn a_message_that_waits_for_its_agent_is_waited_for() {
    let mut rig = Rig::creating();
    rig.says(1, "hello");
    let mut rig = drained(rig, Fate::Ends);
    assert_eq!(rig.status(), Status::Creating);
    rig.says(1, r#"{"type":"stop","turn":"t1"}"#);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
}

#[test]
fn who_hurries_waits_for_no_turn() {
    let mut rig = drained(Rig::answering(), Fate::Ends);
    rig.forget();
    rig.session.handle_shutdown(Fate::Ends, rig.now);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.hears(1), ["#3 t1 done expired", "ended drained", "close 4501 session.ended"]);
}

#[test]
fn a_session_that_lives_on_is_left_as_it_is_and_its_people_come_back() {
    let mut rig = drained(Rig::active(), Fate::LivesOn);
    assert!(rig.session.is_left());
    assert_eq!((rig.status(), rig.does(), rig.keeps()), (Status::Active, vec![], vec![]));
    assert_eq!(rig.hears(1), [BACK, "close 4000 hub.draining"]);
    rig.resume(2, EPOCH, 1);
    assert_eq!(rig.hears(2), [BACK, "close 4000 hub.draining"]);
    rig.platform(PlatformEvent::Gone);
    rig.wait(Duration::from_secs(60 * 60));
    assert_eq!((rig.status(), rig.due(), rig.does()), (Status::Active, None, vec![]));
}

#[test]
fn a_turn_of_a_session_that_lives_on_is_waited_for_and_then_left_to_the_agent() {
    let mut rig = drained(Rig::answering(), Fate::LivesOn);
    assert_eq!(rig.hears(1), ["expiring drain in 18000 ms"]);
    rig.wait(DRAIN_TURNS_MAX - NANOSECOND);
    assert!(!rig.session.is_left());
    rig.wait(NANOSECOND);
    assert!(rig.session.is_left());
    rig.chunk(1, FINISH);
    assert_eq!(rig.hears(1), [BACK, "close 4000 hub.draining"]);
    assert_eq!(rig.does(), NONE);
}

#[test]
fn an_agent_that_is_not_there_yet_is_left_to_nobody() {
    let mut rig = drained(Rig::creating(), Fate::LivesOn);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert!(!rig.session.is_left());
}

#[test]
fn a_session_that_has_ended_is_not_drained() {
    let mut rig = Rig::active();
    rig.says(1, "/bye");
    rig.forget();
    let mut rig = drained(rig, Fate::LivesOn);
    assert!(!rig.session.is_left());
    assert_eq!((rig.hears(1), rig.does()), (vec![], vec![]));
}
