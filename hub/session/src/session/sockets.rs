//! Who takes part in a session, what each socket is told, and what becomes of those that do not keep up.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use mayfly_protocol::client::Refusal;
use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{EndReason, HubFrame, SnapshotReason};
use mayfly_protocol::ids::{Epoch, TurnId};

use crate::command::{Attach, Detach, SocketId, Transmit};
use crate::cursor::{Cursor, Pulse, Role};
use crate::limits::{LISTENERS_MAX, MESSAGE_RATE, QUEUE_RETRY_AFTER, SOCKETS_MAX};
use crate::millis;
use crate::record::Record;
use crate::session::drain::draining;
use crate::session::end::{End, farewell_of};
use crate::session::turn::about;
use crate::session::{Session, error, quota};

impl Session {
    /// Whether a socket is to be closed: then all that is left for it is to be taken now, also if it is not ready.
    pub fn is_closing(&self, socket: SocketId) -> bool {
        self.cursors.iter().any(|cursor| cursor.socket() == socket && !cursor.is_open())
    }

    /// What a socket that can take a frame gets next. After [`Transmit::Close`] the socket is forgotten.
    pub fn poll_transmit(&mut self, socket: SocketId) -> Option<Transmit> {
        let index = self.cursors.iter().position(|cursor| cursor.socket() == socket)?;
        let transmit = self.cursors.get_mut(index)?.poll(&self.log)?;
        if let Transmit::Close(_) = transmit {
            self.cursors.swap_remove(index);
        }
        Some(transmit)
    }

    /// A socket came. It gets `session.ready`, what it has missed, then every frame from now on.
    pub fn handle_attach(&mut self, socket: SocketId, attach: Attach, now: Instant) {
        let role = if let Attach::Listen { .. } = attach { Role::Listener } else { Role::Socket };
        if let Some((frame, code)) = self.turns_away(role) {
            return self.refuse_socket(socket, &frame, code, now);
        }
        if role == Role::Socket {
            self.clocks.desert(None);
            self.heard(now);
            if !std::mem::replace(&mut self.was_joined, true) {
                self.record(Record::Joined);
            }
        }
        let (after, snapshot) = match attach {
            Attach::Create => (self.log.head(), None),
            Attach::Join { position } | Attach::Listen { position } => self.place(position),
        };
        // Most sessions have one socket.
        self.cursors.reserve_exact(1);
        self.cursors.push(Cursor::new(socket, role, after + 1, now));
        let token = (attach == Attach::Create).then(|| self.identity.token.clone());
        let ready = HubFrame::Ready {
            v: mayfly_protocol::VERSION,
            session: self.identity.session,
            token,
            epoch: self.identity.epoch,
            head: self.log.head(),
            resumed: attach != Attach::Create && snapshot.is_none(),
            ping_ms: millis(self.settings.heartbeat),
            grace_ms: millis(self.settings.grace),
            status: self.status,
            deadline: self.clocks.deadline(self.is_busy(), now),
        };
        self.send(socket, &ready, now);
        if let Some(why) = snapshot {
            self.send_bytes(socket, self.log.snapshot(why), Some(self.log.head()), now);
        }
        if let Some(clock) = self.clocks.warned() {
            let expiring = Bytes::from(self.expiring(clock, now).to_json());
            self.cursor(socket).into_iter().for_each(|cursor| cursor.tell_time(expiring.clone()));
        }
        if let Some(frame) = self.drain_warning(now) {
            self.send(socket, &frame, now);
        }
    }

    /// Why nobody can come any more, or no more of them.
    pub(super) fn turns_away(&self, role: Role) -> Option<(HubFrame, CloseCode)> {
        if let Some(reason) = self.ended {
            let (code, close, message) = farewell_of(reason);
            return Some((error(code, Scope::Session, message), close));
        }
        if self.is_left() {
            return Some(draining());
        }
        let message = match role {
            Role::Socket if self.open_cursors().count() >= SOCKETS_MAX => {
                "the session has as many sockets as it may"
            }
            Role::Listener | Role::Asker(_) if self.listeners() >= LISTENERS_MAX => {
                "as many listen to the session as may"
            }
            Role::Socket | Role::Listener | Role::Asker(_) => return None,
        };
        let frame = quota(ErrorCode::QuotaSockets, Scope::Session, QUEUE_RETRY_AFTER, message);
        Some((frame, CloseCode::AtCapacity))
    }

    /// Where a client goes on: after which frame, and why it needs a snapshot, if it does.
    fn place(&self, position: Option<(Epoch, u64)>) -> (u64, Option<SnapshotReason>) {
        let follows = match position {
            None => Err(SnapshotReason::New),
            Some((epoch, _)) if epoch != self.identity.epoch => Err(SnapshotReason::Epoch),
            Some((_, after)) => self.log.follows(after).map(|()| after),
        };
        match follows {
            Ok(after) => (after, None),
            Err(why) => (self.log.head(), Some(why)),
        }
    }

    /// A socket is gone.
    pub fn handle_detach(&mut self, socket: SocketId, how: Detach, now: Instant) {
        let was_open = self.open_cursors().any(|cursor| cursor.socket() == socket);
        self.cursors.retain(|cursor| cursor.socket() != socket);
        if was_open {
            self.notice_departure(how, now);
        }
    }

    /// A socket no longer takes part; the session may go with the last one.
    fn notice_departure(&mut self, how: Detach, now: Instant) {
        if self.has_ended() || self.open_cursors().next().is_some() {
            return;
        }
        match how {
            Detach::Closed => self.end(End { reason: EndReason::Disconnected, error: None }, now),
            Detach::Lost => {
                self.clocks.desert(Some(now));
                self.check_clocks(now);
            }
        }
    }

    /// The sockets that take part.
    pub(super) fn open_cursors(&self) -> impl Iterator<Item = &Cursor> {
        self.cursors.iter().filter(|cursor| cursor.takes_part())
    }

    /// How many only listen.
    fn listeners(&self) -> usize {
        self.cursors.iter().filter(|cursor| cursor.is_open() && !cursor.takes_part()).count()
    }

    fn cursor(&mut self, socket: SocketId) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.socket() == socket)
    }

    /// Whether a socket takes part in the session, and does not send more often than it may.
    pub(super) fn admits(&mut self, socket: SocketId, now: Instant) -> bool {
        let Some(cursor) = self.cursor(socket).filter(|cursor| cursor.takes_part()) else { return false };
        if !cursor.counts_message(now) {
            let wait = MESSAGE_RATE.interval * MESSAGE_RATE.burst;
            let frame =
                quota(ErrorCode::QuotaRate, Scope::Session, wait, "too many messages in a short time");
            self.turn_away(socket, &frame, CloseCode::RateLimited, now);
            return false;
        }
        self.heard(now);
        true
    }

    pub(super) fn speaks_first(&mut self, socket: SocketId) -> bool {
        self.cursor(socket).is_some_and(Cursor::speaks_first)
    }

    /// A client said who it is: its older sockets go.
    pub(super) fn replace(&mut self, socket: SocketId, client: Option<&str>) {
        let Some(client) = client else { return };
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.is_open()) {
            if cursor.socket() == socket {
                cursor.set_client(client);
            } else if cursor.client() == Some(client) {
                cursor.close_now(CloseCode::Replaced);
            }
        }
    }

    pub(super) fn refuse(&mut self, socket: SocketId, refusal: &Refusal, now: Instant) {
        let frame = about(refusal.id.as_deref(), error(refusal.code, Scope::Frame, &refusal.message));
        let Some(cursor) = self.cursor(socket) else { return };
        if cursor.counts_refusal(now) {
            self.send(socket, &frame, now);
        } else {
            self.turn_away(socket, &frame, CloseCode::BadFrames, now);
        }
    }

    /// Asks the sockets that were not heard of, and closes those that were asked too often.
    pub(super) fn feel_pulses(&mut self, now: Instant) {
        let interval = self.settings.heartbeat;
        let mut is_lost = false;
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.takes_part()) {
            if cursor.pulse(interval, now) == Pulse::Dead {
                cursor.close_now(CloseCode::Silent);
                is_lost = true;
            }
        }
        if is_lost {
            self.notice_departure(Detach::Lost, now);
        }
    }

    /// Adds one who hears a turn, of which the record begins with `seq`.
    pub(super) fn add_asker(&mut self, asker: SocketId, turn: TurnId, seq: u64, now: Instant) {
        self.cursors.push(Cursor::new(asker, Role::Asker(turn), seq, now));
    }

    /// A turn is over: who heard it is done.
    pub(super) fn answer_askers(&mut self, turn: TurnId) {
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.asks_for(turn)) {
            cursor.close_after(VecDeque::new(), CloseCode::Normal);
        }
    }

    /// Sends a frame to one socket alone.
    pub(super) fn send(&mut self, socket: SocketId, frame: &HubFrame, now: Instant) {
        self.send_bytes(socket, frame.to_json().into(), None, now);
    }

    fn send_bytes(&mut self, socket: SocketId, frame: Bytes, seq: Option<u64>, now: Instant) {
        let Some(cursor) = self.cursor(socket).filter(|cursor| cursor.is_open()) else { return };
        let took_part = cursor.takes_part();
        if !cursor.push(frame, seq) {
            cursor.close_now(CloseCode::TooSlow);
            if took_part {
                self.notice_departure(Detach::Lost, now);
            }
        }
    }

    /// Tells every socket of the session's time, without a place in the record.
    pub(super) fn tell_time(&mut self, frame: &HubFrame) {
        let frame = Bytes::from(frame.to_json());
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.is_open()) {
            cursor.tell_time(frame.clone());
        }
    }

    /// Closes a socket that has not taken part yet, telling it why.
    pub(super) fn refuse_socket(&mut self, socket: SocketId, why: &HubFrame, code: CloseCode, now: Instant) {
        let mut cursor = Cursor::new(socket, Role::Listener, u64::MAX, now);
        cursor.close_after(VecDeque::from([why.to_json().into()]), code);
        self.cursors.push(cursor);
    }

    /// Closes a socket, telling it why.
    fn turn_away(&mut self, socket: SocketId, why: &HubFrame, code: CloseCode, now: Instant) {
        if let Some(cursor) = self.cursor(socket) {
            cursor.close_after(VecDeque::from([why.to_json().into()]), code);
        }
        let how = if code.may_reconnect() { Detach::Lost } else { Detach::Closed };
        self.notice_departure(how, now);
    }

    /// Keeps the log within its bounds, and closes the sockets that needed what was forgotten.
    pub(super) fn tidy_log(&mut self, now: Instant) {
        let cursors = &self.cursors;
        self.log.tidy(|seq| cursors.iter().any(|cursor| cursor.next() == seq));
        let first = self.log.first();
        let mut is_lost = false;
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.next() < first) {
            is_lost |= cursor.takes_part();
            cursor.close_now(CloseCode::TooSlow);
        }
        if is_lost {
            self.notice_departure(Detach::Lost, now);
        }
    }
}
