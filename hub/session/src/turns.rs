//! The running turn and the queue of those that wait. They know neither frames nor agents nor timers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mayfly_protocol::hub::Usage;
use mayfly_protocol::ids::TurnId;

use crate::limits::{QUEUE_MAX_TURNS, TURN_RECALLED_MAX};

#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The number of the last turn.
    last: u32,
    /// The turn that the last one replaces, if any.
    replaced: Option<TurnId>,
    /// Number of turns that were new messages.
    messages: u32,
    /// The message of the last turn.
    last_text: String,
    queue: VecDeque<QueuedTurn>,
    running: Option<Running>,
    /// Cancels that the agent has not answered. Until it has, it may be busy with a turn that is over here.
    cancels: u32,
}

/// A turn that waits to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueuedTurn {
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    /// The client's id of the message.
    pub(crate) message: Option<String>,
    pub(crate) replaces: Option<TurnId>,
}

#[derive(Debug)]
struct Running {
    turn: TurnId,
    /// True if another hub started the turn, so that its start is unknown.
    is_recalled: bool,
    began: Instant,
    /// Time of the first delta of the answer.
    first_token: Option<Instant>,
    usage: Option<Usage>,
}

/// A turn that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FinishedTurn {
    pub(crate) turn: TurnId,
    /// Time from its start to its end, if it ran and the start is known.
    pub(crate) took: Option<Duration>,
    /// Time from its start to the first delta of its answer, if there was one.
    pub(crate) first_token: Option<Duration>,
    pub(crate) usage: Option<Usage>,
}

/// The reason why a turn cannot be regenerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegenerateError {
    /// A turn runs or waits.
    Busy,
    /// The turn is not the last one.
    NotLast,
    /// The turn was regenerated before.
    Done,
    /// There is no such turn.
    NoTurn,
}

/// The result of a `stop` request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StopOutcome {
    /// The turn waited, and is removed from the queue.
    Dequeued(TurnId),
    /// The turn runs.
    Running(TurnId),
    /// The turn is over.
    Over,
    /// There is no such turn.
    Unknown,
}

impl Turns {
    /// Returns the running turn.
    pub(crate) fn running(&self) -> Option<TurnId> {
        self.running.as_ref().map(|running| running.turn)
    }

    /// Returns `true` if a turn runs, or starts as soon as the agent has ended the last one.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some() || self.cancels > 0 && !self.queue.is_empty()
    }

    /// Records the first delta of the running turn's answer.
    pub(crate) fn record_first_token(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.first_token.get_or_insert(now);
        }
    }

    /// Sets the usage of the running turn.
    pub(crate) fn set_usage(&mut self, usage: Option<Usage>) {
        if let Some(running) = &mut self.running {
            running.usage = usage;
        }
    }

    /// Returns the number of turns that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Returns the bytes of the messages that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.iter().map(|queued| queued.text.len()).sum()
    }

    /// Appends a message to the queue. Returns its turn and the number of turns before it, or `None` if the queue is full.
    pub(crate) fn enqueue(&mut self, text: String, message: Option<String>) -> Option<(TurnId, usize)> {
        if self.queue.len() >= QUEUE_MAX_TURNS {
            return None;
        }
        let position = self.queue.len() + usize::from(self.running.is_some());
        self.last_text.clone_from(&text);
        self.messages += 1;
        Some((self.append(text, message, None), position))
    }

    /// Queues the last turn's message again. Returns the new turn, the turn that it replaces, and the message.
    ///
    /// # Errors
    /// Returns an error if `turn` is given and is not the last one, or another turn runs or waits.
    pub(crate) fn enqueue_again(
        &mut self,
        turn: Option<TurnId>,
    ) -> Result<(TurnId, TurnId, String), RegenerateError> {
        if turn.is_some() && turn == self.replaced {
            return Err(RegenerateError::Done);
        }
        if self.running.is_some() || !self.queue.is_empty() {
            return Err(RegenerateError::Busy);
        }
        let named = turn.map_or(self.last, |turn| turn.0);
        if self.last_text.is_empty() || !(1..=self.last).contains(&named) {
            return Err(RegenerateError::NoTurn);
        }
        if named < self.last {
            return Err(RegenerateError::NotLast);
        }
        let replaced = TurnId(self.last);
        let text = self.last_text.clone();
        Ok((self.append(text.clone(), None, Some(replaced)), replaced, text))
    }

    fn append(&mut self, text: String, message: Option<String>, replaces: Option<TurnId>) -> TurnId {
        self.last += 1;
        self.replaced = replaces;
        let turn = TurnId(self.last);
        self.queue.push_back(QueuedTurn { turn, text, message, replaces });
        turn
    }

    /// Makes a turn that another hub has started the running one. Returns false, without a change, if a turn runs or the
    /// number is not greater than all before.
    pub(crate) fn recall(
        &mut self,
        turn: TurnId,
        text: String,
        replaces: Option<TurnId>,
        now: Instant,
    ) -> bool {
        if self.running.is_some() || turn.0 <= self.last || turn.0 > TURN_RECALLED_MAX {
            return false;
        }
        self.last = turn.0;
        self.last_text = text;
        self.messages += u32::from(replaces.is_none());
        self.replaced = replaces;
        self.running = Some(Running::new(turn, true, now));
        true
    }

    /// Makes new turns have numbers after this one.
    pub(crate) fn begin_after(&mut self, last: u32) {
        self.last = self.last.max(last.min(TURN_RECALLED_MAX));
    }

    /// Returns the number of turns before this one; 0 if it runs or is over.
    pub(crate) fn position(&self, turn: TurnId) -> usize {
        let index = self.queue.iter().position(|queued| queued.turn == turn);
        index.map_or(0, |index| index + usize::from(self.running.is_some()))
    }

    /// Returns `true` if this turn runs or waits.
    pub(crate) fn is_open(&self, turn: TurnId) -> bool {
        self.running() == Some(turn) || self.queue.iter().any(|queued| queued.turn == turn)
    }

    /// Records that the agent was asked to end a turn.
    pub(crate) fn begin_cancel(&mut self) {
        self.cancels += 1;
    }

    /// Records that the agent has answered, or has not answered in time.
    pub(crate) fn end_cancel(&mut self) {
        self.cancels = self.cancels.saturating_sub(1);
    }

    /// Waits for no cancel any longer.
    pub(crate) fn forget_cancels(&mut self) {
        self.cancels = 0;
    }

    /// Makes the first turn of the queue the running one, unless the agent is or may be busy with another.
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<QueuedTurn> {
        if self.running.is_some() || self.cancels > 0 {
            return None;
        }
        let queued = self.queue.pop_front()?;
        self.running = Some(Running::new(queued.turn, false, now));
        Some(queued)
    }

    /// Removes a turn from the queue, or finds that it runs or is over. Without `turn`, takes the running one, or the next
    /// if none runs.
    pub(crate) fn stop(&mut self, turn: Option<TurnId>) -> StopOutcome {
        let next = || self.queue.front().map(|queued| queued.turn);
        let Some(turn) = turn.or_else(|| self.running()).or_else(next) else { return StopOutcome::Unknown };
        if let Some(index) = self.queue.iter().position(|queued| queued.turn == turn) {
            self.queue.remove(index);
            return StopOutcome::Dequeued(turn);
        }
        match self.running() {
            Some(running) if running == turn => StopOutcome::Running(turn),
            _ if (1..=self.last).contains(&turn.0) => StopOutcome::Over,
            _ => StopOutcome::Unknown,
        }
    }

    /// Returns the number of all turns, and of those that were new messages.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.last, self.messages)
    }

    /// Ends the running turn, if there is one.
    pub(crate) fn finish(&mut self, now: Instant) -> Option<FinishedTurn> {
        let Running { turn, is_recalled, began, first_token, usage } = self.running.take()?;
        let since_begin = |at: Instant| (!is_recalled).then(|| at.saturating_duration_since(began));
        let first_token = first_token.and_then(since_begin);
        let took = since_begin(now);
        Some(FinishedTurn { turn, took, first_token, usage })
    }

    /// Ends all turns: the running one, then the queue in its order.
    pub(crate) fn finish_all(&mut self, now: Instant) -> Vec<FinishedTurn> {
        let running = self.finish(now);
        running
            .into_iter()
            .chain(self.queue.drain(..).map(|queued| FinishedTurn::that_never_ran(queued.turn)))
            .collect()
    }
}

impl FinishedTurn {
    /// Creates a turn that is over without having run.
    pub(crate) fn that_never_ran(turn: TurnId) -> Self {
        Self { turn, took: None, first_token: None, usage: None }
    }
}

impl Running {
    fn new(turn: TurnId, is_recalled: bool, now: Instant) -> Self {
        Self { turn, is_recalled, began: now, first_token: None, usage: None }
    }
}
