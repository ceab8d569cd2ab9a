//! A JSON reader for one line, without allocation. It knows the syntax of values, not their meaning.

use crate::chunk::Fault;
use crate::limits::CHUNK_MAX_DEPTH;

/// A reader of JSON (RFC 8259). Its only state is its place.
pub(super) struct Scanner<'a> {
    data: &'a [u8],
    at: usize,
}

const NOT_JSON: Fault = Fault("not JSON");

impl<'a> Scanner<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Returns the number of bytes read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads an object from its `{`; `member` reads each value.
    pub(super) fn object(
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

    pub(super) fn value(&mut self, depth: usize) -> Result<(), Fault> {
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

    /// Reads a string and returns the bytes between its quotes, with escapes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Fault> {
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

    pub(super) fn peek(&self) -> Option<u8> {
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
