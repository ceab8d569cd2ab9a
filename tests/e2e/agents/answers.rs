//! Invalid answers, and valid ones of unusual form.

use anyhow::Result;
use mayfly_tests::harness::text_of;

use super::{FINISH, HEAD, HI, Scene, outcome};

/// Longest line of an event.
const EVENT_MAX_BYTES: usize = 64 * 1024;
const STREAM: &str = "200 OK\r\ncontent-type: text/event-stream";

/// Name, bytes, and end of the turn: an error code, or else a reason.
type Row = (&'static str, Vec<u8>, &'static str);

#[tokio::test]
async fn a_response_without_events_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    let elsewhere = format!("{}/elsewhere", scene.neighbours_agent.url);
    each_ends_as_told(scene, no_streams(&elsewhere)).await
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_truncated() -> Result<()> {
    each_ends_as_told(Scene::start().await?, broken_streams()).await
}

#[tokio::test]
async fn an_invalid_chunk_is_a_protocol_error() -> Result<()> {
    each_ends_as_told(Scene::start().await?, wrong_events()).await
}

#[tokio::test]
async fn each_failed_end_has_its_code() -> Result<()> {
    each_ends_as_told(Scene::start().await?, wrong_ends()).await
}

#[tokio::test]
async fn unusual_valid_answers_are_accepted() -> Result<()> {
    each_ends_as_told(Scene::start().await?, odd_but_right()).await
}

/// Runs a turn with each answer. After each, the next answer arrives and the neighbour's continues.
async fn each_ends_as_told(mut scene: Scene, rows: Vec<Row>) -> Result<()> {
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

fn no_streams(elsewhere: &str) -> Vec<Row> {
    let good = [HI, FINISH].concat();
    let with = |header: &str| http(&[STREAM, header].concat(), &good);
    let redirect = format!("307 Go\r\nlocation: {elsewhere}\r\ncontent-length: 0");
    vec![
        ("nothing", vec![], "agent.unreachable"),
        ("half a head", HEAD.trim_end().into(), "agent.unreachable"),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "agent.http"),
        ("a page", http("200 OK\r\ncontent-type: text/html", "<html>hi</html>"), "agent.http"),
        ("JSON", http("200 OK\r\ncontent-type: application/json", "{}"), "agent.http"),
        ("no type", http("200 OK", &good), "agent.http"),
        ("another type", http("200 OK\r\ncontent-type: text/event-streams", &good), "agent.http"),
        ("compressed", with("\r\ncontent-encoding: gzip"), "agent.http"),
        ("an error", http("500 Oh\r\ncontent-type: text/event-stream", &good), "agent.http"),
        ("created", http("201 Created\r\ncontent-type: text/event-stream", &good), "agent.http"),
        ("another protocol", http("101 Go\r\nconnection: upgrade\r\nupgrade: x", ""), "agent.http"),
        ("a redirect", http(&redirect, ""), "agent.http"),
        ("a long header", with(&format!("\r\nx: {}", "x".repeat(1 << 20))), "agent.http"),
        ("many headers", with(&"\r\nx: y".repeat(100_000)), "agent.http"),
    ]
}

fn broken_streams() -> Vec<Row> {
    let with = |header: &str, body: &str| http(&[STREAM, "\r\n", header].concat(), body);
    let chunked = |body: &str| with("transfer-encoding: chunked", body);
    let rows = [
        ("no event", stream("")),
        ("no end", stream(HI)),
        ("only last words", stream("data: [DONE]\n\n")),
        ("half an event", stream(FINISH.trim_end_matches("\n\ndata: [DONE]\n\n"))),
        ("chunked, cut", chunked(&format!("ff\r\n{HI}"))),
        ("chunked, wrong", chunked("data\r\n")),
        ("shorter than told", with("content-length: 999", HI)),
        ("longer than told", with(&format!("content-length: {}", HI.len()), &[HI, FINISH].concat())),
    ];
    rows.map(|(name, bytes)| (name, bytes, "agent.stream_truncated")).into()
}

fn wrong_events() -> Vec<Row> {
    let deep = format!(r#"{{"type":"data-x","data":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let not_utf8 = b"data: {\"type\":\"start\",\"a\":\"\xff\xfe\"}\n\n";
    let rows = [
        ("not JSON", event("hello")),
        ("half JSON", event(r#"{"type":"text-delta","#)),
        ("two values", event(r#"{"type":"start"}{"type":"start"}"#)),
        ("no object", event("[1]")),
        ("nothing in it", event("")),
        ("not UTF-8", [HEAD.as_bytes(), not_utf8, FINISH.as_bytes()].concat()),
        ("several lines", event("{\"type\":\ndata: \"start\"}")),
        ("no chunk type", event("{}")),
        ("an unknown type", event(r#"{"type":"dance"}"#)),
        ("the hub's own type", event(r#"{"type":"turn.done","reason":"complete"}"#)),
        ("a forged seq", event(r#"{"type":"start","seq":1}"#)),
        ("a forged turn", event(r#"{"type":"start","turn":"t1"}"#)),
        ("a forged from", event(r#"{"from":1,"type":"start"}"#)),
        ("a forged seq, escaped", event(r#"{"type":"start","s\u0065q":1}"#)),
        ("a key twice", event(r#"{"type":"start","type":"start"}"#)),
        ("too deep", event(&deep)),
        ("too large", stream(&[&line_of(EVENT_MAX_BYTES + 1), "\n\n", FINISH].concat())),
        ("too many lines", stream(&"data:\n".repeat(EVENT_MAX_BYTES + 2))),
    ];
    rows.map(|(name, bytes)| (name, bytes, "agent.protocol")).into()
}

fn wrong_ends() -> Vec<Row> {
    vec![
        ("an unusable end", event(r#"{"type":"finish","finishReason":[]}"#), "agent.protocol"),
        ("an error", event(r#"{"type":"error","errorText":"no"}"#), "agent.failed"),
        ("an error at the end", event(r#"{"type":"finish","finishReason":"error"}"#), "agent.failed"),
        ("a refusal", event(r#"{"type":"finish","finishReason":"content-filter"}"#), "model.refused"),
        ("an end of its own accord", event(r#"{"type":"abort"}"#), "stopped"),
    ]
}

fn odd_but_right() -> Vec<Row> {
    let good = [HI, FINISH].concat();
    let rows = [
        ("as large as can be", stream(&[&line_of(EVENT_MAX_BYTES), "\n\n", &good].concat())),
        ("two ends", stream(&[&good, FINISH, "data: {\"type\":\"error\"}\n\n"].concat())),
        ("more after the end", stream(&[&good, HI, HI].concat())),
        ("garbage after the end", stream(&[&good, "data: }{\n\n"].concat())),
        ("a length", http(&format!("{STREAM}\r\ncontent-length: {}", good.len()), &good)),
        ("type in capitals", http("200 OK\r\nContent-Type: Text/Event-Stream;charset=utf-8", &good)),
        ("other fields", stream(&[": hm\n\nid: 1\nevent: x\nretry: 1\n\ndat: x\n\n", &good].concat())),
        ("CRLF", stream(&good.replace('\n', "\r\n"))),
        ("an interim answer", format!("HTTP/1.1 100 Continue\r\n\r\n{HEAD}{good}").into()),
    ];
    rows.map(|(name, bytes)| (name, bytes, "complete")).into()
}

/// Returns a response. Its body ends with the connection, unless the headers say otherwise.
fn http(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes()
}

fn stream(body: &str) -> Vec<u8> {
    http(STREAM, body)
}

/// Returns a stream that is valid except for its first event.
fn event(chunk: &str) -> Vec<u8> {
    stream(&["data: ", chunk, "\n\n", HI, FINISH].concat())
}

/// Returns a valid line of this length.
fn line_of(bytes: usize) -> String {
    let line = |delta: &str| format!(r#"data: {{"type":"reasoning-delta","id":"r","delta":"{delta}"}}"#);
    line(&"x".repeat(bytes - line("").len()))
}
