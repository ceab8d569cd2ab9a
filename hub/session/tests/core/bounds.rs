//! Agents that do not get on, and clients that send too much.

use std::time::Duration;

use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::TurnId;
use mayfly_session::AgentEvent;
use mayfly_session::limits::{
    AGENT_SILENCE_MAX, BAD_FRAME_RATE, CANCEL_GRACE, CHUNK_SILENCE_MAX, DIRECT_MAX_BYTES, MESSAGE_RATE,
    TURN_MAX,
};

use crate::harness::{HI, NANOSECOND, Rig};

// Agents that do not get on

/// Turn 1 fails for this reason, the agent is told, and the next turn begins.
fn stalls(rig: &mut Rig, why: &str) {
    assert_eq!(rig.commands(), ["cancel t1", "start t2 next"]);
    let heard = rig.received(1);
    let done = heard.iter().find(|line| line.contains("t1 done")).expect("the turn is done");
    let (done, _) = done.split_once(", first token").unwrap_or((done, ""));
    assert!(done.ends_with(&format!("t1 done error agent.stalled: {why}")), "{done}");
}

/// Creates a session with a running turn and a waiting one.
fn answering_with_a_queue() -> Rig {
    let mut rig = Rig::active();
    rig.send(1, "hello");
    rig.send(1, "next");
    rig.discard();
    rig
}

#[test]
fn silent_agent_fails_the_turn() {
    let mut rig = answering_with_a_queue();
    assert_eq!(rig.due(), Some(AGENT_SILENCE_MAX));
    rig.advance(AGENT_SILENCE_MAX - NANOSECOND);
    rig.agent(1, AgentEvent::Alive);
    rig.advance(AGENT_SILENCE_MAX - NANOSECOND);
    assert!(rig.commands().is_empty());
    rig.chunk(1, HI);
    rig.advance(AGENT_SILENCE_MAX - NANOSECOND);
    assert!(rig.commands().is_empty());
    rig.advance(NANOSECOND);
    stalls(&mut rig, "the agent went silent");
}

/// Sends this event every ten seconds while the turn runs, and returns the time that the turn ran.
fn kept_alive_by(rig: &mut Rig, event: AgentEvent<'_>) -> Duration {
    let begin = rig.now;
    while rig.session.running_turn() == Some(TurnId(1)) {
        rig.agent(1, event);
        rig.discard_expected(|line| line.contains("text-delta"));
        rig.advance(Duration::from_secs(10));
    }
    rig.now - begin
}

#[test]
fn comments_without_chunks_fail_the_turn() {
    let mut rig = answering_with_a_queue();
    assert_eq!(kept_alive_by(&mut rig, AgentEvent::Alive), CHUNK_SILENCE_MAX);
    stalls(&mut rig, "the agent made no progress");
}

#[test]
fn turn_fails_at_its_greatest_length() {
    let mut rig = answering_with_a_queue();
    assert_eq!(kept_alive_by(&mut rig, AgentEvent::Chunk(HI.as_bytes())), TURN_MAX);
    stalls(&mut rig, "the turn took too long");
}

#[test]
fn stopped_turn_does_not_stall() {
    let mut rig = answering_with_a_queue();
    rig.advance(AGENT_SILENCE_MAX - NANOSECOND);
    rig.send(1, "/stop");
    rig.advance(NANOSECOND);
    assert_eq!(rig.commands(), ["cancel t1"]);
    rig.advance(CANCEL_GRACE - NANOSECOND);
    assert_eq!(rig.received(1).last().unwrap(), "#4 t1 done stopped");
}

#[test]
fn invalid_terminal_chunk_cancels_the_turn() {
    let mut rig = Rig::answering();
    rig.chunk(1, r#"{"type":"finish","finishReason":[]}"#);
    assert_eq!(rig.commands(), ["cancel t1"]);
    assert_eq!(
        rig.received(1),
        ["#3 t1 done error agent.protocol: the agent sent a terminal chunk with unusable fields"]
    );
}

// Clients that send too much

#[test]
fn flood_closes_only_its_socket() {
    let mut rig = Rig::active();
    rig.attach(2);
    for _ in 0..MESSAGE_RATE.burst {
        rig.send(2, "/status");
        rig.received(2);
    }
    rig.send(2, "/status");
    assert_eq!(
        rig.received(2),
        [
            "error quota.rate of the session retryable after 5000 ms: too many messages in a short time",
            "close 4005 quota.rate"
        ]
    );
    rig.send(1, "hello");
    assert_eq!(rig.commands(), ["start t1 hello"]);
}

#[test]
fn pings_count_as_messages() {
    let mut rig = Rig::active();
    for _ in 0..MESSAGE_RATE.burst {
        rig.send_pong(1);
    }
    assert_eq!((rig.status(), rig.received(1)), (Status::Active, vec![]));
    rig.send_pong(1);
    assert_eq!((rig.status(), rig.commands()), (Status::Terminating, vec!["stop".to_owned()]));
    assert_eq!(rig.received(1).last().unwrap(), "close 4005 quota.rate");
}

#[test]
fn client_within_the_rates_stays() {
    let mut rig = Rig::active();
    for _ in 0..2 * MESSAGE_RATE.burst {
        rig.send_pong(1);
        rig.now += MESSAGE_RATE.interval;
    }
    assert_eq!(rig.received(1), [""; 0]);
    for _ in 0..2 * BAD_FRAME_RATE.burst {
        rig.send(1, "{");
        rig.now += BAD_FRAME_RATE.interval;
    }
    assert_eq!(rig.status(), Status::Active);
    assert_eq!(rig.received(1).len() as u32, 2 * BAD_FRAME_RATE.burst);
}

#[test]
fn bad_frames_close_the_socket() {
    let mut rig = Rig::active();
    for _ in 0..BAD_FRAME_RATE.burst {
        rig.send(1, "/dance");
    }
    assert_eq!(rig.received(1).len() as u32, BAD_FRAME_RATE.burst);
    assert_eq!(rig.status(), Status::Active);
    rig.send(1, "/dance");
    let heard = rig.received(1);
    assert!(heard[0].starts_with("error proto.unknown_type of the frame: "), "{heard:?}");
    assert_eq!(heard[1..], ["close 4505 proto.unknown_type"]);
    assert_eq!(rig.status(), Status::Terminating);
}

#[test]
fn refusals_without_a_bad_frame_do_not_close_the_socket() {
    let mut rig = Rig::active();
    for _ in 0..=BAD_FRAME_RATE.burst {
        rig.send(1, "/stop");
    }
    assert_eq!((rig.received(1).len() as u32, rig.status()), (BAD_FRAME_RATE.burst + 1, Status::Active));
}

/// The longest message that a WebSocket takes, with every character escaped.
#[test]
fn longest_message_reaches_every_socket() {
    let mut rig = Rig::active();
    rig.attach(2);
    rig.discard_expected(|_| true);
    rig.received(2);
    rig.send(1, &"\"".repeat(64 * 1024));
    for socket in [1, 2] {
        let heard = rig.received(socket);
        assert!(
            heard.len() == 1 && heard[0].contains("t1 accepted"),
            "socket {socket}: {} lines",
            heard.len()
        );
    }
    rig.send(1, &"\u{1}".repeat(64 * 1024));
    let refused = "error proto.too_large of the frame: text must have at most 163840 bytes as JSON, escaped";
    assert_eq!(rig.received(1), [refused]);
    assert_eq!(rig.received(2), [""; 0]);
}

/// Frames for one socket alone are bounded in bytes too: here, what a message became, told again and again.
#[test]
fn direct_frames_are_bounded_in_bytes() {
    let mut rig = Rig::active();
    let message = format!(r#"{{"type":"message","id":"m","text":"{}"}}"#, "x".repeat(60_000));
    rig.send(1, &message);
    rig.attach(2);
    rig.received(2);
    let mut asked = 0;
    while !rig.is_closed(2) {
        rig.send(2, &message);
        asked += 1;
    }
    assert_eq!(asked, DIRECT_MAX_BYTES / 60_000 + 1);
    assert_eq!(rig.received(2), ["close 4001 quota.slow"]);
    assert_eq!(rig.received(1).len(), 1, "the others are not concerned");
}

/// A notice replaces an older one, so that no client can fill the queue of another.
#[test]
fn notices_do_not_fill_the_queue_of_a_socket() {
    let mut rig = Rig::active();
    rig.attach(2);
    rig.received(2);
    for _ in 0..90 {
        rig.send(1, "/extend");
        rig.received(1);
    }
    assert_eq!(rig.received(2), ["extended idle 3600000 ms, max 3600000 ms"]);
}
