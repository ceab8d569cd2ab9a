//! The cursor of a socket or listener: its place in the log, the frames for it alone, and its last sign of life.
//!
//! Order on a socket: frames for it alone, then the notice about the session's time, then the log's frames. A Ping comes
//! before all of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_protocol::ids::TurnId;

use crate::command::{SocketId, Transmit};
use crate::limits::{BAD_FRAME_RATE, DIRECT_MAX_BYTES, DIRECT_MAX_FRAMES, MESSAGE_RATE, PINGS_MISSED_MAX};
use crate::log::{Log, Subject};
use crate::rate::Rate;

#[derive(Debug)]
pub(crate) struct Cursor {
    socket: SocketId,
    role: Role,
    next: u64,
    direct: VecDeque<(Bytes, Option<u64>)>,
    direct_bytes: usize,
    /// The notice about the session's time that the socket has yet to take.
    notice: Option<Bytes>,
    messages: Rate,
    refusals: Rate,
    /// The client's id of itself.
    client: Option<Box<str>>,
    has_sent: bool,
    /// Time of the last sign of life or Ping.
    heartbeat: Instant,
    /// Pings since the last sign of life.
    pings: u32,
    is_ping_due: bool,
}

/// The part that a socket takes in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A client's socket; it keeps the session alive.
    Socket,
    /// Receives every frame, and does not keep the session alive.
    Listener,
    /// Receives the frames of one turn, and does not keep the session alive.
    Asker(TurnId),
}

/// The state of a socket's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// Nothing is due.
    Alive,
    /// A Ping is due; the cursor has scheduled it.
    Pinged,
    /// Too many Pings went without a sign of life.
    Dead,
}

impl Cursor {
    /// Creates a cursor that takes the log's frames from `next` on.
    pub(crate) fn new(socket: SocketId, role: Role, next: u64, now: Instant) -> Self {
        Self {
            socket,
            role,
            next,
            direct: VecDeque::new(),
            direct_bytes: 0,
            notice: None,
            messages: Rate::new(now),
            refusals: Rate::new(now),
            client: None,
            has_sent: false,
            heartbeat: now,
            pings: 0,
            is_ping_due: false,
        }
    }

    pub(crate) fn socket(&self) -> SocketId {
        self.socket
    }

    /// Returns `true` if the socket takes part in the session.
    pub(crate) fn takes_part(&self) -> bool {
        self.role == Role::Socket
    }

    /// Returns `true` if the socket receives this turn and nothing else.
    pub(crate) fn asks_for(&self, turn: TurnId) -> bool {
        self.role == Role::Asker(turn)
    }

    /// Returns the number of the next frame that the socket takes.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Records a message of the socket, which is a sign of life. Returns `true` if the socket keeps to the message
    /// rate.
    #[must_use]
    pub(crate) fn record_message(&mut self, now: Instant) -> bool {
        (self.heartbeat, self.pings, self.is_ping_due) = (now, 0, false);
        self.messages.allows(MESSAGE_RATE, now)
    }

    /// Records a refused frame. Returns `true` if the socket keeps to the rate of refused frames.
    #[must_use]
    pub(crate) fn record_refusal(&mut self, now: Instant) -> bool {
        self.refusals.allows(BAD_FRAME_RATE, now)
    }

    /// Returns `true` on the first call.
    pub(crate) fn take_first_frame(&mut self) -> bool {
        !std::mem::replace(&mut self.has_sent, true)
    }

    /// The `client_id` from `hello`.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub(crate) fn set_client(&mut self, client: &str) {
        self.client = Some(client.into());
    }

    /// Returns when a Ping is due, or when the socket is dead.
    pub(crate) fn heartbeat_at(&self, interval: Duration) -> Instant {
        self.heartbeat + interval
    }

    /// Schedules a Ping if one is due.
    pub(crate) fn poll_due(&mut self, interval: Duration, now: Instant) -> Heartbeat {
        if now < self.heartbeat_at(interval) {
            return Heartbeat::Alive;
        }
        if self.pings >= PINGS_MISSED_MAX {
            return Heartbeat::Dead;
        }
        (self.heartbeat, self.pings, self.is_ping_due) = (now, self.pings + 1, true);
        Heartbeat::Pinged
    }

    /// Adds a frame for this socket alone. With it, the client has the transcript up to `seq`, if given. Returns
    /// `true` if the socket keeps up, and `false` if too much waits for it.
    #[must_use]
    pub(crate) fn push(&mut self, frame: Bytes, seq: Option<u64>) -> bool {
        self.direct_bytes += frame.len();
        self.direct.push_back((frame, seq));
        self.direct.len() <= DIRECT_MAX_FRAMES && self.direct_bytes <= DIRECT_MAX_BYTES
    }

    /// Sets the notice about the session's time, in place of one that the socket has not taken.
    pub(crate) fn set_notice(&mut self, frame: Bytes) {
        if !matches!(self.role, Role::Asker(_)) {
            self.notice = Some(frame);
        }
    }

    /// Returns the next output for this socket.
    pub(crate) fn poll(&mut self, log: &Log) -> Option<Transmit> {
        if std::mem::take(&mut self.is_ping_due) {
            return Some(Transmit::Ping);
        }
        self.next_frame(log).map(|(frame, seq)| Transmit::Frame(frame, seq))
    }

    /// Returns all frames that are there for this socket.
    pub(crate) fn take_rest(&mut self, log: &Log) -> Vec<(Bytes, Option<u64>)> {
        std::iter::from_fn(|| self.next_frame(log)).collect()
    }

    fn next_frame(&mut self, log: &Log) -> Option<(Bytes, Option<u64>)> {
        if let Some((frame, seq)) = self.direct.pop_front() {
            self.direct_bytes -= frame.len();
            return Some((frame, seq));
        }
        if let Some(frame) = self.notice.take() {
            return Some((frame, None));
        }
        while let Some((frame, seq, subject)) = log.get(self.next) {
            self.next = seq + 1;
            if self.receives(subject) {
                return Some((frame, Some(seq)));
            }
        }
        None
    }

    fn receives(&self, subject: Subject) -> bool {
        match self.role {
            Role::Socket | Role::Listener => true,
            Role::Asker(turn) => subject.turn() == Some(turn),
        }
    }
}
