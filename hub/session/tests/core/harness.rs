//! A session with an invented clock, whose outputs read as short lines.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{HubFrame, Status};
use mayfly_protocol::ids::{Epoch, SessionId, TurnId};
use mayfly_protocol::refusal::Close;
use mayfly_session::lifecycle::{LifecycleChange, Stage};
use mayfly_session::{
    Activity, Adopted, AgentEvent, Attach, Command, Detach, Identity, JournalEntry, Session, Settings,
    SocketId, Transmit,
};
use serde_json::Value;

pub(crate) const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const LINE_WAIT: Duration = Duration::from_secs(600);
pub(crate) const NANOSECOND: Duration = Duration::from_nanos(1);
pub(crate) const EPOCH: Epoch = Epoch(7);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const NONE: [&str; 0] = [];
pub(crate) const HI: &str = r#"{"type":"text-delta","delta":"hi"}"#;
pub(crate) const FINISH: &str = r#"{"type":"finish","finishReason":"stop"}"#;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Settings under which no clock of the session interferes with a test.
pub(crate) const QUIET: Settings = Settings {
    spawn_timeout: SPAWN_TIMEOUT,
    idle_ttl: HOUR,
    max_ttl: HOUR,
    warning: Duration::from_secs(1),
    grace: Duration::ZERO,
    linger: Duration::ZERO,
    heartbeat: HOUR,
    activity: Activity::Heartbeat,
};

/// Settings under which only messages count as activity, with a warning ten seconds before the idle end.
pub(crate) const BY_MESSAGE: Settings =
    Settings { idle_ttl: MINUTE, warning: Duration::from_secs(10), activity: Activity::Message, ..QUIET };

/// Settings with a grace.
pub(crate) const FORGIVING: Settings = Settings { grace: Duration::from_secs(20), ..QUIET };

/// A session and its invented time.
pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    /// Commands that were polled but not yet looked at.
    pending: VecDeque<Command>,
    /// Sockets that the session has closed: their last frames and the close frame.
    closed: BTreeMap<SocketId, (Vec<Bytes>, Close)>,
    journal: Vec<JournalEntry>,
}

impl Rig {
    /// Creates a session whose agent is being started, without a socket.
    pub(crate) fn new() -> Self {
        Self::with(QUIET)
    }

    /// Creates a session as [`Rig::new`], with other settings.
    pub(crate) fn with(settings: Settings) -> Self {
        let now = Instant::now();
        Self::of(Session::new(identity(), settings, now), now)
    }

    /// Creates a session that waits in the hub's line; socket 1 created it.
    pub(crate) fn queued(position: u32) -> Self {
        Self::queued_with(QUIET, position)
    }

    pub(crate) fn queued_with(settings: Settings, position: u32) -> Self {
        let now = Instant::now();
        let mut rig = Self::of(Session::queued(identity(), settings, position, LINE_WAIT, now), now);
        rig.session.handle_attach(SocketId(1), Attach::Create, rig.now);
        rig
    }

    /// Creates a session that another hub had.
    pub(crate) fn adopted(settings: Settings, adopted: Adopted) -> Self {
        let now = Instant::now();
        Self::of(Session::adopt(identity(), settings, adopted, now), now)
    }

    /// Creates a session that another hub had, without an agent.
    pub(crate) fn begun_again(settings: Settings, age: Duration) -> Self {
        let now = Instant::now();
        Self::of(Session::begin_again(identity(), settings, age, true, now), now)
    }

    fn of(session: Session, now: Instant) -> Self {
        let (pending, closed, journal) = (VecDeque::new(), BTreeMap::new(), Vec::new());
        Self { session, now, pending, closed, journal }
    }

    /// Creates a session whose agent is being started. Socket 1 created it, and all outputs are taken.
    pub(crate) fn creating() -> Self {
        Self::creating_with(QUIET)
    }

    pub(crate) fn creating_with(settings: Settings) -> Self {
        let mut rig = Self::with(settings);
        rig.session.handle_attach(SocketId(1), Attach::Create, rig.now);
        rig.discard();
        rig
    }

    /// Creates a session whose agent is ready. Socket 1 created it, and all outputs are taken.
    pub(crate) fn active() -> Self {
        Self::active_with(QUIET)
    }

    pub(crate) fn active_with(settings: Settings) -> Self {
        let mut rig = Self::creating_with(settings);
        rig.lifecycle(LifecycleChange::Ready);
        rig.discard();
        rig
    }

    /// Creates a session as [`Rig::active`], with turn 1 running.
    pub(crate) fn answering() -> Self {
        Self::answering_with(QUIET)
    }

    pub(crate) fn answering_with(settings: Settings) -> Self {
        let mut rig = Self::active_with(settings);
        rig.send(1, "hello");
        rig.discard();
        rig
    }

    /// Discards all outputs for socket 1 and the driver.
    pub(crate) fn discard(&mut self) {
        self.received(1);
        self.commands();
        self.journal.clear();
    }

    /// Takes all frames of socket 1, each of which must be expected.
    pub(crate) fn discard_expected(&mut self, is_expected: impl Fn(&str) -> bool) {
        let heard = self.received(1);
        assert!(heard.iter().all(|line| is_expected(line)), "{heard:?}");
    }

    /// Attaches a socket whose client has nothing yet.
    pub(crate) fn attach(&mut self, socket: u32) {
        self.session.handle_attach(SocketId(socket), Attach::Join { position: None }, self.now);
    }

    /// Attaches a socket whose client has the transcript up to `after`.
    pub(crate) fn resume(&mut self, socket: u32, epoch: Epoch, after: u64) {
        self.session.handle_attach(
            SocketId(socket),
            Attach::Join { position: Some((epoch, after)) },
            self.now,
        );
    }

    /// Attaches a listener that has nothing yet.
    pub(crate) fn listen(&mut self, listener: u32) {
        self.session.handle_attach(SocketId(listener), Attach::Listen { position: None }, self.now);
    }

    /// Sends a message over REST, with an id if given.
    pub(crate) fn ask(&mut self, asker: u32, id: Option<&str>, text: &str) {
        self.session.handle_ask(SocketId(asker), id.map(str::to_owned), text, self.now);
    }

    /// Detaches a socket that its client closed.
    pub(crate) fn detach(&mut self, socket: u32) {
        self.session.handle_detach(SocketId(socket), Detach::Closed, self.now);
    }

    /// Detaches a socket that was lost.
    pub(crate) fn lose(&mut self, socket: u32) {
        self.session.handle_detach(SocketId(socket), Detach::Lost, self.now);
    }

    /// Sends a line as a person types it, or a frame, on a socket.
    pub(crate) fn send(&mut self, socket: u32, line: &str) {
        self.session.handle_client(SocketId(socket), ClientFrame::parse(line), self.now);
    }

    /// Sends a WebSocket Ping or Pong on a socket.
    pub(crate) fn send_pong(&mut self, socket: u32) {
        self.session.handle_heartbeat(SocketId(socket), self.now);
    }

    /// Reports a change of the agent.
    pub(crate) fn lifecycle(&mut self, change: LifecycleChange) {
        self.session.handle_lifecycle(change, self.now);
    }

    /// Reports that nothing of the stopped agent is left.
    pub(crate) fn gone(&mut self) {
        self.lifecycle(LifecycleChange::Gone);
    }

    /// Reports that the ready agent ended by itself.
    pub(crate) fn crash(&mut self) {
        let (code, message) = (ErrorCode::AgentCrashed, "the agent ended unexpectedly".to_owned());
        self.lifecycle(LifecycleChange::Lost { code, message, stage: Stage::Gone });
    }

    /// Sends a chunk of the agent's answer to a turn.
    pub(crate) fn chunk(&mut self, turn: u32, data: &str) {
        self.agent(turn, AgentEvent::Chunk(data.as_bytes()));
    }

    pub(crate) fn agent(&mut self, turn: u32, event: AgentEvent<'_>) {
        self.session.handle_agent(TurnId(turn), event, self.now);
    }

    /// Lets time pass and calls `handle_timeout`, whether or not a timeout is due.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    /// Returns the time until the next timeout, if that is soon.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.session.poll_timeout().map(|at| at - self.now).filter(|due| *due < HOUR / 2)
    }

    pub(crate) fn status(&self) -> Status {
        self.session.status()
    }

    /// Returns the driver's commands as lines. Cancels are carried out at once.
    pub(crate) fn commands(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            self.poll();
            let Some(command) = self.pending.pop_front() else { return lines };
            lines.push(match command {
                Command::Journal(entry) => {
                    self.journal.push(entry);
                    continue;
                }
                Command::Close { .. } => continue,
                Command::Spawn => "spawn".to_owned(),
                Command::Stop => "stop".to_owned(),
                Command::StartTurn { turn, text, replaces: None, .. } => format!("start {turn} {text}"),
                Command::ResumeTurn { turn } => format!("resume {turn}"),
                Command::StartTurn { turn, text, replaces: Some(replaced), .. } => {
                    format!("start {turn} for {replaced} {text}")
                }
                Command::CancelTurn { turn } => {
                    self.session.handle_cancelled(self.now);
                    format!("cancel {turn}")
                }
            });
        }
    }

    /// Polls the session's commands. Closed sockets are known then.
    fn poll(&mut self) {
        while let Some(command) = self.session.poll_command() {
            if let Command::Close { socket, frames, close } = &command {
                let frames = frames.iter().map(|(frame, _)| frame.clone()).collect();
                assert!(self.closed.insert(*socket, (frames, *close)).is_none(), "a socket is closed once");
            }
            self.pending.push_back(command);
        }
    }

    /// Returns `true` if the session has closed a socket that was not asked about since.
    pub(crate) fn is_closed(&mut self, socket: u32) -> bool {
        self.poll();
        self.closed.contains_key(&SocketId(socket))
    }

    /// Returns the new entries of the journal and discards other commands.
    pub(crate) fn journalled(&mut self) -> Vec<JournalEntry> {
        self.commands();
        std::mem::take(&mut self.journal)
    }

    /// Returns all frames for a socket.
    pub(crate) fn frames(&mut self, socket: u32) -> Vec<Bytes> {
        self.poll();
        let transmits = std::iter::from_fn(|| self.session.poll_transmit(SocketId(socket)));
        transmits
            .filter_map(|transmit| if let Transmit::Frame(frame, _) = transmit { Some(frame) } else { None })
            .collect()
    }

    /// Returns all outputs for a socket as lines.
    pub(crate) fn received(&mut self, socket: u32) -> Vec<String> {
        self.poll();
        let id = SocketId(socket);
        let transmits = std::iter::from_fn(|| self.session.poll_transmit(id));
        let mut lines: Vec<_> = transmits
            .map(|transmit| match transmit {
                Transmit::Frame(frame, _) => line(&frame),
                Transmit::Ping => "ping".to_owned(),
            })
            .collect();
        if let Some((frames, close)) = self.closed.remove(&id) {
            assert!(lines.is_empty(), "an output for a closed socket");
            lines.extend(frames.iter().map(|frame| line(frame)));
            lines.push(format!("close {} {}", close.code().number(), close.reason()));
        }
        lines
    }
}

fn identity() -> Identity {
    Identity { session: SessionId::from_u128(7), epoch: EPOCH, token: "token".to_owned() }
}

/// A frame as a line; `#` is its place in the log.
fn line(frame: &[u8]) -> String {
    let Ok(frame) = serde_json::from_slice(frame) else {
        let json: Value = serde_json::from_slice(frame).expect("a frame is JSON");
        if json["type"] == "session.snapshot" {
            return snapshot_line(&json);
        }
        let seq = json["seq"].as_u64().expect("content has a place");
        let place = json["from"].as_u64().map_or_else(|| seq.to_string(), |from| format!("{from}-{seq}"));
        let text = json["delta"].as_str().unwrap_or_default();
        return format!("#{place} {} {} {text}", name(&json["turn"]), name(&json["type"]))
            .trim_end()
            .to_owned();
    };
    match frame {
        HubFrame::Ready { status, head, resumed, token, epoch, .. } => {
            assert_eq!(epoch, EPOCH);
            let token = token.map_or_else(String::new, |token| format!(", {token}"));
            let resumed = if resumed { ", resumed" } else { "" };
            format!("ready {}, head {head}{token}{resumed}", plain(status))
        }
        HubFrame::Expiring { cause, remaining_ms, can_extend } => {
            let extend = if can_extend { ", unless extended" } else { "" };
            format!("expiring {} in {remaining_ms} ms{extend}", plain(cause))
        }
        HubFrame::Extended { deadline } => {
            let idle = deadline.idle_ms.map_or_else(String::new, |idle| format!("idle {idle} ms, "));
            format!("extended {idle}max {} ms", deadline.max_ms)
        }
        HubFrame::Pong { t } => format!("pong {t}"),
        HubFrame::Status { status, step, elapsed_ms, turn, queued, position, seq } => {
            let mut line = seq.map_or_else(|| "status".to_owned(), |seq| format!("#{seq} status"));
            line += &format!(" {}", plain(status));
            line += &step.map_or_else(String::new, |step| format!(" {}", plain(step)));
            line += &position.map_or_else(String::new, |position| format!(" at {position}"));
            line += &format!(" {elapsed_ms} ms");
            line += &turn.map_or_else(String::new, |turn| format!(", {turn} runs"));
            line + &queued.map_or_else(String::new, |queued| format!(", {queued} queued"))
        }
        HubFrame::TurnAccepted { turn, message, position, text, replaces, seq } => {
            let message = message.map_or_else(String::new, |message| format!(" ({message})"));
            let replaces = replaces.map_or_else(String::new, |replaced| format!(" for {replaced}"));
            format!("#{seq} {turn} accepted at {position}{message}{replaces}: {text}")
        }
        HubFrame::TurnDone { turn, reason, error, ttft_ms, took_ms, usage, seq } => {
            assert!(ttft_ms <= took_ms, "the first token came after the end");
            let error = error.map_or_else(String::new, |error| format!(" {}: {}", error.code, error.message));
            let first = ttft_ms.filter(|ms| *ms > 0).zip(took_ms);
            let first = first
                .map_or_else(String::new, |(first, all)| format!(", first token after {first} of {all} ms"));
            let usage = usage.and_then(|usage| usage.total_tokens);
            let usage = usage.map_or_else(String::new, |total| format!(", {total} tokens"));
            format!("#{seq} {turn} done {}{error}{first}{usage}", plain(reason))
        }
        HubFrame::Ended { reason } => format!("ended {}", plain(reason)),
        HubFrame::Error { id, code, scope, retryable, retry_after_ms, message } => {
            let about = id.map_or_else(String::new, |id| format!(" about {id}"));
            let retry = if retryable { " retryable" } else { "" };
            let after = retry_after_ms.map_or_else(String::new, |after| format!(" after {after} ms"));
            format!("error {code} of the {}{about}{retry}{after}: {message}", plain(scope))
        }
        HubFrame::Help { commands } => format!("help with {} commands", commands.len()),
    }
}

/// A snapshot as a line: the numbers that it covers. Its frames must follow each other.
fn snapshot_line(json: &Value) -> String {
    let number = |frame: &Value, key: &str| frame[key].as_u64();
    let frames = json["frames"].as_array().expect("a snapshot has frames");
    let first = frames.first().and_then(|frame| number(frame, "from").or(number(frame, "seq")));
    let mut next = first.unwrap_or(1);
    for frame in frames {
        assert_eq!(number(frame, "from").or(number(frame, "seq")), Some(next), "a gap in a snapshot");
        next = number(frame, "seq").map_or(0, |seq| seq + 1);
    }
    let truncated = if json["truncated"] == true { " truncated" } else { "" };
    format!("snapshot {}{truncated}, {}-{}", name(&json["why"]), first.unwrap_or(1), next - 1)
}

fn plain(value: impl serde::Serialize) -> String {
    name(&serde_json::to_value(value).expect("an enum is JSON"))
}

fn name(value: &Value) -> String {
    value.as_str().expect("a name is a string").to_owned()
}
