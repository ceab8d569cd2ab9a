//! The session's turns as a hub shows them: the answer of `GET /history`.
//!
//! Owns the order of the turns and their bound in bytes. The model does not read them: it reads `conversation.rs`, from
//! which replaced turns are removed.

use std::collections::VecDeque;

use mayfly_protocol::agent::{HISTORY_MAX_BYTES, History, PastTurn};
use mayfly_protocol::chunk::Chunk;
use mayfly_protocol::ids::TurnId;
use serde_json::value::{RawValue, to_raw_value};

/// The completed turns, oldest first.
#[derive(Debug, Default)]
pub struct TurnHistory {
    turns: VecDeque<(PastTurn, usize)>,
    bytes: usize,
    is_truncated: bool,
}

/// A turn that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedTurn {
    /// The turn.
    pub turn: TurnId,
    /// The user's message.
    pub message: String,
    /// The client's id of the message.
    pub message_id: Option<String>,
    /// The turn that this one replaces.
    pub replaces: Option<TurnId>,
}

impl StartedTurn {
    /// Returns the completed turn: `chunks` without the terminal one, which is `end`.
    pub fn completed(self, chunks: &[Chunk], end: &Chunk) -> PastTurn {
        PastTurn { chunks: chunks.iter().filter_map(raw).collect(), end: raw(end), ..self.running() }
    }

    /// Returns the turn without an answer, as the history shows a running turn.
    pub fn running(self) -> PastTurn {
        let Self { turn, message, message_id, replaces } = self;
        PastTurn { turn, message, message_id, replaces, chunks: Vec::new(), end: None }
    }
}

fn raw(chunk: &Chunk) -> Option<Box<RawValue>> {
    // Serialization of strings, enums and JSON values into memory cannot fail.
    to_raw_value(chunk).ok()
}

impl TurnHistory {
    /// Inserts `turns` before all others. Turns that are already present are skipped.
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

    /// Adds a completed turn.
    pub fn push(&mut self, turn: PastTurn) {
        let bytes = size_bytes(&turn);
        self.bytes += bytes;
        self.turns.push_back((turn, bytes));
    }

    /// Returns all turns and the running one. Drops the oldest until the rest fits [`HISTORY_MAX_BYTES`].
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

/// Bytes of the JSON around the turns.
const ENVELOPE_BYTES: usize = r#"{"truncated":false,"turns":[]}"#.len();

/// Returns the size of a turn's JSON and the comma after it.
fn size_bytes(turn: &PastTurn) -> usize {
    serde_json::to_vec(turn).unwrap_or_default().len() + 1
}

#[cfg(test)]
mod tests {
    use mayfly_protocol::chunk::FinishReason;

    use super::*;

    const FINISH: Chunk = Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None };

    fn turn(number: u32, message_bytes: usize) -> StartedTurn {
        let message = "x".repeat(message_bytes);
        StartedTurn { turn: TurnId(number), message, message_id: None, replaces: None }
    }

    fn numbers(history: &History) -> Vec<u32> {
        history.turns.iter().map(|turn| turn.turn.0).collect()
    }

    #[test]
    fn the_oldest_turns_are_dropped() {
        let mut past = TurnHistory::default();
        for number in 1..=5 {
            past.push(turn(number, HISTORY_MAX_BYTES / 5).completed(&[Chunk::Start], &FINISH));
        }
        let history = past.history(None);
        assert_eq!((history.truncated, numbers(&history)), (true, vec![2, 3, 4, 5]));
        assert!(serde_json::to_vec(&history).unwrap().len() <= HISTORY_MAX_BYTES);

        let history = past.history(Some(turn(6, HISTORY_MAX_BYTES / 2).running()));
        assert_eq!((history.truncated, numbers(&history)), (true, vec![4, 5, 6]));
        assert!(serde_json::to_vec(&history).unwrap().len() <= HISTORY_MAX_BYTES);
    }

    #[test]
    fn restored_turns_come_first_and_once() {
        let mut past = TurnHistory::default();
        past.push(turn(2, 10).completed(&[], &FINISH));
        past.push(turn(3, 10).completed(&[], &FINISH));
        past.restore(vec![turn(1, 10).completed(&[], &FINISH), turn(2, 10).completed(&[], &FINISH)]);
        let history = past.history(None);
        assert_eq!(numbers(&history), [1, 2, 3]);
        assert!(serde_json::to_vec(&history).unwrap().len() <= past.bytes + ENVELOPE_BYTES);
    }

    #[test]
    fn a_short_history_is_complete() {
        let mut past = TurnHistory::default();
        past.push(turn(1, 10).completed(&[Chunk::Start], &FINISH));
        let history = past.history(Some(turn(2, 10).running()));
        assert_eq!((history.truncated, numbers(&history)), (false, vec![1, 2]));
        assert_eq!(history.turns[0].chunks[0].get(), r#"{"type":"start"}"#);
        assert!(history.turns[0].end.is_some() && history.turns[1].end.is_none());
    }
}
