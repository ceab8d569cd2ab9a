//! The agent's state, behind one lock that is never held across an await.

use std::collections::VecDeque;

use mayfly_protocol::agent::{History, PastTurn};
use mayfly_protocol::chunk::Notice;
use mayfly_protocol::ids::{SessionId, TurnId};
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use crate::binding::Binding;
use crate::conversation::{Conversation, Message};
use crate::history::{StartedTurn, TurnHistory};
use crate::lifetime::Lifetime;
use crate::limits::TURNS_KEPT;
use crate::memory::Restored;
use crate::turn_events::{self, EventReader};

pub(super) struct State {
    /// The session; `None` while the agent is warm.
    pub(super) binding: Option<Binding>,
    pub(super) lifetime: Lifetime,
    pub(super) conversation: Conversation,
    pub(super) past: TurnHistory,
    pub(super) memory_warning: MemoryWarning,
    /// The latest turn, and the conversation before it.
    before_last: Option<(TurnId, Conversation)>,
    /// The latest turns, oldest first. Only the last one can be running.
    turns: VecDeque<TurnEntry>,
    is_closing: bool,
}

/// A turn that the agent can replay.
pub(super) struct TurnEntry {
    pub(super) started: StartedTurn,
    pub(super) reader: EventReader,
    pub(super) cancel: CancellationToken,
}

/// A warning that the memory fails. The user is warned once until the memory works again.
#[derive(Debug, Default)]
pub(super) enum MemoryWarning {
    #[default]
    None,
    Pending(Notice),
    Sent,
}

impl MemoryWarning {
    pub(super) fn raise(&mut self, notice: Notice) {
        match self {
            Self::None | Self::Pending(_) => *self = Self::Pending(notice),
            Self::Sent => {}
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::None;
    }

    /// Takes the notice to send now.
    pub(super) fn take(&mut self) -> Option<Notice> {
        match std::mem::replace(self, Self::Sent) {
            Self::None => {
                *self = Self::None;
                None
            }
            Self::Pending(notice) => Some(notice),
            Self::Sent => None,
        }
    }
}

impl State {
    pub(super) fn new(binding: Option<Binding>, lifetime: Lifetime) -> Self {
        Self {
            binding,
            lifetime,
            conversation: Conversation::default(),
            past: TurnHistory::default(),
            memory_warning: MemoryWarning::default(),
            before_last: None,
            turns: VecDeque::new(),
            is_closing: false,
        }
    }

    /// Inserts what the memory had, as if this agent had answered it.
    pub(super) fn restore(&mut self, restored: Restored) {
        let Some(session) = self.binding.as_ref().map(|binding| binding.session) else { return };
        let later = std::mem::take(&mut self.conversation);
        let unknown = |turn: TurnId| self.turns.iter().all(|entry| entry.started.turn != turn);
        let mut before_last = None;
        for (of, turn, messages) in restored.exchanges {
            if of == session && !unknown(turn) {
                continue;
            }
            before_last = (of == session).then(|| (turn, self.conversation.clone()));
            messages.into_iter().for_each(|message| self.conversation.push(message));
        }
        if self.before_last.is_none() {
            self.before_last = before_last;
        }
        later.messages().iter().cloned().for_each(|message| self.conversation.push(message));

        let turns = restored.turns.iter().filter(|past| unknown(past.turn));
        let mut entries: VecDeque<_> = turns.filter_map(TurnEntry::from_memory).collect();
        entries.extend(self.turns.drain(..));
        entries.drain(..entries.len().saturating_sub(TURNS_KEPT));
        self.turns = entries;
        self.past.restore(restored.turns);
    }

    pub(super) fn history(&mut self) -> History {
        let running = self.running().map(|entry| entry.started.clone().running());
        self.past.history(running)
    }

    /// Adds a turn; the oldest is forgotten beyond [`TURNS_KEPT`].
    pub(super) fn add_turn(&mut self, turn: TurnEntry) {
        if self.turns.len() == TURNS_KEPT {
            self.turns.pop_front();
        }
        self.turns.push_back(turn);
    }

    /// Returns the conversation of a new turn, up to and including its message. The latest turn is left out if the new one
    /// replaces it.
    pub(super) fn start_turn(&mut self, started: &StartedTurn) -> Conversation {
        let mut conversation = match &self.before_last {
            Some((last, before)) if started.replaces == Some(*last) => before.clone(),
            _ => self.conversation.clone(),
        };
        self.before_last = Some((started.turn, conversation.clone()));
        conversation.push(Message::User(started.message.clone()));
        conversation
    }

    /// Refuses further messages and cancels the running turn.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        self.turns.iter().for_each(|turn| turn.cancel.cancel());
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(super) fn find(&self, turn: TurnId) -> Option<&TurnEntry> {
        self.turns.iter().find(|entry| entry.started.turn == turn)
    }

    pub(super) fn running(&self) -> Option<&TurnEntry> {
        self.turns.back().filter(|entry| !entry.reader.has_ended())
    }

    fn latest(&self) -> Option<TurnId> {
        self.turns.back().map(|entry| entry.started.turn)
    }

    /// Returns the refusal for a turn that was not found. Turns are numbered in the order of their start.
    pub(super) fn not_found(&self, turn: TurnId) -> Refusal {
        if self.latest().is_some_and(|latest| turn < latest) {
            return Refusal::Forgotten(turn);
        }
        Refusal::UnknownTurn(turn)
    }

    pub(super) fn check_session(&self, session: SessionId) -> Result<(), Refusal> {
        match &self.binding {
            None => Err(Refusal::Unbound),
            Some(binding) if binding.session != session => Err(Refusal::OtherSession),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn check_start(&self, started: &StartedTurn) -> Result<(), Refusal> {
        if self.is_closing {
            return Err(Refusal::Closing);
        }
        if let Some(running) = self.running() {
            return Err(Refusal::Busy(running.started.turn));
        }
        if self.latest().is_some_and(|latest| started.turn < latest) {
            return Err(Refusal::Forgotten(started.turn));
        }
        if started.message.trim().is_empty() {
            return Err(Refusal::EmptyMessage);
        }
        Ok(())
    }
}

impl TurnEntry {
    /// Returns the entry of a completed turn from the memory.
    fn from_memory(past: &PastTurn) -> Option<Self> {
        let PastTurn { turn, message, message_id, replaces, .. } = past.clone();
        let started = StartedTurn { turn, message, message_id, replaces };
        Some(Self { started, reader: turn_events::replay(past)?, cancel: CancellationToken::new() })
    }
}
