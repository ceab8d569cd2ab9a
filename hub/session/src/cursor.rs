//! One socket's place in the log, and the frames that are for it alone.
//!
//! Order on a socket: frames for it alone first, then the log's, then the farewell, then the close.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use mayfly_protocol::code::CloseCode;

use crate::command::{SocketId, Transmit};
use crate::limits::{BAD_FRAME_RATE, DIRECT_MAX_FRAMES, MESSAGE_RATE};
use crate::log::Log;
use crate::rate::Rate;

#[derive(Debug)]
pub(crate) struct Cursor {
    socket: SocketId,
    next: u64,
    direct: VecDeque<Bytes>,
    messages: Rate,
    refusals: Rate,
    farewell: Option<Farewell>,
}

/// How a socket is to be closed: after which frames, and with which code.
#[derive(Debug)]
struct Farewell {
    frames: VecDeque<Bytes>,
    code: CloseCode,
}

impl Cursor {
    /// A socket that takes the log's frames from `next` on.
    pub(crate) fn new(socket: SocketId, next: u64, now: Instant) -> Self {
        let (messages, refusals) = (Rate::new(now), Rate::new(now));
        Self { socket, next, direct: VecDeque::new(), messages, refusals, farewell: None }
    }

    pub(crate) fn socket(&self) -> SocketId {
        self.socket
    }

    /// The number of the first frame that this socket still has to take.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the socket takes part in the session: not closed, nor about to be.
    pub(crate) fn is_open(&self) -> bool {
        self.farewell.is_none()
    }

    /// Counts what the socket sent; false when it was one message too many.
    #[must_use]
    pub(crate) fn counts_message(&mut self, now: Instant) -> bool {
        self.messages.allows(MESSAGE_RATE, now)
    }

    /// Counts a frame that was refused; false when it was one too many.
    #[must_use]
    pub(crate) fn counts_refusal(&mut self, now: Instant) -> bool {
        self.refusals.allows(BAD_FRAME_RATE, now)
    }

    /// Adds a frame for this socket alone; false when it has too many waiting.
    #[must_use]
    pub(crate) fn push(&mut self, frame: Bytes) -> bool {
        self.direct.push_back(frame);
        self.direct.len() <= DIRECT_MAX_FRAMES
    }

    /// Closes the socket once it has taken all that is in the log now, and these frames.
    pub(crate) fn close_after(&mut self, frames: VecDeque<Bytes>, code: CloseCode) {
        if self.is_open() {
            self.farewell = Some(Farewell { frames, code });
        }
    }

    /// Closes the socket at once: what it has not taken, it does not get. Overrides a farewell.
    pub(crate) fn close_now(&mut self, code: CloseCode) {
        self.direct.clear();
        self.next = u64::MAX;
        self.farewell = Some(Farewell { frames: VecDeque::new(), code });
    }

    /// What comes next for this socket.
    pub(crate) fn poll(&mut self, log: &Log) -> Option<Transmit> {
        if let Some(frame) = self.direct.pop_front() {
            return Some(Transmit::Frame(frame));
        }
        if let Some(frame) = log.get(self.next) {
            self.next += 1;
            return Some(Transmit::Frame(frame.clone()));
        }
        let farewell = self.farewell.as_mut()?;
        Some(match farewell.frames.pop_front() {
            Some(frame) => Transmit::Frame(frame),
            None => Transmit::Close(farewell.code),
        })
    }
}
