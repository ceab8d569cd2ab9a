//! A session with an invented clock, and what comes out of it as short lines.

use std::time::{Duration, Instant};

use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::hub::{HubFrame, Status};
use mayfly_protocol::ids::{SessionId, TurnId};
use mayfly_session::{AgentEvent, Command, PlatformEvent, Session, Settings, SocketId, Transmit};
use serde_json::Value;

pub(crate) const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const NANOSECOND: Duration = Duration::from_nanos(1);

/// A session, and the time it believes in.
pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: Instant,
}

impl Rig {
    /// A session whose agent is being started, without a socket.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let session = Session::new(SessionId::from_u128(7), Settings { spawn_timeout: SPAWN_TIMEOUT }, now);
        Self { session, now }
    }

    /// A session whose agent is being started; socket 1 is attached, and nothing is left to be taken.
    pub(crate) fn creating() -> Self {
        let mut rig = Self::new();
        rig.attach(1);
        rig.forget();
        rig
    }

    /// A session whose agent is there; socket 1 is attached, and nothing is left to be taken.
    pub(crate) fn active() -> Self {
        let mut rig = Self::creating();
        rig.platform(PlatformEvent::Ready);
        rig.forget();
        rig
    }

    /// As [`Rig::active`], and turn 1 runs.
    pub(crate) fn answering() -> Self {
        let mut rig = Self::active();
        rig.says(1, "hello");
        rig.forget();
        rig
    }

    /// Takes all that socket 1 and the driver have waiting.
    pub(crate) fn forget(&mut self) {
        self.hears(1);
        self.does();
    }

    /// As [`Rig::forget`], only of what socket 1 hears, and only if all of it is expected.
    pub(crate) fn forget_what(&mut self, is_expected: impl Fn(&str) -> bool) {
        let heard = self.hears(1);
        assert!(heard.iter().all(|line| is_expected(line)), "{heard:?}");
    }

    pub(crate) fn attach(&mut self, socket: u32) {
        self.session.handle_attach(SocketId(socket), self.now);
    }

    pub(crate) fn detach(&mut self, socket: u32) {
        self.session.handle_detach(SocketId(socket));
    }

    /// A socket sends a line as a person types it, or a frame.
    pub(crate) fn says(&mut self, socket: u32, line: &str) {
        self.session.handle_client(SocketId(socket), ClientFrame::parse(line), self.now);
    }

    /// A socket sends a WebSocket Ping or Pong.
    pub(crate) fn pings(&mut self, socket: u32) {
        self.session.handle_heartbeat(SocketId(socket), self.now);
    }

    pub(crate) fn platform(&mut self, event: PlatformEvent) {
        self.session.handle_platform(event, self.now);
    }

    /// The agent sends a chunk of its answer to a turn.
    pub(crate) fn chunk(&mut self, turn: u32, data: &str) {
        self.agent(turn, AgentEvent::Chunk(data.as_bytes()));
    }

    pub(crate) fn agent(&mut self, turn: u32, event: AgentEvent<'_>) {
        self.session.handle_agent(TurnId(turn), event, self.now);
    }

    /// Time passes, and a driver that was woken for nothing calls.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    /// How long until the session wants to be called.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.session.poll_timeout().map(|at| at - self.now)
    }

    pub(crate) fn status(&self) -> Status {
        self.session.status()
    }

    /// All that the driver is to do, as lines.
    pub(crate) fn does(&mut self) -> Vec<String> {
        let commands = std::iter::from_fn(|| self.session.poll_command());
        commands
            .map(|command| match command {
                Command::Spawn => "spawn".to_owned(),
                Command::Stop => "stop".to_owned(),
                Command::StartTurn { turn, text } => format!("start {turn} {text}"),
                Command::CancelTurn { turn } => format!("cancel {turn}"),
                Command::SignOfLife => "sign of life".to_owned(),
            })
            .collect()
    }

    /// All that a socket can take, as lines.
    pub(crate) fn hears(&mut self, socket: u32) -> Vec<String> {
        let transmits = std::iter::from_fn(|| self.session.poll_transmit(SocketId(socket)));
        transmits
            .map(|transmit| match transmit {
                Transmit::Frame(frame) => line(&frame),
                Transmit::Close(code) => format!("close {}", code.number()),
            })
            .collect()
    }
}

/// A frame as a line; `#` is its place in the record.
fn line(frame: &[u8]) -> String {
    let Ok(frame) = serde_json::from_slice(frame) else {
        let json: Value = serde_json::from_slice(frame).expect("a frame is JSON");
        let place = json["seq"].as_u64().expect("content has a place");
        let text = json["delta"].as_str().unwrap_or_default();
        return format!("#{place} {} {} {text}", name(&json["turn"]), name(&json["type"]))
            .trim_end()
            .to_owned();
    };
    match frame {
        HubFrame::Ready { status, head, .. } => format!("ready {}, head {head}", plain(status)),
        HubFrame::Status { status, step, elapsed_ms, turn, queued, seq } => {
            let mut line = seq.map_or_else(|| "status".to_owned(), |seq| format!("#{seq} status"));
            line += &format!(" {}", plain(status));
            line += &step.map_or_else(String::new, |step| format!(" {}", plain(step)));
            line += &format!(" {elapsed_ms} ms");
            line += &turn.map_or_else(String::new, |turn| format!(", {turn} runs"));
            line + &queued.map_or_else(String::new, |queued| format!(", {queued} queued"))
        }
        HubFrame::TurnAccepted { turn, message, position, text, seq } => {
            let message = message.map_or_else(String::new, |message| format!(" ({message})"));
            format!("#{seq} {turn} accepted at {position}{message}: {text}")
        }
        HubFrame::TurnDone { turn, reason, error, seq } => {
            let error = error.map_or_else(String::new, |error| format!(" {}: {}", error.code, error.message));
            format!("#{seq} {turn} done {}{error}", plain(reason))
        }
        HubFrame::Ended { reason } => format!("ended {}", plain(reason)),
        HubFrame::Error { code, scope, retryable, retry_after_ms, message } => {
            let retry = if retryable { " retryable" } else { "" };
            let after = retry_after_ms.map_or_else(String::new, |after| format!(" after {after} ms"));
            format!("error {code} of the {}{retry}{after}: {message}", plain(scope))
        }
        HubFrame::Help { commands } => format!("help with {} commands", commands.len()),
    }
}

fn plain(value: impl serde::Serialize) -> String {
    name(&serde_json::to_value(value).expect("an enum is JSON"))
}

fn name(value: &Value) -> String {
    value.as_str().expect("a name is a string").to_owned()
}
