//! The invariants of every history: any inputs in any order.
//!
//! After each input everything that came out is checked: the frames of sockets in `client.rs`, commands, journal and
//! states in `checks.rs`. Client 0 stays as long as the session lets it and takes each frame at once. The others read
//! slowly, are lost, and come back where they were. The last one only listens. Callers over REST receive one turn each.

use std::time::{Duration, Instant};

use mayfly_protocol::client::ClientFrame;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::{Epoch, SessionId, TurnId};
use mayfly_protocol::refusal::Close;
use mayfly_session::limits::DIRECT_MAX_FRAMES;
use mayfly_session::{
    AgentEvent, Attach, Command, Detach, Identity, JournalEntry, Session, Settings, SocketId, Transmit,
};
use mayfly_transcript::Fold;
use proptest::prelude::*;

use crate::properties::client::{Asker, Client, Last, Wire};
use crate::properties::input::{Answer, Begin, Input, Saying, Target, Wake, input, settings};

mod checks;
mod client;
mod input;

const CASES: u32 = 10_000;
const INPUTS_MAX: usize = 100;
const CLIENTS: usize = 6;
/// The client that stays and reads.
const FAITHFUL: usize = 0;
/// The client that only listens.
const LISTENER: usize = CLIENTS - 1;
const EPOCH: Epoch = Epoch(7);
/// Size of a chunk in a loud history. A few of them exceed the log.
const LOUD_BYTES: usize = 30_000;
/// The longest wait in the hub's line.
const LINE_WAIT: Duration = Duration::from_secs(15);

/// A session, its clients and its outputs so far.
struct World {
    session: Session,
    settings: Settings,
    born: Instant,
    now: Instant,
    clients: Vec<Client>,
    askers: Vec<Asker>,
    sockets: u32,
    commands: Vec<Command>,
    journal: Vec<JournalEntry>,
    /// Cancels that are under way.
    cancels: u32,
    takes_commands: bool,
    statuses: Vec<Status>,
    loud: bool,
    is_admitted: bool,
}

impl World {
    fn new(settings: Settings, begin: Begin, loud: bool) -> Self {
        let now = Instant::now();
        let identity = Identity { session: SessionId::from_u128(1), epoch: EPOCH, token: "token".to_owned() };
        let client = || Client { socket: None, reads: true, fold: Fold::default(), has_any: false };
        let mut world = Self {
            session: match begin {
                Begin::Admitted => Session::new(identity, settings, now),
                Begin::Queued => Session::queued(identity, settings, 5, LINE_WAIT, now),
            },
            is_admitted: begin == Begin::Admitted,
            settings,
            born: now,
            now,
            clients: std::iter::repeat_with(client).take(CLIENTS).collect(),
            askers: Vec::new(),
            sockets: 0,
            commands: Vec::new(),
            journal: Vec::new(),
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
                let asker = Asker::new(self.next_socket());
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
            Input::Admit => {
                if self.session.position().is_some() {
                    (self.is_admitted, self.born) = (true, self.now);
                }
                self.session.handle_admitted(self.now);
            }
            Input::Position(position) => self.session.handle_position(*position, self.now),
            Input::Lifecycle(change) => self.session.handle_lifecycle(change.clone(), self.now),
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
        // A call may leave another timer that is due at once, but not without end.
        for _ in 0..8 {
            self.session.handle_timeout(self.now);
            if self.session.poll_timeout().is_none_or(|next| next > self.now) {
                return;
            }
        }
        panic!("a timeout that is not in the future");
    }

    fn hear(&mut self, client: usize, frames: usize) {
        let Some(id) = self.clients[client].socket.as_ref().map(|wire| wire.id) else { return };
        let transmits = std::iter::from_fn(|| self.session.poll_transmit(id)).take(frames);
        let mut direct = 0;
        for transmit in transmits.collect::<Vec<_>>() {
            match transmit {
                Transmit::Ping => {}
                Transmit::Frame(frame, _) => direct += usize::from(!self.clients[client].hear(&frame)),
            }
        }
        assert!(direct <= DIRECT_MAX_FRAMES, "{direct} frames were kept");
    }

    fn hear_answers(&mut self) {
        for asker in &mut self.askers {
            while let Some(transmit) = self.session.poll_transmit(asker.id) {
                match transmit {
                    Transmit::Ping => panic!("a caller is not pinged"),
                    Transmit::Frame(frame, seq) => asker.hear(&frame, seq),
                }
            }
        }
    }

    /// Gives a client or a caller its last frames and the close. One that has left meanwhile gets nothing.
    fn close(&mut self, id: SocketId, frames: &[(bytes::Bytes, Option<u64>)], close: Close) {
        assert_eq!(self.session.poll_transmit(id), None, "an output for a closed socket");
        let has_socket = |client: &&mut Client| client.socket.as_ref().is_some_and(|wire| wire.id == id);
        if let Some(client) = self.clients.iter_mut().find(has_socket) {
            let direct = frames.iter().filter(|(frame, _)| !client.hear(frame)).count();
            // With the farewell: an error and `session.ended`.
            assert!(direct <= DIRECT_MAX_FRAMES + 2, "{direct} frames were kept");
            client.close(close);
        }
        if let Some(index) = self.askers.iter().position(|asker| asker.id == id) {
            let mut asker = self.askers.swap_remove(index);
            frames.iter().for_each(|(frame, seq)| asker.hear(frame, *seq));
            asker.close(close.code());
        }
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
                    Command::Journal(entry) => {
                        self.journal.push(entry);
                        continue;
                    }
                    Command::Close { socket, frames, close } => {
                        self.close(socket, &frames, close);
                        continue;
                    }
                    Command::CancelTurn { .. } => self.cancels += 1,
                    Command::StartTurn { .. } => {
                        assert_eq!(self.cancels, 0, "a turn is requested while another is cancelled");
                    }
                    Command::Spawn | Command::Stop | Command::ResumeTurn { .. } => {}
                }
                self.commands.push(command);
            }
            self.check_commands();
            self.check_journal();
        }
        self.check_transcripts();
    }

    /// Lets every client take all frames.
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

    /// Runs on without inputs: the session ends in time.
    fn run_out(&mut self) {
        let begin = self.now;
        for _ in 0..100_000 {
            let Some(due) = self.session.poll_timeout() else { break };
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            while let Some(command) = self.session.poll_command() {
                match command {
                    Command::CancelTurn { .. } => self.session.handle_cancelled(self.now),
                    Command::Close { socket, frames, close } => self.close(socket, &frames, close),
                    Command::Spawn
                    | Command::Stop
                    | Command::StartTurn { .. }
                    | Command::ResumeTurn { .. }
                    | Command::Journal(_) => {}
                }
            }
            self.clients.iter_mut().for_each(|client| client.reads = true);
            (0..CLIENTS).for_each(|client| self.hear(client, usize::MAX));
            self.hear_answers();
        }
        assert_eq!(self.session.poll_timeout(), None, "a session that never ends");
        assert!(self.now <= begin.max(self.ends_by()), "a session ends late");
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
        begin in prop_oneof![3 => Just(Begin::Admitted), 1 => Just(Begin::Queued)],
        loud in prop::bool::weighted(0.05),
        history in prop::collection::vec(input(), 1..=INPUTS_MAX),
    ) {
        let mut world = World::new(settings, begin, loud);
        world.check();
        for input in &history {
            world.apply(input);
            world.check();
        }
        world.settle();
        world.run_out();
    }
}
