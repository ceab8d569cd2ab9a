//! Which turn runs and which wait. Knows neither frames nor agents.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mayfly_protocol::hub::Usage;
use mayfly_protocol::ids::TurnId;

use crate::limits::{AGENT_SILENCE_MAX, CHUNK_SILENCE_MAX, QUEUE_MAX_TURNS, TURN_MAX, TURN_RECALLED_MAX};

#[derive(Debug, Default)]
pub(crate) struct Turns {
    last: u32,
    /// Which answer the last one takes the place of, if any.
    replaced: Option<TurnId>,
    /// How many of them were new messages.
    messages: u32,
    /// What the last turn was asked.
    last_text: String,
    queue: VecDeque<Waiting>,
    running: Option<Running>,
    /// Cancels that the agent was asked for and has not answered: until then it may be busy with what is over here.
    cancels: u32,
}

/// A turn that is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    /// What the client calls that.
    pub(crate) message: Option<String>,
    pub(crate) replaces: Option<TurnId>,
}

#[derive(Debug)]
struct Running {
    turn: TurnId,
    /// Whether another hub started it: how long it takes is not known here.
    is_recalled: bool,
    /// When a stop that was asked for is carried out without the agent.
    stop_at: Option<Instant>,
    began: Instant,
    /// When the agent last sent anything.
    heard: Instant,
    /// When the agent last sent a chunk.
    progressed: Instant,
    /// When the first piece of the answer came.
    answered: Option<Instant>,
    usage: Option<Usage>,
}

/// A turn that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) turn: TurnId,
    /// From its start to its end, if it ran and that is known.
    pub(crate) took: Option<Duration>,
    /// From its start to the first piece of its answer, if one came.
    pub(crate) first_token: Option<Duration>,
    pub(crate) usage: Option<Usage>,
}

/// Why a turn cannot be asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAgain {
    /// Another runs or waits.
    Busy,
    /// It is not the last one.
    NotLast,
    /// It was asked for before, and its answer is or was on its way.
    Done,
    /// There was none yet.
    Nothing,
}

/// Why the running turn cannot wait for its agent any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It is being stopped, and the agent did not do it in time.
    Stop,
    /// The agent does not get on with it: in what way, for people.
    Stalled(TurnId, &'static str),
}

/// What a stop met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The turn waited, and is out of the queue now.
    Dequeued(TurnId),
    /// The turn runs, and was not being stopped before.
    Began(TurnId),
    /// The turn is over, or being stopped already.
    Nothing,
    /// There never was such a turn.
    Unknown,
}

impl Turns {
    pub(crate) fn running(&self) -> Option<TurnId> {
        self.running.as_ref().map(|running| running.turn)
    }

    /// Whether a turn runs, or will as soon as the agent has ended the one before.
    pub(crate) fn is_busy(&self) -> bool {
        self.running.is_some() || self.cancels > 0 && !self.queue.is_empty()
    }

    /// Whether the running turn is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.stop_at.is_some())
    }

    /// When the running turn is over even if the agent does not end it.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.limit().0)
    }

    /// Whether that time has come, and why.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let (at, why) = self.running.as_ref()?.limit();
        (now >= at).then_some(why)
    }

    /// The agent sent something: it lives.
    pub(crate) fn heard(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.heard = now;
        }
    }

    /// The agent sent a chunk: it gets on.
    pub(crate) fn progressed(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            (running.heard, running.progressed) = (now, now);
        }
    }

    /// The agent sent a piece of its answer.
    pub(crate) fn answered(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.answered.get_or_insert(now);
        }
    }

    /// The agent told what the answer took.
    pub(crate) fn used(&mut self, usage: Option<Usage>) {
        if let Some(running) = &mut self.running {
            running.usage = usage;
        }
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Puts a message at the end of the queue: its turn, and how many turns come first. `None` when the queue is full.
    pub(crate) fn enqueue(&mut self, text: String, message: Option<String>) -> Option<(TurnId, usize)> {
        if self.queue.len() >= QUEUE_MAX_TURNS {
            return None;
        }
        let position = self.queue.len() + usize::from(self.running.is_some());
        self.last_text.clone_from(&text);
        self.messages += 1;
        Some((self.append(text, message, None), position))
    }

    /// Puts the last turn's message into the queue again: its new turn, the last one, and the message.
    /// With a name, only if that is the last one.
    pub(crate) fn enqueue_again(
        &mut self,
        turn: Option<TurnId>,
    ) -> Result<(TurnId, TurnId, String), NoAgain> {
        if turn.is_some() && turn == self.replaced {
            return Err(NoAgain::Done);
        }
        if self.running.is_some() || !self.queue.is_empty() {
            return Err(NoAgain::Busy);
        }
        let named = turn.map_or(self.last, |turn| turn.0);
        if self.last_text.is_empty() || !(1..=self.last).contains(&named) {
            return Err(NoAgain::Nothing);
        }
        if named < self.last {
            return Err(NoAgain::NotLast);
        }
        let replaced = TurnId(self.last);
        let text = self.last_text.clone();
        Ok((self.append(text.clone(), None, Some(replaced)), replaced, text))
    }

    fn append(&mut self, text: String, message: Option<String>, replaces: Option<TurnId>) -> TurnId {
        self.last += 1;
        self.replaced = replaces;
        let turn = TurnId(self.last);
        self.queue.push_back(Waiting { turn, text, message, replaces });
        turn
    }

    /// Makes a turn that another hub has started the running one. False, and nothing is done, if it does not follow all
    /// that are known.
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

    /// No turn gets a number up to this one any more.
    pub(crate) fn begin_after(&mut self, last: u32) {
        self.last = self.last.max(last.min(TURN_RECALLED_MAX));
    }

    /// How many turns come before this one; 0 when it runs or is over.
    pub(crate) fn position(&self, turn: TurnId) -> usize {
        let index = self.queue.iter().position(|waiting| waiting.turn == turn);
        index.map_or(0, |index| index + usize::from(self.running.is_some()))
    }

    /// Whether this turn runs or waits.
    pub(crate) fn is_open(&self, turn: TurnId) -> bool {
        self.running() == Some(turn) || self.queue.iter().any(|waiting| waiting.turn == turn)
    }

    /// The agent is asked to end a turn.
    pub(crate) fn cancel(&mut self) {
        self.cancels += 1;
    }

    /// The agent has answered that, or does not.
    pub(crate) fn cancelled(&mut self) {
        self.cancels = self.cancels.saturating_sub(1);
    }

    /// Nothing that the agent was asked for is waited for.
    pub(crate) fn forget_cancels(&mut self) {
        self.cancels = 0;
    }

    /// Makes the first of the queue the running turn, unless one runs, or the agent may be busy with one.
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<Waiting> {
        if self.running.is_some() || self.cancels > 0 {
            return None;
        }
        let waiting = self.queue.pop_front()?;
        self.running = Some(Running::new(waiting.turn, false, now));
        Some(waiting)
    }

    /// Stops a turn; without a name the running one, or the next if none runs. A running one has until `stop_at`.
    pub(crate) fn stop(&mut self, turn: Option<TurnId>, stop_at: Instant) -> Stop {
        let next = || self.queue.front().map(|waiting| waiting.turn);
        let Some(turn) = turn.or_else(|| self.running()).or_else(next) else { return Stop::Unknown };
        if let Some(index) = self.queue.iter().position(|waiting| waiting.turn == turn) {
            self.queue.remove(index);
            return Stop::Dequeued(turn);
        }
        match &mut self.running {
            Some(running) if running.turn == turn && running.stop_at.is_none() => {
                running.stop_at = Some(stop_at);
                Stop::Began(turn)
            }
            _ if (1..=self.last).contains(&turn.0) => Stop::Nothing,
            _ => Stop::Unknown,
        }
    }

    /// How many turns there were, and how many of them were new messages.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.last, self.messages)
    }

    /// Ends the running turn.
    pub(crate) fn finish(&mut self, now: Instant) -> Option<Finished> {
        let Running { turn, is_recalled, began, answered, usage, .. } = self.running.take()?;
        let since_begin = |at: Instant| (!is_recalled).then(|| at.saturating_duration_since(began));
        let first_token = answered.and_then(since_begin);
        let took = since_begin(now);
        Some(Finished { turn, took, first_token, usage })
    }

    /// Ends all turns: the running one first, then in the order of the queue.
    pub(crate) fn finish_all(&mut self, now: Instant) -> Vec<Finished> {
        let running = self.finish(now);
        running
            .into_iter()
            .chain(self.queue.drain(..).map(|waiting| Finished::unasked(waiting.turn)))
            .collect()
    }
}

impl Finished {
    /// A turn that never ran.
    pub(crate) fn unasked(turn: TurnId) -> Self {
        Self { turn, took: None, first_token: None, usage: None }
    }
}

impl Running {
    fn new(turn: TurnId, is_recalled: bool, now: Instant) -> Self {
        Self {
            turn,
            is_recalled,
            stop_at: None,
            began: now,
            heard: now,
            progressed: now,
            answered: None,
            usage: None,
        }
    }

    /// When it is over even if the agent does not end it, and why.
    fn limit(&self) -> (Instant, Overdue) {
        let stalled = |why| Overdue::Stalled(self.turn, why);
        if let Some(stop_at) = self.stop_at {
            return (stop_at, Overdue::Stop);
        }
        let limits = [
            (self.heard + AGENT_SILENCE_MAX, stalled("the agent went silent")),
            (self.progressed + CHUNK_SILENCE_MAX, stalled("the agent made no progress")),
            (self.began + TURN_MAX, stalled("the turn took too long")),
        ];
        limits.into_iter().min_by_key(|(at, _)| *at).unwrap_or(limits[0])
    }
}
