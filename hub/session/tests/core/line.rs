//! Sessions that wait in the hub's line.

use std::time::Duration;

use mayfly_protocol::hub::{Status, Step};
use mayfly_session::lifecycle::LifecycleChange;
use mayfly_session::limits::{LINE_MESSAGES_MAX_BYTES, POSITION_INTERVAL, QUEUE_MAX_TURNS};
use mayfly_session::{Fate, JournalEntry, Settings};

use crate::harness::{BY_MESSAGE, EPOCH, FINISH, LINE_WAIT, MINUTE, NANOSECOND, NONE, Rig};

#[test]
fn queued_session_receives_ready_and_then_its_position() {
    let mut rig = Rig::queued(3);
    assert_eq!(rig.received(1), ["ready creating, head 0, token", "status creating queued at 3 0 ms"]);
    assert_eq!((rig.commands(), rig.journalled()), (vec![], vec![]));
    rig.send(1, "/status");
    assert_eq!(rig.received(1), ["status creating queued at 3 0 ms, 0 queued"]);
    let view = rig.session.view(rig.now);
    assert_eq!((view.status, view.step), (Status::Creating, Some(Step::Queued)));
}

#[test]
fn changed_position_is_told_once_in_each_interval() {
    let mut rig = Rig::queued(9);
    rig.received(1);
    rig.session.handle_position(8, rig.now);
    rig.session.handle_position(7, rig.now);
    rig.advance(POSITION_INTERVAL - NANOSECOND);
    assert_eq!(rig.received(1), NONE);
    rig.advance(NANOSECOND);
    assert_eq!(rig.received(1), ["status creating queued at 7 1000 ms"]);
    rig.advance(2 * POSITION_INTERVAL);
    assert_eq!(rig.received(1), NONE, "the position is the same");
    rig.session.handle_position(6, rig.now);
    assert_eq!(rig.received(1), ["status creating queued at 6 3000 ms"]);
    rig.session.handle_position(5, rig.now);
    assert_eq!(rig.received(1), NONE);
}

#[test]
fn slow_socket_receives_only_the_last_position() {
    let mut rig = Rig::queued(9);
    rig.received(1);
    for position in (1..9).rev() {
        rig.advance(POSITION_INTERVAL);
        rig.session.handle_position(position, rig.now);
    }
    assert_eq!(rig.received(1), ["status creating queued at 1 8000 ms"]);
}

#[test]
fn admission_requests_the_agent_and_starts_the_clocks() {
    let mut rig = Rig::queued(1);
    rig.advance(Duration::from_secs(500));
    rig.send(1, "hello");
    rig.received(1);
    assert_eq!(rig.commands(), NONE);
    rig.session.handle_admitted(rig.now);
    rig.session.handle_admitted(rig.now);
    assert_eq!((rig.commands(), rig.journalled()), (vec!["spawn".to_owned()], vec![JournalEntry::Joined]));
    assert_eq!(rig.due(), None, "the wait is over");
    rig.lifecycle(LifecycleChange::Step(Step::Starting));
    rig.lifecycle(LifecycleChange::Ready);
    assert_eq!(rig.commands(), ["start t1 hello"]);
    assert_eq!(rig.received(1), ["#2 status creating starting 0 ms", "#3 status active 0 ms"]);
    rig.chunk(1, FINISH);
    rig.advance(LINE_WAIT);
    assert_eq!(rig.status(), Status::Active, "the wait is over");
    assert_eq!(rig.session.view(rig.now).deadline.map(|deadline| deadline.max_ms), Some(3_000_000));
}

#[test]
fn clocks_do_not_run_in_the_line() {
    let mut rig = Rig::queued_with(Settings { max_ttl: MINUTE, ..BY_MESSAGE }, 1);
    rig.received(1);
    rig.advance(2 * MINUTE);
    assert_eq!((rig.session.position(), rig.received(1)), (Some(1), vec![]));
}

#[test]
fn deadline_does_not_run_out_in_the_line() {
    let mut rig = Rig::queued(1);
    rig.advance(Duration::from_secs(500));
    assert_eq!(rig.session.view(rig.now).deadline.map(|deadline| deadline.max_ms), Some(3_600_000));
}

#[test]
fn wait_ends_with_quota_sessions() {
    let mut rig = Rig::queued(2);
    rig.send(1, "hello");
    rig.received(1);
    rig.advance(LINE_WAIT - NANOSECOND);
    assert_eq!(rig.status(), Status::Creating);
    rig.advance(NANOSECOND);
    let refused = "error quota.sessions of the hub retryable after 5000 ms: all sessions are taken";
    assert_eq!(rig.received(1), ["#2 t1 done expired", refused, "close 4004 quota.sessions"]);
    assert_eq!((rig.status(), rig.commands(), rig.due()), (Status::Terminated, vec![], None));
    let code = Some(mayfly_protocol::code::ErrorCode::QuotaSessions);
    assert_eq!(rig.journalled(), [JournalEntry::LeftLine(code)]);
    rig.attach(2);
    assert_eq!(rig.received(2).last().map(String::as_str), Some("close 4501 session.ended"));
}

#[test]
fn drain_refuses_a_queued_session() {
    for fate in [Fate::Ends, Fate::LivesOn] {
        let mut rig = Rig::queued(2);
        rig.received(1);
        rig.session.handle_shutdown(fate, rig.now);
        let refused = "error hub.draining of the hub retryable after 2000 ms: the hub is shutting down";
        assert_eq!(rig.received(1), [refused, "close 4000 hub.draining"]);
        assert_eq!((rig.status(), rig.session.is_left(), rig.due()), (Status::Terminated, false, None));
        let code = Some(mayfly_protocol::code::ErrorCode::HubDraining);
        assert_eq!(rig.journalled(), [JournalEntry::LeftLine(code)]);
        rig.session.handle_admitted(rig.now);
        assert_eq!(rig.commands(), NONE);
    }
}

#[test]
fn last_socket_takes_the_place_with_it_without_grace() {
    let leave: [fn(&mut Rig); 4] = [
        |rig| rig.detach(1),
        |rig| rig.lose(1),
        |rig| rig.send(1, "/bye"),
        |rig| rig.session.handle_delete(rig.now),
    ];
    for leave in leave {
        let mut rig = Rig::queued(2);
        leave(&mut rig);
        assert_eq!((rig.status(), rig.due()), (Status::Terminated, None));
        assert_eq!((rig.commands(), rig.journalled()), (vec![], vec![JournalEntry::LeftLine(None)]));
    }
}

#[test]
fn another_socket_keeps_the_place() {
    let mut rig = Rig::queued(2);
    rig.resume(2, EPOCH, 0);
    assert_eq!(rig.received(2), ["ready creating, head 0, resumed", "status creating queued at 2 0 ms"]);
    rig.lose(1);
    assert_eq!(rig.session.position(), Some(2));
}

#[test]
fn stopped_messages_count_against_the_log_of_a_session_in_the_line() {
    let mut rig = Rig::queued(2);
    let text = "x".repeat(LINE_MESSAGES_MAX_BYTES / 2);
    let mut accepted = 0;
    for turn in 1..20 {
        rig.send(1, &text);
        accepted += rig.received(1).iter().filter(|line| line.contains("accepted")).count();
        rig.send(1, &format!(r#"{{"type":"stop","turn":"t{turn}"}}"#));
        rig.received(1);
    }
    assert_eq!(accepted, 3, "a fourth one does not fit with the frames around it");
}

#[test]
fn messages_in_the_line_are_bounded_in_bytes_and_in_number() {
    let refused = "error quota.queue of the frame retryable after 1000 ms: too many messages are waiting";
    let mut rig = Rig::queued(2);
    rig.received(1);
    rig.send(1, &"x".repeat(LINE_MESSAGES_MAX_BYTES - 1));
    rig.send(1, "y");
    assert_eq!(rig.received(1).len(), 2, "64 KiB are kept");
    rig.send(1, "z");
    assert_eq!(rig.received(1), [refused]);
    rig.session.handle_admitted(rig.now);
    rig.send(1, "z");
    assert!(rig.received(1)[0].starts_with("#3 t3 accepted at 2"));

    let mut rig = Rig::queued(2);
    for _ in 0..QUEUE_MAX_TURNS {
        rig.send(1, "hello");
    }
    rig.received(1);
    rig.send(1, "hello");
    assert_eq!(rig.received(1), [refused]);
}
