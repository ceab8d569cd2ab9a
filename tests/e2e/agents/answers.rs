//! Answers that are wrong from their first byte to their last, and some that only look so.

use anyhow::Result;
use mayfly_tests::harness::text_of;

use super::{FINISH, HEAD, HI, Scene, outcome};

/// One line of an event, as the hub's limits have it.
const EVENT_MAX_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn a_wrong_answer_is_told_with_a_code_and_the_next_one_is_right() -> Result<()> {
    let mut scene = Scene::start().await?;
    let good = [HI, FINISH].concat();
    let stream = "200 OK\r\ncontent-type: text/event-stream\r\n";
    let elsewhere =
        format!("307 Go\r\nlocation: {}/elsewhere\r\ncontent-length: 0", scene.neighbours_agent.url);
    let rows = [
        // No answer of an agent
        ("nothing", vec![], "agent.unreachable"),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "agent.http"),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-type: text/ev".to_vec(), "agent.unreachable"),
        ("a page", with_head("200 OK\r\ncontent-type: text/html", "<html>hi</html>"), "agent.http"),
        ("JSON", with_head("200 OK\r\ncontent-type: application/json", "{}"), "agent.http"),
        ("no type", with_head("200 OK", &good), "agent.http"),
        ("another type", with_head("200 OK\r\ncontent-type: text/event-streams", &good), "agent.http"),
        ("compressed", with_head(&format!("{stream}content-encoding: gzip"), &good), "agent.http"),
        ("an error", with_head("500 Oh\r\ncontent-type: text/event-stream", &good), "agent.http"),
        ("created", with_head("201 Created\r\ncontent-type: text/event-stream", &good), "agent.http"),
        ("switching", with_head("101 Go\r\nconnection: upgrade\r\nupgrade: x", ""), "agent.http"),
        ("a redirect", with_head(&elsewhere, ""), "agent.http"),
        ("a long header", with_head(&format!("{stream}x: {}", "x".repeat(1 << 20)), &good), "agent.http"),
        (
            "many headers",
            with_head(&format!("{stream}{}x: y", "x: y\r\n".repeat(100_000)), &good),
            "agent.http",
        ),
        // A stream that breaks off
        ("no event", HEAD.into(), "agent.stream_truncated"),
        ("no end", [HEAD, HI].concat().into(), "agent.stream_truncated"),
        ("only [DONE]", [HEAD, HI, "data: [DONE]\n\n"].concat().into(), "agent.stream_truncated"),
        (
            "half an event",
            [HEAD, HI, "data: {\"type\":\"finish\"}\n"].concat().into(),
            "agent.stream_truncated",
        ),
        (
            "chunked, cut",
            with_head(&format!("{stream}transfer-encoding: chunked"), &format!("ff\r\n{HI}")),
            "agent.stream_truncated",
        ),
        (
            "chunked, wrong",
            with_head(&format!("{stream}transfer-encoding: chunked"), "data\r\n"),
            "agent.stream_truncated",
        ),
        (
            "shorter than told",
            with_head(&format!("{stream}content-length: 999"), HI),
            "agent.stream_truncated",
        ),
        (
            "longer than told",
            with_head(&format!("{stream}content-length: {}", HI.len()), &good),
            "agent.stream_truncated",
        ),
        // Events that are none
        ("not JSON", event("hello"), "agent.protocol"),
        ("half JSON", event(r#"{"type":"text-delta","#), "agent.protocol"),
        ("two values", event(r#"{"type":"start"}{"type":"start"}"#), "agent.protocol"),
        ("no object", event("[1]"), "agent.protocol"),
        ("nothing in it", event(""), "agent.protocol"),
        (
            "not UTF-8",
            [HEAD.as_bytes(), b"data: {\"type\":\"start\",\"a\":\"\xff\xfe\"}\n\n"].concat(),
            "agent.protocol",
        ),
        ("several lines", event("{\"type\":\ndata: \"start\"}"), "agent.protocol"),
        ("no chunk type", event("{}"), "agent.protocol"),
        ("an unknown type", event(r#"{"type":"dance"}"#), "agent.protocol"),
        ("the hub's own type", event(r#"{"type":"turn.done","reason":"complete"}"#), "agent.protocol"),
        ("a forged seq", event(r#"{"type":"start","seq":1}"#), "agent.protocol"),
        ("a forged turn", event(r#"{"type":"start","turn":"t1"}"#), "agent.protocol"),
        ("a forged from", event(r#"{"from":1,"type":"start"}"#), "agent.protocol"),
        ("a forged seq, escaped", event(r#"{"type":"start","s\u0065q":1}"#), "agent.protocol"),
        ("a key twice", event(r#"{"type":"start","type":"start"}"#), "agent.protocol"),
        (
            "too deep",
            event(&format!(r#"{{"type":"data-x","data":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000))),
            "agent.protocol",
        ),
        ("a wrong end", event(r#"{"type":"finish","finishReason":[]}"#), "agent.protocol"),
        ("too many lines", [HEAD, &"data:\n".repeat(EVENT_MAX_BYTES + 2)].concat().into(), "agent.protocol"),
        ("too large", with_line_of(EVENT_MAX_BYTES + 1), "agent.protocol"),
        // An end that is not a good one
        ("an error chunk", event(r#"{"type":"error","errorText":"no"}"#), "agent.failed"),
        ("an error at the end", event(r#"{"type":"finish","finishReason":"error"}"#), "agent.failed"),
        ("a refusal", event(r#"{"type":"finish","finishReason":"content-filter"}"#), "model.refused"),
        ("an end of its own", event(r#"{"type":"abort"}"#), "stopped"),
        // Odd, and right
        ("as large as can be", with_line_of(EVENT_MAX_BYTES), "complete"),
        (
            "two ends",
            [HEAD, HI, FINISH, FINISH, "data: {\"type\":\"error\"}\n\n"].concat().into(),
            "complete",
        ),
        ("more after the end", [HEAD, HI, FINISH, HI, HI].concat().into(), "complete"),
        ("garbage after the end", [HEAD, HI, FINISH, "data: }{\n\n"].concat().into(), "complete"),
        ("a length", with_head(&format!("{stream}content-length: {}", good.len()), &good), "complete"),
        (
            "type in capitals",
            with_head("200 OK\r\nContent-Type: Text/Event-Stream;charset=utf-8", &good),
            "complete",
        ),
        (
            "other fields",
            [HEAD, ": hm\n\nid: 1\nevent: x\nretry: 1\n\ndat: x\n\n", &good].concat().into(),
            "complete",
        ),
        ("CRLF", [HEAD, &good.replace('\n', "\r\n")].concat().into(), "complete"),
        (
            "continue first",
            [b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), HEAD.as_bytes(), good.as_bytes()].concat(),
            "complete",
        ),
    ];
    for (name, bytes, expected) in rows {
        let frames = scene.answer(&bytes).await?;
        assert_eq!(outcome(&frames), expected, "{name}: {frames:?}");
        if expected == "complete" {
            assert_eq!(text_of(&frames), "Hi", "{name}");
        }
        scene.next_turn_is_answered().await?;
        scene.neighbour_hears_on().await?;
    }
    scene.all_is_well().await
}

fn event(chunk: &str) -> Vec<u8> {
    [HEAD, "data: ", chunk, "\n\n", HI, FINISH].concat().into_bytes()
}

/// An answer with headers of its own.
fn with_head(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes()
}

/// A good answer whose first event's line has as many bytes.
fn with_line_of(bytes: usize) -> Vec<u8> {
    let frame = |delta: &str| format!(r#"data: {{"type":"reasoning-delta","id":"r","delta":"{delta}"}}"#);
    let line = frame(&"x".repeat(bytes - frame("").len()));
    assert_eq!(line.len(), bytes);
    [HEAD, &line, "\n\n", HI, FINISH].concat().into_bytes()
}
