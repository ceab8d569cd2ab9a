//! The place in the log of one socket, or of one who only listens, the frames that are for it alone, and when it was last
//! heard of.
//!
//! Order on a socket: frames for it alone first, what it is told of the time last of them, then the log's, then the farewell, then the close. A Ping is in no order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_protocol::code::CloseCode;
use mayfly_protocol::ids::TurnId;

use crate::command::{SocketId, Transmit};
use crate::limits::{BAD_FRAME_RATE, DIRECT_MAX_BYTES, DIRECT_MAX_FRAMES, MESSAGE_RATE, PINGS_MISSED_MAX};
use crate::log::{About, Log};
use crate::rate::Rate;

#[derive(Debug)]
pub(crate) struct Cursor {
    socket: SocketId,
    role: Role,
    next: u64,
    direct: VecDeque<(Bytes, Option<u64>)>,
    direct_bytes: usize,
    /// What it is told of the session's time; news takes the place of what was said before.
    time: Option<Bytes>,
    messages: Rate,
    refusals: Rate,
    farewell: Option<Farewell>,
    /// What the client calls itself.
    client: Option<Box<str>>,
    has_spoken: bool,
    /// When it was last heard of or asked.
    pulse: Instant,
    /// Pings since it was last heard of.
    pings: u32,
    is_ping_due: bool,
}

/// What somebody is to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes part: the session is there for it.
    Socket,
    /// Hears everything, and takes no part.
    Listener,
    /// Hears one turn, and takes no part.
    Asker(TurnId),
}

/// How a socket is to be closed: after which frames, and with which code.
#[derive(Debug)]
struct Farewell {
    frames: VecDeque<Bytes>,
    code: CloseCode,
}

/// What a socket that is not heard of needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing yet.
    Fine,
    /// To be asked; it was.
    Asked,
    /// Nothing any more.
    Dead,
}

impl Cursor {
    /// A socket that takes the log's frames from `next` on.
    pub(crate) fn new(socket: SocketId, role: Role, next: u64, now: Instant) -> Self {
        Self {
            socket,
            role,
            next,
            direct: VecDeque::new(),
            direct_bytes: 0,
            time: None,
            messages: Rate::new(now),
            refusals: Rate::new(now),
            farewell: None,
            client: None,
            has_spoken: false,
            pulse: now,
            pings: 0,
            is_ping_due: false,
        }
    }

    pub(crate) fn socket(&self) -> SocketId {
        self.socket
    }

    /// Whether it takes part in the session, as a socket does that is not closed, nor about to be.
    pub(crate) fn takes_part(&self) -> bool {
        self.role == Role::Socket && self.is_open()
    }

    /// Whether it hears this turn and nothing else.
    pub(crate) fn asks_for(&self, turn: TurnId) -> bool {
        self.role == Role::Asker(turn)
    }

    /// The number of the first frame that this socket still has to take.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether it is neither closed nor about to be.
    pub(crate) fn is_open(&self) -> bool {
        self.farewell.is_none()
    }

    /// Counts what the socket sent; false when it was one message too many.
    #[must_use]
    pub(crate) fn counts_message(&mut self, now: Instant) -> bool {
        (self.pulse, self.pings, self.is_ping_due) = (now, 0, false);
        self.messages.allows(MESSAGE_RATE, now)
    }

    /// Counts a frame that was refused; false when it was one too many.
    #[must_use]
    pub(crate) fn counts_refusal(&mut self, now: Instant) -> bool {
        self.refusals.allows(BAD_FRAME_RATE, now)
    }

    /// Whether this is the socket's first frame.
    pub(crate) fn speaks_first(&mut self) -> bool {
        !std::mem::replace(&mut self.has_spoken, true)
    }

    /// What the client calls itself.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub(crate) fn set_client(&mut self, client: &str) {
        self.client = Some(client.into());
    }

    /// When the socket is to be asked for a sign, or given up.
    pub(crate) fn pulse_at(&self, interval: Duration) -> Instant {
        self.pulse + interval
    }

    /// Whether that time has come, and what then.
    pub(crate) fn pulse(&mut self, interval: Duration, now: Instant) -> Pulse {
        if now < self.pulse_at(interval) {
            return Pulse::Fine;
        }
        if self.pings >= PINGS_MISSED_MAX {
            return Pulse::Dead;
        }
        (self.pulse, self.pings, self.is_ping_due) = (now, self.pings + 1, true);
        Pulse::Asked
    }

    /// Adds a frame for this socket alone; it has the record up to `seq` then, if that is said. False when it has too
    /// many waiting.
    #[must_use]
    pub(crate) fn push(&mut self, frame: Bytes, seq: Option<u64>) -> bool {
        self.direct_bytes += frame.len();
        self.direct.push_back((frame, seq));
        self.direct.len() <= DIRECT_MAX_FRAMES && self.direct_bytes <= DIRECT_MAX_BYTES
    }

    /// Sets what the socket is told of the session's time next.
    pub(crate) fn tell_time(&mut self, frame: Bytes) {
        if !matches!(self.role, Role::Asker(_)) {
            self.time = Some(frame);
        }
    }

    /// Closes the socket once it has taken all that is in the log now, and these frames.
    pub(crate) fn close_after(&mut self, frames: VecDeque<Bytes>, code: CloseCode) {
        if self.is_open() {
            self.farewell = Some(Farewell { frames, code });
        }
    }

    /// Closes the socket at once: what it has not taken, it does not get. Overrides a farewell.
    pub(crate) fn close_now(&mut self, code: CloseCode) {
        (self.direct, self.direct_bytes, self.time) = (VecDeque::new(), 0, None);
        self.next = u64::MAX;
        self.farewell = Some(Farewell { frames: VecDeque::new(), code });
    }

    /// What comes next for this socket.
    pub(crate) fn poll(&mut self, log: &Log) -> Option<Transmit> {
        if std::mem::take(&mut self.is_ping_due) && self.is_open() {
            return Some(Transmit::Ping);
        }
        if let Some((frame, seq)) = self.direct.pop_front() {
            self.direct_bytes -= frame.len();
            return Some(Transmit::Frame(frame, seq));
        }
        if let Some(frame) = self.time.take() {
            return Some(Transmit::Frame(frame, None));
        }
        while let Some((frame, seq, about)) = log.get(self.next) {
            self.next = seq + 1;
            if self.hears(about) {
                return Some(Transmit::Frame(frame, Some(seq)));
            }
        }
        let farewell = self.farewell.as_mut()?;
        Some(match farewell.frames.pop_front() {
            Some(frame) => Transmit::Frame(frame, None),
            None => Transmit::Close(farewell.code),
        })
    }

    fn hears(&self, about: About) -> bool {
        match self.role {
            Role::Socket | Role::Listener => true,
            Role::Asker(turn) => about.turn() == Some(turn),
        }
    }
}
