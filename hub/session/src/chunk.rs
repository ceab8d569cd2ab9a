//! What an agent may send, checked in one pass without allocating, and the frame made of it.
//!
//! An event's data must be one JSON object on one line, of at most [`CHUNK_MAX_KEYS`] keys and [`CHUNK_MAX_DEPTH`]
//! levels: its `type` in the content vocabulary or terminal, no key twice, none of the hub's own. Then the hub's keys
//! are spliced in and the rest passes through untouched. Knows no session.

use std::io::Write;
use std::str;

use mayfly_protocol::chunk::{CONTENT_TYPES, FinishReason};
use mayfly_protocol::ids::TurnId;
use serde::Deserialize;

use crate::limits::{CHUNK_MAX_DEPTH, CHUNK_MAX_KEYS};

/// What a chunk means to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Passes through to the client.
    Content,
    /// Ends the turn: the answer is complete, or as `finishReason` says.
    Finish,
    /// Ends the turn: it was cancelled.
    Abort,
    /// Ends the turn: it failed, as `errorText` says.
    Error,
}

/// How a chunk breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// What a terminal chunk tells beyond its type. All of it may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terminal {
    pub(crate) finish_reason: Option<FinishReason>,
    pub(crate) error_text: Option<String>,
}

/// Keys that only the hub may set.
const RESERVED_KEYS: [&[u8]; 3] = [b"seq", b"from", b"turn"];

/// Checks one event's data.
///
/// # Errors
/// A [`Fault`] that says which rule is broken.
pub fn inspect(data: &[u8]) -> Result<Kind, Fault> {
    if str::from_utf8(data).is_err() {
        return Err(Fault("not UTF-8"));
    }
    let mut scanner = Scanner { data, at: 0 };
    let kind = scanner.chunk()?;
    if scanner.at == data.len() { Ok(kind) } else { Err(Fault("more than one value")) }
}

/// The frame of an inspected chunk: the hub's keys first, then the chunk's own.
pub fn splice(data: &[u8], seq: u64, turn: TurnId) -> Vec<u8> {
    const HUB_KEYS_MAX_BYTES: usize = r#"{"seq":18446744073709551615,"turn":"t4294967295","#.len();
    let mut frame = Vec::with_capacity(HUB_KEYS_MAX_BYTES + data.len());
    // Writing to a Vec cannot fail.
    let _ = write!(frame, r#"{{"seq":{seq},"turn":"{turn}","#);
    frame.extend_from_slice(data.get(1..).unwrap_or_default());
    frame
}

pub(crate) fn terminal(data: &[u8]) -> Result<Terminal, Fault> {
    serde_json::from_slice(data).map_err(|_| Fault("a terminal chunk with unusable fields"))
}

fn kind_of(name: &[u8]) -> Result<Kind, Fault> {
    match name {
        b"finish" => Ok(Kind::Finish),
        b"abort" => Ok(Kind::Abort),
        b"error" => Ok(Kind::Error),
        // By far the most common, so it is asked first.
        b"text-delta" => Ok(Kind::Content),
        _ if is_content(name) => Ok(Kind::Content),
        _ => Err(Fault("an unknown type")),
    }
}

fn is_content(name: &[u8]) -> bool {
    let is_data = name.len() > b"data-".len() && name.starts_with(b"data-");
    is_data || CONTENT_TYPES.iter().any(|known| *known != "data-" && known.as_bytes() == name)
}

/// A reader of JSON (RFC 8259) that keeps nothing but its place.
struct Scanner<'a> {
    data: &'a [u8],
    at: usize,
}

const NOT_JSON: Fault = Fault("not JSON");

impl<'a> Scanner<'a> {
    fn chunk(&mut self) -> Result<Kind, Fault> {
        let mut kind = None;
        let mut seen: [&[u8]; CHUNK_MAX_KEYS] = [&[]; CHUNK_MAX_KEYS];
        let mut count = 0;
        if self.data.first() != Some(&b'{') {
            return Err(Fault("not an object"));
        }
        self.object(0, |scanner, key| {
            if key.contains(&b'\\') {
                return Err(Fault("an escape in a key"));
            }
            if RESERVED_KEYS.contains(&key) {
                return Err(Fault("a key that is the hub's own"));
            }
            if seen.get(..count).is_some_and(|seen| seen.contains(&key)) {
                return Err(Fault("a key twice"));
            }
            *seen.get_mut(count).ok_or(Fault("too many keys"))? = key;
            count += 1;
            if key == b"type" {
                if scanner.peek() != Some(b'"') {
                    return scanner.value(1).and(Err(Fault("a type that is no string")));
                }
                kind = Some(kind_of(scanner.string()?)?);
                return Ok(());
            }
            scanner.value(1)
        })?;
        kind.ok_or(Fault("no type"))
    }

    /// Reads an object from its `{`; `member` reads each value.
    fn object(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if depth >= CHUNK_MAX_DEPTH {
            return Err(Fault("too deep"));
        }
        self.expect(b'{')?;
        self.skip_space();
        if self.take_if(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            member(self, key)?;
            self.skip_space();
            if self.take_if(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        if depth >= CHUNK_MAX_DEPTH {
            return Err(Fault("too deep"));
        }
        self.expect(b'[')?;
        self.skip_space();
        if self.take_if(b']') {
            return Ok(());
        }
        loop {
            self.skip_space();
            self.value(depth + 1)?;
            self.skip_space();
            if self.take_if(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(depth, |scanner, _| scanner.value(depth + 1)),
            Some(b'[') => self.array(depth),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(NOT_JSON),
        }
    }

    /// Reads a string and returns what is between its quotes, escapes as they stand.
    fn string(&mut self) -> Result<&'a [u8], Fault> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek().ok_or(NOT_JSON)? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    self.escape()?;
                }
                0..0x20 => return Err(Fault("a control character in a string")),
                _ => self.at += 1,
            }
        }
        let inside = self.data.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(inside)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let length = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') => {
                let digits = self.data.get(self.at + 1..self.at + 5).ok_or(NOT_JSON)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(NOT_JSON);
                }
                5
            }
            _ => return Err(NOT_JSON),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.take_if(b'-');
        if !self.take_if(b'0') {
            self.digits()?;
        }
        if self.take_if(b'.') {
            self.digits()?;
        }
        if self.take_if(b'e') || self.take_if(b'E') {
            let _ = self.take_if(b'+') || self.take_if(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NOT_JSON) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.data.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(NOT_JSON);
        }
        self.at += word.len();
        Ok(())
    }

    /// A raw newline is no space here: a chunk is one line.
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take_if(byte) { Ok(()) } else { Err(NOT_JSON) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::{Value, json};

    use super::*;

    fn nested(levels: usize) -> String {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"type":"data-x","data":{open}{close}}}"#)
    }

    fn objects(levels: usize) -> String {
        let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
        format!(r#"{{"type":"data-x","data":{open}1{close}}}"#)
    }

    fn keys(count: usize) -> String {
        let others: String = (1..count).map(|key| format!(r#","k{key}":{key}"#)).collect();
        format!(r#"{{"type":"start"{others}}}"#)
    }

    #[test]
    fn what_is_accepted() {
        for (data, kind) in [
            (r#"{"type":"start"}"#, Kind::Content),
            (r#"{"type":"data-x"}"#, Kind::Content),
            (r#"{"type":"finish"}"#, Kind::Finish),
            (r#"{"type":"abort"}"#, Kind::Abort),
            (r#"{"type":"error"}"#, Kind::Error),
            ("{ \t\"type\" :\t\"start\" , \"a\" : [ 1 , { } ] }", Kind::Content),
            (r#"{"a":{"seq":1,"type":2,"a":3,"a":4},"type":"start"}"#, Kind::Content),
            (r#"{"type":"start","a":[],"b":[[],{}],"c":{"d":[1,2]}}"#, Kind::Content),
            (r#"{"type":"start","a":[0,-0,-1.5,10,1e3,2E+4,3.25e-1],"b":[true,false,null]}"#, Kind::Content),
            (r#"{"type":"start","a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00","b":"é😀"}"#, Kind::Content),
            (r#"{"type":"start","a":{"\u0061":1}}"#, Kind::Content),
            (r#"{"type":"start","":1,"Seq":2,"sequence":3,"turn ":4}"#, Kind::Content),
            (&nested(CHUNK_MAX_DEPTH - 1), Kind::Content),
            (&objects(CHUNK_MAX_DEPTH - 1), Kind::Content),
            (&keys(CHUNK_MAX_KEYS), Kind::Content),
        ] {
            assert_eq!(inspect(data.as_bytes()), Ok(kind), "{data}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (data, fault) in [
            ("", "not an object"),
            ("[DONE]", "not an object"),
            (r#""start""#, "not an object"),
            (r#" {"type":"start"}"#, "not an object"),
            ("{}", "no type"),
            (r#"{"kind":"start"}"#, "no type"),
            (r#"{"a":{"type":"start"}}"#, "no type"),
            (r#"{"type":"dance"}"#, "an unknown type"),
            (r#"{"type":""}"#, "an unknown type"),
            (r#"{"type":"data-"}"#, "an unknown type"),
            (r#"{"type":"Start"}"#, "an unknown type"),
            (r#"{"type":"st\u0061rt"}"#, "an unknown type"),
            (r#"{"type":7}"#, "a type that is no string"),
            (r#"{"type":"start","seq":1}"#, "a key that is the hub's own"),
            (r#"{"type":"start","from":1}"#, "a key that is the hub's own"),
            (r#"{"turn":"t1","type":"start"}"#, "a key that is the hub's own"),
            (r#"{"type":"start","s\u0065q":1}"#, "an escape in a key"),
            (r#"{"type":"start","type":"start"}"#, "a key twice"),
            (r#"{"type":"start","a":1,"a":1}"#, "a key twice"),
            (r#"{"type":"start"}{}"#, "more than one value"),
            (r#"{"type":"start"} "#, "more than one value"),
            (r#"{"type":"start","a":[1,]}"#, "not JSON"),
            (r#"{"type":"start",}"#, "not JSON"),
            (r#"{"type":"start""#, "not JSON"),
            (r#"{"type":"start","a"}"#, "not JSON"),
            (r#"{"type":"start" "a":1}"#, "not JSON"),
            (r#"{"type":"start","a":tru}"#, "not JSON"),
            (r#"{"type":"start","a":NaN}"#, "not JSON"),
            (r#"{"type":"start","a":01}"#, "not JSON"),
            (r#"{"type":"start","a":-}"#, "not JSON"),
            (r#"{"type":"start","a":+1}"#, "not JSON"),
            (r#"{"type":"start","a":1.}"#, "not JSON"),
            (r#"{"type":"start","a":.5}"#, "not JSON"),
            (r#"{"type":"start","a":1e}"#, "not JSON"),
            (r#"{"type":"start","a":"\x"}"#, "not JSON"),
            (r#"{"type":"start","a":"\u12g4"}"#, "not JSON"),
            (r#"{"type":"start","a":"\u12"#, "not JSON"),
            (r#"{"type":"start","a":"b"#, "not JSON"),
            ("{\"type\":\"start\",\n\"a\":1}", "not JSON"),
            ("{\"type\":\"start\",\"a\":\"b\nc\"}", "a control character in a string"),
            ("{\"type\":\"start\",\"a\":\"\u{1f}\"}", "a control character in a string"),
            (&nested(CHUNK_MAX_DEPTH), "too deep"),
            (&objects(CHUNK_MAX_DEPTH), "too deep"),
            (&keys(CHUNK_MAX_KEYS + 1), "too many keys"),
        ] {
            assert_eq!(inspect(data.as_bytes()), Err(Fault(fault)), "{data}");
        }
        assert_eq!(inspect(b"{\"type\":\"start\",\"a\":\"\xff\"}"), Err(Fault("not UTF-8")));
    }

    #[test]
    fn the_whole_vocabulary_is_content() {
        for name in CONTENT_TYPES.iter().filter(|name| **name != "data-") {
            assert_eq!(inspect(json!({ "type": name }).to_string().as_bytes()), Ok(Kind::Content), "{name}");
        }
    }

    #[test]
    fn the_hubs_keys_come_first_and_the_rest_is_untouched() {
        let frame = splice(br#"{ "type":"start"}"#, 12, TurnId(3));
        assert_eq!(frame, br#"{"seq":12,"turn":"t3", "type":"start"}"#);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
            "\\PC{0,8}|[\"\\\\/\\x00-\\x20é😀]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z\"\\\\]{0,4}", inner, 0..4)
                    .prop_map(|object| object.into_iter().collect()),
            ]
        })
    }

    fn chunk() -> impl Strategy<Value = Value> {
        let name =
            prop::sample::select(vec!["start", "text-delta", "data-weather", "finish", "error", "abort"]);
        (name, prop::collection::hash_map("[a-p]{1,6}", json(), 0..6)).prop_map(|(name, others)| {
            let mut object: serde_json::Map<String, Value> = others.into_iter().collect();
            object.insert("type".to_owned(), name.into());
            object.into()
        })
    }

    fn is_json(data: &[u8]) -> bool {
        serde_json::from_slice::<IgnoredAny>(data).is_ok()
    }

    fn configuration() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(configuration())]

        #[test]
        fn a_frame_is_its_chunk_and_the_hubs_keys(chunk in chunk(), seq: u64, turn: u32) {
            let data = chunk.to_string();
            prop_assert!(inspect(data.as_bytes()).is_ok(), "{data}");
            let mut expected = chunk;
            expected["seq"] = seq.into();
            expected["turn"] = TurnId(turn).to_string().into();
            let frame = splice(data.as_bytes(), seq, TurnId(turn));
            prop_assert_eq!(serde_json::from_slice::<Value>(&frame).unwrap(), expected);
        }

        #[test]
        fn a_broken_chunk_is_accepted_only_if_it_is_json(
            chunk in chunk(),
            at: prop::sample::Index,
            byte in prop_oneof![any::<u8>(), prop::sample::select(br#"{}[]",:\u019.-eE tfn"#.to_vec())],
            how in 0..3,
        ) {
            let mut data = chunk.to_string().into_bytes();
            let at = at.index(data.len());
            match how {
                0 => data[at] = byte,
                1 => data.insert(at, byte),
                _ => drop(data.drain(at..(at + usize::from(byte) % 8).min(data.len()))),
            }
            if inspect(&data).is_ok() {
                prop_assert!(is_json(&data));
                prop_assert!(is_json(&splice(&data, 1, TurnId(1))));
            }
        }

        #[test]
        fn anything_is_accepted_only_if_it_is_json(
            data in prop::collection::vec(prop::sample::select(br#"{}[]",:\ut10.-e "#.to_vec()), 0..24),
            bytes: Vec<u8>,
        ) {
            let value = [br#"{"type":"start","a":"#, data.as_slice(), b"}"].concat();
            for data in [data, value, bytes] {
                prop_assert!(inspect(&data).is_err() || is_json(&data));
            }
        }
    }
}
