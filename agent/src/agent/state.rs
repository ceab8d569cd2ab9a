//! What an agent knows at a moment: changed under one lock, never across an await.

use std::collections::VecDeque;

use mayfly_protocol::agent::{History, PastTurn};
use mayfly_protocol::chunk::Notice;
use mayfly_protocol::ids::{SessionId, TurnId};
use tokio_util::sync::CancellationToken;

use super::{Binding, Refusal};
use crate::conversation::{Conversation, Message};
use crate::history::{Begun, Past};
use crate::lifetime::Lifetime;
use crate::limits::TURNS_KEPT;
use crate::memory::Recalled;
use crate::record::{self, Reader};

pub(super) struct State {
    /// None while it is warm.
    pub(super) binding: Option<Binding>,
    pub(super) lifetime: Lifetime,
    pub(super) conversation: Conversation,
    pub(super) past: Past,
    pub(super) trouble: Trouble,
    /// The last turn that began, and what was said before it.
    before_last: Option<(TurnId, Conversation)>,
    /// Oldest first; only the last can still be running.
    known: VecDeque<KnownTurn>,
    is_closing: bool,
}

pub(super) struct KnownTurn {
    pub(super) begun: Begun,
    pub(super) reader: Reader,
    pub(super) cancel: CancellationToken,
}

/// Whether the memory fails, and whether the person knows.
#[derive(Debug, Default)]
pub(super) enum Trouble {
    #[default]
    None,
    Untold(Notice),
    Told,
}

impl Trouble {
    pub(super) fn happened(&mut self, notice: Notice) {
        match self {
            Self::None | Self::Untold(_) => *self = Self::Untold(notice),
            Self::Told => {}
        }
    }

    pub(super) fn passed(&mut self) {
        *self = Self::None;
    }

    /// What is to be told now.
    pub(super) fn tell(&mut self) -> Option<Notice> {
        match std::mem::replace(self, Self::Told) {
            Self::None => {
                *self = Self::None;
                None
            }
            Self::Untold(notice) => Some(notice),
            Self::Told => None,
        }
    }
}

impl State {
    pub(super) fn new(binding: Option<Binding>, lifetime: Lifetime) -> Self {
        Self {
            binding,
            lifetime,
            conversation: Conversation::default(),
            past: Past::default(),
            trouble: Trouble::default(),
            before_last: None,
            known: VecDeque::new(),
            is_closing: false,
        }
    }

    /// Takes what there is from before, as if it had been said to this agent.
    pub(super) fn restore(&mut self, recalled: Recalled) {
        let Some(session) = self.binding.as_ref().map(|binding| binding.session) else { return };
        let since = std::mem::take(&mut self.conversation);
        let unknown = |turn: TurnId| self.known.iter().all(|known| known.begun.turn != turn);
        let mut before_last = None;
        for (of, turn, messages) in recalled.exchanges {
            if of == session && !unknown(turn) {
                continue;
            }
            before_last = (of == session).then(|| (turn, self.conversation.clone()));
            messages.into_iter().for_each(|message| self.conversation.push(message));
        }
        if self.before_last.is_none() {
            self.before_last = before_last;
        }
        since.messages().iter().cloned().for_each(|message| self.conversation.push(message));

        let turns = recalled.turns.iter().filter(|past| unknown(past.turn));
        let mut known: VecDeque<_> = turns.filter_map(KnownTurn::of).collect();
        known.extend(self.known.drain(..));
        known.drain(..known.len().saturating_sub(TURNS_KEPT));
        self.known = known;
        self.past.restore(recalled.turns);
    }

    pub(super) fn history(&mut self) -> History {
        let running = self.running().map(|known| known.begun.clone().running());
        self.past.history(running)
    }

    pub(super) fn learn(&mut self, turn: KnownTurn) {
        if self.known.len() == TURNS_KEPT {
            self.known.pop_front();
        }
        self.known.push_back(turn);
    }

    /// The conversation up to a new turn's message, without the last turn, if that is the one it replaces.
    pub(super) fn begin(&mut self, begun: &Begun) -> Conversation {
        let mut conversation = match &self.before_last {
            Some((last, before)) if begun.replaces == Some(*last) => before.clone(),
            _ => self.conversation.clone(),
        };
        self.before_last = Some((begun.turn, conversation.clone()));
        conversation.push(Message::Person(begun.message.clone()));
        conversation
    }

    /// Takes no more messages, and cancels what runs.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        self.known.iter().for_each(|turn| turn.cancel.cancel());
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(super) fn known(&self, turn: TurnId) -> Option<&KnownTurn> {
        self.known.iter().find(|known| known.begun.turn == turn)
    }

    pub(super) fn running(&self) -> Option<&KnownTurn> {
        self.known.back().filter(|known| !known.reader.has_ended())
    }

    fn latest(&self) -> Option<TurnId> {
        self.known.back().map(|known| known.begun.turn)
    }

    /// Why there is no such turn. Turns are numbered in the order in which they begin.
    pub(super) fn without(&self, turn: TurnId) -> Refusal {
        if self.latest().is_some_and(|latest| turn < latest) {
            return Refusal::Forgotten(turn);
        }
        Refusal::UnknownTurn(turn)
    }

    pub(super) fn may_talk(&self, session: SessionId) -> Result<(), Refusal> {
        match &self.binding {
            None => Err(Refusal::Unbound),
            Some(binding) if binding.session != session => Err(Refusal::OtherSession),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn may_begin(&self, begun: &Begun) -> Result<(), Refusal> {
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

impl KnownTurn {
    /// A turn that was over before.
    fn of(past: &PastTurn) -> Option<Self> {
        let PastTurn { turn, message, message_id, replaces, .. } = past.clone();
        let begun = Begun { turn, message, message_id, replaces };
        Some(Self { begun, reader: record::of(past)?, cancel: CancellationToken::new() })
    }
}
