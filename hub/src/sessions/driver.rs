//! The driver: one task for each session. It waits for one event, passes it to the session, carries out the session's
//! commands and moves bytes.
//!
//! ```text
//!   requests -+
//!   sockets --+                                   +--> agent's lifecycle: start, probe, stop
//!   turn -----+--> Event --> Session --> Command -+--> agent's wire: start, resume or cancel a turn
//!   jobs -----+                 |
//!   timer ----+                 +--> poll_transmit --> sockets
//! ```
//!
//! The rules are those of `mayfly-session`; there are none here. A job is an action under way, and its outcome is an
//! event. The task ends when nothing of the agent is left and every socket has its close.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use mayfly_platform::Lifetime;
use mayfly_protocol::agent::ChatRequest;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::TurnId;
use mayfly_session::{AgentEvent, Attach, Command, Session, SocketId};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::agents::client::{TurnEvent, TurnStream};
use crate::agents::lifecycle::Report;
use crate::identity::ticket::HeldTicket;
use crate::limits::{AGENT_BYTES_PER_FLUSH, AGENT_EVENTS_PER_FLUSH};
use crate::ops::drain;
use crate::ops::journal::{Claim, Entry};
use crate::ops::trace::Trace;
use crate::sessions::Sessions;
use crate::sessions::admission::{LineChange, LineWatch};
use crate::sessions::driver::agent::Agent;
use crate::sessions::driver::jobs::{cancel, line_change};
use crate::sessions::driver::sockets::poll_sockets;
use crate::sessions::driver::turn_metrics::TurnMetrics;
use crate::sessions::peer::Peer;
use crate::sessions::registry::{Mailbox, Place};
use crate::sessions::request::{SessionRequest, TurnTotals};
use crate::socket::{Inbound, Socket};

pub(crate) use adopt::{adopt, begin_again};

mod adopt;
mod agent;
mod jobs;
mod record;
mod requests;
mod sockets;
mod turn_metrics;

/// An event that the driver waits for.
enum Event {
    Request(Box<SessionRequest>),
    Socket(SocketId, Inbound),
    Turn(TurnId, TurnEvent),
    Job(Outcome),
    Timeout,
}

/// The outcome of a job.
enum Outcome {
    /// A job of the agent's lifecycle.
    Agent(Report),
    /// A cancel request has completed or failed.
    Cancelled,
    /// The place in the line has changed.
    Line(LineChange, LineWatch),
    /// The hub begins to shut down.
    Drain,
    /// The hub waits for turns no longer.
    Hurry,
}

type Job = Pin<Box<dyn Future<Output = Outcome> + Send>>;

struct Driver {
    sessions: Arc<Sessions>,
    session: Session,
    mailbox: Mailbox,
    sockets: Vec<Peer>,
    last_socket: SocketId,
    turn: Option<TurnStream>,
    jobs: FuturesUnordered<Job>,
    agent: Option<Agent>,
    /// True if more agent events may be ready; the driver yields before it reads them.
    should_yield: bool,
    timer: Pin<Box<Sleep>>,
    place: Place,
    /// The ticket that created the session, while the session waits in the line.
    ticket: Option<HeldTicket>,
    metrics: TurnMetrics,
    turn_totals: TurnTotals,
    created_at: SystemTime,
    /// Calls that wait for the end of the session.
    deletions: Vec<oneshot::Sender<Status>>,
    /// The session's trace. It is boxed because most hubs have none.
    trace: Option<Box<Trace>>,
}

/// The client that creates a session with a WebSocket.
pub(crate) struct Creator {
    pub(crate) socket: Socket,
    /// The ticket that allows it, if one does. It is used up when the session is admitted.
    pub(crate) ticket: Option<HeldTicket>,
}

/// Starts a new session in a task of its own, which runs until nothing of the session is left; then its place is free.
/// If sessions can be adopted, the journal records the session before any client learns its id; a queued session is
/// recorded on admission.
pub(crate) async fn start(
    sessions: &Arc<Sessions>,
    creator: Option<Creator>,
    place: Place,
    mailbox: Mailbox,
    mut trace: Option<Trace>,
) {
    let id = place.session();
    if let Some(trace) = &mut trace {
        trace.set_session(id);
    }
    let position = place.position();
    if position.is_none() && sessions.agents.platform.lifetime() == Lifetime::Own {
        sessions.ops.journal.begin(Claim { session: id, owner: place.owner().map(str::to_owned) }).await;
    }
    let now = Instant::now();
    let identity = adopt::identity(sessions, id);
    let mut session = match position {
        None => Session::new(identity, sessions.settings, now),
        Some(position) => Session::queued(identity, sessions.settings, position, sessions.wait, now),
    };
    let (socket, ticket) = creator.map(|Creator { socket, ticket }| (socket, ticket)).unzip();
    let sockets = Vec::from_iter(socket.map(|socket| Peer::Socket(Box::new(socket))));
    for socket in &sockets {
        session.handle_attach(socket.id(), Attach::Create, now);
    }
    let mut driver = Driver::new(sessions, session, Duration::ZERO, sockets, place, mailbox);
    driver.trace = trace.map(Box::new);
    driver.ticket = ticket.flatten();
    if let Some(position) = position {
        info!(session = %id, position, "session queued");
        let watch = driver.place.watch();
        driver.jobs.extend(watch.map(|watch| Box::pin(line_change(watch)) as Job));
    } else {
        info!(session = %id, "session created");
        driver.ticket.take().into_iter().for_each(HeldTicket::use_up);
    }
    // Spawned directly: nesting it in another future would keep a second copy in memory.
    sessions.ops.drain.sessions.spawn(driver.drive());
}

impl Driver {
    /// Creates the driver of a session of this age.
    fn new(
        sessions: &Arc<Sessions>,
        session: Session,
        age: Duration,
        sockets: Vec<Peer>,
        place: Place,
        mailbox: Mailbox,
    ) -> Self {
        let now = Instant::now();
        let drain = sessions.ops.shutdown.clone().cancelled_owned().map(|()| Outcome::Drain);
        Self {
            sessions: Arc::clone(sessions),
            mailbox,
            last_socket: SocketId(0),
            sockets,
            turn: None,
            jobs: FuturesUnordered::from_iter([Box::pin(drain) as Job]),
            agent: None,
            should_yield: false,
            timer: Box::pin(sleep_until(now.into())),
            place,
            ticket: None,
            metrics: TurnMetrics::new(sessions, session.position().map_or(Some(Status::Creating), |_| None)),
            turn_totals: TurnTotals::default(),
            created_at: SystemTime::now() - age,
            deletions: Vec::new(),
            trace: None,
            session,
        }
    }

    async fn drive(mut self) {
        loop {
            self.carry_out_commands();
            if self.turn.as_ref().map(TurnStream::turn) != self.session.running_turn() {
                self.turn = None;
            }
            self.metrics.set_sockets(self.sockets.iter().filter(|socket| socket.is_socket()).count());
            let is_over = self.session.status() == Status::Terminated || self.session.is_left();
            if is_over && self.sockets.is_empty() {
                return self.leave();
            }
            let event = self.next_event().await;
            if std::mem::take(&mut self.should_yield) {
                tokio::task::yield_now().await;
            }
            self.handle(event);
        }
    }

    async fn next_event(&mut self) -> Event {
        let deadline = self.deadline();
        if let Some(deadline) = deadline.filter(|deadline| self.timer.deadline() > (*deadline).into()) {
            self.timer.as_mut().reset(deadline.into());
        }
        let Self { session, mailbox, sockets, turn, jobs, timer, metrics, .. } = self;
        tokio::select! {
            biased;
            (socket, inbound) = poll_fn(|cx| poll_sockets(session, sockets, metrics, cx)) => Event::Socket(socket, inbound),
            () = timer.as_mut(), if deadline.is_some() => Event::Timeout,
            Some(request) = mailbox.recv() => Event::Request(request),
            Some(outcome) = jobs.next() => Event::Job(outcome),
            // Last: an agent that never pauses takes all of the task's budget, and what is polled then gets none.
            (turn, event) = next_turn_event(turn) => Event::Turn(turn, event),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request(request) => self.handle_request(*request),
            Event::Socket(socket, Inbound::Frame(frame)) => {
                self.session.handle_client(socket, frame, Instant::now());
            }
            Event::Socket(socket, Inbound::Heartbeat) => {
                self.session.handle_heartbeat(socket, Instant::now());
            }
            Event::Socket(id, Inbound::Gone(how, close)) => {
                self.session.handle_detach(id, how, Instant::now());
                self.dismiss(id, Vec::new(), close);
            }
            Event::Turn(turn, event) => self.handle_turn(turn, event),
            Event::Job(outcome) => self.handle_outcome(outcome),
            Event::Timeout => {
                let now = Instant::now();
                self.session.handle_timeout(now);
                self.handle_agent_timeout(now);
                self.metrics.publish(self.session.log_bytes());
                if let Some(deadline) = self.deadline() {
                    self.timer.as_mut().reset(deadline.into());
                }
            }
        }
    }

    /// Answers late requests, and frees the session's place.
    fn leave(mut self) {
        self.mailbox.close();
        while let Ok(request) = self.mailbox.try_recv() {
            self.handle_request(*request);
            self.carry_out_commands();
        }
        let session = self.session.id();
        if self.session.is_left() {
            info!(%session, "session left to the next hub");
        } else {
            info!(%session, "session terminated");
        }
        let (status, deletions) = (self.session.status(), std::mem::take(&mut self.deletions));
        // The place is free before a caller learns of the end.
        drop(self);
        for deletion in deletions {
            let _ = deletion.send(status);
        }
    }

    /// Admits a session from the line: it is in the journal before it requests its agent.
    fn admit(&mut self, now: Instant) {
        if self.session.position().is_none() {
            return;
        }
        let id = self.session.id();
        if self.sessions.agents.platform.lifetime() == Lifetime::Own {
            let claim = Claim { session: id, owner: self.place.owner().map(str::to_owned) };
            self.sessions.ops.journal.record(Entry::Begun { claim });
        }
        let waited = self.session.view(now).age;
        info!(session = %id, waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX), "session admitted");
        if let Some(trace) = &self.trace {
            trace.step("line".to_owned(), waited);
        }
        self.ticket.take().into_iter().for_each(HeldTicket::use_up);
        self.metrics.set_state(Status::Creating);
        self.session.handle_admitted(now);
    }

    /// Passes an event of the agent to the session, and further events that are there already. One flush sends them all.
    fn handle_turn(&mut self, turn: TurnId, first: TurnEvent) {
        let now = Instant::now();
        self.metrics.start_measure(now);
        let mut bytes = first.len();
        self.pass_turn_event(turn, first, now);
        for _ in 1..AGENT_EVENTS_PER_FLUSH {
            if self.session.running_turn() != Some(turn) {
                return;
            }
            if bytes > AGENT_BYTES_PER_FLUSH {
                break;
            }
            let ready = self.turn.as_mut().and_then(|stream| stream.next().now_or_never());
            let Some(event) = ready else { return };
            bytes += event.len();
            self.pass_turn_event(turn, event, now);
        }
        self.should_yield = true;
    }

    fn pass_turn_event(&mut self, turn: TurnId, event: TurnEvent, now: Instant) {
        match event {
            TurnEvent::Alive => self.session.handle_agent(turn, AgentEvent::Alive, now),
            TurnEvent::Chunk(data) => {
                self.metrics.count_received(data.len());
                self.session.handle_agent(turn, AgentEvent::Chunk(&data), now);
            }
            TurnEvent::Failed(code, message) => {
                debug!(session = %self.session.id(), %turn, %code, message, "turn stream ended");
                self.session.handle_agent(turn, AgentEvent::Failed { code, message: &message }, now);
            }
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Agent(report) => self.accept(report),
            Outcome::Cancelled => self.session.handle_cancelled(now),
            Outcome::Line(LineChange::Admitted, _) => self.admit(now),
            Outcome::Line(LineChange::Moved, watch) => {
                if let Some(position) = self.place.position() {
                    self.session.handle_position(position, now);
                }
                self.jobs.push(Box::pin(line_change(watch)));
            }
            Outcome::Drain => {
                let hurry = self.sessions.ops.drain.hurry.clone().cancelled_owned();
                self.jobs.push(Box::pin(hurry.map(|()| Outcome::Hurry)));
                self.session.handle_drain(drain::fate(&*self.sessions.agents.platform), now);
            }
            Outcome::Hurry => {
                self.session.handle_shutdown(drain::fate(&*self.sessions.agents.platform), now);
            }
        }
    }

    fn carry_out_commands(&mut self) {
        while let Some(command) = self.session.poll_command() {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        let agent = self.agent.as_ref().and_then(Agent::handle).cloned();
        match (command, agent) {
            (Command::Spawn, _) => self.begin_agent(),
            (Command::Stop, _) => self.stop_agent(),
            (Command::Journal(entry), _) => self.record(&entry),
            (Command::Close { socket, frames, close }, _) => self.dismiss(socket, frames, Some(close)),
            (Command::StartTurn { turn, text, message: message_id, replaces }, Some(agent)) => {
                debug!(session = %self.session.id(), %turn, "turn started");
                let session_id = self.session.id();
                let request = ChatRequest { session_id, turn, message: text, message_id, replaces };
                let headers = self.trace.as_mut().map(|trace| trace.begin_turn(turn)).unwrap_or_default();
                self.turn = Some(TurnStream::start(agent, request, headers));
            }
            (Command::ResumeTurn { turn }, Some(agent)) => {
                info!(session = %self.session.id(), %turn, "turn resumed");
                self.turn = Some(TurnStream::resume(agent, turn));
            }
            (Command::CancelTurn { turn }, Some(agent)) => self.jobs.push(Box::pin(cancel(agent, turn))),
            (Command::StartTurn { .. } | Command::ResumeTurn { .. } | Command::CancelTurn { .. }, None) => {
                warn!(session = %self.session.id(), "agent command skipped: there is no agent");
            }
        }
    }

    /// Returns the time of the next timeout, of the session or of its agent.
    fn deadline(&self) -> Option<Instant> {
        let agent = self.agent.as_ref().and_then(|agent| agent.lifecycle.poll_timeout());
        self.session.poll_timeout().into_iter().chain(agent).min()
    }
}

async fn next_turn_event(turn: &mut Option<TurnStream>) -> (TurnId, TurnEvent) {
    match turn {
        Some(stream) => (stream.turn(), stream.next().await),
        None => pending().await,
    }
}
