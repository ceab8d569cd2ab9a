//! Agents that do not get on, and clients that send too much.

use std::time::Duration;

use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::TurnId;
use mayfly_session::AgentEvent;
use mayfly_session::limits::{
    AGENT_SILENCE_MAX, BAD_FRAME_RATE, CANCEL_GRACE, CHUNK_SILENCE_MAX, DIRECT_MAX_BYTES, MESSAGE_RATE,
    TURN_MAX,
};

use crate::harness::{NANOSECOND, Rig};
use crate::rules::{HI, SIGN_OF_LIFE};

// Agents that do not get on

/// Turn 1 fails for this reason, the agent is told, and the next turn begins.
fn stalls(rig: &mut Rig, why: &str) {
    assert_eq!(rig.does(), ["cancel t1", "start t2 next"]);
    let heard = rig.hears(1);
    let done = heard.iter().find(|line| line.contains("t1 done")).expect("the turn is done");
    let (done, _) = done.split_once(", first token").unwrap_or((done, ""));
    assert!(done.ends_with(&format!("t1 done error agent.stalled: {why}")), "{done}");
}

fn answering_with_a_sign_of_life_under_way() -> Rig {
    let mut rig = Rig::active();
    rig.wait(SIGN_OF_LIFE);
    rig.says(1, "hello");
    rig.says(1, "next");
    rig.forget();
    rig
}

#[test]
fn an_agent_that_sends_nothing_fails_the_turn() {
    let mut rig = answering_with_a_sign_of_life_under_way();
    assert_eq!(rig.due(), Some(AGENT_SILENCE_MAX));
    rig.wait(AGENT_SILENCE_MAX - NANOSECOND);
    rig.agent(1, AgentEvent::Alive);
    rig.wait(AGENT_SILENCE_MAX - NANOSECOND);
    assert!(rig.does().is_empty());
    rig.chunk(1, HI);
    rig.wait(AGENT_SILENCE_MAX - NANOSECOND);
    assert!(rig.does().is_empty());
    rig.wait(NANOSECOND);
    stalls(&mut rig, "the agent went silent");
}

/// The agent sends this every ten seconds, as long as the turn runs; how long that was.
fn kept_alive_by(rig: &mut Rig, event: AgentEvent<'_>) -> Duration {
    let begin = rig.now;
    while rig.session.running_turn() == Some(TurnId(1)) {
        rig.agent(1, event);
        rig.forget_what(|line| line.contains("text-delta"));
        rig.wait(Duration::from_secs(10));
    }
    rig.now - begin
}

#[test]
fn comments_alone_do_not_keep_a_turn() {
    let mut rig = answering_with_a_sign_of_life_under_way();
    assert_eq!(kept_alive_by(&mut rig, AgentEvent::Alive), CHUNK_SILENCE_MAX);
    stalls(&mut rig, "the agent made no progress");
}

#[test]
fn a_turn_does_not_take_for_ever() {
    let mut rig = answering_with_a_sign_of_life_under_way();
    assert_eq!(kept_alive_by(&mut rig, AgentEvent::Chunk(HI.as_bytes())), TURN_MAX);
    stalls(&mut rig, "the turn took too long");
}

#[test]
fn a_turn_that_is_being_stopped_does_not_stall() {
    let mut rig = answering_with_a_sign_of_life_under_way();
    rig.wait(AGENT_SILENCE_MAX - NANOSECOND);
    rig.says(1, "/stop");
    rig.wait(NANOSECOND);
    assert_eq!(rig.does(), ["cancel t1"]);
    rig.wait(CANCEL_GRACE - NANOSECOND);
    assert_eq!(rig.hears(1).last().unwrap(), "#4 t1 done stopped");
}

#[test]
fn an_end_that_breaks_the_protocol_is_cancelled() {
    let mut rig = Rig::answering();
    rig.chunk(1, r#"{"type":"finish","finishReason":[]}"#);
    assert_eq!(rig.does(), ["cancel t1"]);
    assert_eq!(
        rig.hears(1),
        ["#3 t1 done error agent.protocol: the agent sent a terminal chunk with unusable fields"]
    );
}

// Clients that send too much

#[test]
fn a_flood_of_messages_closes_the_socket_and_leaves_the_others() {
    let mut rig = Rig::active();
    rig.attach(2);
    for _ in 0..MESSAGE_RATE.burst {
        rig.says(2, "/status");
        rig.hears(2);
    }
    rig.says(2, "/status");
    assert_eq!(
        rig.hears(2),
        [
            "error quota.rate of the session retryable after 5000 ms: too many messages in a short time",
            "close 4005 quota.rate"
        ]
    );
    rig.says(1, "hello");
    assert_eq!(rig.does(), ["start t1 hello"]);
}

#[test]
fn pings_count_as_messages_and_the_last_socket_takes_the_session_with_it() {
    let mut rig = Rig::active();
    for _ in 0..MESSAGE_RATE.burst {
        rig.pings(1);
    }
    assert_eq!((rig.status(), rig.hears(1)), (Status::Active, vec![]));
    rig.pings(1);
    assert_eq!((rig.status(), rig.does()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.hears(1).last().unwrap(), "close 4005 quota.rate");
}

#[test]
fn a_steady_client_may_go_on() {
    let mut rig = Rig::active();
    for _ in 0..2 * MESSAGE_RATE.burst {
        rig.pings(1);
        rig.now += MESSAGE_RATE.interval;
    }
    assert_eq!(rig.hears(1), [""; 0]);
    for _ in 0..2 * BAD_FRAME_RATE.burst {
        rig.says(1, "{");
        rig.now += BAD_FRAME_RATE.interval;
    }
    assert_eq!(rig.status(), Status::Active);
    assert_eq!(rig.hears(1).len() as u32, 2 * BAD_FRAME_RATE.burst);
}

#[test]
fn too_many_bad_frames_close_the_socket() {
    let mut rig = Rig::active();
    for _ in 0..BAD_FRAME_RATE.burst {
        rig.says(1, "/dance");
    }
    assert_eq!(rig.hears(1).len() as u32, BAD_FRAME_RATE.burst);
    assert_eq!(rig.status(), Status::Active);
    rig.says(1, "/dance");
    let heard = rig.hears(1);
    assert!(heard[0].starts_with("error proto.unknown_type of the frame: "), "{heard:?}");
    assert_eq!(heard[1..], ["close 4505 proto.unknown_type"]);
    assert_eq!(rig.status(), Status::Terminating);
}

/// A message as long as a WebSocket takes it, all of it escaped.
#[test]
fn the_longest_message_is_heard_by_everyone() {
    let mut rig = Rig::active();
    rig.attach(2);
    rig.forget_what(|_| true);
    rig.hears(2);
    rig.says(1, &"\"".repeat(64 * 1024));
    for socket in [1, 2] {
        let heard = rig.hears(socket);
        assert!(
            heard.len() == 1 && heard[0].contains("t1 accepted"),
            "socket {socket}: {} lines",
            heard.len()
        );
    }
    rig.says(1, &"\u{1}".repeat(64 * 1024));
    let refused = "error proto.too_large of the frame: text must have at most 163840 bytes as JSON, escaped";
    assert_eq!(rig.hears(1), [refused]);
    assert_eq!(rig.hears(2), [""; 0]);
}

/// Frames for one socket alone are bounded in bytes too: here, what a message became, told again and again.
#[test]
fn a_socket_that_asks_for_much_and_reads_nothing_is_closed() {
    let mut rig = Rig::active();
    let message = format!(r#"{{"type":"message","id":"m","text":"{}"}}"#, "x".repeat(60_000));
    rig.says(1, &message);
    rig.attach(2);
    rig.hears(2);
    let mut asked = 0;
    while !rig.is_closed(2) {
        rig.says(2, &message);
        asked += 1;
    }
    assert_eq!(asked, DIRECT_MAX_BYTES / 60_000 + 1);
    assert_eq!(rig.hears(2), ["close 4001 quota.slow"]);
    assert_eq!(rig.hears(1).len(), 1, "the others are not concerned");
}

/// What is said of the time takes the place of what was said before, so that nobody can fill another's queue.
#[test]
fn whoever_extends_fills_nobody_elses_queue() {
    let mut rig = Rig::active();
    rig.attach(2);
    rig.hears(2);
    for _ in 0..90 {
        rig.says(1, "/extend");
        rig.hears(1);
    }
    assert_eq!(rig.hears(2), ["extended idle 3600000 ms, max 3600000 ms"]);
}
