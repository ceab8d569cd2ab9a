//! The end of a session, from every state.

use mayfly_protocol::hub::Status;
use mayfly_session::Fate;

use crate::harness::{FINISH, Rig};

#[test]
fn crash_ends_every_open_turn_once() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.discard();
    rig.crash();
    assert_eq!((rig.status(), rig.commands(), rig.due()), (Status::Terminated, vec![], None));
    rig.chunk(1, FINISH);
    assert_eq!(
        rig.received(1),
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
fn bye_expires_every_open_turn_once() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.discard();
    rig.send(1, "/bye");
    assert!(rig.is_closed(1));
    rig.send(1, "one more");
    rig.send(1, "/bye");
    assert_eq!(rig.commands(), ["stop"]);
    let expected = ["#4 t1 done expired", "#5 t2 done expired", "ended bye", "close 1000 bye"];
    assert_eq!(rig.received(1), expected);
    assert!(!rig.is_closed(1));
    rig.chunk(1, FINISH);
    rig.gone();
    assert_eq!((rig.status(), rig.commands()), (Status::Terminated, vec![]));
}

#[test]
fn shutdown_ends_the_session_in_every_state() {
    for mut rig in [Rig::creating(), Rig::active()] {
        assert!(!rig.is_closed(1));
        rig.session.handle_shutdown(Fate::Ends, rig.now);
        rig.session.handle_shutdown(Fate::Ends, rig.now);
        assert_eq!(
            (rig.status(), rig.commands(), rig.due()),
            (Status::Terminating, vec!["stop".to_owned()], None)
        );
        assert_eq!(rig.received(1), ["ended drained", "close 4501 session.ended"]);
        rig.gone();
        rig.session.handle_shutdown(Fate::Ends, rig.now);
        assert_eq!((rig.status(), rig.commands()), (Status::Terminated, vec![]));
    }
}

#[test]
fn last_closed_socket_ends_the_session() {
    let mut rig = Rig::answering();
    rig.attach(2);
    rig.detach(1);
    assert_eq!((rig.status(), rig.commands()), (Status::Active, vec![]));
    rig.detach(2);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
}

#[test]
fn socket_after_the_end_is_refused() {
    let mut rig = Rig::active();
    rig.send(1, "/bye");
    for status in [Status::Terminating, Status::Terminated] {
        assert_eq!(rig.status(), status);
        rig.attach(2);
        rig.send(2, "hello");
        assert!(rig.is_closed(2));
        assert_eq!(
            rig.received(2),
            ["error session.ended of the session: the session has ended", "close 4501 session.ended"]
        );
        rig.gone();
    }
}
