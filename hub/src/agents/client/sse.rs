//! Server-Sent Events (WHATWG HTML, section 9.2), as far as an agent's stream needs them: the data of each event.
//!
//! Any cut of the bytes into pieces gives the same events. An event whose data lies within one piece is not copied.
//! Lines end with LF or CRLF; a bare CR does not end a line here. Does not know what the data means.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::limits::AGENT_EVENT_MAX_BYTES;

/// An incremental parser; feed it with [`Parser::push`], then take events until there are none.
#[derive(Debug, Default)]
pub struct Parser {
    /// What was pushed and not yet looked at.
    input: Bytes,
    /// The beginning of a line whose end has not come.
    line: BytesMut,
    /// The data of the event whose end has not come.
    data: Option<Bytes>,
    began: bool,
}

/// An event larger than `AGENT_EVENT_MAX_BYTES`; the parser is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl Parser {
    /// The next piece of the stream. All events of the piece before must have been taken.
    pub fn push(&mut self, piece: Bytes) {
        debug_assert!(self.input.is_empty(), "events of the last piece are still to be taken");
        self.input = piece;
    }

    /// The data of the next event that is complete.
    ///
    /// # Errors
    /// [`TooLarge`] as soon as an event is known to be.
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
        if !std::mem::replace(&mut self.began, true) && line.starts_with(b"\xef\xbb\xbf") {
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
        // Extended in place: an event of very many lines costs no more than its bytes.
        let mut data = before.try_into_mut().unwrap_or_else(|before| BytesMut::from(&before[..]));
        data.extend_from_slice(b"\n");
        data.extend_from_slice(&value);
        self.data = Some(data.freeze());
        Ok(())
    }
}

/// The value of a `data` field. Comments and other fields have none.
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
    fn any_cut_gives_the_same_events() {
        let whole = events(std::iter::once(Bytes::from_static(STREAM)));
        assert_eq!(whole, [&b"{\"a\":1}"[..], b"x\ny", b""]);
        for size in 1..STREAM.len() {
            assert_eq!(events(STREAM.chunks(size).map(Bytes::from_static)), whole, "pieces of {size}");
        }
    }

    #[test]
    fn an_event_in_one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"data: abc\n\n");
        let event = events(std::iter::once(piece.clone())).remove(0);
        assert_eq!(event.as_ptr(), piece[6..].as_ptr());
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_bound() {
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
    fn an_event_of_very_many_lines_is_put_together_in_place() {
        let mut parser = Parser::default();
        let mut places = Vec::new();
        for _ in 0..AGENT_EVENT_MAX_BYTES / 2 {
            parser.push(Bytes::from_static(b"data:\n"));
            assert_eq!(parser.next_event(), Ok(None));
            places.push(parser.data.as_ref().map(|data| data.as_ptr()));
        }
        places.dedup();
        assert!(places.len() < 32, "it was moved {} times", places.len());
    }

    #[test]
    fn many_lines_of_one_event_are_refused_at_the_bound() {
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; 4096], b"\n"].concat();
        let refused = (0..AGENT_EVENT_MAX_BYTES / 4096 + 2).any(|_| {
            parser.push(Bytes::from(line.clone()));
            parser.next_event() == Err(TooLarge)
        });
        assert!(refused);
    }
}
