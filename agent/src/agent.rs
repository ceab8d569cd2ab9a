//! The agent itself: whose it is, which turns it knows, what it remembers.
//!
//! Owns that state, and starts each turn as a task of its own, so that a caller who leaves stops nothing. One turn at a
//! time; a turn that is known is read again, not run again. Knows nothing of HTTP (`server.rs`) nor of how a turn goes
//! (`turn.rs`).

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures::FutureExt;
use mayfly_protocol::agent::{BindRequest, ChatRequest, Health, HealthStatus, History};
use mayfly_protocol::ids::{SessionId, TurnId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span};

use crate::config::is_owner;
use crate::conversation::{Conversation, Message};
use crate::history::{Begun, Past};
use crate::lifetime::{Lifetime, Outlived, deadline_at};
use crate::limits::{OWNER_MAX_BYTES, TURNS_KEPT};
use crate::model::Model;
use crate::record::{self, Reader, Writer};
use crate::tool::Toolbox;
use crate::turn::{self, Cast};

/// An agent at work.
pub struct Agent {
    model: Box<dyn Model>,
    tools: Toolbox,
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
    pub owner: Option<String>,
    /// When the agent exits at the latest, in Unix seconds.
    pub deadline: Option<u64>,
}

struct State {
    /// None while it is warm.
    binding: Option<Binding>,
    lifetime: Lifetime,
    conversation: Conversation,
    past: Past,
    /// The last turn that began, and what was said before it.
    before_last: Option<(TurnId, Conversation)>,
    /// Oldest first; only the last can still be running.
    known: VecDeque<KnownTurn>,
    is_closing: bool,
}

struct KnownTurn {
    begun: Begun,
    reader: Reader,
    cancel: CancellationToken,
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
    /// The name of a person is empty or too long.
    #[error("owner must have 1 to {OWNER_MAX_BYTES} bytes, or be absent")]
    BadOwner,
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
        binding: Option<Binding>,
        lifetime: Lifetime,
    ) -> Arc<Self> {
        let state = State {
            binding,
            lifetime,
            conversation: Conversation::default(),
            past: Past::default(),
            before_last: None,
            known: VecDeque::new(),
            is_closing: false,
        };
        let (state, turns) = (Mutex::new(state), TaskTracker::new());
        Arc::new(Self { model, tools, state, turns, deadline_changed: Notify::new() })
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
        if owner.as_deref().is_some_and(|owner| !is_owner(owner)) {
            return Err(Refusal::BadOwner);
        }
        let binding = Binding { session, owner, deadline: Some(deadline) };
        let mut state = self.state();
        if state.is_closing {
            return Err(Refusal::Closing);
        }
        match &state.binding {
            Some(bound) if *bound == binding => return Ok(()),
            Some(_) => return Err(Refusal::Bound),
            None => {}
        }
        state.lifetime.bound(deadline_at(deadline, Instant::now().into_std(), SystemTime::now()));
        state.binding = Some(binding);
        self.deadline_changed.notify_one();
        info!(%session, "bound");
        Ok(())
    }

    /// The session's turns so far.
    pub fn history(&self) -> History {
        let mut state = self.state();
        let running = state.running().map(|known| known.begun.clone().running());
        state.past.history(running)
    }

    /// Begins a turn, or finds it again. Either way the events come from their start.
    ///
    /// # Errors
    /// Every [`Refusal`] that is not another call's.
    pub fn chat(self: &Arc<Self>, request: ChatRequest) -> Result<Reader, Refusal> {
        let mut state = self.state();
        let ChatRequest { session_id: session, turn, message, replaces } = request;
        match &state.binding {
            None => return Err(Refusal::Unbound),
            Some(binding) if binding.session != session => return Err(Refusal::OtherSession),
            Some(_) => {}
        }
        if let Some(known) = state.known(turn) {
            debug!(%turn, "replay");
            return Ok(known.reader.from_start());
        }
        let begun = Begun { turn, message, replaces };
        state.may_begin(&begun)?;

        let (writer, reader) = record::record();
        let cancel = CancellationToken::new();
        if state.known.len() == TURNS_KEPT {
            state.known.pop_front();
        }
        let known = KnownTurn { begun: begun.clone(), reader: reader.clone(), cancel: cancel.clone() };
        state.known.push_back(known);
        let mut conversation = state.conversation_for(replaces);
        state.before_last = Some((turn, conversation.clone()));
        drop(state);

        let span = info_span!("turn", %session, %turn);
        conversation.push(Message::Person(begun.message.clone()));
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
        let cast = Cast { model: &*self.model, tools: &self.tools };
        let run = turn::run(cast, &mut conversation, &cancel, &writer);
        let ended = AssertUnwindSafe(run).catch_unwind().await;
        info!(cancelled = cancel.is_cancelled(), panicked = ended.is_err(), "turn ends");
        // Before the end is told: the next turn may begin with it, and must remember this one. Of a turn that panicked,
        // the conversation is in no state to go on from.
        let mut state = self.state();
        if ended.is_ok() {
            state.conversation = conversation;
        }
        let terminal = ended.unwrap_or_else(|_| record::failed());
        state.past.push(begun.ended(&writer.merged(), &terminal));
        // Under the lock, so that history has the turn as running or as over, and never twice.
        writer.end(&terminal);
    }

    /// A turn's events after number `last`, from the start with 0.
    ///
    /// # Errors
    /// [`Refusal::Forgotten`], [`Refusal::UnknownTurn`], [`Refusal::UnknownEvent`].
    pub fn events(&self, turn: TurnId, last: usize) -> Result<Reader, Refusal> {
        let state = self.state();
        let known = state.known(turn).ok_or_else(|| state.without(turn))?;
        known.reader.after(last).ok_or(Refusal::UnknownEvent(turn, last))
    }

    /// Ends a turn with `abort`, as soon as it can; one that is over stays as it is.
    ///
    /// # Errors
    /// [`Refusal::UnknownTurn`].
    pub fn cancel(&self, turn: TurnId) -> Result<(), Refusal> {
        let state = self.state();
        let known = state.known(turn).ok_or(Refusal::UnknownTurn(turn))?;
        known.cancel.cancel();
        Ok(())
    }

    /// Takes no more messages, cancels the turn that runs and waits for its end.
    pub async fn close(&self) {
        {
            let mut state = self.state();
            state.is_closing = true;
            state.known.iter().for_each(|turn| turn.cancel.cancel());
        }
        self.turns.close();
        self.turns.wait().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock and leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What was said before a turn begins: without the last turn, if that is the one it replaces.
    fn conversation_for(&self, replaces: Option<TurnId>) -> Conversation {
        match &self.before_last {
            Some((last, before)) if replaces == Some(*last) => before.clone(),
            _ => self.conversation.clone(),
        }
    }

    fn known(&self, turn: TurnId) -> Option<&KnownTurn> {
        self.known.iter().find(|known| known.begun.turn == turn)
    }

    fn running(&self) -> Option<&KnownTurn> {
        self.known.back().filter(|known| !known.reader.has_ended())
    }

    fn latest(&self) -> Option<TurnId> {
        self.known.back().map(|known| known.begun.turn)
    }

    /// Why there is no such turn. Turns are numbered in the order in which they begin.
    fn without(&self, turn: TurnId) -> Refusal {
        if self.latest().is_some_and(|latest| turn < latest) {
            return Refusal::Forgotten(turn);
        }
        Refusal::UnknownTurn(turn)
    }

    fn may_begin(&self, begun: &Begun) -> Result<(), Refusal> {
        if self.is_closing {
            return Err(Refusal::Closing);
        }
        if let Some(running) = self.running() {
            return Err(Refusal::Busy(running.begun.turn));
        }
        if self.latest().is_some_and(|latest| begun.turn < latest) {
            return Err(Refusal::Forgotten(begun.turn));
        }
        if begun.message.trim().is_empty() {
            return Err(Refusal::EmptyMessage);
        }
        Ok(())
    }
}
