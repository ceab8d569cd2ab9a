//! The agent itself: whose it is, which turns it knows, what it remembers.
//!
//! Owns that state (`state.rs`), and starts each turn as a task of its own, so that a caller who leaves stops nothing. One turn at a
//! time; a turn that is known is read again, not run again. Knows nothing of HTTP (`server.rs`) nor of how a turn goes
//! (`turn.rs`).

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures::FutureExt;
use mayfly_protocol::agent::{BindRequest, ChatRequest, Health, HealthStatus, History};
use mayfly_protocol::chunk::Notice;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{SessionId, TurnId};
use mayfly_protocol::owner::{Owner, OwnerError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

use self::state::{KnownTurn, State};
use crate::conversation::{Conversation, Message};
use crate::history::Begun;
use crate::lifetime::{Lifetime, Outlived, deadline_at};
use crate::limits::UNKEPT_MAX;
use crate::mcp::Servers;
use crate::memory::{Exchange, Memory, MemoryError};
use crate::model::Model;
use crate::record::{self, Reader, Writer};
use crate::tool::Toolbox;
use crate::turn::{self, Cast};

mod state;

/// An agent at work.
pub struct Agent {
    model: Box<dyn Model>,
    tools: Toolbox,
    servers: Servers,
    memory: Arc<Memory>,
    /// Whether what there is from before was read.
    recalled: tokio::sync::Mutex<bool>,
    /// Turns that the memory has not taken yet, oldest first.
    unkept: tokio::sync::Mutex<VecDeque<Exchange>>,
    state: Mutex<State>,
    turns: TaskTracker,
    /// It has another deadline.
    deadline_changed: Notify,
}

/// Whose agent it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The session.
    pub session: SessionId,
    /// The person, as far as the hub knows.
    pub owner: Option<Owner>,
    /// When the agent exits at the latest, in Unix seconds.
    pub deadline: Option<u64>,
}

/// Why the agent does not take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It belongs to somebody else.
    #[error("this agent belongs to another session")]
    OtherSession,
    /// It is nobody's yet.
    #[error("this agent has no session yet: bind it first")]
    Unbound,
    /// It is somebody's already, or the same one's with other data.
    #[error("this agent is bound already")]
    Bound,
    /// The owner is not accepted.
    #[error(transparent)]
    BadOwner(OwnerError),
    /// What it was started with stays as it is.
    #[error("env must be empty: this agent reads its environment once, at its start")]
    FixedEnvironment,
    /// It answers one message at a time.
    #[error("turn {0} is still running")]
    Busy(TurnId),
    /// The turn was before those that it can still replay, and must not run twice.
    #[error("turn {0} is over and no longer known")]
    Forgotten(TurnId),
    /// It never heard of the turn.
    #[error("there is no turn {0}")]
    UnknownTurn(TurnId),
    /// The turn has no such event, or not yet.
    #[error("turn {0} has no event {1}")]
    UnknownEvent(TurnId, usize),
    /// There is nothing to answer.
    #[error("the message must not be empty")]
    EmptyMessage,
    /// It is about to exit.
    #[error("the agent is shutting down")]
    Closing,
}

impl Agent {
    /// An agent that has said nothing yet; without a binding it is warm.
    pub fn new(
        model: Box<dyn Model>,
        tools: Toolbox,
        servers: Servers,
        memory: Arc<Memory>,
        binding: Option<Binding>,
        lifetime: Lifetime,
    ) -> Arc<Self> {
        if let Some(binding) = &binding {
            memory.bind(binding.clone());
        }
        Arc::new(Self {
            model,
            tools,
            servers,
            memory,
            recalled: tokio::sync::Mutex::default(),
            unkept: tokio::sync::Mutex::default(),
            state: Mutex::new(State::new(binding, lifetime)),
            turns: TaskTracker::new(),
            deadline_changed: Notify::new(),
        })
    }

    /// A hub showed that it is there.
    pub fn called(&self) {
        self.state().lifetime.called(Instant::now().into_std());
    }

    /// Waits until the agent's time is up.
    pub async fn outlived(&self) -> Outlived {
        loop {
            let ends_at = self.state().lifetime.ends_at();
            let _ = timeout_at(Instant::from_std(ends_at), self.deadline_changed.notified()).await;
            if let Some(why) = self.state().lifetime.outlived(Instant::now().into_std()) {
                return why;
            }
        }
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        let state = self.state();
        let session_id = state.binding.as_ref().map(|binding| binding.session);
        let turn = state.running().map(|known| known.begun.turn);
        Health { status: HealthStatus::Healthy, session_id, turn }
    }

    /// A warm agent becomes a session's. To be told the same again changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Bound`], [`Refusal::BadOwner`], [`Refusal::FixedEnvironment`], [`Refusal::Closing`].
    pub fn bind(&self, request: BindRequest) -> Result<(), Refusal> {
        let BindRequest { session_id: session, deadline, owner, env } = request;
        if !env.is_empty() {
            return Err(Refusal::FixedEnvironment);
        }
        let owner = owner.map(|owner| owner.parse()).transpose().map_err(Refusal::BadOwner)?;
        let binding = Binding { session, owner, deadline: Some(deadline) };
        let mut state = self.state();
        if state.is_closing() {
            return Err(Refusal::Closing);
        }
        match &state.binding {
            Some(bound) if *bound == binding => return Ok(()),
            Some(_) => return Err(Refusal::Bound),
            None => {}
        }
        state.lifetime.bound(deadline_at(deadline, Instant::now().into_std(), SystemTime::now()));
        self.memory.bind(binding.clone());
        state.binding = Some(binding);
        self.deadline_changed.notify_one();
        info!(%session, "bound");
        Ok(())
    }

    /// The session's turns so far.
    pub async fn history(&self) -> History {
        self.recall().await;
        self.state().history()
    }

    /// Begins a turn, or finds it again. Either way the events come from their start.
    ///
    /// # Errors
    /// Every [`Refusal`] that is not another call's.
    pub async fn chat(self: &Arc<Self>, request: ChatRequest) -> Result<Reader, Refusal> {
        let ChatRequest { session_id: session, turn, message, message_id, replaces } = request;
        self.state().may_talk(session)?;
        self.recall().await;
        let mut state = self.state();
        if let Some(known) = state.known(turn) {
            debug!(%turn, "replay");
            return Ok(known.reader.from_start());
        }
        let begun = Begun { turn, message, message_id, replaces };
        state.may_begin(&begun)?;
        let (writer, reader) = record::record();
        let cancel = CancellationToken::new();
        state.learn(KnownTurn { begun: begun.clone(), reader: reader.clone(), cancel: cancel.clone() });
        let conversation = state.begin(&begun);
        drop(state);

        let span = info_span!("turn", %session, %turn);
        self.turns.spawn(Arc::clone(self).take_turn(begun, conversation, cancel, writer).instrument(span));
        Ok(reader)
    }

    async fn take_turn(
        self: Arc<Self>,
        begun: Begun,
        mut conversation: Conversation,
        cancel: CancellationToken,
        writer: Writer,
    ) {
        info!("turn begins");
        // A turn that is cancelled while servers start has no use for their tools.
        let remote = cancel.run_until_cancelled(self.servers.tools()).await.unwrap_or_default();
        let tools = self.tools.clone().with(remote);
        let mut notices = self.servers.troubles();
        notices.extend(self.state().trouble.tell());
        let cast = Cast { model: &*self.model, tools: &tools, notices: &notices };
        let run = turn::run(cast, &mut conversation, &cancel, &writer);
        let ended = AssertUnwindSafe(run).catch_unwind().await;
        info!(cancelled = cancel.is_cancelled(), panicked = ended.is_err(), "turn ends");
        let messages = match ended {
            Ok(_) => conversation.last_exchange().to_vec(),
            Err(_) => vec![Message::Person(begun.message.clone())],
        };
        let terminal = match ended {
            Ok(terminal) => {
                // Before the end is told: the next turn may begin with it, and must remember this one.
                self.state().conversation = conversation;
                terminal
            }
            // The conversation is in no state to go on from.
            Err(_) => record::failed(),
        };
        let past = begun.ended(&writer.merged(), &terminal);
        {
            // Under the lock, so that history has the turn as running or as over, and never twice.
            let mut state = self.state();
            state.past.push(past.clone());
            writer.end(&terminal);
        }
        self.keep(Exchange { past, messages }).await;
    }

    /// Reads what there is from before, until that succeeded once.
    async fn recall(&self) {
        let mut is_recalled = self.recalled.lock().await;
        if *is_recalled {
            return;
        }
        match self.memory.recall().await {
            Ok(recalled) => {
                *is_recalled = true;
                self.state().restore(recalled);
            }
            // There is nothing to read, nor anybody to tell.
            Err(MemoryError::Unbound) => {}
            Err(error) => self.memory_failed(&error, "What was said before is not known"),
        }
    }

    /// Keeps a turn, and those that the memory did not take before.
    async fn keep(&self, exchange: Exchange) {
        let mut unkept = self.unkept.lock().await;
        if unkept.len() == UNKEPT_MAX {
            unkept.pop_front();
        }
        unkept.push_back(exchange);
        while let Some(first) = unkept.front() {
            if let Err(error) = self.memory.keep(first).await {
                return self.memory_failed(&error, "What is said now is forgotten when this session ends");
            }
            unkept.pop_front();
        }
        self.state().trouble.passed();
    }

    fn memory_failed(&self, error: &MemoryError, what: &str) {
        warn!(%error, "the memory failed");
        let message = format!("{what}: {error}.");
        self.state().trouble.happened(Notice { code: ErrorCode::MemoryFailed, message });
    }

    /// A turn's events after number `last`, from the start with 0.
    ///
    /// # Errors
    /// [`Refusal::Forgotten`], [`Refusal::UnknownTurn`], [`Refusal::UnknownEvent`].
    pub async fn events(&self, turn: TurnId, last: usize) -> Result<Reader, Refusal> {
        self.recall().await;
        let state = self.state();
        let known = state.known(turn).ok_or_else(|| state.without(turn))?;
        known.reader.after(last).ok_or(Refusal::UnknownEvent(turn, last))
    }

    /// Ends a turn with `abort`, as soon as it can; one that is over stays as it is. Tells its end.
    ///
    /// # Errors
    /// [`Refusal::UnknownTurn`].
    pub fn cancel(&self, turn: TurnId) -> Result<Reader, Refusal> {
        let state = self.state();
        let known = state.known(turn).ok_or(Refusal::UnknownTurn(turn))?;
        known.cancel.cancel();
        Ok(known.reader.clone())
    }

    /// Takes no more messages, cancels the turn that runs and waits for its end; then MCP servers end.
    pub async fn close(&self) {
        self.state().close();
        self.turns.close();
        self.turns.wait().await;
        self.servers.close().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock and leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
