//! A bound on an event stream before it is parsed: the parser itself buffers an event of any size.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::stream::Stream;

/// A byte stream with a bound on the bytes between two blank lines and on all bytes.
pub(crate) struct EventLimit<S> {
    bytes: S,
    event_max: usize,
    total_max: usize,
    total: usize,
    event: usize,
    /// `true` at the start of a line, and `true` after a carriage return.
    at_start: bool,
    after_return: bool,
}

/// Error returned when the stream cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventLimitError {
    /// A bound is exceeded; says which.
    #[error("{0}")]
    TooLarge(&'static str),
    /// The connection was lost.
    #[error("{0}")]
    Lost(String),
}

impl<S> EventLimit<S> {
    pub(crate) fn new(bytes: S, event_max: usize, total_max: usize) -> Self {
        Self { bytes, event_max, total_max, total: 0, event: 0, at_start: true, after_return: false }
    }

    /// Counts the bytes of a piece.
    fn count(&mut self, piece: &[u8]) -> Result<(), EventLimitError> {
        self.total = self.total.saturating_add(piece.len());
        for byte in piece {
            self.event += 1;
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    if self.at_start {
                        self.event = 0;
                    }
                    self.at_start = true;
                    self.after_return = *byte == b'\r';
                }
                _ => (self.at_start, self.after_return) = (false, false),
            }
            if self.event > self.event_max {
                return Err(EventLimitError::TooLarge("an event that is too large"));
            }
        }
        if self.total > self.total_max {
            return Err(EventLimitError::TooLarge("an answer that is too large"));
        }
        Ok(())
    }
}

impl<S, E> Stream for EventLimit<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    type Item = Result<Bytes, EventLimitError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(Pin::new(&mut self.bytes).poll_next(cx));
        Poll::Ready(piece.map(|piece| {
            let piece = piece.map_err(|error| EventLimitError::Lost(error.to_string()))?;
            self.count(&piece)?;
            Ok(piece)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: usize = 1024;
    const TOTAL: usize = 32 * 1024;

    fn counted(pieces: &[&[u8]]) -> Result<(), String> {
        let mut capped = EventLimit::new((), EVENT, TOTAL);
        pieces.iter().try_for_each(|piece| capped.count(piece)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_blank_line_starts_an_event() {
        let line = [b'x'; EVENT - 2];
        for end in [&b"\n\n"[..], b"\r\r", b"\n\r"] {
            assert_eq!(counted(&[&line, end, &line, end, &line, end]), Ok(()), "{end:?}");
        }
        let shorter = &line[2..];
        assert_eq!(counted(&[shorter, b"\r\n", b"\r", b"\n", shorter, b"\r\n\r\n", shorter]), Ok(()));
        let too_large = Err("an event that is too large".to_owned());
        assert_eq!(counted(&[&line, b"\nx\n"]), too_large, "one line end is none of an event");
        assert_eq!(counted(&[shorter, b"\r\n", b"xxx"]), too_large, "both belong to one line end");
    }

    #[test]
    fn the_whole_stream_is_bounded() {
        let event = [&[b'x'; EVENT - 2][..], b"\n\n"].concat();
        let most = TOTAL / event.len();
        let mut events = vec![&event[..]; most];
        assert_eq!(counted(&events), Ok(()));
        events.push(&event);
        assert_eq!(counted(&events), Err("an answer that is too large".to_owned()));
    }
}
