//! States and ends of a session, and who calls whom. The parts with rules of their own are `turns`, `log`, `cursor`
//! and `chunk`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::chunk::FinishReason;
use mayfly_protocol::client::{COMMANDS, ClientFrame, Refusal};
use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{self, EndReason, HubFrame, Status, Step, TurnError, TurnReason};
use mayfly_protocol::ids::{SessionId, TurnId};

use crate::chunk::{self, Kind};
use crate::command::{AgentEvent, Command, PlatformEvent, SocketId, Transmit};
use crate::cursor::Cursor;
use crate::limits::{CANCEL_GRACE, QUEUE_RETRY_AFTER, SIGN_OF_LIFE_MISSES};
use crate::log::Log;
use crate::turns::{Stop, Turns};

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

/// Why a session ends: what its people are told.
struct End {
    reason: EndReason,
    /// What went wrong; also the error of every turn that has not ended.
    error: Option<TurnError>,
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
        [self.agent_clock, self.turns.stop_at()].into_iter().flatten().min()
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
    pub fn handle_attach(&mut self, socket: SocketId) {
        let head = self.log.head();
        let ready =
            HubFrame::Ready { v: mayfly_protocol::VERSION, session: self.id, status: self.status, head };
        self.cursors.push(Cursor::new(socket, head + 1));
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

    /// A socket sent a text message.
    pub fn handle_client(&mut self, socket: SocketId, input: Result<ClientFrame, Refusal>, now: Instant) {
        let is_open = |cursor: &Cursor| cursor.socket() == socket && cursor.is_open();
        if !self.cursors.iter().any(is_open) {
            return;
        }
        match input {
            Ok(ClientFrame::Message { id, text }) => self.accept(socket, id, text),
            Ok(ClientFrame::Stop { turn }) => self.stop_turn(socket, turn, now),
            Ok(ClientFrame::Status) => {
                let status = self.describe(now);
                self.send(socket, &status);
            }
            Ok(ClientFrame::Help) => self.send(socket, &help()),
            Ok(ClientFrame::Bye) => self.end(End { reason: EndReason::Bye, error: None }),
            Err(refusal) => self.send(socket, &error(refusal.code, Scope::Frame, &refusal.message)),
        }
    }

    /// The agent's answer to a turn brought something.
    pub fn handle_agent(&mut self, turn: TurnId, event: AgentEvent<'_>) {
        if self.turns.running() != Some(turn) {
            return;
        }
        match event {
            AgentEvent::Chunk(data) => self.handle_chunk(turn, data),
            AgentEvent::Failed { code, message } => self.fail_turn(code, message),
        }
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
                self.start_turn();
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
        if self.turns.stop_at().is_some_and(|stop_at| now >= stop_at) {
            self.finish_turn(TurnReason::Stopped, None);
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

    fn accept(&mut self, socket: SocketId, message: Option<String>, text: String) {
        let Some((turn, position)) = self.turns.enqueue(text.clone()) else {
            let refusal = HubFrame::Error {
                code: ErrorCode::QuotaQueue,
                scope: Scope::Frame,
                retryable: true,
                retry_after_ms: Some(millis(QUEUE_RETRY_AFTER)),
                message: "too many messages are waiting".to_owned(),
            };
            return self.send(socket, &refusal);
        };
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        self.log_frame(|seq| HubFrame::TurnAccepted { turn, message, position, text, seq });
        self.start_turn();
    }

    fn start_turn(&mut self) {
        if self.status != Status::Active {
            return;
        }
        if let Some((turn, text)) = self.turns.start_next() {
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

    fn handle_chunk(&mut self, turn: TurnId, data: &[u8]) {
        match chunk::inspect(data) {
            Ok(Kind::Content) => {
                self.log.push(|seq| chunk::splice(data, seq, turn));
                self.enforce_log_bound();
            }
            Ok(kind @ (Kind::Finish | Kind::Abort | Kind::Error)) => self.handle_terminal(turn, kind, data),
            Err(fault) => self.break_turn(turn, fault),
        }
    }

    fn handle_terminal(&mut self, turn: TurnId, kind: Kind, data: &[u8]) {
        let terminal = match chunk::terminal(data) {
            Ok(terminal) => terminal,
            Err(fault) => return self.break_turn(turn, fault),
        };
        match (kind, terminal.finish_reason) {
            (Kind::Abort, _) => self.finish_turn(TurnReason::Stopped, None),
            (Kind::Content | Kind::Error, _) => {
                let message = terminal.error_text.unwrap_or_else(|| "the agent failed".to_owned());
                self.fail_turn(ErrorCode::AgentFailed, &message);
            }
            (Kind::Finish, None | Some(FinishReason::Stop | FinishReason::ToolCalls)) => {
                self.finish_turn(TurnReason::Complete, None);
            }
            (Kind::Finish, Some(FinishReason::Length)) => self.finish_turn(TurnReason::Length, None),
            (Kind::Finish, Some(FinishReason::ContentFilter)) => {
                self.fail_turn(ErrorCode::ModelRefused, "the model refused to answer");
            }
            (Kind::Finish, Some(FinishReason::Error | FinishReason::Other)) => {
                self.fail_turn(ErrorCode::AgentFailed, "the model did not finish its answer");
            }
        }
    }

    /// The agent broke the protocol: it is told to end the turn, and its stream is not read on.
    fn break_turn(&mut self, turn: TurnId, fault: chunk::Fault) {
        self.commands.push_back(Command::CancelTurn { turn });
        self.fail_turn(ErrorCode::AgentProtocol, &format!("the agent sent {}", fault.0));
    }

    /// A turn that fails while it is being stopped counts as stopped.
    fn fail_turn(&mut self, code: ErrorCode, message: &str) {
        if self.turns.is_stopping() {
            return self.finish_turn(TurnReason::Stopped, None);
        }
        self.finish_turn(TurnReason::Error, Some(TurnError { code, message: message.to_owned() }));
    }

    fn finish_turn(&mut self, reason: TurnReason, error: Option<TurnError>) {
        let Some(turn) = self.turns.finish() else { return };
        self.log_turn_done(turn, reason, error);
        self.start_turn();
    }

    // Ends

    fn has_ended(&self) -> bool {
        matches!(self.status, Status::Terminating | Status::Terminated)
    }

    fn end_if_deserted(&mut self) {
        if !self.cursors.iter().any(Cursor::is_open) {
            self.end(End { reason: EndReason::Disconnected, error: None });
        }
    }

    /// Ends the session and has its agent stopped.
    fn end(&mut self, end: End) {
        if !self.has_ended() {
            self.status = Status::Terminating;
            self.commands.push_back(Command::Stop);
            self.tell_end(end);
        }
    }

    /// Ends the session when there is no agent to stop any more.
    fn agent_is_gone(&mut self, end: End) {
        self.status = Status::Terminated;
        self.tell_end(end);
    }

    fn tell_end(&mut self, End { reason, error }: End) {
        self.agent_clock = None;
        self.step = None;
        let turn_reason = if error.is_some() { TurnReason::Error } else { TurnReason::Expired };
        for turn in self.turns.finish_all() {
            self.log_turn_done(turn, turn_reason, error.clone());
        }
        let mut farewell = VecDeque::new();
        if let Some(TurnError { code, message }) = error {
            farewell.push_back(self::error(code, Scope::Session, &message));
        }
        farewell.push_back(HubFrame::Ended { reason });
        let farewell: VecDeque<Bytes> = farewell.iter().map(|frame| frame.to_json().into()).collect();
        for cursor in &mut self.cursors {
            cursor.close_after(farewell.clone(), close_code(reason));
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

fn spawn_failed(code: ErrorCode, message: &str) -> End {
    End { reason: EndReason::SpawnFailed, error: Some(TurnError { code, message: message.to_owned() }) }
}

fn agent_lost(code: ErrorCode, message: &str) -> End {
    End { reason: EndReason::AgentLost, error: Some(TurnError { code, message: message.to_owned() }) }
}

fn close_code(reason: EndReason) -> CloseCode {
    match reason {
        EndReason::Bye => CloseCode::Normal,
        EndReason::Disconnected | EndReason::Drained => CloseCode::Ended,
        EndReason::AgentLost => CloseCode::AgentLost,
        EndReason::SpawnFailed => CloseCode::SpawnFailed,
    }
}

fn error(code: ErrorCode, scope: Scope, message: &str) -> HubFrame {
    HubFrame::Error { code, scope, retryable: false, retry_after_ms: None, message: message.to_owned() }
}

fn help() -> HubFrame {
    let command = |(name, does): (&str, &str)| hub::Command { name: name.to_owned(), does: does.to_owned() };
    HubFrame::Help { commands: COMMANDS.map(command).to_vec() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
