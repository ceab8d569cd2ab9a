//! What holds in every history, whatever happens in whatever order.
//!
//! A history is a list of inputs, any of them in any state. After each one everything that came out is checked: what
//! sockets hear in [`Client::hear`], what the driver is to do and when in [`World::check`]. Client 0 stays as long as
//! it is let and takes each frame at once; the others read slowly, are lost, and come back where they were. The last only
//! listens. Others ask something and hear the answer to that.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::code::{CloseCode, ErrorCode};
use mayfly_protocol::hub::{EndReason, HubFrame, Status, Step};
use mayfly_protocol::ids::{Epoch, SessionId, TurnId};
use mayfly_session::limits::{DIRECT_MAX_FRAMES, QUEUE_MAX_TURNS};
use mayfly_session::{
    Activity, AgentEvent, Attach, Command, Detach, Fate, Identity, PlatformEvent, Record, Session, Settings,
    SocketId, Transmit,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::fold::Fold;

const CASES: u32 = 10_000;
const INPUTS_MAX: usize = 100;
const CLIENTS: usize = 6;
/// Client 0.
const FAITHFUL: usize = 0;
/// The one that only listens.
const LISTENER: usize = CLIENTS - 1;
const EPOCH: Epoch = Epoch(7);
/// Of a loud history's chunks: a few of them are more than may be kept.
const LOUD_BYTES: usize = 30_000;

#[derive(Debug, Clone)]
enum Input {
    Attach(usize),
    Leave(usize, Detach),
    Say(usize, Saying),
    Ask(Option<&'static str>),
    Hang(usize),
    Extend,
    Delete,
    Agent(Target, Answer),
    Platform(PlatformEvent),
    Drain(Fate),
    Shutdown(Fate),
    Cancelled,
    Timeout(Wake),
    Wait(u64),
    Read(usize, usize),
    Reads(usize, bool),
    Commands(bool),
}

#[derive(Debug, Clone)]
enum Saying {
    Line(&'static str),
    /// More questions than answers may wait, or nearly; also more than a client may send.
    Flood(usize),
    Pings(usize),
}

/// Which turn an agent's event is for.
#[derive(Debug, Clone, Copy)]
enum Target {
    Running,
    Any(u32),
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Alive,
    /// One of [`DELTAS`].
    Content(&'static str),
    Chunk(&'static str),
    Failed(ErrorCode),
}

#[derive(Debug, Clone, Copy)]
enum Wake {
    Early,
    Exact,
    Late,
}

/// Pieces of an answer, but for their text. Those that come most often come next to each other.
const DELTAS: [&str; 8] = [
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"p","delta""#,
    r#""type":"text-delta","id":"q","delta""#,
    r#""type":"reasoning-delta","id":"p","delta""#,
    r#""type":"tool-input-delta","toolCallId":"p","inputTextDelta""#,
];

fn saying() -> impl Strategy<Value = Saying> {
    let line = prop::sample::select(vec![
        r#"{"type":"stop","turn":"t1"}"#,
        r#"{"type":"stop","turn":"t3"}"#,
        r#"{"type":"stop","turn":"t99"}"#,
        r#"{"type":"hello","client_id":"tab"}"#,
        r#"{"type":"regenerate"}"#,
        r#"{"type":"regenerate","turn":"t1"}"#,
        r#"{"type":"ping","t":1}"#,
        "/stop",
        "/extend",
        "/status",
        "/help",
        "{",
        "/dance",
    ]);
    prop_oneof![
        40 => Just(Saying::Line("hello")),
        10 => Just(Saying::Line(r#"{"type":"message","id":"m","text":"hello"}"#)),
        40 => line.prop_map(Saying::Line),
        1 => Just(Saying::Line("/bye")),
        1 => (30..110_usize).prop_map(Saying::Flood),
        1 => (1..60_usize).prop_map(Saying::Pings),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let terminal = prop::sample::select(vec![
        r#"{"type":"finish"}"#,
        r#"{"type":"finish","finishReason":"length"}"#,
        r#"{"type":"finish","finishReason":"content-filter"}"#,
        r#"{"type":"finish","finishReason":[]}"#,
        r#"{"type":"abort"}"#,
        r#"{"type":"error","errorText":"no"}"#,
    ]);
    let invalid = prop::sample::select(vec!["", "{}", "[DONE]", r#"{"type":"text-delta","seq":1}"#]);
    let code = prop::sample::select(vec![ErrorCode::AgentStreamTruncated, ErrorCode::AgentHttp]);
    prop_oneof![
        12 => prop::sample::select(DELTAS.as_slice()).prop_map(Answer::Content),
        1 => Just(Answer::Alive),
        1 => Just(Answer::Chunk(r#"{"type":"text-start","id":"p"}"#)),
        4 => terminal.prop_map(Answer::Chunk),
        1 => invalid.prop_map(Answer::Chunk),
        1 => code.prop_map(Answer::Failed),
    ]
}

fn platform() -> impl Strategy<Value = PlatformEvent> {
    prop_oneof![
        2 => Just(PlatformEvent::Step(Step::Starting)),
        2 => Just(PlatformEvent::Step(Step::Probing)),
        16 => Just(PlatformEvent::Ready),
        8 => Just(PlatformEvent::Alive),
        4 => Just(PlatformEvent::Silent),
        1 => Just(PlatformEvent::Failed { code: ErrorCode::SpawnFailed, message: "failed".to_owned() }),
        1 => Just(PlatformEvent::Gone),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let target = prop_oneof![8 => Just(Target::Running), 1 => (0..12_u32).prop_map(Target::Any)];
    let wake = prop::sample::select(vec![Wake::Early, Wake::Exact, Wake::Late]);
    let client = || 0..CLIENTS;
    let fate = || prop::sample::select(vec![Fate::Ends, Fate::LivesOn]);
    let detach = prop_oneof![1 => Just(Detach::Closed), 6 => Just(Detach::Lost)];
    prop_oneof![
        8 => client().prop_map(Input::Attach),
        3 => (client(), detach).prop_map(|(client, how)| Input::Leave(client, how)),
        30 => (client(), saying()).prop_map(|(client, saying)| Input::Say(client, saying)),
        40 => (target, answer()).prop_map(|(target, answer)| Input::Agent(target, answer)),
        6 => prop::sample::select(vec![None, Some("m"), Some("n")]).prop_map(Input::Ask),
        2 => (0..8_usize).prop_map(Input::Hang),
        1 => Just(Input::Extend),
        1 => Just(Input::Delete),
        14 => platform().prop_map(Input::Platform),
        1 => fate().prop_map(Input::Drain),
        1 => fate().prop_map(Input::Shutdown),
        8 => Just(Input::Cancelled),
        6 => wake.prop_map(Input::Timeout),
        4 => (0..3_000_u64).prop_map(Input::Wait),
        6 => (client(), 1..5_usize).prop_map(|(client, frames)| Input::Read(client, frames)),
        2 => (client(), any::<bool>()).prop_map(|(client, reads)| Input::Reads(client, reads)),
        3 => any::<bool>().prop_map(Input::Commands),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let seconds = |choices: &[u64]| {
        prop::sample::select(choices.iter().map(|seconds| Duration::from_secs(*seconds)).collect::<Vec<_>>())
    };
    let activity = prop::sample::select(vec![Activity::Heartbeat, Activity::Message]);
    let ends = (seconds(&[10, 60, 3_600]), seconds(&[20, 90, 7_200]), seconds(&[1, 8, 30]));
    let waits = (seconds(&[0, 5, 20]), seconds(&[0, 7]), seconds(&[3, 15, 600]));
    (ends, waits, activity).prop_map(|(ends, waits, activity)| {
        let ((idle_ttl, max_ttl, warning), (grace, linger, heartbeat)) = (ends, waits);
        let spawn_timeout = Duration::from_secs(40);
        Settings { spawn_timeout, idle_ttl, max_ttl, warning, grace, linger, heartbeat, activity }
    })
}

/// A client, and the socket it has at the moment.
#[derive(Debug)]
struct Client {
    socket: Option<Wire>,
    /// Takes frames as soon as they are there.
    reads: bool,
    fold: Fold,
    has_any: bool,
}

/// Who asked something over REST, and what came of it.
#[derive(Debug)]
struct Asker {
    id: SocketId,
    heard: Vec<Value>,
}

/// A socket as its client sees it.
#[derive(Debug)]
struct Wire {
    id: SocketId,
    last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    Frame,
    /// An error, which a close may follow.
    Error(ErrorCode),
    Ended(EndReason),
}

/// A session, all that it was asked and all that it said.
struct World {
    session: Session,
    settings: Settings,
    born: Instant,
    now: Instant,
    clients: Vec<Client>,
    askers: Vec<Asker>,
    sockets: u32,
    commands: Vec<Command>,
    records: Vec<Record>,
    /// Cancels that are under way.
    cancels: u32,
    takes_commands: bool,
    statuses: Vec<Status>,
    loud: bool,
}

impl World {
    fn new(settings: Settings, loud: bool) -> Self {
        let now = Instant::now();
        let identity = Identity { session: SessionId::from_u128(1), epoch: EPOCH, token: "token".to_owned() };
        let client = || Client { socket: None, reads: true, fold: Fold::default(), has_any: false };
        let mut world = Self {
            session: Session::new(identity, settings, now),
            settings,
            born: now,
            now,
            clients: std::iter::repeat_with(client).take(CLIENTS).collect(),
            askers: Vec::new(),
            sockets: 0,
            commands: Vec::new(),
            records: Vec::new(),
            cancels: 0,
            takes_commands: true,
            statuses: vec![Status::Creating],
            loud,
        };
        world.attach(FAITHFUL);
        world
    }

    fn apply(&mut self, input: &Input) {
        match input {
            Input::Attach(client) => self.attach(*client),
            Input::Leave(client, how) => {
                if let Some(wire) = self.clients[*client].socket.take() {
                    self.session.handle_detach(wire.id, *how, self.now);
                    assert_eq!(
                        self.session.poll_transmit(wire.id),
                        None,
                        "something for a socket that is gone"
                    );
                }
            }
            Input::Say(client, saying) => self.say(*client, saying),
            Input::Ask(id) => {
                let asker = Asker { id: self.next_socket(), heard: Vec::new() };
                self.session.handle_ask(asker.id, id.map(str::to_owned), "hello", self.now);
                self.askers.push(asker);
            }
            Input::Hang(asker) if *asker < self.askers.len() => {
                let asker = self.askers.swap_remove(*asker);
                self.session.handle_detach(asker.id, Detach::Closed, self.now);
            }
            Input::Hang(_) => {}
            Input::Extend => self.session.handle_extend(self.now),
            Input::Delete => self.session.handle_delete(self.now),
            Input::Agent(target, answer) => self.agent(*target, *answer),
            Input::Platform(event) => self.session.handle_platform(event.clone(), self.now),
            Input::Drain(fate) => self.session.handle_drain(*fate, self.now),
            Input::Shutdown(fate) => self.session.handle_shutdown(*fate, self.now),
            Input::Cancelled if self.cancels > 0 => {
                self.cancels -= 1;
                self.session.handle_cancelled(self.now);
            }
            Input::Cancelled => {}
            Input::Timeout(wake) => self.wake(*wake),
            Input::Wait(time) => self.now += Duration::from_millis(*time),
            Input::Read(client, frames) => self.hear(*client, *frames),
            Input::Reads(client, reads) => self.clients[*client].reads = *reads || *client == FAITHFUL,
            Input::Commands(takes) => self.takes_commands = *takes,
        }
    }

    /// A client without a socket comes, and says what it has.
    fn attach(&mut self, number: usize) {
        if self.clients[number].socket.is_some() {
            return;
        }
        let id = self.next_socket();
        let client = &mut self.clients[number];
        client.socket = Some(Wire { id, last: Last::Nothing });
        client.fold.reconnect();
        let position = client.has_any.then_some((EPOCH, client.fold.head));
        let attach = match number {
            LISTENER => Attach::Listen { position },
            _ if id == SocketId(0) => Attach::Create,
            _ => Attach::Join { position },
        };
        self.session.handle_attach(id, attach, self.now);
    }

    fn next_socket(&mut self) -> SocketId {
        self.sockets += 1;
        SocketId(self.sockets - 1)
    }

    fn say(&mut self, client: usize, saying: &Saying) {
        let Some(id) = self.clients[client].socket.as_ref().map(|wire| wire.id) else { return };
        if client == LISTENER {
            return;
        }
        let (line, times) = match saying {
            Saying::Line(line) => (*line, 1),
            Saying::Flood(times) => ("/status", *times),
            Saying::Pings(times) => {
                return (0..*times).for_each(|_| self.session.handle_heartbeat(id, self.now));
            }
        };
        for _ in 0..times {
            self.session.handle_client(id, ClientFrame::parse(line), self.now);
        }
    }

    fn agent(&mut self, target: Target, answer: Answer) {
        let turn = match target {
            Target::Running => self.session.running_turn().unwrap_or(TurnId(1)),
            Target::Any(turn) => TurnId(turn),
        };
        let size = if self.loud { LOUD_BYTES } else { 2 };
        let content = |delta| format!(r#"{{{delta}:"{}"}}"#, "x".repeat(size));
        let content = if let Answer::Content(delta) = answer { content(delta) } else { String::new() };
        let event = match answer {
            Answer::Alive => AgentEvent::Alive,
            Answer::Content(_) => AgentEvent::Chunk(content.as_bytes()),
            Answer::Chunk(data) => AgentEvent::Chunk(data.as_bytes()),
            Answer::Failed(code) => AgentEvent::Failed { code, message: "broken" },
        };
        self.session.handle_agent(turn, event, self.now);
    }

    fn wake(&mut self, wake: Wake) {
        let Some(due) = self.session.poll_timeout() else {
            return self.session.handle_timeout(self.now);
        };
        let nanosecond = Duration::from_nanos(1);
        let at = match wake {
            Wake::Early => due - nanosecond,
            Wake::Exact => due,
            Wake::Late => due + Duration::from_millis(1_500),
        };
        self.now = self.now.max(at);
        // One call may leave the next thing due at once, but never the same for ever.
        for _ in 0..8 {
            self.session.handle_timeout(self.now);
            if self.session.poll_timeout().is_none_or(|next| next > self.now) {
                return;
            }
        }
        panic!("a timeout that is not in the future");
    }

    fn hear(&mut self, client: usize, frames: usize) {
        let client = &mut self.clients[client];
        let mut direct = 0;
        for _ in 0..frames {
            let Some(id) = client.socket.as_ref().map(|wire| wire.id) else { break };
            let Some(transmit) = self.session.poll_transmit(id) else { break };
            match transmit {
                Transmit::Ping => {}
                Transmit::Frame(frame, _) => direct += usize::from(!client.hear(&frame)),
                Transmit::Close(code) => client.close(code),
            }
        }
        // With the farewell: an error and `session.ended`.
        assert!(direct <= DIRECT_MAX_FRAMES + 2, "{direct} frames were kept");
    }

    /// Who asked hears one turn from its beginning to its end, or why not.
    fn hear_answers(&mut self) {
        let Self { session, askers, .. } = self;
        askers.retain_mut(|Asker { id, heard }| {
            while let Some(transmit) = session.poll_transmit(*id) {
                match transmit {
                    Transmit::Ping => panic!("who asks is not pinged"),
                    Transmit::Frame(frame, seq) => {
                        let frame: Value = serde_json::from_slice(&frame).expect("a frame is JSON");
                        assert_eq!(seq, frame["seq"].as_u64());
                        let is_same = heard.iter().all(|before| before["turn"] == frame["turn"]);
                        assert!(is_same || frame["type"] == "error", "another turn's");
                        heard.push(frame);
                    }
                    Transmit::Close(CloseCode::TooSlow) => return false,
                    Transmit::Close(_) => {
                        let (first, last) = (&heard[0]["type"], &heard[heard.len() - 1]["type"]);
                        let is_whole = first == "turn.accepted" && last == "turn.done";
                        assert!(is_whole || last == "error", "{heard:?}");
                        return false;
                    }
                }
            }
            true
        });
    }

    fn check(&mut self) {
        for client in 0..CLIENTS {
            if self.clients[client].reads {
                self.hear(client, usize::MAX);
            }
        }
        self.hear_answers();
        self.check_status();
        if self.takes_commands {
            while let Some(command) = self.session.poll_command() {
                match command {
                    Command::Record(record) => {
                        self.records.push(record);
                        continue;
                    }
                    Command::CancelTurn { .. } => self.cancels += 1,
                    Command::StartTurn { .. } => {
                        assert_eq!(self.cancels, 0, "a turn is asked for while another is cancelled");
                    }
                    Command::Spawn | Command::Stop | Command::SignOfLife | Command::ResumeTurn { .. } => {}
                }
                self.commands.push(command);
            }
            self.check_commands();
            self.check_records();
        }
        self.check_transcripts();
    }

    fn check_commands(&self) {
        let count = |command| self.commands.iter().filter(|one| **one == command).count();
        assert_eq!(self.commands.first(), Some(&Command::Spawn));
        assert_eq!(count(Command::Spawn), 1);
        let has_stopped = self.statuses.contains(&Status::Terminating);
        assert_eq!(count(Command::Stop), usize::from(has_stopped));
        assert_eq!(self.commands.last() == Some(&Command::Stop), has_stopped, "nothing comes after a stop");
        let mut started = 0;
        for command in &self.commands {
            match command {
                Command::StartTurn { turn, text, replaces, .. } => {
                    assert!(turn.0 > started, "a turn starts once, and in order");
                    assert!(replaces.is_none_or(|replaced| replaced < *turn) && text == "hello");
                    started = turn.0;
                }
                Command::CancelTurn { turn } => assert_eq!(turn.0, started, "a cancelled turn runs"),
                Command::ResumeTurn { .. } => panic!("nothing was another hub's"),
                Command::Spawn | Command::Stop | Command::SignOfLife | Command::Record(_) => {}
            }
        }
    }

    /// What is kept says the state, each end of a turn once, and the session's end once.
    fn check_records(&self) {
        let (mut status, mut turns, mut ended) = (Status::Creating, BTreeSet::new(), None);
        let joins = self.records.iter().filter(|record| **record == Record::Joined).count();
        assert!(joins <= 1, "the first socket came twice");
        for record in &self.records {
            match record {
                Record::Status(next) => {
                    assert_ne!(status, *next, "a change that is none");
                    status = *next;
                }
                Record::Joined => {}
                Record::Step(..) => assert_eq!(status, Status::Creating, "a step of no start"),
                Record::Turn(turn) => {
                    assert!(ended.is_none(), "a turn that is over after the session");
                    assert!(turns.insert(turn.turn), "{} is over twice", turn.turn);
                }
                Record::Ended(end) => {
                    assert!(ended.is_none(), "a session that ends twice");
                    assert_eq!(end.turns as usize, turns.len(), "a turn is not over when its session is");
                    ended = Some(*end);
                }
            }
        }
        assert_eq!(status, self.session.status());
        assert_eq!(ended.is_some(), matches!(status, Status::Terminating | Status::Terminated));
    }

    fn check_status(&mut self) {
        let order = |status| match status {
            Status::Creating => 0,
            Status::Active | Status::Idle => 1,
            Status::Terminating => 2,
            Status::Terminated => 3,
        };
        let (before, after) = (*self.statuses.last().expect("a status"), self.session.status());
        assert!(order(after) >= order(before), "{before:?} became {after:?}");
        if before != after {
            self.statuses.push(after);
        }
        if order(after) >= 2 {
            assert_eq!((self.session.poll_timeout(), self.session.running_turn()), (None, None));
            return;
        }
        if self.session.is_left() {
            assert_eq!((self.session.poll_timeout(), order(after)), (None, 1));
            return;
        }
        assert!(!(after == Status::Idle && self.session.running_turn().is_some()), "idle while a turn runs");
        let next = self.session.poll_timeout().expect("a session has a clock");
        assert!(next <= self.born + self.settings.max_ttl, "a session outlives its greatest age");
        if self.clients[..LISTENER].iter().all(|client| client.socket.is_none()) {
            let patience = self.settings.grace + self.settings.linger;
            assert!(next <= self.now + patience, "a session without a socket is not looked after");
        }
    }

    /// Clients that have all up to the same frame have the same transcript; the running turn is the first that is not
    /// done, and few wait.
    fn check_transcripts(&self) {
        let faithful = &self.clients[FAITHFUL].fold;
        for client in &self.clients[1..] {
            if client.fold.head == faithful.head && !client.fold.is_truncated && !faithful.is_truncated {
                assert_eq!(client.fold.transcript, faithful.transcript);
            }
        }
        let is_there = self.clients[FAITHFUL].socket.is_some();
        if !is_there || faithful.is_truncated {
            return;
        }
        let turns = &faithful.transcript.turns;
        let is_open = |text: &&String| !text.contains(r#""type":"turn.done""#);
        for (turn, text) in turns {
            assert_eq!(text.matches(r#""type":"turn.accepted""#).count(), 1, "{turn}: {text}");
            assert!(text.matches(r#""type":"turn.done""#).count() <= 1, "{turn}: {text}");
            let after = text.split_once(r#""type":"turn.done""#).map_or("", |(_, after)| after);
            assert!(!after.contains('\n'), "something after the end of {turn}: {text}");
        }
        let open: Vec<u64> = turns.iter().filter(|(_, text)| is_open(text)).map(|(turn, _)| *turn).collect();
        let running = self.session.running_turn().map(|turn| u64::from(turn.0));
        match self.session.status() {
            Status::Creating => assert_eq!(running, None),
            // The agent may be busy with a turn that is over here.
            Status::Active | Status::Idle if running.is_none() => {
                assert!(open.is_empty() || self.cancels > 0 || !self.takes_commands, "nothing runs");
            }
            Status::Active | Status::Idle => assert_eq!(running, open.first().copied()),
            Status::Terminating | Status::Terminated => assert_eq!(open, [0_u64; 0], "a turn is not done"),
        }
        assert!(open.len() <= QUEUE_MAX_TURNS + usize::from(running.is_some()));
    }

    /// At last every socket takes all there is.
    fn settle(&mut self) {
        self.takes_commands = true;
        self.clients.iter_mut().for_each(|client| client.reads = true);
        self.check();
        if matches!(self.session.status(), Status::Terminating | Status::Terminated) {
            assert!(self.clients.iter().all(|client| client.socket.is_none()), "a socket is left open");
            assert!(self.askers.is_empty(), "somebody waits for an answer");
        }
        if self.statuses.contains(&Status::Idle) {
            assert!(self.now - self.born >= self.settings.idle_ttl / 2, "idle too early");
        }
    }

    /// Runs on without inputs: a session that nobody attends to ends, and not before its time.
    fn run_out(&mut self) {
        let begin = self.now;
        for _ in 0..100_000 {
            let Some(due) = self.session.poll_timeout() else { break };
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            while let Some(command) = self.session.poll_command() {
                match command {
                    Command::SignOfLife => self.session.handle_platform(PlatformEvent::Alive, self.now),
                    Command::CancelTurn { .. } => self.session.handle_cancelled(self.now),
                    Command::Spawn
                    | Command::Stop
                    | Command::StartTurn { .. }
                    | Command::ResumeTurn { .. }
                    | Command::Record(_) => {}
                }
            }
            self.clients.iter_mut().for_each(|client| client.reads = true);
            (0..CLIENTS).for_each(|client| self.hear(client, usize::MAX));
            self.hear_answers();
        }
        assert_eq!(self.session.poll_timeout(), None, "a session that never ends");
        assert!(self.now <= begin.max(self.born + self.settings.max_ttl), "a session ends late");
    }
}

impl Client {
    /// Takes a frame; whether it is of the record.
    fn hear(&mut self, frame: &[u8]) -> bool {
        let wire = self.socket.as_mut().expect("a socket hears");
        assert!(
            matches!(wire.last, Last::Nothing | Last::Frame | Last::Error(_)),
            "a frame after {:?}",
            wire.last
        );
        let json: Value = serde_json::from_slice(frame).expect("a frame is JSON");
        let frame = serde_json::from_slice::<HubFrame>(frame).ok();
        let is_first = wire.last == Last::Nothing;
        wire.last = match frame {
            Some(HubFrame::Ready { resumed, token, epoch, .. }) => {
                assert_eq!((is_first, epoch), (true, EPOCH));
                assert_eq!(token.is_some(), wire.id == SocketId(0));
                assert!(!resumed || self.has_any, "nothing to resume");
                self.has_any = true;
                Last::Frame
            }
            Some(HubFrame::Ended { reason }) => Last::Ended(reason),
            Some(HubFrame::Error { code, .. }) => Last::Error(code),
            _ => {
                assert!(!is_first, "session.ready comes first: {json}");
                Last::Frame
            }
        };
        self.fold.hear(&json);
        json["seq"].is_u64()
    }

    fn close(&mut self, code: CloseCode) {
        let wire = self.socket.take().expect("a socket is closed once");
        let expected = match (code, wire.last) {
            (CloseCode::TooSlow | CloseCode::Silent | CloseCode::Replaced, _) => code,
            (_, Last::Error(ErrorCode::QuotaRate)) => CloseCode::RateLimited,
            (_, Last::Error(ErrorCode::QuotaSockets)) => CloseCode::AtCapacity,
            (_, Last::Error(ErrorCode::HubDraining)) => CloseCode::Draining,
            (_, Last::Error(ErrorCode::SessionEnded)) => CloseCode::Ended,
            (_, Last::Error(ErrorCode::SessionExpired))
            | (_, Last::Ended(EndReason::Idle | EndReason::Max)) => CloseCode::Expired,
            (_, Last::Error(_)) => CloseCode::BadFrames,
            (_, Last::Ended(EndReason::Bye)) => CloseCode::Normal,
            (_, Last::Ended(EndReason::Disconnected | EndReason::Deleted | EndReason::Drained)) => {
                CloseCode::Ended
            }
            (_, Last::Ended(EndReason::AgentLost)) => CloseCode::AgentLost,
            (_, Last::Ended(EndReason::SpawnFailed)) => CloseCode::SpawnFailed,
            (_, Last::Nothing | Last::Frame) => panic!("no farewell: {wire:?}"),
        };
        assert_eq!(code, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_history_keeps_the_rules(
        settings in settings(),
        loud in prop::bool::weighted(0.05),
        history in prop::collection::vec(input(), 1..=INPUTS_MAX),
    ) {
        let mut world = World::new(settings, loud);
        world.check();
        for input in &history {
            world.apply(input);
            world.check();
        }
        world.settle();
        world.run_out();
    }
}
