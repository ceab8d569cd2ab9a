//! The session: its state, its public contract and the inputs of clients. The files in `session/` hold what each other
//! input does.

use std::collections::VecDeque;
use std::time::Instant;

use mayfly_protocol::client::{COMMANDS, ClientFrame};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{self, EndReason, HubFrame, Status, Step};
use mayfly_protocol::ids::{Epoch, SessionId, TurnId};
use mayfly_protocol::refusal::{Refusal, RefusedFrame};

use crate::clocks::Clocks;
use crate::command::{Command, SocketId};
use crate::cursor::Cursor;
use crate::duration::millis;
use crate::journal::JournalEntry;
use crate::log::{Log, Subject};
use crate::session::drain::Fate;
use crate::session::end::End;
use crate::session::line::Place;
use crate::session::turn::Messages;
use crate::settings::Settings;
use crate::timers::{Timer, Timers};
use crate::turns::Turns;

pub(crate) mod adopt;
mod agent;
mod answer;
pub(crate) mod drain;
mod end;
mod line;
pub(crate) mod rest;
mod sockets;
mod time;
mod turn;

/// The names of a session.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The session's id.
    pub session: SessionId,
    /// The name of this numbering of frames.
    pub epoch: Epoch,
    /// The credential with which others attach. Only the creator receives it; it is never logged.
    pub token: String,
}

/// A session, from its creation until nothing of its agent is left.
///
/// A driver feeds inputs and carries out outputs; the session itself has no task, clock or socket.
///
/// # Inputs
/// `handle_*` methods take an input and the time at which it happened. Times must not decrease from call to call. An input
/// that does not fit the state is ignored: a late change of the agent, an answer to a turn that is
/// over, a frame of a socket that the session has closed. No method fails or blocks.
///
/// - [`handle_attach`](Self::handle_attach) and [`handle_detach`](Self::handle_detach): sockets that come and go
/// - [`handle_client`](Self::handle_client) and [`handle_heartbeat`](Self::handle_heartbeat): input of sockets
/// - [`handle_ask`](Self::handle_ask), [`handle_extend`](Self::handle_extend) and
///   [`handle_delete`](Self::handle_delete): REST calls
/// - [`handle_lifecycle`](Self::handle_lifecycle): changes of the agent, whose
///   [`Lifecycle`](crate::lifecycle::Lifecycle) the driver keeps beside the session
/// - [`handle_agent`](Self::handle_agent) and [`handle_cancelled`](Self::handle_cancelled): outcomes of commands
/// - [`handle_position`](Self::handle_position) and [`handle_admitted`](Self::handle_admitted): the hub's line
/// - [`handle_drain`](Self::handle_drain) and [`handle_shutdown`](Self::handle_shutdown): the end of the hub
/// - [`handle_timeout`](Self::handle_timeout): the time of [`poll_timeout`](Self::poll_timeout) has come
///
/// # Outputs
/// After each input, or after several, the driver polls in this order:
///
/// 1. [`poll_command`](Self::poll_command) until it returns `None`. A [`Command::Close`] carries all that is left for its
///    socket, so no later call can lose a frame or a close code.
/// 2. [`poll_transmit`](Self::poll_transmit) for each socket that can take a frame, until it returns `None`. A socket that
///    is not polled falls behind and is closed once its frames are no longer kept.
/// 3. [`poll_timeout`](Self::poll_timeout), whose result changes with every input.
///
/// The order matters for latency only: outputs wait until they are polled.
///
/// # End
/// The session needs no more calls once [`status`](Self::status) is `terminated` or [`is_left`](Self::is_left) returns
/// true, and its commands are polled. A socket that attaches later is refused by [`Command::Close`].
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    settings: Settings,
    phase: Phase,
    /// The agent's fate, once the hub shuts down.
    drain: Option<Fate>,
    timers: Timers,
    clocks: Clocks,
    /// False while the session waits in the hub's line, and if it ends there.
    is_admitted: bool,
    /// True once a socket took part.
    was_joined: bool,
    turns: Turns,
    messages: Messages,
    log: Log,
    cursors: Vec<Cursor>,
    commands: VecDeque<Command>,
}

/// The session's state, with the data that only this state has. The crate's documentation has the diagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The session waits in the hub's line until there is room for it. It has no agent.
    Queued(Place),
    /// The agent is being started.
    Creating {
        /// The step of the start and when it began, once the platform has told one.
        step: Option<(Step, Instant)>,
    },
    /// The agent is ready.
    Active,
    /// The agent is ready, and clients were warned that the idle time is almost over.
    Idle,
    /// The hub shuts down, and the next hub goes on with the session.
    Left {
        /// The state in which the session was left.
        status: Status,
    },
    /// The agent is being stopped.
    Terminating {
        /// The reason for the end.
        reason: EndReason,
    },
    /// Nothing of the agent is left.
    Terminated {
        /// The reason for the end.
        reason: EndReason,
    },
}

impl Phase {
    fn status(self) -> Status {
        match self {
            Self::Queued(_) | Self::Creating { .. } => Status::Creating,
            Self::Active => Status::Active,
            Self::Idle => Status::Idle,
            Self::Left { status } => status,
            Self::Terminating { .. } => Status::Terminating,
            Self::Terminated { .. } => Status::Terminated,
        }
    }
}

impl Session {
    /// Creates a session that requests its agent at once. [`Session::queued`] creates one that waits in the hub's line.
    pub fn new(identity: Identity, settings: Settings, now: Instant) -> Self {
        let mut session = Self::in_phase(Phase::Creating { step: None }, identity, settings, now);
        session.arm_clocks();
        session.commands.push_back(Command::Spawn);
        session
    }

    fn in_phase(phase: Phase, identity: Identity, settings: Settings, now: Instant) -> Self {
        Self {
            identity,
            settings,
            phase,
            drain: None,
            timers: Timers::default(),
            clocks: Clocks::new(now),
            is_admitted: !matches!(phase, Phase::Queued(_)),
            was_joined: false,
            turns: Turns::default(),
            messages: Messages::default(),
            log: Log::default(),
            cursors: Vec::new(),
            commands: VecDeque::new(),
        }
    }

    /// Returns the session's id.
    pub fn id(&self) -> SessionId {
        self.identity.session
    }

    /// Returns the name of this numbering of frames.
    pub fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    /// Returns the session's state.
    pub fn status(&self) -> Status {
        self.phase.status()
    }

    /// Returns the running turn. The answer to any other turn is ignored.
    pub fn running_turn(&self) -> Option<TurnId> {
        self.turns.running()
    }

    /// Returns the memory that the transcript takes, in bytes.
    pub fn log_bytes(&self) -> usize {
        self.log.kept_bytes()
    }

    /// Returns the time at which [`Session::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns the next task for the driver.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Handles a message of a socket: its frame, or the refusal if it is none.
    pub fn handle_client(
        &mut self,
        socket: SocketId,
        input: Result<ClientFrame, RefusedFrame>,
        now: Instant,
    ) {
        if !self.record_heartbeat(socket, now) {
            return;
        }
        let is_first = self.take_first_frame(socket);
        match input {
            Ok(ClientFrame::Hello { client_id, .. }) if is_first => {
                self.replace(socket, client_id.as_deref());
            }
            Ok(ClientFrame::Hello { .. }) => {
                let message = "hello comes first, and once";
                self.refuse(socket, &Refusal::new(ErrorCode::ProtoInvalid, message).into(), now);
            }
            Ok(ClientFrame::Message { id, text }) => self.handle_message(socket, id, text, now),
            Ok(ClientFrame::Stop { turn }) => self.stop_turn(socket, turn, now),
            Ok(ClientFrame::Regenerate { turn }) => self.regenerate(socket, turn, now),
            Ok(ClientFrame::Ping { t }) => self.send(socket, &HubFrame::Pong { t }, now),
            Ok(ClientFrame::Extend) => self.extend(now),
            Ok(ClientFrame::Status) => self.send(socket, &self.describe(now), now),
            Ok(ClientFrame::Help) => self.send(socket, &help(), now),
            Ok(ClientFrame::Bye) => self.end(End::of(EndReason::Bye), now),
            Err(refusal) => self.refuse(socket, &refusal, now),
        }
    }

    /// Handles a WebSocket Ping or Pong of a socket.
    pub fn handle_heartbeat(&mut self, socket: SocketId, now: Instant) {
        self.record_heartbeat(socket, now);
    }

    /// Handles the timers that have expired. A call before [`Session::poll_timeout`] does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Heartbeat => self.check_heartbeats(now),
                Timer::StopGrace => self.end_stopped_turn(now),
                Timer::AgentSilence => self.fail_stalled_turn("the agent went silent", now),
                Timer::ChunkSilence => self.fail_stalled_turn("the agent made no progress", now),
                Timer::TurnMax => self.fail_stalled_turn("the turn took too long", now),
                Timer::Max => self.end(End::of(EndReason::Max), now),
                Timer::Idle => self.end(End::of(EndReason::Idle), now),
                Timer::Grace => self.end(End::of(EndReason::Disconnected), now),
                Timer::Warning => self.warn(now),
                Timer::Drain => self.check_drain(now),
                Timer::Line => self.end_wait(now),
                Timer::Position => self.tell_position(now),
            }
        }
    }

    /// Returns `true` if the session is over for this hub: it ended, or is left to the next hub.
    fn has_ended(&self) -> bool {
        match self.phase {
            Phase::Queued(_) | Phase::Creating { .. } | Phase::Active | Phase::Idle => false,
            Phase::Left { .. } | Phase::Terminating { .. } | Phase::Terminated { .. } => true,
        }
    }

    fn enter(&mut self, phase: Phase) {
        let before = std::mem::replace(&mut self.phase, phase).status();
        if before != phase.status() {
            self.journal(JournalEntry::Status(phase.status()));
        }
    }

    /// Emits an entry for the journal. A session in the line has none, but a turn that is stopped there counts.
    fn journal(&mut self, entry: JournalEntry) {
        let counts = self.position().is_some() && matches!(entry, JournalEntry::Turn(_));
        if self.is_admitted || counts {
            self.commands.push_back(Command::Journal(entry));
        }
    }

    /// Returns the step of the agent's start.
    fn step(&self) -> Option<Step> {
        match self.phase {
            Phase::Queued(_) => Some(Step::Queued),
            Phase::Creating { step } => step.map(|(step, _)| step),
            Phase::Active
            | Phase::Idle
            | Phase::Left { .. }
            | Phase::Terminating { .. }
            | Phase::Terminated { .. } => None,
        }
    }

    fn log_status(&mut self, now: Instant) {
        let (status, step, elapsed_ms) = (self.status(), self.step(), self.age_ms(now));
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
        self.log.push(subject(&frame), frame.to_json());
        self.compact_log(now);
    }

    fn describe(&self, now: Instant) -> HubFrame {
        HubFrame::Status {
            status: self.status(),
            step: self.step(),
            position: self.position(),
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

fn subject(frame: &HubFrame) -> Subject {
    match frame {
        HubFrame::TurnAccepted { turn, .. } => Subject::NewTurn(*turn),
        HubFrame::TurnDone { turn, .. } => Subject::Turn(*turn),
        HubFrame::Ready { .. }
        | HubFrame::Status { .. }
        | HubFrame::Expiring { .. }
        | HubFrame::Extended { .. }
        | HubFrame::Pong { .. }
        | HubFrame::Ended { .. }
        | HubFrame::Error { .. }
        | HubFrame::Help { .. } => Subject::Session,
    }
}

fn help() -> HubFrame {
    let command = |(name, does): (&str, &str)| hub::Command { name: name.to_owned(), does: does.to_owned() };
    HubFrame::Help { commands: COMMANDS.map(command).to_vec() }
}
