//! The agent itself: whose it is, which turns it knows, what it remembers.
//!
//! Owns that state, and starts each turn as a task of its own, so that a caller who leaves stops nothing. One turn at a
//! time; a turn that is known is read again, not run again. Knows nothing of HTTP (`server.rs`) nor of how a turn goes
//! (`turn.rs`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly_protocol::agent::{ChatRequest, Health, HealthStatus};
use mayfly_protocol::ids::{SessionId, TurnId};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span};

use crate::conversation::{Conversation, Message};
use crate::lifetime::{Lifetime, Outlived};
use crate::limits::TURNS_KEPT;
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
}

struct State {
    session: Option<SessionId>,
    lifetime: Lifetime,
    conversation: Conversation,
    /// The last turn that began, and what was said before it.
    before_last: Option<(TurnId, Conversation)>,
    /// Oldest first; only the last can still be running.
    known: VecDeque<KnownTurn>,
    is_closing: bool,
}

struct KnownTurn {
    id: TurnId,
    reader: Reader,
    cancel: CancellationToken,
}

/// Why the agent does not take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It belongs to somebody else.
    #[error("this agent belongs to another session")]
    OtherSession,
    /// It answers one message at a time.
    #[error("turn {0} is still running")]
    Busy(TurnId),
    /// The turn was before those that it can still replay, and must not run twice.
    #[error("turn {0} is over and no longer known")]
    Forgotten(TurnId),
    /// It never heard of the turn.
    #[error("there is no turn {0}")]
    UnknownTurn(TurnId),
    /// There is nothing to answer.
    #[error("the message must not be empty")]
    EmptyMessage,
    /// It is about to exit.
    #[error("the agent is shutting down")]
    Closing,
}

impl Agent {
    /// An agent that has said nothing yet. Without a session it becomes that of the first who talks to it.
    pub fn new(
        model: Box<dyn Model>,
        tools: Toolbox,
        session: Option<SessionId>,
        lifetime: Lifetime,
    ) -> Arc<Self> {
        let state = State {
            session,
            lifetime,
            conversation: Conversation::default(),
            before_last: None,
            known: VecDeque::new(),
            is_closing: false,
        };
        Arc::new(Self { model, tools, state: Mutex::new(state), turns: TaskTracker::new() })
    }

    /// A hub showed that it is there.
    pub fn called(&self) {
        self.state().lifetime.called(Instant::now().into_std());
    }

    /// Waits until the agent's time is up.
    pub async fn outlived(&self) -> Outlived {
        loop {
            let ends_at = self.state().lifetime.ends_at();
            sleep_until(Instant::from_std(ends_at)).await;
            if let Some(why) = self.state().lifetime.outlived(Instant::now().into_std()) {
                return why;
            }
        }
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        let state = self.state();
        Health { status: HealthStatus::Healthy, session_id: state.session, turn: state.running() }
    }

    /// Begins a turn, or finds it again. Either way the events come from their start.
    ///
    /// # Errors
    /// Every [`Refusal`] but `UnknownTurn`.
    pub fn chat(self: &Arc<Self>, request: ChatRequest) -> Result<Reader, Refusal> {
        let mut state = self.state();
        let session = request.session_id;
        if state.session.is_some_and(|owner| owner != session) {
            return Err(Refusal::OtherSession);
        }
        if let Some(turn) = state.known(request.turn) {
            debug!(turn = %request.turn, "replay");
            return Ok(turn.reader.from_start());
        }
        state.may_begin(&request)?;
        state.session = Some(session);

        let (writer, reader) = record::record();
        let cancel = CancellationToken::new();
        if state.known.len() == TURNS_KEPT {
            state.known.pop_front();
        }
        state.known.push_back(KnownTurn { id: request.turn, reader: reader.clone(), cancel: cancel.clone() });
        let mut conversation = state.conversation_for(request.replaces);
        state.before_last = Some((request.turn, conversation.clone()));
        drop(state);

        let span = info_span!("turn", %session, turn = %request.turn);
        conversation.push(Message::Person(request.message));
        self.turns.spawn(Arc::clone(self).take_turn(conversation, cancel, writer).instrument(span));
        Ok(reader)
    }

    async fn take_turn(
        self: Arc<Self>,
        mut conversation: Conversation,
        cancel: CancellationToken,
        writer: Writer,
    ) {
        info!("turn begins");
        let cast = Cast { model: &*self.model, tools: &self.tools };
        let terminal = turn::run(cast, &mut conversation, &cancel, &writer).await;
        // Before the end is told: the next turn may begin with it, and must remember this one.
        self.state().conversation = conversation;
        info!(cancelled = cancel.is_cancelled(), "turn ends");
        writer.end(&terminal);
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
        self.known.iter().find(|known| known.id == turn)
    }

    fn running(&self) -> Option<TurnId> {
        self.known.back().filter(|turn| !turn.reader.has_ended()).map(|turn| turn.id)
    }

    fn may_begin(&self, request: &ChatRequest) -> Result<(), Refusal> {
        if self.is_closing {
            return Err(Refusal::Closing);
        }
        if let Some(running) = self.running() {
            return Err(Refusal::Busy(running));
        }
        // Turns are numbered in the order in which they begin.
        if self.known.back().is_some_and(|latest| request.turn.0 < latest.id.0) {
            return Err(Refusal::Forgotten(request.turn));
        }
        if request.message.trim().is_empty() {
            return Err(Refusal::EmptyMessage);
        }
        Ok(())
    }
}
