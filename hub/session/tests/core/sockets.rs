//! Sockets: frames, heartbeats, and those that are closed.

use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::TurnId;
use mayfly_session::limits::{DIRECT_MAX_FRAMES, LOG_MAX_BYTES, SOCKETS_MAX};
use mayfly_session::{Command, Settings};

use crate::harness::{FINISH, HI, NANOSECOND, NONE, QUIET, Rig, SECOND};

#[test]
fn late_socket_receives_a_snapshot() {
    let mut rig = Rig::answering();
    rig.chunk(1, HI);
    rig.attach(2);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    assert_eq!(
        rig.received(2),
        ["ready active, head 3", "snapshot new, 1-3", "#4 t1 text-delta hi", "#5 t1 done complete"]
    );
    assert_eq!(rig.received(1), ["#3 t1 text-delta hi", "#4 t1 text-delta hi", "#5 t1 done complete"]);
}

#[test]
fn direct_answers_reach_only_their_socket() {
    let mut rig = Rig::answering();
    rig.attach(2);
    rig.send(1, "next");
    rig.send(2, "/status");
    rig.send(2, "/help");
    rig.send(2, "/dance");
    assert_eq!(
        rig.received(2),
        [
            "ready active, head 2",
            "snapshot new, 1-2",
            "status active 0 ms, t1 runs, 1 queued",
            "help with 5 commands",
            "error proto.unknown_type of the frame: unknown command; try /stop /extend /status /help /bye",
            "#3 t2 accepted at 1: next",
        ]
    );
    assert_eq!(rig.received(1), ["#3 t2 accepted at 1: next"]);
}

#[test]
fn unknown_socket_is_ignored() {
    let mut rig = Rig::active();
    for line in ["hello", "/stop", "/status", "/bye", "{"] {
        rig.send(9, line);
    }
    assert_eq!((rig.status(), rig.commands(), rig.received(9)), (Status::Active, vec![], vec![]));
    rig.send(1, "/status");
    assert_eq!(rig.received(1), ["status active 0 ms, 0 queued"]);
}

#[test]
fn slow_socket_is_closed_alone() {
    let mut rig = Rig::answering();
    rig.attach(2);
    let big = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(9_800));
    let fit = LOG_MAX_BYTES / 9_980;
    for _ in 0..fit {
        rig.chunk(1, &big);
        assert_eq!(rig.received(1).len(), 1);
    }
    assert!(!rig.is_closed(2));
    rig.chunk(1, &big);
    assert!(rig.is_closed(2));
    rig.send(2, "/bye");
    assert_eq!(rig.received(2), ["close 4001 quota.slow"]);
    rig.chunk(1, FINISH);
    assert_eq!(rig.received(1).last(), Some(&format!("#{} t1 done complete", fit + 4)));
    assert_eq!((rig.status(), rig.commands()), (Status::Active, vec![]));
}

#[test]
fn session_ends_with_its_only_slow_socket() {
    let mut rig = Rig::answering();
    let big = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(LOG_MAX_BYTES / 2));
    rig.chunk(1, &big);
    rig.chunk(1, &big);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.received(1), ["close 4001 quota.slow"]);
}

#[test]
fn direct_frames_are_bounded_in_number() {
    let mut rig = Rig::active();
    rig.attach(2);
    for _ in 0..DIRECT_MAX_FRAMES {
        rig.send(1, "/help");
    }
    assert!(!rig.is_closed(1));
    rig.send(1, "/help");
    assert_eq!(rig.received(1), ["close 4001 quota.slow"]);
    assert_eq!(rig.status(), Status::Active);
    rig.received(2);
    for _ in 0..=DIRECT_MAX_FRAMES {
        rig.send(2, "/help");
    }
    assert_eq!(
        (rig.received(2), rig.status()),
        (vec!["close 4001 quota.slow".to_owned()], Status::Terminating)
    );
}

/// Otherwise it would be refused by an agent that has not ended the turn before.
#[test]
fn next_turn_waits_for_the_cancel() {
    let mut rig = Rig::answering();
    rig.send(1, "next");
    rig.chunk(1, "{}");
    let commands: Vec<_> = std::iter::from_fn(|| rig.session.poll_command()).collect();
    assert_eq!(commands[0], Command::CancelTurn { turn: TurnId(1) });
    assert!(!commands.iter().any(|command| matches!(command, Command::StartTurn { .. })), "{commands:?}");
    assert_eq!(rig.session.running_turn(), None);
    rig.session.handle_cancelled(rig.now);
    assert_eq!(rig.commands(), ["start t2 next"]);
}

#[test]
fn sockets_are_bounded() {
    let mut rig = Rig::active();
    for socket in 2..=SOCKETS_MAX as u32 {
        rig.attach(socket);
        assert_eq!(rig.received(socket).len(), 2);
    }
    rig.attach(99);
    assert_eq!(
        rig.received(99),
        [
            "error quota.sockets of the session retryable after 1000 ms: the session has as many sockets as it may",
            "close 4004 quota.sockets"
        ]
    );
    rig.detach(2);
    rig.attach(100);
    assert_eq!(rig.received(100).len(), 2);
}

#[test]
fn same_client_id_replaces_the_older_socket() {
    let hello = r#"{"type":"hello","client_id":"tab-7"}"#;
    let mut rig = Rig::active();
    rig.send(1, hello);
    rig.attach(2);
    rig.send(2, r#"{"type":"hello","client":"web/1.0"}"#);
    rig.attach(3);
    rig.send(3, hello);
    assert_eq!(rig.received(1), ["close 4507 replaced"]);
    assert!(!rig.is_closed(2));
    rig.send(3, "hello");
    assert_eq!(rig.received(3).last().unwrap(), "#2 t1 accepted at 0: hello");
}

#[test]
fn hello_is_only_the_first_frame() {
    let refused = "error proto.invalid of the frame: hello comes first, and once";
    let mut rig = Rig::active();
    rig.send(1, r#"{"type":"hello","client_id":"a"}"#);
    rig.send(1, r#"{"type":"hello","client_id":"a"}"#);
    assert_eq!(rig.received(1), [refused]);
    rig.attach(2);
    rig.send(2, "/status");
    rig.send(2, r#"{"type":"hello"}"#);
    assert_eq!(rig.received(2).last().unwrap(), refused);
}

#[test]
fn silent_socket_is_pinged_twice_and_closed() {
    let mut rig = Rig::active_with(Settings { heartbeat: 15 * SECOND, ..QUIET });
    for _ in 0..2 {
        rig.advance(15 * SECOND - NANOSECOND);
        assert_eq!(rig.received(1), NONE);
        rig.advance(NANOSECOND);
        assert_eq!(rig.received(1), ["ping"]);
    }
    rig.advance(15 * SECOND - NANOSECOND);
    assert_eq!((rig.status(), rig.received(1)), (Status::Active, vec![]));
    rig.advance(NANOSECOND);
    assert_eq!(
        (rig.received(1), rig.status()),
        (vec!["close 4002 heartbeat".to_owned()], Status::Terminating)
    );
}

#[test]
fn any_input_postpones_the_ping() {
    let mut rig = Rig::active_with(Settings { heartbeat: 15 * SECOND, ..QUIET });
    let signs: [fn(&mut Rig); 3] =
        [|rig| rig.send_pong(1), |rig| rig.send(1, r#"{"type":"ping","t":7}"#), |rig| rig.send(1, "{")];
    for sign in signs {
        rig.advance(14 * SECOND);
        sign(&mut rig);
        rig.discard();
    }
    rig.advance(15 * SECOND);
    assert_eq!(rig.received(1), ["ping"]);
    rig.send_pong(1);
    rig.advance(15 * SECOND - NANOSECOND);
    assert_eq!(rig.received(1), NONE);
}

#[test]
fn client_ping_is_answered() {
    let mut rig = Rig::active();
    rig.send(1, r#"{"type":"ping","t":1712}"#);
    assert_eq!(rig.received(1), ["pong 1712"]);
}
