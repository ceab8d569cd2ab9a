//! Which turn runs and which wait. Knows neither frames nor agents.

use std::collections::VecDeque;
use std::time::Instant;

use mayfly_protocol::ids::TurnId;

use crate::limits::{AGENT_SILENCE_MAX, CHUNK_SILENCE_MAX, QUEUE_MAX_TURNS, TURN_MAX};

#[derive(Debug, Default)]
pub(crate) struct Turns {
    last: u32,
    queue: VecDeque<Waiting>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Waiting {
    turn: TurnId,
    text: String,
}

#[derive(Debug)]
struct Running {
    turn: TurnId,
    /// When a stop that was asked for is carried out without the agent.
    stop_at: Option<Instant>,
    began: Instant,
    /// When the agent last sent anything.
    heard: Instant,
    /// When the agent last sent a chunk.
    progressed: Instant,
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

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Puts a message at the end of the queue: its turn, and how many turns come first. `None` when the queue is full.
    pub(crate) fn enqueue(&mut self, text: String) -> Option<(TurnId, usize)> {
        if self.queue.len() >= QUEUE_MAX_TURNS {
            return None;
        }
        let position = self.queue.len() + usize::from(self.running.is_some());
        self.last += 1;
        let turn = TurnId(self.last);
        self.queue.push_back(Waiting { turn, text });
        Some((turn, position))
    }

    /// Makes the first of the queue the running turn, unless one runs.
    pub(crate) fn start_next(&mut self, now: Instant) -> Option<(TurnId, String)> {
        if self.running.is_some() {
            return None;
        }
        let Waiting { turn, text } = self.queue.pop_front()?;
        self.running = Some(Running { turn, stop_at: None, began: now, heard: now, progressed: now });
        Some((turn, text))
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

    /// Ends the running turn.
    pub(crate) fn finish(&mut self) -> Option<TurnId> {
        self.running.take().map(|running| running.turn)
    }

    /// Ends all turns: the running one first, then in the order of the queue.
    pub(crate) fn finish_all(&mut self) -> Vec<TurnId> {
        let running = self.finish();
        running.into_iter().chain(self.queue.drain(..).map(|waiting| waiting.turn)).collect()
    }
}

impl Running {
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
