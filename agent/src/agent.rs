//! The agent: its session, its turns and its memory.
//!
//! Owns that state (`agent/state.rs`) and runs each turn as a task of its own, so that a caller who disconnects stops
//! nothing. One turn runs at a time; a turn that the agent already has is replayed, not run again. Knows nothing of HTTP
//! (`server/routes.rs`) and of the steps of a turn (`turn.rs`).

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures::FutureExt;
use mayfly_protocol::agent::{BindRequest, ChatRequest, Health, HealthStatus, History};
use mayfly_protocol::chunk::{Chunk, Notice};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::TurnId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

pub use self::refusal::Refusal;
use self::state::{State, TurnEntry};
use crate::binding::Binding;
use crate::conversation::{Conversation, Message};
use crate::history::StartedTurn;
use crate::lifetime::{ExitReason, Lifetime, deadline_at};
use crate::limits::UNSAVED_TURNS_MAX;
use crate::mcp::Servers;
use crate::memory::{CompletedTurn, Memory, MemoryError};
use crate::model::Model;
use crate::tool::Toolbox;
use crate::turn::{self, TurnContext};
use crate::turn_events::{self, EventReader, EventWriter};

mod refusal;
mod state;

/// An agent. Its methods are the calls of the wire.
pub struct Agent {
    model: Box<dyn Model>,
    tools: Toolbox,
    servers: Servers,
    memory: Arc<Memory>,
    /// `true` once the memory was read.
    is_restored: tokio::sync::Mutex<bool>,
    /// Turns that are not yet saved in the memory, oldest first.
    unsaved: tokio::sync::Mutex<VecDeque<CompletedTurn>>,
    state: Mutex<State>,
    turns: TaskTracker,
    /// Notified when the deadline changes.
    deadline_changed: Notify,
}

impl Agent {
    /// Returns an agent without turns; it is warm if `binding` is `None`.
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
            is_restored: tokio::sync::Mutex::default(),
            unsaved: tokio::sync::Mutex::default(),
            state: Mutex::new(State::new(binding, lifetime)),
            turns: TaskTracker::new(),
            deadline_changed: Notify::new(),
        })
    }

    /// Records a sign of a hub.
    pub fn record_call(&self) {
        self.state().lifetime.record_call(Instant::now().into_std());
    }

    /// Waits until the agent has to exit on its own.
    pub async fn expired(&self) -> ExitReason {
        loop {
            let expires_at = self.state().lifetime.expires_at();
            let _ = timeout_at(Instant::from_std(expires_at), self.deadline_changed.notified()).await;
            if let Some(reason) = self.state().lifetime.exit_reason(Instant::now().into_std()) {
                return reason;
            }
        }
    }

    /// Returns the answer of `GET /health`.
    pub fn health(&self) -> Health {
        let state = self.state();
        let session_id = state.binding.as_ref().map(|binding| binding.session);
        let turn = state.running().map(|entry| entry.started.turn);
        Health { status: HealthStatus::Healthy, session_id, turn }
    }

    /// Binds a warm agent to a session. The same request again changes nothing.
    ///
    /// # Errors
    /// Returns [`Refusal::Bound`], [`Refusal::BadOwner`], [`Refusal::FixedEnvironment`] or [`Refusal::Closing`].
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
        state.lifetime.set_deadline(deadline_at(deadline, Instant::now().into_std(), SystemTime::now()));
        self.memory.bind(binding.clone());
        state.binding = Some(binding);
        self.deadline_changed.notify_one();
        info!(%session, "agent bound");
        Ok(())
    }

    /// Returns the session's turns, completed and running.
    pub async fn history(&self) -> History {
        self.restore().await;
        self.state().history()
    }

    /// Starts a turn, or finds it if the agent already has it. Returns its events from their start.
    ///
    /// # Errors
    /// Returns a [`Refusal`] if the message is not accepted.
    pub async fn chat(self: &Arc<Self>, request: ChatRequest) -> Result<EventReader, Refusal> {
        let ChatRequest { session_id: session, turn, message, message_id, replaces } = request;
        self.state().check_session(session)?;
        self.restore().await;
        let mut state = self.state();
        if let Some(entry) = state.find(turn) {
            debug!(%turn, "turn replayed");
            return Ok(entry.reader.from_start());
        }
        let started = StartedTurn { turn, message, message_id, replaces };
        state.check_start(&started)?;
        let (writer, reader) = turn_events::channel();
        let cancel = CancellationToken::new();
        state.add_turn(TurnEntry {
            started: started.clone(),
            reader: reader.clone(),
            cancel: cancel.clone(),
        });
        let conversation = state.start_turn(&started);
        drop(state);

        let span = info_span!("turn", %session, %turn);
        self.turns.spawn(Arc::clone(self).run_turn(started, conversation, cancel, writer).instrument(span));
        Ok(reader)
    }

    async fn run_turn(
        self: Arc<Self>,
        started: StartedTurn,
        mut conversation: Conversation,
        cancel: CancellationToken,
        writer: EventWriter,
    ) {
        let started_at = Instant::now();
        info!("turn started");
        // A turn that is cancelled while MCP servers start does not need their tools.
        let remote = cancel.run_until_cancelled(self.servers.tools()).await.unwrap_or_default();
        let tools = self.tools.clone().with(remote);
        let mut notices = self.servers.take_notices();
        notices.extend(self.state().memory_warning.take());
        let context = TurnContext { model: &*self.model, tools: &tools, notices: &notices };
        let run = turn::run(context, &mut conversation, &cancel, &writer);
        let ended = AssertUnwindSafe(run).catch_unwind().await;
        let messages = match ended {
            Ok(_) => conversation.last_exchange().to_vec(),
            Err(_) => vec![Message::User(started.message.clone())],
        };
        let terminal = match ended {
            Ok(terminal) => {
                // Before the terminal event: the next turn may start with it, and its conversation includes this turn.
                self.state().conversation = conversation;
                terminal
            }
            // The conversation of a turn that panicked is not usable.
            Err(_) => turn_events::failure(),
        };
        log_end(&terminal, started_at);
        let past = started.completed(&writer.merged(), &terminal);
        {
            // Under one lock, so that the history has the turn either as running or as completed.
            let mut state = self.state();
            state.past.push(past.clone());
            writer.end(&terminal);
        }
        self.save(CompletedTurn { past, messages }).await;
    }

    /// Reads the memory, once successfully.
    async fn restore(&self) {
        let mut is_restored = self.is_restored.lock().await;
        if *is_restored {
            return;
        }
        match self.memory.load().await {
            Ok(restored) => {
                *is_restored = true;
                self.state().restore(restored);
            }
            // A warm agent has no memory.
            Err(MemoryError::Unbound) => {}
            Err(error) => self.memory_failed(&error, "Earlier messages are not available"),
        }
    }

    /// Saves a turn, and the turns that could not be saved before.
    async fn save(&self, turn: CompletedTurn) {
        let mut unsaved = self.unsaved.lock().await;
        if unsaved.len() == UNSAVED_TURNS_MAX {
            unsaved.pop_front();
        }
        unsaved.push_back(turn);
        while let Some(first) = unsaved.front() {
            if let Err(error) = self.memory.save(first).await {
                return self.memory_failed(&error, "Messages are not saved beyond this session");
            }
            unsaved.pop_front();
        }
        self.state().memory_warning.clear();
    }

    fn memory_failed(&self, error: &MemoryError, consequence: &str) {
        warn!(%error, "memory failed");
        let message = format!("{consequence}: {error}.");
        self.state().memory_warning.raise(Notice { code: ErrorCode::MemoryFailed, message });
    }

    /// Returns a turn's events after number `last`; 0 means from the start.
    ///
    /// # Errors
    /// Returns [`Refusal::Forgotten`], [`Refusal::UnknownTurn`] or [`Refusal::UnknownEvent`].
    pub async fn events(&self, turn: TurnId, last: usize) -> Result<EventReader, Refusal> {
        self.restore().await;
        let state = self.state();
        let entry = state.find(turn).ok_or_else(|| state.not_found(turn))?;
        entry.reader.after(last).ok_or(Refusal::UnknownEvent(turn, last))
    }

    /// Cancels a turn, which then ends with `abort`. Ignored if the turn is already over. The returned reader tells its end.
    ///
    /// # Errors
    /// Returns [`Refusal::UnknownTurn`] if there is no such turn.
    pub fn cancel(&self, turn: TurnId) -> Result<EventReader, Refusal> {
        let state = self.state();
        let entry = state.find(turn).ok_or(Refusal::UnknownTurn(turn))?;
        entry.cancel.cancel();
        Ok(entry.reader.clone())
    }

    /// Refuses further messages, cancels the running turn and waits for its end, then stops the MCP servers.
    pub async fn close(&self) {
        self.state().close();
        self.turns.close();
        self.turns.wait().await;
        self.servers.close().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs the end of a turn: a warning with its code if it failed.
fn log_end(terminal: &Chunk, started_at: Instant) {
    let duration_ms = started_at.elapsed().as_millis();
    if let Chunk::Error { code, .. } = terminal {
        let code = code.unwrap_or(ErrorCode::AgentFailed);
        warn!(reason = "error", %code, duration_ms, "turn ended");
    } else {
        let reason = if matches!(terminal, Chunk::Abort { .. }) { "stopped" } else { "complete" };
        info!(reason, duration_ms, "turn ended");
    }
}
