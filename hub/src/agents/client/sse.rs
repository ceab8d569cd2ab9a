//! A parser for Server-Sent Events (WHATWG HTML, section 9.2) that returns the data of each event.
//!
//! The events do not depend on the division of the stream into pieces. The data of an event within one piece is not
//! copied. Lines end with LF or CRLF; unlike in the standard, a bare CR does not end a line. The parser does not
//! interpret the data.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::limits::AGENT_EVENT_MAX_BYTES;

/// An incremental parser. The caller adds a piece with [`Parser::push`], then calls [`Parser::next_event`] until it
/// returns `None`.
#[derive(Debug, Default)]
pub struct Parser {
    /// The rest of the current piece.
    input: Bytes,
    /// The beginning of an unfinished line.
    line: BytesMut,
    /// The data of the unfinished event.
    data: Option<Bytes>,
    has_begun: bool,
}

/// Error returned when an event is larger than `AGENT_EVENT_MAX_BYTES`. The parser cannot be used afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl Parser {
    /// Adds the next piece of the stream. The caller must have taken all events of the previous piece.
    pub fn push(&mut self, piece: Bytes) {
        debug_assert!(self.input.is_empty(), "the previous piece has events left");
        self.input = piece;
    }

    /// Returns the data of the next complete event.
    ///
    /// # Errors
    /// Returns [`TooLarge`] once the bytes read of an event exceed the limit.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, TooLarge> {
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
            } else if let Some(value) = data_of(&line) {
                self.append(value)?;
            }
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, TooLarge> {
        let Some(end) = memchr(b'\n', &self.input) else {
            self.line.extend_from_slice(&self.input);
            self.input.clear();
            return if self.line.len() > AGENT_EVENT_MAX_BYTES { Err(TooLarge) } else { Ok(None) };
        };
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.truncate(end);
        if !self.line.is_empty() {
            self.line.extend_from_slice(&line);
            line = self.line.split().freeze();
        }
        if line.len() > AGENT_EVENT_MAX_BYTES {
            return Err(TooLarge);
        }
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        if !std::mem::replace(&mut self.has_begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line = line.slice(3..);
        }
        Ok(Some(line))
    }

    fn append(&mut self, value: Bytes) -> Result<(), TooLarge> {
        let Some(before) = self.data.take() else {
            self.data = Some(value);
            return Ok(());
        };
        if before.len() + 1 + value.len() > AGENT_EVENT_MAX_BYTES {
            return Err(TooLarge);
        }
        // The buffer is extended in place, so that the cost of an event does not depend on its number of lines.
        let mut data = before.try_into_mut().unwrap_or_else(|before| BytesMut::from(&before[..]));
        data.extend_from_slice(b"\n");
        data.extend_from_slice(&value);
        self.data = Some(data.freeze());
        Ok(())
    }
}

/// Returns the value of a `data` field, and `None` for comments and other fields.
fn data_of(line: &Bytes) -> Option<Bytes> {
    let rest = line.strip_prefix(b"data")?;
    let value = match rest {
        [] => rest,
        [b':', b' ', value @ ..] | [b':', value @ ..] => value,
        _ => return None,
    };
    Some(line.slice_ref(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"\xef\xbb\xbf: hello\n\nid: 1\ndata: {\"a\":1}\n\ndata:x\r\ndata: y\r\n\r\nevent: z\n\ndata\n\ndatax: no\n\ndata: cut";

    fn events(pieces: impl Iterator<Item = Bytes>) -> Vec<Bytes> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece);
            while let Some(event) = parser.next_event().unwrap() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_do_not_depend_on_the_pieces() {
        let whole = events(std::iter::once(Bytes::from_static(STREAM)));
        assert_eq!(whole, [&b"{\"a\":1}"[..], b"x\ny", b""]);
        for size in 1..STREAM.len() {
            assert_eq!(events(STREAM.chunks(size).map(Bytes::from_static)), whole, "pieces of {size}");
        }
    }

    #[test]
    fn event_in_one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"data: abc\n\n");
        let event = events(std::iter::once(piece.clone())).remove(0);
        assert_eq!(event.as_ptr(), piece[6..].as_ptr());
    }

    #[test]
    fn endless_line_is_refused_at_the_limit() {
        let mut parser = Parser::default();
        let piece = Bytes::from(vec![b'x'; 4096]);
        let mut pushed = 0;
        loop {
            parser.push(piece.clone());
            pushed += piece.len();
            match parser.next_event() {
                Ok(None) => assert!(pushed <= AGENT_EVENT_MAX_BYTES),
                Ok(Some(_)) => panic!("there is no event"),
                Err(TooLarge) => break,
            }
        }
        assert!(pushed <= AGENT_EVENT_MAX_BYTES + piece.len());
    }

    #[test]
    fn event_of_many_lines_is_assembled_in_place() {
        let mut parser = Parser::default();
        let mut addresses = Vec::new();
        for _ in 0..AGENT_EVENT_MAX_BYTES / 2 {
            parser.push(Bytes::from_static(b"data:\n"));
            assert_eq!(parser.next_event(), Ok(None));
            addresses.push(parser.data.as_ref().map(|data| data.as_ptr()));
        }
        addresses.dedup();
        assert!(addresses.len() < 32, "the data was moved {} times", addresses.len());
    }

    #[test]
    fn event_of_many_lines_is_refused_at_the_limit() {
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; 4096], b"\n"].concat();
        let refused = (0..AGENT_EVENT_MAX_BYTES / 4096 + 2).any(|_| {
            parser.push(Bytes::from(line.clone()));
            parser.next_event() == Err(TooLarge)
        });
        assert!(refused);
    }
}
