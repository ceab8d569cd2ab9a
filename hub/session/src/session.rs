//! States of a session, and who calls whom. `session/` has what each input does; the parts with rules of their own are
//! `clocks`, `turns`, `log`, `cursor`, `rate` and `chunk`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::client::{COMMANDS, ClientFrame, Refusal};
use mayfly_protocol::code::{ErrorCode, Scope};
use mayfly_protocol::hub::{self, EndReason, HubFrame, Status, Step, TurnReason};
use mayfly_protocol::ids::{Epoch, SessionId, TurnId};

use crate::clocks::{Clock, Clocks, Due};
use crate::command::{Command, PlatformEvent, SocketId};
use crate::cursor::Cursor;
use crate::limits::SIGN_OF_LIFE_MISSES;
use crate::log::{About, Log};
use crate::millis;
use crate::record::Record;
use crate::session::drain::Drain;
use crate::session::end::{End, agent_lost, spawn_failed};
use crate::session::turn::Messages;
use crate::settings::{Activity, Settings};
use crate::turns::{Overdue, Turns};

pub(crate) mod adopt;
mod answer;
pub(crate) mod drain;
mod end;
pub(crate) mod rest;
mod sockets;
mod turn;

/// Who a session is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub session: SessionId,
    /// Names the numbering of its frames.
    pub epoch: Epoch,
    /// What lets others attach; told to its creator, never logged.
    pub token: String,
}

/// One session, from the moment its agent is asked for until nothing of it is left.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    settings: Settings,
    status: Status,
    /// How far the agent's start is, and since when.
    step: Option<(Step, Instant)>,
    /// Why it ended.
    ended: Option<EndReason>,
    /// How far the hub's end is, once it has begun.
    drain: Option<Drain>,
    clocks: Clocks,
    /// Whether there ever was a socket.
    was_joined: bool,
    /// When the agent must be healthy (while creating) or gets its next sign of life (after that).
    agent_clock: Option<Instant>,
    misses: u8,
    turns: Turns,
    messages: Messages,
    log: Log,
    cursors: Vec<Cursor>,
    commands: VecDeque<Command>,
}

impl Session {
    /// A session that asks for its agent at once.
    pub fn new(identity: Identity, settings: Settings, now: Instant) -> Self {
        Self {
            identity,
            settings,
            status: Status::Creating,
            step: None,
            ended: None,
            drain: None,
            clocks: Clocks::new(&settings, now),
            was_joined: false,
            agent_clock: Some(now + settings.spawn_timeout),
            misses: 0,
            turns: Turns::default(),
            messages: Messages::default(),
            log: Log::default(),
            cursors: Vec::new(),
            commands: VecDeque::from([Command::Spawn]),
        }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.identity.session
    }

    /// Names the numbering of its frames.
    pub fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    /// The session's state.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The turn that runs; an answer to any other is of no interest.
    pub fn running_turn(&self) -> Option<TurnId> {
        self.turns.running()
    }

    /// What its record takes of memory, in bytes.
    pub fn log_bytes(&self) -> usize {
        self.log.kept_bytes()
    }

    /// When [`Session::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_ended() {
            return None;
        }
        let session = self.clocks.timeout(self.is_busy());
        let sockets = self.open_cursors().map(|cursor| cursor.pulse_at(self.settings.heartbeat));
        let rest = self.agent_clock.into_iter().chain(self.turns.timeout()).chain(self.drain_timeout());
        sockets.chain([session]).chain(rest).min()
    }

    /// What the driver is to do next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// A socket sent a message.
    pub fn handle_client(&mut self, socket: SocketId, input: Result<ClientFrame, Refusal>, now: Instant) {
        if !self.admits(socket, now) {
            return;
        }
        let is_first = self.speaks_first(socket);
        match input {
            Ok(ClientFrame::Hello { client_id, .. }) if is_first => {
                self.replace(socket, client_id.as_deref());
            }
            Ok(ClientFrame::Hello { .. }) => {
                let message = "hello comes first, and once".to_owned();
                self.refuse(socket, &Refusal::new(ErrorCode::ProtoInvalid, message), now);
            }
            Ok(ClientFrame::Message { id, text }) => self.accept(socket, id, text, now),
            Ok(ClientFrame::Stop { turn }) => self.stop_turn(socket, turn, now),
            Ok(ClientFrame::Regenerate { turn }) => self.regenerate(socket, turn, now),
            Ok(ClientFrame::Ping { t }) => self.send(socket, &HubFrame::Pong { t }, now),
            Ok(ClientFrame::Extend) => self.extend(now),
            Ok(ClientFrame::Status) => self.send(socket, &self.describe(now), now),
            Ok(ClientFrame::Help) => self.send(socket, &help(), now),
            Ok(ClientFrame::Bye) => self.end(End { reason: EndReason::Bye, error: None }, now),
            Err(refusal) => self.refuse(socket, &refusal, now),
        }
    }

    /// A socket sent a WebSocket Ping or Pong.
    pub fn handle_heartbeat(&mut self, socket: SocketId, now: Instant) {
        self.admits(socket, now);
    }

    /// Something became of the agent's process or container.
    pub fn handle_platform(&mut self, event: PlatformEvent, now: Instant) {
        if self.is_left() {
            return;
        }
        match (self.status, event) {
            (Status::Creating, PlatformEvent::Step(step)) => {
                if self.step() == Some(Step::Queued) {
                    // Its own start takes no time before it begins.
                    self.agent_clock = Some(now + self.settings.spawn_timeout);
                }
                self.begin_step(Some(step), now);
                self.log_status(now);
            }
            (Status::Creating, PlatformEvent::Ready) => {
                self.begin_step(None, now);
                self.turn_into(Status::Active);
                self.clocks.start(now);
                self.await_sign_of_life(now);
                self.log_status(now);
                self.start_turn(now);
            }
            (Status::Creating, PlatformEvent::Failed { code, message }) => {
                self.agent_is_gone(spawn_failed(code, &message), now);
            }
            (Status::Creating, PlatformEvent::Gone) => {
                let message = "the agent ended before it was ready";
                self.agent_is_gone(spawn_failed(ErrorCode::SpawnFailed, message), now);
            }
            (Status::Active | Status::Idle, PlatformEvent::Gone) => {
                let message = "the agent ended unexpectedly";
                self.agent_is_gone(agent_lost(ErrorCode::AgentCrashed, message), now);
            }
            (Status::Active | Status::Idle, PlatformEvent::Alive) => {
                self.misses = 0;
                self.await_sign_of_life(now);
            }
            (Status::Active | Status::Idle, PlatformEvent::Silent) => {
                self.misses += 1;
                self.await_sign_of_life(now);
                if self.misses >= SIGN_OF_LIFE_MISSES {
                    self.end(agent_lost(ErrorCode::AgentUnreachable, "the agent does not answer"), now);
                }
            }
            (Status::Terminating, PlatformEvent::Gone | PlatformEvent::Failed { .. }) => {
                self.turn_into(Status::Terminated);
            }
            // Late news of a start that no longer matters, or of an agent that is being ended.
            (
                Status::Active | Status::Idle | Status::Terminating | Status::Terminated | Status::Creating,
                PlatformEvent::Step(_)
                | PlatformEvent::Ready
                | PlatformEvent::Failed { .. }
                | PlatformEvent::Gone
                | PlatformEvent::Alive
                | PlatformEvent::Silent,
            ) => {}
        }
    }

    /// The time that [`Session::poll_timeout`] told has come. Calls that come early do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.has_ended() {
            return;
        }
        if self.agent_clock.is_some_and(|at| now >= at) {
            self.agent_clock = None;
            if self.status == Status::Creating {
                let message = "the agent did not become healthy in time";
                self.end(spawn_failed(ErrorCode::SpawnTimeout, message), now);
            } else {
                self.commands.push_back(Command::SignOfLife);
            }
        }
        self.feel_pulses(now);
        match self.turns.overdue(now) {
            Some(Overdue::Stop) => self.finish_turn(TurnReason::Stopped, None, now),
            Some(Overdue::Stalled(turn, message)) => {
                self.cancel_turn(turn);
                self.fail_turn(ErrorCode::AgentStalled, message, now);
            }
            None => {}
        }
        self.check_clocks(now);
    }

    fn begin_step(&mut self, step: Option<Step>, now: Instant) {
        if let Some((over, since)) = std::mem::replace(&mut self.step, step.map(|step| (step, now))) {
            self.record(Record::Step(over, now.saturating_duration_since(since)));
        }
    }

    fn step(&self) -> Option<Step> {
        self.step.map(|(step, _)| step)
    }

    fn turn_into(&mut self, status: Status) {
        self.status = status;
        self.record(Record::Status(status));
    }

    fn record(&mut self, record: Record) {
        self.commands.push_back(Command::Record(record));
    }

    fn await_sign_of_life(&mut self, now: Instant) {
        self.agent_clock = Some(now + Duration::from_secs(SIGN_OF_LIFE_SECS));
    }

    // Clocks

    /// Whether a turn runs or is about to: then the session is not idle.
    fn is_busy(&self) -> bool {
        self.turns.is_busy()
    }

    fn check_clocks(&mut self, now: Instant) {
        if self.has_ended() {
            return;
        }
        match self.clocks.due(self.is_busy(), now) {
            Some(Due::End(reason)) => self.end(End { reason, error: None }, now),
            Some(Due::Warning(clock)) => {
                if clock == Clock::Idle {
                    self.turn_into(Status::Idle);
                    self.log_status(now);
                }
                self.tell_time(&self.expiring(clock, now));
            }
            None => {}
        }
        self.check_drain(now);
    }

    /// A socket gave a sign: whether that is something done is the operator's choice.
    fn heard(&mut self, now: Instant) {
        if self.settings.activity == Activity::Heartbeat {
            self.renew(now);
        }
    }

    /// Something is done: the session is not idle.
    fn renew(&mut self, now: Instant) {
        if self.clocks.renew(now) {
            self.turn_into(Status::Active);
            self.log_status(now);
            self.tell_time(&self.extended(now));
        }
    }

    fn extend(&mut self, now: Instant) {
        self.renew(now);
        self.tell_time(&self.extended(now));
    }

    fn expiring(&self, cause: Clock, now: Instant) -> HubFrame {
        let (end, _) = self.clocks.end(self.is_busy());
        let remaining_ms = millis(end.saturating_duration_since(now));
        HubFrame::Expiring { cause: cause.into(), remaining_ms, can_extend: cause == Clock::Idle }
    }

    fn extended(&self, now: Instant) -> HubFrame {
        HubFrame::Extended { deadline: self.clocks.deadline(self.is_busy(), now) }
    }

    // Frames

    fn log_status(&mut self, now: Instant) {
        let (status, step, elapsed_ms) = (self.status, self.step(), self.age_ms(now));
        self.log_frame(now, |seq| HubFrame::Status {
            status,
            step,
            position: None,
            elapsed_ms,
            turn: None,
            queued: None,
            seq: Some(seq),
        });
    }

    fn log_frame(&mut self, now: Instant, make: impl FnOnce(u64) -> HubFrame) {
        let frame = make(self.log.head() + 1);
        self.log.push(about(&frame), frame.to_json());
        self.tidy_log(now);
    }

    fn describe(&self, now: Instant) -> HubFrame {
        HubFrame::Status {
            status: self.status,
            step: self.step(),
            position: None,
            elapsed_ms: self.age_ms(now),
            turn: self.turns.running(),
            queued: u32::try_from(self.turns.queued()).ok(),
            seq: None,
        }
    }

    fn age_ms(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.clocks.born()))
    }
}

fn about(frame: &HubFrame) -> About {
    match frame {
        HubFrame::TurnAccepted { turn, .. } => About::NewTurn(*turn),
        HubFrame::TurnDone { turn, .. } => About::Turn(*turn),
        HubFrame::Ready { .. }
        | HubFrame::Status { .. }
        | HubFrame::Expiring { .. }
        | HubFrame::Extended { .. }
        | HubFrame::Pong { .. }
        | HubFrame::Ended { .. }
        | HubFrame::Error { .. }
        | HubFrame::Help { .. } => About::Session,
    }
}

fn error(code: ErrorCode, scope: Scope, message: &str) -> HubFrame {
    let message = message.to_owned();
    HubFrame::Error { id: None, code, scope, retryable: false, retry_after_ms: None, message }
}

fn quota(code: ErrorCode, scope: Scope, retry_after: Duration, message: &str) -> HubFrame {
    let (retry_after_ms, message) = (Some(millis(retry_after)), message.to_owned());
    HubFrame::Error { id: None, code, scope, retryable: true, retry_after_ms, message }
}

fn help() -> HubFrame {
    let command = |(name, does): (&str, &str)| hub::Command { name: name.to_owned(), does: does.to_owned() };
    HubFrame::Help { commands: COMMANDS.map(command).to_vec() }
}
