//! Sockets: attaching, sending, and closing those that break a rule or fall behind.

use std::time::Instant;

use bytes::Bytes;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, HubFrame, SnapshotReason};
use mayfly_protocol::ids::{Epoch, TurnId};
use mayfly_protocol::refusal::{Close, Refusal, RefusedFrame};

use crate::command::{Attach, Command, Detach, SocketId, Transmit};
use crate::cursor::{Cursor, Heartbeat, Role};
use crate::duration::millis;
use crate::journal::JournalEntry;
use crate::limits::{LISTENERS_MAX, MESSAGE_RATE, QUEUE_RETRY_AFTER, SOCKETS_MAX};
use crate::session::Session;
use crate::session::drain::draining;
use crate::session::end::{End, refusal_after};
use crate::timers::Timer;

impl Session {
    /// Returns the next output for a socket that can take one.
    pub fn poll_transmit(&mut self, socket: SocketId) -> Option<Transmit> {
        let cursor = self.cursors.iter_mut().find(|cursor| cursor.socket() == socket)?;
        cursor.poll(&self.log)
    }

    /// Handles a new socket. It receives `session.ready`, then the frames that it misses, then every frame from now on. A
    /// socket that is refused is closed by [`Command::Close`].
    pub fn handle_attach(&mut self, socket: SocketId, attach: Attach, now: Instant) {
        let role = if let Attach::Listen { .. } = attach { Role::Listener } else { Role::Socket };
        if let Some(refusal) = self.attach_refusal(role) {
            return self.refuse_socket(socket, &refusal.to_frame(), refusal.close());
        }
        if role == Role::Socket {
            self.clocks.set_lost_at(None);
            self.record_sign(now);
            self.arm_clocks();
            // A session that waits in the hub's line writes this when it is admitted.
            if !std::mem::replace(&mut self.was_joined, true) {
                self.journal(JournalEntry::Joined);
            }
        }
        let (after, snapshot) = match attach {
            Attach::Create => (self.log.head(), None),
            Attach::Join { position } | Attach::Listen { position } => self.place(position),
        };
        self.add_cursor(socket, role, after + 1, now);
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
            status: self.status(),
            deadline: self.deadline(now),
        };
        self.send(socket, &ready, now);
        if let Some(why) = snapshot {
            self.send_bytes(socket, self.log.snapshot(why), Some(self.log.head()), now);
        }
        if self.position().is_some() {
            self.send(socket, &self.describe_position(now), now);
        }
        if let Some(clock) = self.clocks.warned() {
            let expiring = Bytes::from(self.expiring(clock, now).to_json());
            self.cursor(socket).into_iter().for_each(|cursor| cursor.set_notice(expiring.clone()));
        }
        if let Some(frame) = self.drain_warning(now) {
            self.send(socket, &frame, now);
        }
    }

    /// Returns the refusal of a socket with this role, if it may not attach.
    pub(super) fn attach_refusal(&self, role: Role) -> Option<Refusal> {
        if let Some(reason) = self.end_reason() {
            return Some(refusal_after(reason));
        }
        if self.is_left() {
            return Some(draining());
        }
        let message = match role {
            Role::Socket if self.sockets().count() >= SOCKETS_MAX => {
                "the session has as many sockets as it may"
            }
            Role::Listener | Role::Asker(_) if self.listeners() >= LISTENERS_MAX => {
                "as many listen to the session as may"
            }
            Role::Socket | Role::Listener | Role::Asker(_) => return None,
        };
        Some(Refusal::new(ErrorCode::QuotaSockets, message).after(QUEUE_RETRY_AFTER))
    }

    /// Returns the number after which a client goes on, and the reason for a snapshot if it needs one.
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

    /// Handles a socket that is gone. Ignored if the session has closed it.
    pub fn handle_detach(&mut self, socket: SocketId, how: Detach, now: Instant) {
        let took_part = self.sockets().any(|cursor| cursor.socket() == socket);
        self.cursors.retain(|cursor| cursor.socket() != socket);
        if took_part {
            self.check_departure(how, now);
        }
    }

    /// Ends the session or starts its grace if no socket is left.
    fn check_departure(&mut self, how: Detach, now: Instant) {
        if self.has_ended() || self.sockets().next().is_some() {
            return;
        }
        match how {
            Detach::Lost if !self.is_admitted => self.end(End::of(EndReason::Disconnected), now),
            Detach::Closed => self.end(End::of(EndReason::Disconnected), now),
            Detach::Lost => {
                self.clocks.set_lost_at(Some(now));
                self.arm_clocks();
                self.check_grace(now);
            }
        }
    }

    /// Returns the sockets that take part.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Cursor> {
        self.cursors.iter().filter(|cursor| cursor.takes_part())
    }

    fn listeners(&self) -> usize {
        self.cursors.iter().filter(|cursor| !cursor.takes_part()).count()
    }

    fn cursor(&mut self, socket: SocketId) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.socket() == socket)
    }

    /// Adds a socket whose next numbered frame is `next`.
    pub(super) fn add_cursor(&mut self, socket: SocketId, role: Role, next: u64, now: Instant) {
        // Most sessions have one socket.
        self.cursors.reserve_exact(1);
        self.cursors.push(Cursor::new(socket, role, next, now));
        if role == Role::Socket && self.timers.get(Timer::Heartbeat).is_none() {
            self.timers.set(Timer::Heartbeat, now + self.settings.heartbeat);
        }
    }

    /// Records a sign of life of a socket. Returns `true` if the socket takes part and keeps to the message rate; one
    /// that sends too fast is closed.
    pub(super) fn record_heartbeat(&mut self, socket: SocketId, now: Instant) -> bool {
        let Some(cursor) = self.cursor(socket).filter(|cursor| cursor.takes_part()) else { return false };
        if !cursor.record_message(now) {
            let wait = MESSAGE_RATE.interval * MESSAGE_RATE.burst;
            let message = "too many messages in a short time";
            let refusal = Refusal::new(ErrorCode::QuotaRate, message).after(wait);
            self.close_with(socket, &refusal.to_frame(), refusal.close(), now);
            return false;
        }
        self.record_sign(now);
        true
    }

    /// Returns `true` if the socket's current frame is its first.
    pub(super) fn take_first_frame(&mut self, socket: SocketId) -> bool {
        self.cursor(socket).is_some_and(Cursor::take_first_frame)
    }

    /// Gives a socket its client's id and closes older sockets of the same client.
    pub(super) fn replace(&mut self, socket: SocketId, client: Option<&str>) {
        let Some(client) = client else { return };
        let older = |cursor: &Cursor| cursor.socket() != socket && cursor.client() == Some(client);
        self.drop_where(older, Close::REPLACED);
        self.cursor(socket).into_iter().for_each(|cursor| cursor.set_client(client));
    }

    /// Refuses a socket's frame. A socket that sends too many bad frames is closed.
    pub(super) fn refuse(&mut self, socket: SocketId, refused: &RefusedFrame, now: Instant) {
        let (frame, code) = (refused.to_frame(), refused.refusal.code);
        let Some(cursor) = self.cursor(socket) else { return };
        if !code.is_bad_frame() || cursor.record_refusal(now) {
            self.send(socket, &frame, now);
        } else {
            self.close_with(socket, &frame, Close::bad_frames(code), now);
        }
    }

    /// Sends a Ping to each silent socket, closes those that are dead, and sets the timer of the next.
    pub(super) fn check_heartbeats(&mut self, now: Instant) {
        let interval = self.settings.heartbeat;
        let mut dead = Vec::new();
        for cursor in self.cursors.iter_mut().filter(|cursor| cursor.takes_part()) {
            if cursor.poll_due(interval, now) == Heartbeat::Dead {
                dead.push(cursor.socket());
            }
        }
        if !dead.is_empty() {
            self.drop_where(|cursor| dead.contains(&cursor.socket()), Close::HEARTBEAT);
            self.check_departure(Detach::Lost, now);
        }
        if !self.has_ended() {
            let next = self.sockets().map(|cursor| cursor.heartbeat_at(interval)).min();
            self.timers.set(Timer::Heartbeat, next);
        }
    }

    /// Sends a frame to one socket.
    pub(super) fn send(&mut self, socket: SocketId, frame: &HubFrame, now: Instant) {
        self.send_bytes(socket, frame.to_json().into(), None, now);
    }

    fn send_bytes(&mut self, socket: SocketId, frame: Bytes, seq: Option<u64>, now: Instant) {
        if let Some(cursor) = self.cursor(socket)
            && !cursor.push(frame, seq)
        {
            self.drop_slow(|cursor| cursor.socket() == socket, now);
        }
    }

    /// Sends a frame about the session's time to every socket. It replaces an earlier one that a socket has not taken.
    pub(super) fn send_notice(&mut self, frame: &HubFrame) {
        let frame = Bytes::from(frame.to_json());
        for cursor in &mut self.cursors {
            cursor.set_notice(frame.clone());
        }
    }

    /// Closes a socket that was not attached.
    pub(super) fn refuse_socket(&mut self, socket: SocketId, why: &HubFrame, close: Close) {
        let frames = vec![(Bytes::from(why.to_json()), None)];
        self.commands.push_back(Command::Close { socket, frames, close });
    }

    /// Closes a socket after all frames that are there for it and this one.
    fn close_with(&mut self, socket: SocketId, why: &HubFrame, close: Close, now: Instant) {
        self.close_where(|cursor| cursor.socket() == socket, &[why.to_json().into()], close);
        let how = if close.code().may_reconnect() { Detach::Lost } else { Detach::Closed };
        self.check_departure(how, now);
    }

    /// Closes the listeners to a turn, which is over.
    pub(super) fn close_askers(&mut self, turn: TurnId) {
        self.close_where(|cursor| cursor.asks_for(turn), &[], Close::BYE);
    }

    /// Closes some sockets after all frames that are there for them and a farewell.
    pub(super) fn close_where(&mut self, which: impl Fn(&Cursor) -> bool, farewell: &[Bytes], close: Close) {
        for mut cursor in self.cursors.extract_if(.., |cursor| which(cursor)) {
            let mut frames = cursor.take_rest(&self.log);
            frames.extend(farewell.iter().map(|frame| (frame.clone(), None)));
            self.commands.push_back(Command::Close { socket: cursor.socket(), frames, close });
        }
    }

    /// Closes some sockets at once, without the frames that they have not taken.
    fn drop_where(&mut self, which: impl Fn(&Cursor) -> bool, close: Close) {
        for cursor in self.cursors.extract_if(.., |cursor| which(cursor)) {
            self.commands.push_back(Command::Close { socket: cursor.socket(), frames: Vec::new(), close });
        }
    }

    /// Closes some sockets because they are too slow.
    fn drop_slow(&mut self, which: impl Fn(&Cursor) -> bool, now: Instant) {
        let is_lost = self.sockets().any(&which);
        self.drop_where(which, Close::because(ErrorCode::QuotaSlow));
        if is_lost {
            self.check_departure(Detach::Lost, now);
        }
    }

    /// Keeps the log within its bounds, and closes the sockets whose next frame is forgotten.
    pub(super) fn compact_log(&mut self, now: Instant) {
        let cursors = &self.cursors;
        self.log.compact(|seq| cursors.iter().any(|cursor| cursor.next() == seq));
        let first = self.log.first();
        if self.cursors.iter().any(|cursor| cursor.next() < first) {
            self.drop_slow(|cursor| cursor.next() < first, now);
        }
    }
}
