//! States of a session, and who calls whom. What an answer does is in `session/answer.rs`, how a session ends in
//! `session/end.rs`; the parts with rules of their own are `turns`, `log`, `cursor`, `rate` and `chunk`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::client::{COMMANDS, ClientFrame, Refusal};
use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{self, EndReason, HubFrame, Status, Step, TurnError, TurnReason};
use mayfly_protocol::ids::{SessionId, TurnId};

use crate::command::{Command, PlatformEvent, SocketId, Transmit};
use crate::cursor::Cursor;
use crate::limits::{CANCEL_GRACE, MESSAGE_RATE, QUEUE_RETRY_AFTER, SIGN_OF_LIFE_MISSES};
use crate::log::Log;
use crate::session::end::{End, agent_lost, spawn_failed};
use crate::turns::{Overdue, Stop, Turns};

mod answer;
mod end;

/// What an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long an agent has to become healthy.
    pub spawn_timeout: Duration,
}

/// One session, from the moment its agent is asked for until nothing of it is left.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    born: Instant,
    status: Status,
    step: Option<Step>,
    /// When the agent must be healthy (while creating) or gets its next sign of life (while active).
    agent_clock: Option<Instant>,
    misses: u8,
    turns: Turns,
    log: Log,
    cursors: Vec<Cursor>,
    commands: VecDeque<Command>,
}

impl Session {
    /// A session that asks for its agent at once.
    pub fn new(id: SessionId, settings: Settings, now: Instant) -> Self {
        Self {
            id,
            born: now,
            status: Status::Creating,
            step: None,
            agent_clock: Some(now + settings.spawn_timeout),
            misses: 0,
            turns: Turns::default(),
            log: Log::default(),
            cursors: Vec::new(),
            commands: VecDeque::from([Command::Spawn]),
        }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The session's state.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The turn that runs; an answer to any other is of no interest.
    pub fn running_turn(&self) -> Option<TurnId> {
        self.turns.running()
    }

    /// When [`Session::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.agent_clock, self.turns.timeout()].into_iter().flatten().min()
    }

    /// What the driver is to do next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

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
        self.trim_log();
        Some(transmit)
    }

    /// A socket came. It gets `session.ready`, then every frame from now on.
    pub fn handle_attach(&mut self, socket: SocketId, now: Instant) {
        let head = self.log.head();
        let ready =
            HubFrame::Ready { v: mayfly_protocol::VERSION, session: self.id, status: self.status, head };
        self.cursors.push(Cursor::new(socket, head + 1, now));
        self.send(socket, &ready);
        if self.has_ended() {
            let refusal = error(ErrorCode::SessionEnded, Scope::Session, "the session has ended");
            self.send(socket, &refusal);
            self.close_after(socket, VecDeque::new(), CloseCode::Ended);
        }
    }

    /// A socket is gone. The last one takes the session with it.
    pub fn handle_detach(&mut self, socket: SocketId) {
        self.cursors.retain(|cursor| cursor.socket() != socket);
        self.trim_log();
        self.end_if_deserted();
    }

    /// A socket sent a message.
    pub fn handle_client(&mut self, socket: SocketId, input: Result<ClientFrame, Refusal>, now: Instant) {
        if !self.admits(socket, now) {
            return;
        }
        match input {
            Ok(ClientFrame::Message { id, text }) => self.accept(socket, id, text, now),
            Ok(ClientFrame::Stop { turn }) => self.stop_turn(socket, turn, now),
            Ok(ClientFrame::Status) => {
                let status = self.describe(now);
                self.send(socket, &status);
            }
            Ok(ClientFrame::Help) => self.send(socket, &help()),
            Ok(ClientFrame::Bye) => self.end(End { reason: EndReason::Bye, error: None }),
            Err(refusal) => self.refuse(socket, &refusal, now),
        }
    }

    /// A socket sent a WebSocket Ping or Pong.
    pub fn handle_heartbeat(&mut self, socket: SocketId, now: Instant) {
        self.admits(socket, now);
    }

    /// Something became of the agent's process or container.
    pub fn handle_platform(&mut self, event: PlatformEvent, now: Instant) {
        match (self.status, event) {
            (Status::Creating, PlatformEvent::Step(step)) => {
                self.step = Some(step);
                self.log_status(now);
            }
            (Status::Creating, PlatformEvent::Ready) => {
                self.status = Status::Active;
                self.step = None;
                self.await_sign_of_life(now);
                self.log_status(now);
                self.start_turn(now);
            }
            (Status::Creating, PlatformEvent::Failed { message }) => {
                self.agent_is_gone(spawn_failed(ErrorCode::SpawnFailed, &message));
            }
            (Status::Creating, PlatformEvent::Gone) => {
                let message = "the agent ended before it was ready";
                self.agent_is_gone(spawn_failed(ErrorCode::SpawnFailed, message));
            }
            (Status::Active, PlatformEvent::Gone) => {
                self.agent_is_gone(agent_lost(ErrorCode::AgentCrashed, "the agent ended unexpectedly"));
            }
            (Status::Active, PlatformEvent::Alive) => {
                self.misses = 0;
                self.await_sign_of_life(now);
            }
            (Status::Active, PlatformEvent::Silent) => {
                self.misses += 1;
                self.await_sign_of_life(now);
                if self.misses >= SIGN_OF_LIFE_MISSES {
                    self.end(agent_lost(ErrorCode::AgentUnreachable, "the agent does not answer"));
                }
            }
            (Status::Terminating, PlatformEvent::Gone | PlatformEvent::Failed { .. }) => {
                self.status = Status::Terminated;
            }
            // Late news of a start that no longer matters, or of an agent that is being ended.
            (
                Status::Active | Status::Terminating | Status::Terminated | Status::Creating,
                PlatformEvent::Step(_)
                | PlatformEvent::Ready
                | PlatformEvent::Failed { .. }
                | PlatformEvent::Gone
                | PlatformEvent::Alive
                | PlatformEvent::Silent,
            ) => {}
        }
    }

    /// The hub is shutting down.
    pub fn handle_shutdown(&mut self) {
        self.end(End { reason: EndReason::Drained, error: None });
    }

    /// The time that [`Session::poll_timeout`] told has come. Calls that come early do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.turns.overdue(now) {
            Some(Overdue::Stop) => self.finish_turn(TurnReason::Stopped, None, now),
            Some(Overdue::Stalled(turn, message)) => {
                self.commands.push_back(Command::CancelTurn { turn });
                self.fail_turn(ErrorCode::AgentStalled, message, now);
            }
            None => {}
        }
        if self.agent_clock.is_some_and(|at| now >= at) {
            self.agent_clock = None;
            if self.status == Status::Active {
                self.commands.push_back(Command::SignOfLife);
            } else {
                self.end(spawn_failed(ErrorCode::SpawnTimeout, "the agent did not become healthy in time"));
            }
        }
    }

    // Turns

    fn accept(&mut self, socket: SocketId, message: Option<String>, text: String, now: Instant) {
        let Some((turn, position)) = self.turns.enqueue(text.clone()) else {
            let message = "too many messages are waiting";
            return self
                .send(socket, &quota(ErrorCode::QuotaQueue, Scope::Frame, QUEUE_RETRY_AFTER, message));
        };
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        self.log_frame(|seq| HubFrame::TurnAccepted { turn, message, position, text, seq });
        self.start_turn(now);
    }

    pub(super) fn start_turn(&mut self, now: Instant) {
        if self.status != Status::Active {
            return;
        }
        if let Some((turn, text)) = self.turns.start_next(now) {
            self.commands.push_back(Command::StartTurn { turn, text });
        }
    }

    fn stop_turn(&mut self, socket: SocketId, turn: Option<TurnId>, now: Instant) {
        match self.turns.stop(turn, now + CANCEL_GRACE) {
            Stop::Began(turn) => self.commands.push_back(Command::CancelTurn { turn }),
            Stop::Dequeued(turn) => self.log_turn_done(turn, TurnReason::Stopped, None),
            Stop::Nothing => {}
            Stop::Unknown => {
                self.send(socket, &error(ErrorCode::TurnNotFound, Scope::Frame, "there is no such turn"));
            }
        }
    }

    fn await_sign_of_life(&mut self, now: Instant) {
        self.agent_clock = Some(now + Duration::from_secs(SIGN_OF_LIFE_SECS));
    }

    // Frames

    fn log_status(&mut self, now: Instant) {
        let (status, step, elapsed_ms) = (self.status, self.step, self.age_ms(now));
        self.log_frame(|seq| HubFrame::Status {
            status,
            step,
            elapsed_ms,
            turn: None,
            queued: None,
            seq: Some(seq),
        });
    }

    fn log_turn_done(&mut self, turn: TurnId, reason: TurnReason, error: Option<TurnError>) {
        self.log_frame(|seq| HubFrame::TurnDone { turn, reason, error, seq });
    }

    fn log_frame(&mut self, make: impl FnOnce(u64) -> HubFrame) {
        self.log.push(|seq| make(seq).to_json());
        self.enforce_log_bound();
    }

    fn describe(&self, now: Instant) -> HubFrame {
        HubFrame::Status {
            status: self.status,
            step: self.step,
            elapsed_ms: self.age_ms(now),
            turn: self.turns.running(),
            queued: u32::try_from(self.turns.queued()).ok(),
            seq: None,
        }
    }

    fn age_ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.born))
    }

    /// Sends a frame to one socket alone.
    fn send(&mut self, socket: SocketId, frame: &HubFrame) {
        let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.socket() == socket) else { return };
        if !cursor.push(frame.to_json().into()) {
            cursor.close_now(CloseCode::TooSlow);
            self.trim_log();
            self.end_if_deserted();
        }
    }

    /// Whether a socket takes part in the session, and does not send more often than it may.
    fn admits(&mut self, socket: SocketId, now: Instant) -> bool {
        let is_open = |cursor: &&mut Cursor| cursor.socket() == socket && cursor.is_open();
        let Some(cursor) = self.cursors.iter_mut().find(is_open) else { return false };
        let is_allowed = cursor.counts_message(now);
        if !is_allowed {
            let wait = MESSAGE_RATE.interval * MESSAGE_RATE.burst;
            let frame =
                quota(ErrorCode::QuotaRate, Scope::Session, wait, "too many messages in a short time");
            self.turn_away(socket, &frame, CloseCode::RateLimited);
        }
        is_allowed
    }

    fn refuse(&mut self, socket: SocketId, refusal: &Refusal, now: Instant) {
        let frame = error(refusal.code, Scope::Frame, &refusal.message);
        let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.socket() == socket) else { return };
        if cursor.counts_refusal(now) {
            self.send(socket, &frame);
        } else {
            self.turn_away(socket, &frame, CloseCode::BadFrames);
        }
    }

    /// Closes a socket, telling it why.
    fn turn_away(&mut self, socket: SocketId, why: &HubFrame, code: CloseCode) {
        self.close_after(socket, VecDeque::from([why.to_json().into()]), code);
        self.end_if_deserted();
    }

    fn close_after(&mut self, socket: SocketId, frames: VecDeque<Bytes>, code: CloseCode) {
        if let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.socket() == socket) {
            cursor.close_after(frames, code);
        }
    }

    /// Closes the slowest sockets while more is kept for them than may be.
    fn enforce_log_bound(&mut self) {
        self.trim_log();
        let mut lost = false;
        while self.log.is_over() {
            let first = self.log.first();
            for cursor in self.cursors.iter_mut().filter(|cursor| cursor.next() <= first) {
                cursor.close_now(CloseCode::TooSlow);
                lost = true;
            }
            self.trim_log();
        }
        if lost {
            self.end_if_deserted();
        }
    }

    fn trim_log(&mut self) {
        let needed = self.cursors.iter().map(Cursor::next).min().unwrap_or(u64::MAX);
        self.log.trim(needed);
    }
}

fn error(code: ErrorCode, scope: Scope, message: &str) -> HubFrame {
    HubFrame::Error { code, scope, retryable: false, retry_after_ms: None, message: message.to_owned() }
}

fn quota(code: ErrorCode, scope: Scope, retry_after: Duration, message: &str) -> HubFrame {
    let retry_after_ms = Some(millis(retry_after));
    HubFrame::Error { code, scope, retryable: true, retry_after_ms, message: message.to_owned() }
}

fn help() -> HubFrame {
    let command = |(name, does): (&str, &str)| hub::Command { name: name.to_owned(), does: does.to_owned() };
    HubFrame::Help { commands: COMMANDS.map(command).to_vec() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
