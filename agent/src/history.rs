//! The session's turns as a hub shows them: what `GET /history` answers.
//!
//! Owns their order and their bound. Not what a model reads: that is `conversation.rs`, which forgets what was replaced.

use std::collections::VecDeque;

use mayfly_protocol::agent::{HISTORY_MAX_BYTES, History, PastTurn};
use mayfly_protocol::chunk::Chunk;
use mayfly_protocol::ids::TurnId;
use serde_json::value::{RawValue, to_raw_value};

/// The turns that are over, oldest first.
#[derive(Debug, Default)]
pub struct Past {
    turns: VecDeque<(PastTurn, usize)>,
    bytes: usize,
    is_truncated: bool,
}

/// A turn that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its name.
    pub turn: TurnId,
    /// What the person said.
    pub message: String,
    /// What the client calls that.
    pub message_id: Option<String>,
    /// The turn it takes the place of.
    pub replaces: Option<TurnId>,
}

impl Begun {
    /// The turn with its answer: every chunk but the terminal one, and that.
    pub fn ended(self, chunks: &[Chunk], end: &Chunk) -> PastTurn {
        PastTurn { chunks: chunks.iter().filter_map(raw).collect(), end: raw(end), ..self.running() }
    }

    /// The turn while it runs.
    pub fn running(self) -> PastTurn {
        let Self { turn, message, message_id, replaces } = self;
        PastTurn { turn, message, message_id, replaces, chunks: Vec::new(), end: None }
    }
}

fn raw(chunk: &Chunk) -> Option<Box<RawValue>> {
    // Strings, enums and JSON values only: serializing into memory cannot fail.
    to_raw_value(chunk).ok()
}

impl Past {
    /// Puts turns before all others; those that it has are not taken twice.
    pub fn restore(&mut self, turns: Vec<PastTurn>) {
        let now = std::mem::take(self);
        for turn in turns {
            if now.turns.iter().all(|(have, _)| have.turn != turn.turn) {
                self.push(turn);
            }
        }
        self.bytes += now.bytes;
        self.turns.extend(now.turns);
        self.is_truncated |= now.is_truncated;
    }

    /// Adds a turn that is over.
    pub fn push(&mut self, turn: PastTurn) {
        let bytes = size_bytes(&turn);
        self.bytes += bytes;
        self.turns.push_back((turn, bytes));
    }

    /// All turns, with the one that runs, as far as they fit.
    pub fn history(&mut self, running: Option<PastTurn>) -> History {
        let more = running.as_ref().map(size_bytes).unwrap_or_default() + ENVELOPE_BYTES;
        while self.bytes + more > HISTORY_MAX_BYTES {
            let Some((_, bytes)) = self.turns.pop_front() else { break };
            self.bytes -= bytes;
            self.is_truncated = true;
        }
        let turns = self.turns.iter().map(|(turn, _)| turn.clone()).chain(running).collect();
        History { truncated: self.is_truncated, turns }
    }
}

/// What stands around the turns.
const ENVELOPE_BYTES: usize = r#"{"truncated":false,"turns":[]}"#.len();

/// A turn's JSON with the comma behind it.
fn size_bytes(turn: &PastTurn) -> usize {
    serde_json::to_vec(turn).unwrap_or_default().len() + 1
}

#[cfg(test)]
mod tests {
    use mayfly_protocol::chunk::FinishReason;

    use super::*;

    const FINISH: Chunk = Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None };

    fn turn(number: u32, message_bytes: usize) -> Begun {
        let message = "x".repeat(message_bytes);
        Begun { turn: TurnId(number), message, message_id: None, replaces: None }
    }

    fn numbers(history: &History) -> Vec<u32> {
        history.turns.iter().map(|turn| turn.turn.0).collect()
    }

    #[test]
    fn the_oldest_turns_are_left_out() {
        let mut past = Past::default();
        for number in 1..=5 {
            past.push(turn(number, HISTORY_MAX_BYTES / 5).ended(&[Chunk::Start], &FINISH));
        }
        let history = past.history(None);
        assert_eq!((history.truncated, numbers(&history)), (true, vec![2, 3, 4, 5]));
        assert!(serde_json::to_vec(&history).unwrap().len() <= HISTORY_MAX_BYTES);

        let history = past.history(Some(turn(6, HISTORY_MAX_BYTES / 2).running()));
        assert_eq!((history.truncated, numbers(&history)), (true, vec![4, 5, 6]));
        assert!(serde_json::to_vec(&history).unwrap().len() <= HISTORY_MAX_BYTES);
    }

    #[test]
    fn what_was_before_comes_first_and_once() {
        let mut past = Past::default();
        past.push(turn(2, 10).ended(&[], &FINISH));
        past.push(turn(3, 10).ended(&[], &FINISH));
        past.restore(vec![turn(1, 10).ended(&[], &FINISH), turn(2, 10).ended(&[], &FINISH)]);
        let history = past.history(None);
        assert_eq!(numbers(&history), [1, 2, 3]);
        assert!(serde_json::to_vec(&history).unwrap().len() <= past.bytes + ENVELOPE_BYTES);
    }

    #[test]
    fn nothing_is_left_out_of_a_short_one() {
        let mut past = Past::default();
        past.push(turn(1, 10).ended(&[Chunk::Start], &FINISH));
        let history = past.history(Some(turn(2, 10).running()));
        assert_eq!((history.truncated, numbers(&history)), (false, vec![1, 2]));
        assert_eq!(history.turns[0].chunks[0].get(), r#"{"type":"start"}"#);
        assert!(history.turns[0].end.is_some() && history.turns[1].end.is_none());
    }
}
