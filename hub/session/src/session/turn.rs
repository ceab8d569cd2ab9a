//! Requests about turns: a message, a regeneration, a stop.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{HubFrame, TurnError, TurnReason};
use mayfly_protocol::ids::TurnId;
use mayfly_protocol::refusal::{Refusal, RefusedFrame};

use crate::command::{Command, SocketId};
use crate::duration::millis;
use crate::journal::{JournalEntry, TurnSummary};
use crate::limits::{CANCEL_GRACE, MESSAGE_IDS_MAX, QUEUE_RETRY_AFTER};
use crate::session::{Phase, Session};
use crate::timers::Timer;
use crate::turns::{FinishedTurn, QueuedTurn, RegenerateError, StopOutcome};

/// The timers of the running turn.
const TURN_TIMERS: [Timer; 4] = [Timer::StopGrace, Timer::AgentSilence, Timer::ChunkSilence, Timer::TurnMax];

/// The last accepted messages that have an id, for clients that send one again.
#[derive(Debug, Default)]
pub(super) struct Messages(VecDeque<AcceptedMessage>);

#[derive(Debug, Clone)]
struct AcceptedMessage {
    id: String,
    turn: TurnId,
    /// Hash of the text. It distinguishes the message from another message with the same id.
    digest: u64,
    /// The number of its `turn.accepted`.
    seq: u64,
}

/// The turn of an accepted message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    pub(super) turn: TurnId,
    /// The number of its `turn.accepted`.
    pub(super) seq: u64,
    /// True for a new message, false for one that was sent again.
    pub(super) is_new: bool,
}

impl Messages {
    fn find(&self, id: &str) -> Option<&AcceptedMessage> {
        self.0.iter().find(|message| message.id == id)
    }

    /// Remembers a message, its turn and the number of its `turn.accepted`.
    pub(super) fn remember(&mut self, id: String, text: &str, turn: TurnId, seq: u64) {
        let message = AcceptedMessage { id, turn, digest: digest(text), seq };
        if self.0.len() >= MESSAGE_IDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(message);
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Session {
    /// Handles a socket's message.
    pub(super) fn handle_message(
        &mut self,
        socket: SocketId,
        id: Option<String>,
        text: String,
        now: Instant,
    ) {
        match self.accept_message(id.clone(), &text, now) {
            Ok(Accepted { is_new: true, .. }) => {}
            Ok(Accepted { turn, seq, is_new: false }) => {
                self.repeat_accepted(socket, turn, id, text, seq, now);
            }
            Err(refused) => self.refuse(socket, &refused, now),
        }
    }

    /// Makes a message a turn. A message that was accepted before keeps its turn.
    ///
    /// # Errors
    /// Returns the refusal, if the message is invalid, too many wait, or the hub shuts down.
    pub(super) fn accept_message(
        &mut self,
        id: Option<String>,
        text: &str,
        now: Instant,
    ) -> Result<Accepted, RefusedFrame> {
        self.renew(now);
        let digest = digest(text);
        if let Some(known) = id.as_deref().and_then(|id| self.messages.find(id)) {
            if known.digest == digest {
                return Ok(Accepted { turn: known.turn, seq: known.seq, is_new: false });
            }
            let message = "that id was given to another message: each has one of its own";
            return Err(Refusal::new(ErrorCode::ProtoInvalid, message).of_frame(id));
        }
        if let Some(refusal) = self.refusal_of_turns() {
            return Err(refusal.of_frame(id));
        }
        if self.line_is_full(text) {
            return Err(too_many_messages().of_frame(id));
        }
        let Some((turn, position)) = self.turns.enqueue(text.to_owned(), id.clone()) else {
            return Err(too_many_messages().of_frame(id));
        };
        let seq = self.log.head() + 1;
        if let Some(id) = id.clone() {
            self.messages.remember(id, text, turn, seq);
        }
        self.log_accepted(turn, id, position, text.to_owned(), None, now);
        self.start_turn(now);
        Ok(Accepted { turn, seq, is_new: true })
    }

    /// Answers a message that was sent again with its `turn.accepted`, unless the socket has yet to receive that.
    fn repeat_accepted(
        &mut self,
        socket: SocketId,
        turn: TurnId,
        message: Option<String>,
        text: String,
        seq: u64,
        now: Instant,
    ) {
        let has_passed = |next: u64| next > seq;
        if self.sockets().any(|cursor| cursor.socket() == socket && has_passed(cursor.next())) {
            let position = u32::try_from(self.turns.position(turn)).unwrap_or(u32::MAX);
            let frame = HubFrame::TurnAccepted { turn, message, position, text, replaces: None, seq };
            self.send(socket, &frame, now);
        }
    }

    /// Handles a socket's request to answer the last message again.
    pub(super) fn regenerate(&mut self, socket: SocketId, turn: Option<TurnId>, now: Instant) {
        self.renew(now);
        if let Some(refusal) = self.refusal_of_turns() {
            return self.refuse(socket, &refusal.into(), now);
        }
        match self.turns.enqueue_again(turn) {
            Ok((turn, replaced, text)) => {
                self.log_accepted(turn, None, 0, text, Some(replaced), now);
                self.start_turn(now);
            }
            Err(RegenerateError::Busy) => {
                let message = "another turn runs or waits: stop it first";
                self.refuse(socket, &Refusal::new(ErrorCode::TurnConflict, message).into(), now);
            }
            Err(RegenerateError::NotLast) => {
                let message = "only the last answer can be replaced";
                self.refuse(socket, &Refusal::new(ErrorCode::TurnConflict, message).into(), now);
            }
            Err(RegenerateError::Done) => {}
            Err(RegenerateError::NoTurn) => self.refuse(socket, &no_such_turn().into(), now),
        }
    }

    /// Starts the next turn of the queue, if the agent is ready and free.
    pub(super) fn start_turn(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Active | Phase::Idle)
            && let Some(QueuedTurn { turn, text, message, replaces }) = self.turns.start_next(now)
        {
            self.await_answer(now);
            self.commands.push_back(Command::StartTurn { turn, text, message, replaces });
        }
        self.arm_clocks();
    }

    /// Handles a socket's request to stop a turn.
    pub(super) fn stop_turn(&mut self, socket: SocketId, turn: Option<TurnId>, now: Instant) {
        self.renew(now);
        match self.turns.stop(turn) {
            StopOutcome::Running(_) if self.is_stopping() => {}
            StopOutcome::Running(turn) => {
                self.timers.clear(&TURN_TIMERS);
                self.timers.set(Timer::StopGrace, now + CANCEL_GRACE);
                self.cancel_turn(turn);
            }
            StopOutcome::Dequeued(turn) => {
                self.arm_clocks();
                self.log_turn_done(FinishedTurn::that_never_ran(turn), TurnReason::Stopped, None, now);
                self.check_drain(now);
            }
            StopOutcome::Over => {}
            StopOutcome::Unknown => self.refuse(socket, &no_such_turn().into(), now),
        }
    }

    /// Returns `true` if the running turn is being stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.timers.get(Timer::StopGrace).is_some()
    }

    /// Ends a turn that was stopped and that the agent has not ended in time.
    pub(super) fn end_stopped_turn(&mut self, now: Instant) {
        self.finish_turn(TurnReason::Stopped, None, now);
    }

    /// Asks the agent to end a turn. No other turn starts before the agent has answered.
    pub(super) fn cancel_turn(&mut self, turn: TurnId) {
        self.turns.begin_cancel();
        self.commands.push_back(Command::CancelTurn { turn });
    }

    /// Handles the outcome of a [`Command::CancelTurn`]: the agent has answered, or has not answered in time.
    pub fn handle_cancelled(&mut self, now: Instant) {
        self.turns.end_cancel();
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
        finished: FinishedTurn,
        reason: TurnReason,
        error: Option<TurnError>,
        now: Instant,
    ) {
        let FinishedTurn { turn, took, first_token, usage } = finished;
        let code = error.as_ref().map(|error| error.code);
        let summary = TurnSummary { turn, reason, code, took, first_token, usage };
        self.journal(JournalEntry::Turn(Box::new(summary)));
        let ttft_ms = first_token.map(millis);
        let took_ms = took.map(millis);
        self.log_frame(now, |seq| HubFrame::TurnDone { turn, reason, error, ttft_ms, took_ms, usage, seq });
        self.close_askers(turn);
    }

    /// Ends the running turn and starts the next one.
    pub(super) fn finish_turn(&mut self, reason: TurnReason, error: Option<TurnError>, now: Instant) {
        let Some(finished) = self.turns.finish(now) else { return };
        self.timers.clear(&TURN_TIMERS);
        self.log_turn_done(finished, reason, error, now);
        self.renew(now);
        self.start_turn(now);
        self.check_grace(now);
        self.check_drain(now);
    }
}

fn too_many_messages() -> Refusal {
    Refusal::new(ErrorCode::QuotaQueue, "too many messages are waiting").after(QUEUE_RETRY_AFTER)
}

fn no_such_turn() -> Refusal {
    Refusal::new(ErrorCode::TurnNotFound, "there is no such turn")
}
