//! What a person asks of turns: a new one, the last one again, a stop.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use mayfly_protocol::client::Refusal;
use mayfly_protocol::code::{ErrorCode, Scope};
use mayfly_protocol::hub::{HubFrame, Status, TurnError, TurnReason};
use mayfly_protocol::ids::TurnId;

use crate::command::{Command, SocketId};
use crate::limits::{CANCEL_GRACE, MESSAGE_IDS_MAX, QUEUE_RETRY_AFTER};
use crate::millis;
use crate::record::{Record, TurnRecord};
use crate::session::{Session, error, quota};
use crate::turns::{Finished, NoAgain, Stop, Waiting};

/// The messages that were taken last, by the ids that clients gave them.
#[derive(Debug, Default)]
pub(super) struct Messages(VecDeque<Taken>);

/// A message that became a turn.
#[derive(Debug, Clone)]
struct Taken {
    id: String,
    turn: TurnId,
    /// Tells its text from another's.
    digest: u64,
    /// Where the record says so.
    seq: u64,
}

/// The turn that a message became.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    pub(super) turn: TurnId,
    /// Where the record says so.
    pub(super) seq: u64,
    /// Whether it became one just now.
    pub(super) is_new: bool,
}

/// Why a message became no turn.
pub(super) enum NotTaken {
    /// It is not acceptable.
    Bad(Refusal),
    /// It may be, later; what is told.
    NotNow(HubFrame),
}

impl Messages {
    fn find(&self, id: &str) -> Option<&Taken> {
        self.0.iter().find(|taken| taken.id == id)
    }

    /// Takes this message as the last one, with its turn and where the record says so.
    pub(super) fn remember(&mut self, id: String, text: &str, turn: TurnId, seq: u64) {
        let taken = Taken { id, turn, digest: digest(text), seq };
        if self.0.len() >= MESSAGE_IDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(taken);
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Session {
    pub(super) fn accept(&mut self, socket: SocketId, id: Option<String>, text: String, now: Instant) {
        match self.take(id.clone(), &text, now) {
            Ok(Accepted { is_new: true, .. }) => {}
            Ok(Accepted { turn, seq, is_new: false }) => self.accept_again(socket, turn, id, text, seq, now),
            Err(NotTaken::Bad(refusal)) => self.refuse(socket, &refusal, now),
            Err(NotTaken::NotNow(frame)) => self.send(socket, &frame, now),
        }
    }

    /// Takes a message as a turn; one that was taken before is still the same turn.
    pub(super) fn take(
        &mut self,
        id: Option<String>,
        text: &str,
        now: Instant,
    ) -> Result<Accepted, NotTaken> {
        self.renew(now);
        let digest = digest(text);
        if let Some(taken) = id.as_deref().and_then(|id| self.messages.find(id)) {
            if taken.digest == digest {
                return Ok(Accepted { turn: taken.turn, seq: taken.seq, is_new: false });
            }
            let message = "that id was given to another message: each has one of its own".to_owned();
            return Err(NotTaken::Bad(Refusal::new(ErrorCode::ProtoInvalid, message).of(id)));
        }
        if let Some(frame) = self.refuses_turns() {
            return Err(NotTaken::NotNow(about(id.as_deref(), frame)));
        }
        let Some((turn, position)) = self.turns.enqueue(text.to_owned(), id.clone()) else {
            let message = "too many messages are waiting";
            let frame = quota(ErrorCode::QuotaQueue, Scope::Frame, QUEUE_RETRY_AFTER, message);
            return Err(NotTaken::NotNow(about(id.as_deref(), frame)));
        };
        let seq = self.log.head() + 1;
        if let Some(id) = id.clone() {
            self.messages.remember(id, text, turn, seq);
        }
        self.log_accepted(turn, id, position, text.to_owned(), None, now);
        self.start_turn(now);
        Ok(Accepted { turn, seq, is_new: true })
    }

    /// A message that was sent again: told again what became of it, unless that is still to come on this socket.
    fn accept_again(
        &mut self,
        socket: SocketId,
        turn: TurnId,
        message: Option<String>,
        text: String,
        seq: u64,
        now: Instant,
    ) {
        let has_passed = |next: u64| next > seq;
        if self.open_cursors().any(|cursor| cursor.socket() == socket && has_passed(cursor.next())) {
            let position = u32::try_from(self.turns.position(turn)).unwrap_or(u32::MAX);
            let frame = HubFrame::TurnAccepted { turn, message, position, text, replaces: None, seq };
            self.send(socket, &frame, now);
        }
    }

    pub(super) fn regenerate(&mut self, socket: SocketId, turn: Option<TurnId>, now: Instant) {
        self.renew(now);
        if let Some(frame) = self.refuses_turns() {
            return self.send(socket, &frame, now);
        }
        match self.turns.enqueue_again(turn) {
            Ok((turn, replaced, text)) => {
                self.log_accepted(turn, None, 0, text, Some(replaced), now);
                self.start_turn(now);
            }
            Err(NoAgain::Busy) => {
                let message = "another turn runs or waits: stop it first";
                self.send(socket, &error(ErrorCode::TurnConflict, Scope::Frame, message), now);
            }
            Err(NoAgain::NotLast) => {
                let message = "only the last answer can be replaced";
                self.send(socket, &error(ErrorCode::TurnConflict, Scope::Frame, message), now);
            }
            Err(NoAgain::Done) => {}
            Err(NoAgain::Nothing) => self.send(socket, &no_such_turn(), now),
        }
    }

    pub(super) fn start_turn(&mut self, now: Instant) {
        if !matches!(self.status, Status::Active | Status::Idle) {
            return;
        }
        if let Some(Waiting { turn, text, message, replaces }) = self.turns.start_next(now) {
            self.commands.push_back(Command::StartTurn { turn, text, message, replaces });
        }
    }

    pub(super) fn stop_turn(&mut self, socket: SocketId, turn: Option<TurnId>, now: Instant) {
        self.renew(now);
        match self.turns.stop(turn, now + CANCEL_GRACE) {
            Stop::Began(turn) => self.cancel_turn(turn),
            Stop::Dequeued(turn) => {
                self.log_turn_done(Finished::unasked(turn), TurnReason::Stopped, None, now);
                self.check_drain(now);
            }
            Stop::Nothing => {}
            Stop::Unknown => self.send(socket, &no_such_turn(), now),
        }
    }

    /// Has the agent end a turn; it is asked for no other before it has answered.
    pub(super) fn cancel_turn(&mut self, turn: TurnId) {
        self.turns.cancel();
        self.commands.push_back(Command::CancelTurn { turn });
    }

    /// A [`Command::CancelTurn`] was carried out, as far as it could be.
    pub fn handle_cancelled(&mut self, now: Instant) {
        self.turns.cancelled();
        self.start_turn(now);
    }

    pub(super) fn log_accepted(
        &mut self,
        turn: TurnId,
        message: Option<String>,
        position: usize,
        text: String,
        replaces: Option<TurnId>,
        now: Instant,
    ) {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        self.log_frame(now, |seq| HubFrame::TurnAccepted { turn, message, position, text, replaces, seq });
    }

    pub(super) fn log_turn_done(
        &mut self,
        finished: Finished,
        reason: TurnReason,
        error: Option<TurnError>,
        now: Instant,
    ) {
        let Finished { turn, took, first_token, usage } = finished;
        let code = error.as_ref().map(|error| error.code);
        self.record(Record::Turn(Box::new(TurnRecord { turn, reason, code, took, first_token, usage })));
        let ttft_ms = first_token.map(millis);
        let took_ms = took.map(millis);
        self.log_frame(now, |seq| HubFrame::TurnDone { turn, reason, error, ttft_ms, took_ms, usage, seq });
        self.answer_askers(turn);
    }

    /// The running turn is over.
    pub(super) fn finish_turn(&mut self, reason: TurnReason, error: Option<TurnError>, now: Instant) {
        let Some(finished) = self.turns.finish(now) else { return };
        self.log_turn_done(finished, reason, error, now);
        self.renew(now);
        self.start_turn(now);
        self.check_clocks(now);
    }
}

/// An error that is about a message with this id.
pub(super) fn about(message: Option<&str>, mut frame: HubFrame) -> HubFrame {
    if let HubFrame::Error { id, .. } = &mut frame {
        *id = message.map(str::to_owned);
    }
    frame
}

fn no_such_turn() -> HubFrame {
    error(ErrorCode::TurnNotFound, Scope::Frame, "there is no such turn")
}
