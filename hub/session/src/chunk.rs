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
