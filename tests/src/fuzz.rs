//! Rules for all parsers of foreign input, which hold for any bytes.
//!
//! `make test` runs the rules on the stored corpus and on the mutations that [`mutate`] makes. `make fuzz` searches for
//! more input, guided by coverage.

use std::fmt::Write;

use bytes::Bytes;
use mayfly::agents::client::sse;
use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::TurnId;
use mayfly_protocol::refusal::RefusedFrame;
use mayfly_session::chunk;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// A rule: takes any bytes, and panics if it is broken.
pub type Rule = fn(&[u8]);

/// Every rule with its name, which is also the name of its corpus.
pub const RULES: [(&str, Rule); 3] = [("client", client), ("sse", event_stream), ("chunk", agent_chunk)];

/// Client messages: an accepted message survives serialization, a refused one is refused for its kind.
pub fn client(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_json = serde_json::from_str::<Value>(text).is_ok();
    match ClientFrame::parse(text) {
        Ok(frame) => {
            assert!(is_json || !text.starts_with('{'), "{frame:?} is not JSON");
            let written = serde_json::to_string(&frame).expect("a frame can be written");
            assert_eq!(ClientFrame::parse(&written), Ok(frame), "written as {written}");
        }
        Err(RefusedFrame { refusal, .. }) if refusal.code == ErrorCode::ProtoBadJson => {
            assert!(!is_json, "{}", refusal.message);
        }
        Err(RefusedFrame { refusal, .. }) => {
            assert!(is_json || !text.starts_with('{'), "{}", refusal.message);
            let known = [ErrorCode::ProtoUnknownType, ErrorCode::ProtoInvalid, ErrorCode::ProtoTooLarge];
            assert!(known.contains(&refusal.code), "{refusal:?}");
        }
    }
}

/// Agent streams: any split into pieces gives the same events, which are those of the standard.
pub fn event_stream(data: &[u8]) {
    let expected = lines_to_events(data);
    let mut sizes = Random::new(data.len() as u64);
    let mut somehow = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + sizes.below(24)));
        somehow.push(piece);
        rest = after;
    }
    for pieces in [vec![data], data.chunks(1).collect(), somehow] {
        assert_eq!(parsed(&pieces), expected, "in {} pieces", pieces.len());
    }
}

/// Returns the events that the hub's parser finds in the pieces.
fn parsed(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut parser = sse::Parser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event.to_vec()),
                Ok(None) => break,
                Err(sse::TooLarge) => return events,
            }
        }
    }
    events
}

/// Returns the events of the whole stream, line by line as in WHATWG HTML, section 9.2.6.
fn lines_to_events(data: &[u8]) -> Vec<Vec<u8>> {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let Some(end) = data.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let mut events = Vec::new();
    let mut event: Vec<&[u8]> = Vec::new();
    for line in data.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        if field == b"data" {
            event.push(value.strip_prefix(b" ").unwrap_or(value));
        } else if line.is_empty() && !event.is_empty() {
            events.push(std::mem::take(&mut event).join(&b'\n'));
        }
    }
    events
}

/// Agent events: an accepted one is an object that takes the hub's keys without any other change; one that is refused
/// as invalid is no JSON on one line.
pub fn agent_chunk(data: &[u8]) {
    let is_one_line = !data.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    let is_json = is_one_line && serde_json::from_slice::<IgnoredAny>(data).is_ok();
    match chunk::inspect(data) {
        Ok(_) => assert_spliced(data, is_json),
        Err(chunk::Fault("not JSON")) => assert!(!is_json, "it is JSON"),
        Err(chunk::Fault(_)) => {}
    }
}

fn assert_spliced(data: &[u8], is_json: bool) {
    assert!(is_json, "no JSON was accepted");
    let frame = chunk::splice(data, 7, TurnId(3));
    serde_json::from_slice::<IgnoredAny>(&frame).expect("the frame is JSON");
    // Half a surrogate pair and numbers beyond any float are JSON by its grammar, but no values here.
    let Ok(mut before) = serde_json::from_slice::<Map<String, Value>>(data) else { return };
    let after: Map<String, Value> =
        serde_json::from_slice(&frame).expect("the frame has values as the chunk has");
    assert!(before.get("type").is_some_and(Value::is_string), "no type");
    assert_eq!(before.insert("seq".to_owned(), 7.into()), None);
    assert_eq!(before.insert("turn".to_owned(), "t3".into()), None);
    assert_eq!(after, before);
}

/// Random numbers from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    /// Creates a generator. The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }
}

/// Changes `data` in a few places, with pieces of `other` and words of the formats.
pub fn mutate(data: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "\n",
        "\r\n",
        "\n\n",
        "data",
        "data: ",
        ":",
        "{",
        "}",
        "\"",
        "\\u",
        "\"type\":",
        "\"seq\":",
        "[",
        ",",
        "1e9",
        "\u{feff}",
    ];
    let mut data = data.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(data.len() + 1);
        let end = at + random.below(data.len() - at + 1).min(16);
        let piece = match random.below(5) {
            0 => Vec::new(),
            1 => vec![random.below(256) as u8],
            2 => WORDS[random.below(WORDS.len())].as_bytes().to_vec(),
            3 => data[at..end].repeat(2),
            _ => {
                let from = random.below(other.len() + 1);
                other[from..from + random.below(other.len() - from + 1)].to_vec()
            }
        };
        data.splice(at..end, piece);
    }
    data
}

/// Returns `data` as text that can be pasted into a test.
pub fn shown(data: &[u8]) -> String {
    data.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", byte.escape_ascii());
        text
    })
}
