//! What holds in every history, whatever happens in whatever order.
//!
//! A history is a list of inputs, any of them in any state. After each one everything that came out is checked
//! against the rules in [`World::check`] and [`Socket::hear`]. Socket 0 is the recorder: it takes each frame at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::code::{CloseCode, ErrorCode};
use mayfly_protocol::hub::{EndReason, HubFrame, Status, Step};
use mayfly_protocol::ids::{SessionId, TurnId};
use mayfly_session::limits::{DIRECT_MAX_FRAMES, LOG_ENTRY_OVERHEAD_BYTES, LOG_MAX_BYTES, QUEUE_MAX_TURNS};
use mayfly_session::{AgentEvent, Command, PlatformEvent, Session, Settings, SocketId, Transmit};
use proptest::prelude::*;
use serde_json::Value;

const CASES: u32 = 1_000;
const INPUTS_MAX: usize = 100;
const RECORDER: usize = 0;
/// Of a loud history's chunks: a few of them are more than may be kept.
const LOUD_BYTES: usize = 30_000;

#[derive(Debug, Clone)]
enum Input {
    Attach { reads: bool },
    Detach(usize),
    Client(usize, Client),
    Agent(Target, Answer),
    Platform(PlatformEvent),
    Shutdown,
    Timeout(Wake),
    Wait(u64),
    Read(usize, usize),
    Reads(usize, bool),
    Commands(bool),
}

#[derive(Debug, Clone)]
enum Client {
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
    Content,
    Chunk(&'static str),
    Failed(ErrorCode),
}

#[derive(Debug, Clone, Copy)]
enum Wake {
    Early,
    Exact,
    Late,
}

fn client() -> impl Strategy<Value = Client> {
    let line = prop::sample::select(vec![
        r#"{"type":"stop","turn":"t1"}"#,
        r#"{"type":"stop","turn":"t3"}"#,
        r#"{"type":"stop","turn":"t99"}"#,
        "/stop",
        "/stop",
        "/status",
        "/help",
        "{",
        "/dance",
    ]);
    prop_oneof![
        40 => Just(Client::Line("hello")),
        10 => Just(Client::Line(r#"{"type":"message","id":"m","text":"hello"}"#)),
        40 => line.prop_map(Client::Line),
        1 => Just(Client::Line("/bye")),
        1 => (30..110_usize).prop_map(Client::Flood),
        1 => (1..60_usize).prop_map(Client::Pings),
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
        12 => Just(Answer::Content),
        1 => Just(Answer::Alive),
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
        1 => Just(PlatformEvent::Failed { message: "failed".to_owned() }),
        1 => Just(PlatformEvent::Gone),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let target = prop_oneof![4 => Just(Target::Running), 1 => (0..12_u32).prop_map(Target::Any)];
    let wake = prop::sample::select(vec![Wake::Early, Wake::Exact, Wake::Late]);
    let socket = || 0..6_usize;
    prop_oneof![
        5 => any::<bool>().prop_map(|reads| Input::Attach { reads }),
        2 => socket().prop_map(Input::Detach),
        30 => (socket(), client()).prop_map(|(socket, client)| Input::Client(socket, client)),
        35 => (target, answer()).prop_map(|(target, answer)| Input::Agent(target, answer)),
        14 => platform().prop_map(Input::Platform),
        1 => Just(Input::Shutdown),
        6 => wake.prop_map(Input::Timeout),
        4 => (0..3_000_u64).prop_map(Input::Wait),
        6 => (socket(), 1..5_usize).prop_map(|(socket, frames)| Input::Read(socket, frames)),
        2 => (socket(), any::<bool>()).prop_map(|(socket, reads)| Input::Reads(socket, reads)),
        3 => any::<bool>().prop_map(Input::Commands),
    ]
}

/// A socket as its client sees it.
#[derive(Debug)]
struct Socket {
    id: SocketId,
    /// Takes frames as soon as they are there.
    reads: bool,
    attached: bool,
    came_late: bool,
    /// The number of the next frame of the record, once `session.ready` told.
    next: Option<u64>,
    last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    Frame,
    /// An error that a bad frame is answered with.
    Refused,
    /// An error that says why the socket is closed.
    RateLimited,
    RefusedAtEnd,
    Ended(EndReason),
    Closed,
    /// Closed alone: slow, or too fast, or not making sense.
    TurnedAway,
}

/// A session, all that it was asked and all that it said.
struct World {
    session: Session,
    now: Instant,
    sockets: Vec<Socket>,
    record: BTreeMap<u64, Bytes>,
    /// Turns that the record says are accepted and not done, with their texts, in order.
    open: VecDeque<(TurnId, String)>,
    /// The first frame of the record that is not counted in `open` yet.
    followed: u64,
    last_turn: u32,
    commands: Vec<Command>,
    takes_commands: bool,
    statuses: Vec<Status>,
    loud: bool,
}

impl World {
    fn new(loud: bool) -> Self {
        let now = Instant::now();
        let settings = Settings { spawn_timeout: Duration::from_secs(40) };
        let mut world = Self {
            session: Session::new(SessionId::from_u128(1), settings, now),
            now,
            sockets: Vec::new(),
            record: BTreeMap::new(),
            open: VecDeque::new(),
            followed: 1,
            last_turn: 0,
            commands: Vec::new(),
            takes_commands: true,
            statuses: vec![Status::Creating],
            loud,
        };
        world.apply(&Input::Attach { reads: true });
        world
    }

    fn apply(&mut self, input: &Input) {
        match input {
            Input::Attach { reads } => self.attach(*reads),
            Input::Detach(socket) => {
                if let Some(socket) = self.sockets.get_mut(*socket) {
                    socket.attached = false;
                    self.session.handle_detach(socket.id);
                }
            }
            Input::Client(socket, client) => self.client(*socket, client),
            Input::Agent(target, answer) => self.agent(*target, *answer),
            Input::Platform(event) => self.session.handle_platform(event.clone(), self.now),
            Input::Shutdown => self.session.handle_shutdown(),
            Input::Timeout(wake) => self.wake(*wake),
            Input::Wait(time) => self.now += Duration::from_millis(*time),
            Input::Read(socket, frames) => self.hear(*socket, *frames),
            Input::Reads(socket, reads) if *socket != RECORDER => {
                if let Some(socket) = self.sockets.get_mut(*socket) {
                    socket.reads = *reads;
                }
            }
            Input::Reads(..) => {}
            Input::Commands(takes) => self.takes_commands = *takes,
        }
    }

    fn attach(&mut self, reads: bool) {
        let id = SocketId(u32::try_from(self.sockets.len()).expect("few sockets"));
        let came_late = matches!(self.session.status(), Status::Terminating | Status::Terminated);
        self.sockets.push(Socket { id, reads, attached: true, came_late, next: None, last: Last::Nothing });
        self.session.handle_attach(id, self.now);
    }

    fn client(&mut self, socket: usize, client: &Client) {
        let socket = SocketId(u32::try_from(socket).expect("few sockets"));
        let (line, times) = match client {
            Client::Line(line) => (*line, 1),
            Client::Flood(times) => ("/status", *times),
            Client::Pings(times) => {
                return (0..*times).for_each(|_| self.session.handle_heartbeat(socket, self.now));
            }
        };
        for _ in 0..times {
            self.session.handle_client(socket, ClientFrame::parse(line), self.now);
        }
    }

    fn agent(&mut self, target: Target, answer: Answer) {
        let turn = match target {
            Target::Running => self.session.running_turn().unwrap_or(TurnId(1)),
            Target::Any(turn) => TurnId(turn),
        };
        let size = if self.loud { LOUD_BYTES } else { 2 };
        let content = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(size));
        let event = match answer {
            Answer::Alive => AgentEvent::Alive,
            Answer::Content => AgentEvent::Chunk(content.as_bytes()),
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
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "a timeout that is not in the future");
    }

    /// A socket takes some frames; what it may ever have waiting is bounded.
    fn hear(&mut self, socket: usize, frames: usize) {
        let Some(socket) = self.sockets.get_mut(socket) else { return };
        let (mut kept, mut direct) = (0_usize, 0_usize);
        for _ in 0..frames {
            let Some(transmit) = self.session.poll_transmit(socket.id) else { break };
            assert!(socket.attached, "something for a socket that is gone");
            let bytes = match transmit {
                Transmit::Frame(bytes) => bytes,
                Transmit::Close(code) => {
                    socket.close(code);
                    break;
                }
            };
            if socket.next.is_some_and(|next| self.record.get(&next) == Some(&bytes)) {
                socket.heard_the_same();
            } else if let Some(seq) = socket.hear(&bytes) {
                assert_eq!(self.record.insert(seq, bytes.clone()), None, "two frames with one number");
            } else {
                direct += 1;
                continue;
            }
            kept += bytes.len() + LOG_ENTRY_OVERHEAD_BYTES;
        }
        assert!(kept <= LOG_MAX_BYTES, "{kept} bytes were kept");
        // With the farewell: an error and `session.ended`.
        assert!(direct <= DIRECT_MAX_FRAMES + 2, "{direct} frames were kept");
    }

    fn check(&mut self) {
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].reads {
                self.hear(socket, usize::MAX);
            }
            if socket == RECORDER {
                self.follow();
            }
        }
        self.check_status();
        if self.takes_commands {
            self.commands.extend(std::iter::from_fn(|| self.session.poll_command()));
            self.check_commands();
        }
        self.check_turns();
    }

    /// What the recorder heard since, in order: what is open, and that content is the running turn's.
    fn follow(&mut self) {
        let next = self.sockets[RECORDER].next.unwrap_or(1);
        for (seq, bytes) in self.record.range(self.followed..next) {
            match serde_json::from_slice(bytes) {
                Ok(HubFrame::TurnAccepted { turn, text, position, .. }) => {
                    self.last_turn += 1;
                    assert_eq!(turn, TurnId(self.last_turn), "turns count up");
                    assert_eq!(position as usize, self.open.len(), "a wrong place in the queue");
                    self.open.push_back((turn, text));
                }
                Ok(HubFrame::TurnDone { turn, .. }) => {
                    let index = self.open.iter().position(|(open, _)| *open == turn);
                    self.open.remove(index.expect("a turn is done once, and after it was accepted"));
                }
                Ok(HubFrame::Status { .. }) => {}
                Ok(frame) => panic!("{frame:?} is no part of the record"),
                Err(_) => {
                    let content: Value = serde_json::from_slice(bytes).expect("a frame is JSON");
                    let first = self.open.front().map(|(turn, _)| turn.to_string());
                    assert_eq!(content["turn"].as_str(), first.as_deref(), "content of a turn that waits");
                    assert_eq!(content["seq"].as_u64(), Some(*seq));
                }
            }
        }
        self.followed = next;
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
                Command::StartTurn { turn, .. } => {
                    assert!(turn.0 > started, "a turn starts once, and in order");
                    started = turn.0;
                }
                Command::CancelTurn { turn } => assert_eq!(turn.0, started, "a cancelled turn runs"),
                Command::Spawn | Command::Stop | Command::SignOfLife => {}
            }
        }
    }

    fn check_status(&mut self) {
        let order = |status| match status {
            Status::Creating => 0,
            Status::Active => 1,
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
        } else {
            assert!(self.sockets.iter().any(|socket| socket.attached), "a session without a socket");
        }
    }

    /// The running turn is the first of those that are open, and few wait.
    fn check_turns(&self) {
        let recorder = &self.sockets[RECORDER];
        if !recorder.attached || recorder.is_turned_away() {
            return;
        }
        let running = self.session.running_turn();
        match self.session.status() {
            Status::Creating => assert_eq!(running, None),
            Status::Active => assert_eq!(running, self.open.front().map(|(turn, _)| *turn)),
            Status::Terminating | Status::Terminated => assert_eq!(self.open.len(), 0, "a turn is not done"),
        }
        assert!(self.open.len() <= QUEUE_MAX_TURNS + usize::from(running.is_some()));
        for command in &self.commands {
            if let Command::StartTurn { turn, text } = command
                && let Some((_, said)) = self.open.iter().find(|(open, _)| open == turn)
            {
                assert_eq!(text, said);
            }
        }
    }

    /// At last every socket takes all there is.
    fn settle(&mut self) {
        self.takes_commands = true;
        for socket in &mut self.sockets {
            socket.reads = true;
        }
        self.check();
        if matches!(self.session.status(), Status::Terminating | Status::Terminated) {
            for socket in &self.sockets {
                assert!(!socket.attached || socket.is_closed(), "{socket:?} is left open");
            }
        }
    }
}

impl Socket {
    /// Takes a frame: its number, if it is part of the record.
    fn hear(&mut self, bytes: &[u8]) -> Option<u64> {
        assert!(
            matches!(self.last, Last::Nothing | Last::Frame | Last::Refused),
            "a frame after {:?}",
            self.last
        );
        let frame = serde_json::from_slice::<HubFrame>(bytes).ok();
        let json: Value = serde_json::from_slice(bytes).expect("a frame is JSON");
        if let Some(HubFrame::Ready { head, .. }) = frame {
            assert_eq!(self.last, Last::Nothing, "session.ready comes first");
            self.next = Some(head + 1);
        }
        let next = self.next.as_mut().expect("session.ready comes first");
        self.last = match frame {
            Some(HubFrame::Ended { reason }) => Last::Ended(reason),
            Some(HubFrame::Error { code: ErrorCode::SessionEnded, .. }) => Last::RefusedAtEnd,
            Some(HubFrame::Error { code: ErrorCode::QuotaRate, .. }) => Last::RateLimited,
            Some(HubFrame::Error { code: ErrorCode::ProtoBadJson | ErrorCode::ProtoUnknownType, .. }) => {
                Last::Refused
            }
            _ => Last::Frame,
        };
        let seq = json.get("seq")?.as_u64();
        assert_eq!(seq, Some(*next), "the record has no gap");
        *next += 1;
        seq
    }

    /// Takes a frame of the record that another socket took before.
    fn heard_the_same(&mut self) {
        assert!(matches!(self.last, Last::Frame | Last::Refused));
        self.last = Last::Frame;
        self.next = self.next.map(|next| next + 1);
    }

    fn close(&mut self, code: CloseCode) {
        assert_eq!(self.last == Last::RefusedAtEnd, self.came_late && code != CloseCode::TooSlow);
        let expected = match self.last {
            _ if code == CloseCode::TooSlow => code,
            Last::RateLimited => CloseCode::RateLimited,
            Last::Refused => CloseCode::BadFrames,
            Last::Ended(EndReason::Bye) => CloseCode::Normal,
            Last::Ended(EndReason::Disconnected | EndReason::Drained) | Last::RefusedAtEnd => {
                CloseCode::Ended
            }
            Last::Ended(EndReason::AgentLost) => CloseCode::AgentLost,
            Last::Ended(EndReason::SpawnFailed) => CloseCode::SpawnFailed,
            Last::Nothing | Last::Frame | Last::Closed | Last::TurnedAway => panic!("no farewell: {self:?}"),
        };
        assert_eq!(code, expected);
        let is_alone = matches!(code, CloseCode::TooSlow | CloseCode::RateLimited | CloseCode::BadFrames);
        self.last = if is_alone { Last::TurnedAway } else { Last::Closed };
    }

    fn is_turned_away(&self) -> bool {
        matches!(self.last, Last::TurnedAway)
    }

    fn is_closed(&self) -> bool {
        matches!(self.last, Last::Closed | Last::TurnedAway)
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
        loud in prop::bool::weighted(0.05),
        history in prop::collection::vec(input(), 1..=INPUTS_MAX),
    ) {
        let mut world = World::new(loud);
        world.check();
        for input in &history {
            world.apply(input);
            world.check();
        }
        world.settle();
    }
}
