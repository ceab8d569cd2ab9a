//! The check of an agent's events, in one pass and without allocation, and the frame made of each.
//!
//! An event's data must be one JSON object on one line, of at most [`CHUNK_MAX_KEYS`] keys and [`CHUNK_MAX_DEPTH`]
//! levels: its `type` in the content vocabulary or terminal, no key twice, none of the hub's own. Then the hub's keys
//! are spliced in, and the rest passes through unchanged.

use std::io::Write;
use std::ops::Range;
use std::str;

use mayfly_protocol::chunk::{CONTENT_TYPES, FinishReason};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Usage;
use mayfly_protocol::ids::TurnId;
use serde::Deserialize;
use serde_json::Value;

use crate::chunk::scanner::Scanner;
use crate::limits::CHUNK_MAX_KEYS;

mod scanner;

/// A chunk's meaning for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Content that passes through to the client.
    Content,
    /// Content that adds to a part of the answer.
    Delta(DeltaKind),
    /// The end of the turn, as `finishReason` says.
    Finish,
    /// The end of a turn that was cancelled.
    Abort,
    /// The end of a turn that failed, as `errorText` says.
    Error,
}

/// The kind of part that a delta adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaKind {
    /// `text-delta`
    Text,
    /// `reasoning-delta`
    Reasoning,
    /// `tool-input-delta`
    ToolInput,
}

/// A valid chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk's meaning.
    pub kind: Kind,
    /// The places of its values, if it is a delta of nothing but a type, a part's id and a text.
    pub delta: Option<Delta>,
}

/// The places of a delta's values as byte ranges of its frame: between the quotes, with escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    pub(crate) kind: DeltaKind,
    pub(crate) part: Range<usize>,
    pub(crate) text: Range<usize>,
}

/// A violation of the protocol, as an object of "the agent sent".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// The fields of a terminal chunk. Each may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terminal {
    pub(crate) finish_reason: Option<FinishReason>,
    pub(crate) error_text: Option<String>,
    code: Option<Value>,
    message_metadata: Option<Value>,
}

impl Terminal {
    /// Returns the code of the failure, if there is one that agents may use.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        ErrorCode::deserialize(self.code.as_ref()?).ok().filter(|code| code.is_from_agent())
    }

    /// Returns the model's usage, if there is a valid one.
    pub(crate) fn usage(&self) -> Option<Usage> {
        Usage::deserialize(self.message_metadata.as_ref()?.get("usage")?).ok()
    }
}

/// Keys that only the hub sets.
const RESERVED_KEYS: [&[u8]; 3] = [b"seq", b"from", b"turn"];

/// Checks the data of one event.
///
/// # Errors
/// Returns the rule that the data violates.
pub fn inspect(data: &[u8]) -> Result<Chunk, Fault> {
    if str::from_utf8(data).is_err() {
        return Err(Fault("not UTF-8"));
    }
    let mut scanner = Scanner::new(data);
    let chunk = read(&mut scanner)?;
    if scanner.at() == data.len() { Ok(chunk) } else { Err(Fault("more than one value")) }
}

/// Returns the frame of an inspected chunk: the hub's keys, then the chunk's own.
pub fn splice(data: &[u8], seq: u64, turn: TurnId) -> Vec<u8> {
    const HUB_KEYS_MAX_BYTES: usize = r#"{"seq":18446744073709551615,"turn":"t4294967295","#.len();
    let mut frame = Vec::with_capacity(HUB_KEYS_MAX_BYTES + data.len());
    // Writing to a Vec cannot fail.
    let _ = write!(frame, r#"{{"seq":{seq},"turn":"{turn}","#);
    frame.extend_from_slice(data.get(1..).unwrap_or_default());
    frame
}

impl Delta {
    /// Returns the delta with its places moved, for a frame that has so many more bytes before the chunk.
    pub(crate) fn moved(self, by: usize) -> Self {
        let moved = |range: Range<usize>| range.start + by..range.end + by;
        Self { kind: self.kind, part: moved(self.part), text: moved(self.text) }
    }
}

impl DeltaKind {
    /// Returns the `type`, the key of the part's id and the key of the text.
    pub(crate) fn names(self) -> [&'static str; 3] {
        match self {
            Self::Text => ["text-delta", "id", "delta"],
            Self::Reasoning => ["reasoning-delta", "id", "delta"],
            Self::ToolInput => ["tool-input-delta", "toolCallId", "inputTextDelta"],
        }
    }
}

pub(crate) fn terminal(data: &[u8]) -> Result<Terminal, Fault> {
    serde_json::from_slice(data).map_err(|_| Fault("a terminal chunk with unusable fields"))
}

fn kind_of(name: &[u8]) -> Result<Kind, Fault> {
    match name {
        b"finish" => Ok(Kind::Finish),
        b"abort" => Ok(Kind::Abort),
        b"error" => Ok(Kind::Error),
        b"text-delta" => Ok(Kind::Delta(DeltaKind::Text)),
        b"reasoning-delta" => Ok(Kind::Delta(DeltaKind::Reasoning)),
        b"tool-input-delta" => Ok(Kind::Delta(DeltaKind::ToolInput)),
        _ if is_content(name) => Ok(Kind::Content),
        _ => Err(Fault("an unknown type")),
    }
}

fn is_content(name: &[u8]) -> bool {
    let is_data = name.len() > b"data-".len() && name.starts_with(b"data-");
    is_data || CONTENT_TYPES.iter().any(|known| *known != "data-" && known.as_bytes() == name)
}

fn read(scanner: &mut Scanner<'_>) -> Result<Chunk, Fault> {
    let mut kind = None;
    let mut strings: [(&[u8], Range<usize>); 3] = Default::default();
    let mut seen: [&[u8]; CHUNK_MAX_KEYS] = [&[]; CHUNK_MAX_KEYS];
    let mut count = 0;
    if scanner.peek() != Some(b'{') {
        return Err(Fault("not an object"));
    }
    scanner.object(0, |scanner, key| {
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
        let string = if scanner.peek() == Some(b'"') {
            Some(scanner.string()?)
        } else {
            scanner.value(1)?;
            None
        };
        if key == b"type" {
            kind = Some(kind_of(string.ok_or(Fault("a type that is no string"))?)?);
        }
        if let (Some(string), Some(place)) = (string, strings.get_mut(count - 1)) {
            let end = scanner.at() - 1;
            *place = (key, end - string.len()..end);
        }
        Ok(())
    })?;
    let kind = kind.ok_or(Fault("no type"))?;
    let delta = if let Kind::Delta(kind) = kind
        && count == strings.len()
    {
        let [_, part, text] = kind.names();
        let find = |name: &str| strings.iter().find(|(key, _)| *key == name.as_bytes());
        find(part).zip(find(text)).map(|((_, part), (_, text))| Delta {
            kind,
            part: part.clone(),
            text: text.clone(),
        })
    } else {
        None
    };
    Ok(Chunk { kind, delta })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::{Value, json};

    use super::*;
    use crate::limits::CHUNK_MAX_DEPTH;

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
    fn valid_chunks_are_accepted() {
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
            assert_eq!(inspect(data.as_bytes()).map(|chunk| chunk.kind), Ok(kind), "{data}");
        }
    }

    #[test]
    fn invalid_chunks_are_refused() {
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
    fn whole_vocabulary_is_content() {
        for name in CONTENT_TYPES.iter().filter(|name| **name != "data-") {
            assert!(inspect(json!({ "type": name }).to_string().as_bytes()).is_ok(), "{name}");
        }
    }

    #[test]
    fn plain_delta_has_the_places_of_its_values() {
        let parts = |data: &str| {
            let delta = inspect(data.as_bytes()).unwrap().delta?;
            Some((delta.kind, data[delta.part].to_owned(), data[delta.text].to_owned()))
        };
        let found = |kind, text: &str| Some((kind, "p".to_owned(), text.to_owned()));
        for (data, expected) in [
            (r#"{"type":"text-delta","id":"p","delta":"a\n"}"#, found(DeltaKind::Text, r"a\n")),
            (r#"{ "delta" : "" , "id":"p", "type":"text-delta"}"#, found(DeltaKind::Text, "")),
            (r#"{"type":"reasoning-delta","id":"p","delta":"é"}"#, found(DeltaKind::Reasoning, "é")),
            (
                r#"{"type":"tool-input-delta","toolCallId":"p","inputTextDelta":"{"}"#,
                found(DeltaKind::ToolInput, "{"),
            ),
            (r#"{"type":"text-delta","id":"p","delta":"a","more":1}"#, None),
            (r#"{"type":"text-delta","id":"p"}"#, None),
            (r#"{"type":"text-delta","id":"p","delta":7}"#, None),
            (r#"{"type":"text-delta","toolCallId":"p","delta":"a"}"#, None),
            (r#"{"type":"text-start","id":"p","delta":"a"}"#, None),
        ] {
            assert_eq!(parts(data), expected, "{data}");
        }
    }

    #[test]
    fn only_valid_usage_is_read() {
        for (usage, expected) in [
            (r#"{"usage":{"inputTokens":1,"outputTokens":2}}"#, Some((Some(1), Some(2), None))),
            (r#"{"usage":{}}"#, Some((None, None, None))),
            (r#"{"usage":7}"#, None),
            (r#"{"usage":{"inputTokens":-1}}"#, None),
            ("7", None),
            ("{}", None),
        ] {
            let data = format!(r#"{{"type":"finish","messageMetadata":{usage}}}"#);
            let usage = terminal(data.as_bytes()).unwrap().usage();
            let usage = usage.map(|usage| (usage.input_tokens, usage.output_tokens, usage.total_tokens));
            assert_eq!(usage, expected, "{data}");
        }
    }

    #[test]
    fn splice_puts_the_keys_of_the_hub_first() {
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
        fn frame_is_its_chunk_with_the_keys_of_the_hub(chunk in chunk(), seq: u64, turn: u32) {
            let data = chunk.to_string();
            prop_assert!(inspect(data.as_bytes()).is_ok(), "{data}");
            let mut expected = chunk;
            expected["seq"] = seq.into();
            expected["turn"] = TurnId(turn).to_string().into();
            let frame = splice(data.as_bytes(), seq, TurnId(turn));
            prop_assert_eq!(serde_json::from_slice::<Value>(&frame).unwrap(), expected);
        }

        #[test]
        fn altered_chunk_is_accepted_only_if_it_is_json(
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
        fn arbitrary_bytes_are_accepted_only_if_they_are_json(
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
