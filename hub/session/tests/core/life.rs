//! How long a session lives: clocks, sockets that come and go, resume. Each boundary to the nanosecond.

use std::time::Duration;

use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::Epoch;
use mayfly_session::limits::{
    LOG_MAX_BYTES, MESSAGE_IDS_MAX, QUEUE_MAX_TURNS, RECENT_MAX_BYTES, SOCKETS_MAX,
};
use mayfly_session::{Activity, AgentEvent, PlatformEvent, Settings};

use crate::harness::{EPOCH, NANOSECOND, QUIET, Rig};
use crate::rules::{FINISH, HI};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NONE: [&str; 0] = [];

/// Nothing but messages keeps these from being idle; a warning comes ten seconds before.
const BY_MESSAGE: Settings =
    Settings { idle_ttl: MINUTE, warning: Duration::from_secs(10), activity: Activity::Message, ..QUIET };

// Heartbeats

#[test]
fn a_silent_socket_is_asked_twice_and_then_given_up() {
    let mut rig = Rig::active_with(Settings { heartbeat: 15 * SECOND, ..QUIET });
    for _ in 0..2 {
        rig.wait(15 * SECOND - NANOSECOND);
        assert_eq!(rig.hears(1), NONE);
        rig.wait(NANOSECOND);
        assert_eq!(rig.hears(1), ["ping"]);
    }
    rig.wait(15 * SECOND - NANOSECOND);
    assert_eq!((rig.status(), rig.hears(1)), (Status::Active, vec![]));
    rig.wait(NANOSECOND);
    assert_eq!((rig.hears(1), rig.status()), (vec!["close 4002 heartbeat".to_owned()], Status::Terminating));
}

#[test]
fn any_sign_of_a_socket_puts_off_its_ping() {
    let mut rig = Rig::active_with(Settings { heartbeat: 15 * SECOND, ..QUIET });
    let signs: [fn(&mut Rig); 3] =
        [|rig| rig.pings(1), |rig| rig.says(1, r#"{"type":"ping","t":7}"#), |rig| rig.says(1, "{")];
    for sign in signs {
        rig.wait(14 * SECOND);
        sign(&mut rig);
        rig.forget();
    }
    rig.wait(15 * SECOND);
    assert_eq!(rig.hears(1), ["ping"]);
    rig.pings(1);
    rig.wait(15 * SECOND - NANOSECOND);
    assert_eq!(rig.hears(1), NONE);
}

#[test]
fn a_client_can_ask_for_itself() {
    let mut rig = Rig::active();
    rig.says(1, r#"{"type":"ping","t":1712}"#);
    assert_eq!(rig.hears(1), ["pong 1712"]);
}

// Idle

#[test]
fn a_session_where_nobody_says_anything_is_warned_and_ends() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.wait(50 * SECOND - NANOSECOND);
    rig.pings(1);
    rig.forget();
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
    rig.wait(NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
    assert_eq!(rig.hears(1), ["expiring idle in 10000 ms, unless extended", "#2 status idle 50000 ms"]);
    rig.wait(10 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
    rig.does();
    rig.wait(NANOSECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.hears(1), ["ended idle", "close 4500 session.expired"]);
    rig.attach(2);
    assert_eq!(
        rig.hears(2),
        ["error session.expired of the session: the session's time is up", "close 4500 session.expired"]
    );
}

#[test]
fn whatever_a_person_does_ends_the_warning_and_begins_the_time_anew() {
    for line in ["hello", "/extend", "/stop", r#"{"type":"regenerate"}"#] {
        let mut rig = Rig::active_with(BY_MESSAGE);
        rig.wait(55 * SECOND);
        rig.forget();
        assert_eq!(rig.status(), Status::Idle);
        rig.says(1, line);
        assert_eq!(rig.status(), Status::Active, "{line}");
        let heard = rig.hears(1);
        let extended = heard.iter().filter(|line| line.starts_with("extended idle 60000 ms, max ")).count();
        assert_eq!(extended, 1, "{line}: {heard:?}");
        assert!(heard.contains(&"#3 status active 55000 ms".to_owned()), "{line}: {heard:?}");
        if line == "hello" {
            rig.chunk(1, FINISH);
        }
        rig.forget();
        rig.wait(50 * SECOND - NANOSECOND);
        assert_eq!(rig.status(), Status::Active, "{line}");
        rig.wait(NANOSECOND);
        assert_eq!(rig.status(), Status::Idle, "{line}");
    }
}

#[test]
fn what_a_program_does_by_itself_keeps_no_session() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.wait(40 * SECOND);
    for line in ["/status", "/help", r#"{"type":"ping","t":1}"#, r#"{"type":"hello"}"#, "{"] {
        rig.says(1, line);
    }
    rig.pings(1);
    rig.attach(2);
    rig.wait(10 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
}

#[test]
fn any_sign_of_a_socket_keeps_a_session_that_goes_by_heartbeats() {
    let settings = Settings { activity: Activity::Heartbeat, ..BY_MESSAGE };
    let mut rig = Rig::active_with(settings);
    for _ in 0..10 {
        rig.wait(50 * SECOND - NANOSECOND);
        rig.pings(1);
        assert_eq!(rig.status(), Status::Active);
    }
    rig.wait(50 * SECOND);
    assert_eq!(rig.status(), Status::Idle);
    rig.pings(1);
    assert_eq!(rig.status(), Status::Active);
    rig.wait(50 * SECOND);
    rig.attach(2);
    assert_eq!(rig.status(), Status::Active);
    rig.wait(MINUTE);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn a_session_is_not_idle_while_a_turn_runs_nor_before_there_is_an_agent() {
    let mut rig = Rig::creating_with(Settings { spawn_timeout: 5 * MINUTE, ..BY_MESSAGE });
    rig.wait(3 * MINUTE);
    rig.says(1, "hello");
    rig.platform(PlatformEvent::Ready);
    for _ in 0..20 {
        rig.wait(20 * SECOND);
        rig.agent(1, AgentEvent::Alive);
        rig.chunk(1, HI);
        rig.forget();
        assert_eq!(rig.status(), Status::Active);
    }
    rig.chunk(1, FINISH);
    rig.wait(50 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.wait(NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
}

#[test]
fn a_warning_is_no_longer_than_half_of_its_clock() {
    let mut rig = Rig::active_with(Settings { idle_ttl: 8 * SECOND, ..BY_MESSAGE });
    rig.wait(4 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.wait(NANOSECOND);
    assert_eq!(rig.status(), Status::Idle);
}

#[test]
fn who_asks_for_more_time_is_told_how_much_there_is() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.attach(2);
    rig.hears(2);
    rig.wait(20 * SECOND);
    rig.says(1, "/extend");
    for socket in [1, 2] {
        assert_eq!(rig.hears(socket), ["extended idle 60000 ms, max 3580000 ms"]);
    }
}

#[test]
fn who_was_not_there_to_hear_a_warning_hears_only_what_is_true_now() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.wait(55 * SECOND);
    rig.says(1, "/extend");
    assert_eq!(
        rig.hears(1),
        ["extended idle 60000 ms, max 3545000 ms", "#2 status idle 55000 ms", "#3 status active 55000 ms"]
    );
}

#[test]
fn who_comes_during_a_warning_is_warned() {
    let mut rig = Rig::active_with(BY_MESSAGE);
    rig.wait(52 * SECOND);
    rig.attach(2);
    assert_eq!(
        rig.hears(2),
        ["ready idle, head 2", "snapshot new, 1-2", "expiring idle in 8000 ms, unless extended"]
    );
}

// Max

#[test]
fn nothing_keeps_a_session_beyond_its_greatest_age() {
    let settings = Settings { max_ttl: 2 * MINUTE, warning: 10 * SECOND, ..QUIET };
    let mut rig = Rig::active_with(settings);
    rig.wait(110 * SECOND - NANOSECOND);
    rig.forget();
    rig.wait(NANOSECOND);
    assert_eq!((rig.status(), rig.hears(1)), (Status::Active, vec!["expiring max in 10000 ms".to_owned()]));
    rig.says(1, "/extend");
    assert_eq!(rig.hears(1), ["extended idle 3600000 ms, max 10000 ms"]);
    rig.says(1, "hello");
    rig.wait(10 * SECOND - NANOSECOND);
    rig.forget();
    assert_eq!(rig.status(), Status::Active);
    rig.wait(NANOSECOND);
    assert_eq!(rig.hears(1), ["#3 t1 done expired", "ended max", "close 4500 session.expired"]);
}

#[test]
fn the_warning_is_of_the_clock_that_ends_the_session_first() {
    let mut rig = Rig::active_with(Settings { max_ttl: MINUTE + 5 * SECOND, ..BY_MESSAGE });
    rig.wait(50 * SECOND);
    assert_eq!(rig.hears(1)[0], "expiring idle in 10000 ms, unless extended");
    rig.wait(8 * SECOND);
    rig.says(1, "/extend");
    assert_eq!(rig.hears(1)[0], "extended idle 60000 ms, max 7000 ms");
    rig.wait(Duration::ZERO);
    assert_eq!(rig.hears(1), ["expiring max in 7000 ms"]);
    rig.wait(7 * SECOND);
    assert_eq!(rig.hears(1), ["ended max", "close 4500 session.expired"]);
}

#[test]
fn a_driver_that_is_late_asks_nothing_of_an_agent_that_is_to_be_stopped() {
    let mut rig = Rig::answering_with(Settings { max_ttl: MINUTE, ..QUIET });
    rig.wait(2 * MINUTE);
    assert_eq!(rig.does(), ["sign of life", "cancel t1", "stop"]);
}

#[test]
fn a_start_that_outlasts_the_session_is_stopped() {
    let mut rig = Rig::creating_with(Settings { max_ttl: SECOND, ..QUIET });
    rig.wait(SECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
}

// Grace

const FORGIVING: Settings = Settings { grace: Duration::from_secs(20), ..QUIET };

#[test]
fn a_session_waits_for_a_socket_that_was_lost() {
    let mut rig = Rig::active_with(FORGIVING);
    rig.lose(1);
    rig.wait(20 * SECOND - NANOSECOND);
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(NANOSECOND)));
    rig.resume(2, EPOCH, 1);
    assert_eq!(rig.hears(2), ["ready active, head 1, resumed"]);
    rig.wait(10 * SECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.lose(2);
    rig.wait(20 * SECOND - NANOSECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Active, vec!["sign of life".to_owned()]));
    rig.wait(NANOSECOND);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
}

#[test]
fn a_session_does_not_wait_for_a_person_who_is_done() {
    let mut rig = Rig::answering_with(FORGIVING);
    rig.attach(2);
    rig.detach(1);
    assert_eq!(rig.status(), Status::Active);
    rig.detach(2);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn only_the_last_socket_begins_the_grace() {
    let mut rig = Rig::active_with(FORGIVING);
    rig.attach(2);
    rig.lose(1);
    rig.wait(25 * SECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.lose(2);
    rig.wait(20 * SECOND);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn a_session_is_left_in_grace_by_sockets_that_it_closes_itself() {
    let settings = Settings { heartbeat: 5 * SECOND, ..FORGIVING };
    let mut rig = Rig::active_with(settings);
    for _ in 0..3 {
        rig.wait(5 * SECOND);
    }
    assert_eq!(rig.hears(1), ["close 4002 heartbeat"]);
    assert_eq!((rig.status(), rig.due()), (Status::Active, Some(15 * SECOND)));
    let mut rig = Rig::active_with(FORGIVING);
    (0..101).for_each(|_| rig.pings(1));
    assert_eq!(rig.hears(1).last().unwrap(), "close 4005 quota.rate");
    assert_eq!(rig.status(), Status::Active);
    rig.wait(20 * SECOND);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn a_running_turn_is_lingered_for_and_no_longer_than_it_runs() {
    let settings = Settings { linger: MINUTE, ..FORGIVING };
    let mut rig = Rig::answering_with(settings);
    rig.lose(1);
    rig.wait(25 * SECOND);
    rig.chunk(1, HI);
    assert_eq!(rig.status(), Status::Active);
    rig.chunk(1, FINISH);
    assert_eq!(rig.status(), Status::Terminating);

    let mut rig = Rig::answering_with(settings);
    rig.lose(1);
    for _ in 0..3 {
        rig.wait(20 * SECOND);
        rig.chunk(1, HI);
        assert_eq!(rig.status(), Status::Active);
    }
    rig.wait(20 * SECOND - NANOSECOND);
    assert_eq!(rig.status(), Status::Active);
    rig.wait(NANOSECOND);
    assert_eq!(rig.status(), Status::Terminating);

    let mut rig = Rig::answering_with(settings);
    rig.lose(1);
    rig.chunk(1, FINISH);
    rig.wait(20 * SECOND);
    assert_eq!(rig.status(), Status::Terminating);
}

// Resume

#[test]
fn who_comes_back_gets_what_it_missed() {
    let mut rig = Rig::answering_with(FORGIVING);
    rig.chunk(1, HI);
    assert_eq!(rig.hears(1), ["#3 t1 text-delta hi"]);
    rig.lose(1);
    rig.chunk(1, HI);
    rig.chunk(1, FINISH);
    rig.resume(2, EPOCH, 3);
    assert_eq!(rig.hears(2), ["ready active, head 5, resumed", "#4 t1 text-delta hi", "#5 t1 done complete"]);
}

#[test]
fn who_cannot_go_on_gets_a_snapshot_and_is_told_why() {
    let mut rig = Rig::answering();
    rig.resume(2, Epoch(8), 1);
    rig.resume(3, EPOCH, 3);
    rig.attach(4);
    rig.chunk(1, HI);
    for (socket, why) in [(2, "epoch"), (3, "gap"), (4, "new")] {
        assert_eq!(
            rig.hears(socket),
            ["ready active, head 2", &format!("snapshot {why}, 1-2"), "#3 t1 text-delta hi"]
        );
    }
}

fn delta(bytes: usize) -> String {
    format!(r#"{{"type":"text-delta","id":"p","delta":"{}"}}"#, "x".repeat(bytes))
}

#[test]
fn what_is_old_comes_merged_and_what_is_older_not_at_all() {
    let mut rig = Rig::answering();
    let count = (RECENT_MAX_BYTES / 1_000) as u64;
    for _ in 0..2 * count {
        rig.chunk(1, &delta(1_000));
        rig.hears(1);
    }
    let head = 2 + 2 * count;
    rig.resume(2, EPOCH, 2);
    let heard = rig.hears(2);
    assert_eq!(heard[0], format!("ready active, head {head}, resumed"));
    assert!(heard[1].starts_with("#3-10 t1 text-delta xxx"), "{}", &heard[1][..20]);
    assert!(heard.last().unwrap().starts_with(&format!("#{head} t1 text-delta")));
    rig.resume(3, EPOCH, 4);
    assert_eq!(rig.hears(3)[1], format!("snapshot gap, 1-{head}"));

    for _ in 0..LOG_MAX_BYTES / 1_000 {
        rig.chunk(1, &delta(1_000));
        rig.hears(1);
        rig.hears(2);
    }
    rig.resume(4, EPOCH, 2);
    let heard = rig.hears(4);
    assert!(heard[1].starts_with("snapshot gone truncated, "), "{}", heard[1]);
}

#[test]
fn a_socket_that_lags_gets_merged_deltas_too() {
    let mut rig = Rig::answering();
    rig.attach(2);
    rig.chunk(1, &delta(1));
    assert_eq!(rig.hears(2).last().unwrap(), "#3 t1 text-delta x");
    for _ in 0..2 * RECENT_MAX_BYTES / 1_000 {
        rig.chunk(1, &delta(1_000));
        rig.hears(1);
    }
    let heard = rig.hears(2);
    assert!(heard[0].starts_with("#4-11 t1 text-delta xxx"), "{}", &heard[0][..20]);
}

#[test]
fn a_message_that_is_sent_again_is_answered_and_not_taken_twice() {
    let message = r#"{"type":"message","id":"m1","text":"hello"}"#;
    let mut rig = Rig::active_with(FORGIVING);
    rig.says(1, message);
    rig.says(1, message);
    assert_eq!(rig.hears(1), ["#2 t1 accepted at 0 (m1): hello"]);
    rig.says(1, message);
    assert_eq!(rig.hears(1), ["#2 t1 accepted at 0 (m1): hello"]);
    rig.lose(1);
    rig.resume(2, EPOCH, 1);
    rig.says(2, message);
    assert_eq!(rig.hears(2), ["ready active, head 2, resumed", "#2 t1 accepted at 0 (m1): hello"]);
    assert_eq!(rig.does(), ["start t1 hello"]);
    rig.chunk(1, FINISH);
    rig.says(2, message);
    assert_eq!(rig.hears(2)[0], "#2 t1 accepted at 0 (m1): hello");
    assert!(rig.does().is_empty());
}

#[test]
fn only_the_last_messages_are_remembered() {
    let mut rig = Rig::active();
    for message in 0..=MESSAGE_IDS_MAX {
        rig.says(1, &format!(r#"{{"type":"message","id":"m{message}","text":"hello"}}"#));
        rig.chunk(message as u32 + 1, FINISH);
        rig.wait(SECOND);
        rig.forget();
    }
    rig.says(1, r#"{"type":"message","id":"m1","text":"hello"}"#);
    assert_eq!(rig.does(), NONE);
    rig.says(1, r#"{"type":"message","id":"m0","text":"hello"}"#);
    assert_eq!(rig.does().len(), 1);
}

// Sockets

#[test]
fn no_more_sockets_than_allowed() {
    let mut rig = Rig::active();
    for socket in 2..=SOCKETS_MAX as u32 {
        rig.attach(socket);
        assert_eq!(rig.hears(socket).len(), 2);
    }
    rig.attach(99);
    assert_eq!(
        rig.hears(99),
        [
            "error quota.sockets of the session retryable after 1000 ms: the session has as many sockets as it may",
            "close 4004 quota.sockets"
        ]
    );
    rig.detach(2);
    rig.attach(100);
    assert_eq!(rig.hears(100).len(), 2);
}

#[test]
fn a_client_that_comes_again_takes_its_own_place() {
    let hello = r#"{"type":"hello","client_id":"tab-7"}"#;
    let mut rig = Rig::active();
    rig.says(1, hello);
    rig.attach(2);
    rig.says(2, r#"{"type":"hello","client":"web/1.0"}"#);
    rig.attach(3);
    rig.says(3, hello);
    assert_eq!(rig.hears(1), ["close 4507 replaced"]);
    assert!(!rig.is_closed(2));
    rig.says(3, "hello");
    assert_eq!(rig.hears(3).last().unwrap(), "#2 t1 accepted at 0: hello");
}

#[test]
fn hello_comes_first_and_once() {
    let refused = "error proto.invalid of the frame: hello comes first, and once";
    let mut rig = Rig::active();
    rig.says(1, r#"{"type":"hello","client_id":"a"}"#);
    rig.says(1, r#"{"type":"hello","client_id":"a"}"#);
    assert_eq!(rig.hears(1), [refused]);
    rig.attach(2);
    rig.says(2, "/status");
    rig.says(2, r#"{"type":"hello"}"#);
    assert_eq!(rig.hears(2).last().unwrap(), refused);
}

// Turns

#[test]
fn the_last_answer_can_be_asked_for_again() {
    let again = r#"{"type":"regenerate"}"#;
    let mut rig = Rig::active();
    rig.says(1, again);
    assert_eq!(rig.hears(1), ["error turn.not_found of the frame: there is no such turn"]);
    rig.says(1, "hello");
    rig.says(1, again);
    assert_eq!(
        rig.hears(1),
        [
            "error turn.conflict of the frame: another turn runs or waits: stop it first",
            "#2 t1 accepted at 0: hello",
        ]
    );
    rig.chunk(1, FINISH);
    rig.says(1, again);
    rig.chunk(2, r#"{"type":"error"}"#);
    rig.says(1, again);
    assert_eq!(
        rig.hears(1),
        [
            "#3 t1 done complete",
            "#4 t2 accepted at 0 for t1: hello",
            "#5 t2 done error agent.failed: the agent failed",
            "#6 t3 accepted at 0 for t2: hello",
        ]
    );
    assert_eq!(rig.does(), ["start t1 hello", "start t2 for t1 hello", "start t3 for t2 hello"]);
}

#[test]
fn an_answer_that_is_named_is_replaced_once() {
    let again = |turn: u32| format!(r#"{{"type":"regenerate","turn":"t{turn}"}}"#);
    let mut rig = Rig::answering();
    rig.chunk(1, FINISH);
    rig.says(1, &again(2));
    rig.says(1, &again(1));
    let unknown = "error turn.not_found of the frame: there is no such turn";
    assert_eq!(rig.hears(1), [unknown, "#3 t1 done complete", "#4 t2 accepted at 0 for t1: hello"]);
    // Whether the new answer runs or is over.
    rig.says(1, &again(1));
    rig.chunk(2, FINISH);
    rig.says(1, &again(1));
    assert_eq!(rig.hears(1), ["#5 t2 done complete"]);
    rig.says(1, &again(2));
    rig.chunk(3, FINISH);
    rig.says(1, &again(1));
    let late = "error turn.conflict of the frame: only the last answer can be replaced";
    assert_eq!(rig.hears(1), [late, "#6 t3 accepted at 0 for t2: hello", "#7 t3 done complete"]);
}

#[test]
fn a_refusal_names_its_message() {
    let mut rig = Rig::active();
    let message = |id: &str, text: &str| format!(r#"{{"type":"message","id":"{id}","text":"{text}"}}"#);
    rig.says(1, &message("c0", " "));
    rig.says(1, &message("c1", "hello"));
    rig.says(1, &message("c1", "another"));
    for _ in 0..QUEUE_MAX_TURNS {
        rig.says(1, "more");
    }
    rig.says(1, &message("c2", "too much"));
    let refused = rig.hears(1).into_iter().filter(|line| line.starts_with("error")).collect::<Vec<_>>();
    assert_eq!(
        refused,
        [
            "error proto.invalid of the frame about c0: text must not be empty",
            "error proto.invalid of the frame about c1: that id was given to another message: \
             each has one of its own",
            "error quota.queue of the frame about c2 retryable after 1000 ms: too many messages are waiting",
        ]
    );
}

#[test]
fn a_turn_tells_its_first_token_and_what_it_took() {
    let mut rig = Rig::active();
    rig.says(1, "hello");
    rig.says(1, "next");
    rig.wait(100 * Duration::from_millis(1));
    rig.chunk(1, r#"{"type":"start"}"#);
    rig.wait(210 * Duration::from_millis(1));
    rig.chunk(1, HI);
    rig.wait(SECOND);
    rig.chunk(1, HI);
    rig.hears(1);
    rig.chunk(1, r#"{"type":"finish","messageMetadata":{"usage":{"totalTokens":12}}}"#);
    rig.wait(30 * Duration::from_millis(1));
    rig.chunk(2, r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{"}"#);
    rig.chunk(2, FINISH);
    let heard = rig.hears(1);
    assert_eq!(heard[0], "#7 t1 done complete, first token after 310 of 1310 ms, 12 tokens");
    assert_eq!(heard[2], "#9 t2 done complete, first token after 30 of 30 ms");
}

#[test]
fn an_id_is_that_of_one_message_only() {
    let mut rig = Rig::active();
    rig.says(1, r#"{"type":"message","id":"m","text":"mine"}"#);
    rig.attach(2);
    rig.forget();
    rig.hears(2);
    rig.says(2, r#"{"type":"message","id":"m","text":"another's"}"#);
    let refused = "error proto.invalid of the frame about m: that id was given to another message: each has one of its own";
    assert_eq!(rig.hears(2), [refused]);
    assert_eq!(rig.hears(1), [""; 0]);
}

/// As after the machine was asleep.
#[test]
fn a_late_driver_asks_each_time_before_it_gives_a_socket_up() {
    let mut rig = Rig::active_with(Settings { heartbeat: Duration::from_secs(15), ..QUIET });
    for _ in 0..2 {
        rig.wait(Duration::from_secs(600));
        rig.wait(Duration::ZERO);
        assert_eq!(rig.hears(1), ["ping"]);
    }
    rig.wait(Duration::from_secs(600));
    assert_eq!(rig.hears(1), ["close 4002 heartbeat"]);
}
