//! The events of one turn: written once by the turn, read from the start by every caller.
//!
//! Owns the order of the events, their bound in bytes, and the guarantee that they end in exactly one terminal chunk,
//! even if the turn panics. Dropping a reader has no effect on the turn.

use std::sync::Arc;

use mayfly_protocol::agent::PastTurn;
use mayfly_protocol::chunk::Chunk;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::limits::{MERGED_MAX_BYTES, TURN_MAX_BYTES};

/// The events of a turn so far.
#[derive(Debug, Default)]
struct TurnEvents {
    /// Chunks as JSON, each on one line.
    list: Vec<Arc<str>>,
    bytes: usize,
    /// All chunks but the terminal one, with adjacent deltas of a part merged.
    merged: Vec<Chunk>,
    /// The text of all text parts, separated by blank lines.
    text: String,
    terminal: Option<Chunk>,
}

/// The writing half of a turn's events, held by the turn.
pub struct EventWriter {
    events: watch::Sender<TurnEvents>,
}

/// A reading half of a turn's events. Cheap to clone.
#[derive(Clone)]
pub struct EventReader {
    events: watch::Receiver<TurnEvents>,
    next: usize,
}

/// The outcome of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The text of the answer.
    pub text: String,
    /// The terminal chunk.
    pub terminal: Chunk,
}

/// Returns both halves of a turn's events, without an event.
pub fn channel() -> (EventWriter, EventReader) {
    let (sender, receiver) = watch::channel(TurnEvents::default());
    (EventWriter { events: sender }, EventReader { events: receiver, next: 0 })
}

/// Returns the events of a completed turn, merged as they were saved, or `None` if `past` has no valid terminal chunk.
pub fn replay(past: &PastTurn) -> Option<EventReader> {
    let chunk = |json: &RawValue| serde_json::from_str::<Chunk>(json.get()).ok();
    let end = past.end.as_deref().and_then(chunk).filter(Chunk::is_terminal)?;
    let (writer, reader) = channel();
    for json in &past.chunks {
        writer.write(&chunk(json)?);
    }
    writer.end(&end);
    Some(reader)
}

impl EventWriter {
    /// Adds a chunk.
    pub fn write(&self, chunk: &Chunk) {
        self.events.send_modify(|events| events.push(chunk));
    }

    /// Returns `true` if the events have reached [`TURN_MAX_BYTES`].
    pub fn is_full(&self) -> bool {
        self.events.borrow().bytes >= TURN_MAX_BYTES
    }

    /// Returns all chunks but the terminal one, with adjacent deltas of a part merged.
    pub fn merged(&self) -> Vec<Chunk> {
        self.events.borrow().merged.clone()
    }

    /// Adds the terminal chunk.
    pub fn end(self, terminal: &Chunk) {
        debug_assert!(terminal.is_terminal(), "only a terminal chunk ends a turn");
        self.write(terminal);
    }
}

/// Returns the terminal chunk of a turn that panicked.
pub fn failure() -> Chunk {
    Chunk::Error {
        error_text: "the agent failed while it answered".to_owned(),
        code: None,
        message_metadata: None,
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        if self.events.borrow().terminal.is_none() {
            self.write(&failure());
        }
    }
}

impl TurnEvents {
    fn push(&mut self, chunk: &Chunk) {
        if self.terminal.is_some() {
            return;
        }
        if matches!(chunk, Chunk::TextStart { .. }) && !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        if let Chunk::TextDelta { delta, .. } = chunk {
            self.text.push_str(delta);
        }
        if chunk.is_terminal() {
            self.terminal = Some(chunk.clone());
        } else if !self.merged.last_mut().is_some_and(|last| append_delta(last, chunk)) {
            self.merged.push(chunk.clone());
        }
        let event = chunk.to_json();
        self.bytes += event.len();
        self.list.push(event.into());
    }
}

/// Appends a delta to the previous chunk if both belong to one part. Returns `true` if it did.
fn append_delta(last: &mut Chunk, chunk: &Chunk) -> bool {
    let ((Chunk::TextDelta { id, delta }, Chunk::TextDelta { id: same, delta: more })
    | (Chunk::ReasoningDelta { id, delta }, Chunk::ReasoningDelta { id: same, delta: more })) = (last, chunk)
    else {
        return false;
    };
    let fits = id == same && delta.len() + more.len() <= MERGED_MAX_BYTES;
    if fits {
        delta.push_str(more);
    }
    fits
}

impl EventReader {
    /// Returns a reader of the same events from their start.
    pub fn from_start(&self) -> Self {
        Self { events: self.events.clone(), next: 0 }
    }

    /// Returns a reader of the same events after number `last`, or `None` if there is no event with this number yet.
    pub fn after(&self, last: usize) -> Option<Self> {
        let is_there = last <= self.events.borrow().list.len();
        is_there.then(|| Self { events: self.events.clone(), next: last })
    }

    /// Waits for the next event and returns it with its number, counted from 1. Returns `None` after the terminal event.
    pub async fn next(&mut self) -> Option<(usize, Arc<str>)> {
        let next = self.next;
        // The writer adds a terminal event before it is dropped, so that waiting cannot fail.
        let events = self
            .events
            .wait_for(|events| events.list.len() > next || events.terminal.is_some())
            .await
            .ok()?;
        let event = events.list.get(next).cloned()?;
        self.next += 1;
        Some((self.next, event))
    }

    /// Waits for the end of the turn and returns its outcome.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        let events = self.events.wait_for(|events| events.terminal.is_some()).await.ok()?;
        let terminal = events.terminal.clone()?;
        Some(Outcome { text: events.text.clone(), terminal })
    }

    /// Returns `true` if the turn has ended.
    pub fn has_ended(&self) -> bool {
        self.events.borrow().terminal.is_some()
    }
}

#[cfg(test)]
mod tests {
    use mayfly_protocol::chunk::FinishReason;

    use super::*;

    const FINISH: Chunk = Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None };

    async fn rest(reader: &mut EventReader) -> Vec<(usize, String)> {
        let mut events = Vec::new();
        while let Some((number, event)) = reader.next().await {
            events.push((number, event.to_string()));
        }
        events
    }

    #[tokio::test]
    async fn every_reader_gets_every_event() {
        let (writer, mut early) = channel();
        writer.write(&Chunk::Start);
        assert_eq!(early.next().await, Some((1, r#"{"type":"start"}"#.into())));
        let mut late = early.from_start();
        writer.write(&Chunk::StartStep);
        writer.end(&FINISH);
        assert_eq!(rest(&mut early).await.len(), 2);
        let all = rest(&mut late).await;
        assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(late.has_ended());
    }

    #[tokio::test]
    async fn a_dropped_writer_ends_with_an_error() {
        let (writer, mut reader) = channel();
        writer.write(&Chunk::Start);
        drop(writer);
        let events = rest(&mut reader).await;
        assert_eq!(events.len(), 2);
        assert!(events[1].1.starts_with(r#"{"type":"error""#), "{events:?}");
    }

    #[tokio::test]
    async fn the_outcome_has_all_text() {
        let (writer, mut reader) = channel();
        for id in ["a", "b"] {
            writer.write(&Chunk::TextStart { id: id.into() });
            writer.write(&Chunk::TextDelta { id: id.into(), delta: format!("{id}1 ") });
            writer.write(&Chunk::TextDelta { id: id.into(), delta: format!("{id}2") });
            writer.write(&Chunk::TextEnd { id: id.into() });
        }
        writer.end(&FINISH);
        let outcome = reader.outcome().await;
        assert_eq!(outcome, Some(Outcome { text: "a1 a2\n\nb1 b2".to_owned(), terminal: FINISH }));
    }

    #[tokio::test]
    async fn a_reader_can_continue_after_an_event() {
        let (writer, reader) = channel();
        writer.write(&Chunk::Start);
        assert!(reader.after(2).is_none());
        let mut second = reader.after(1).unwrap();
        writer.end(&FINISH);
        assert_eq!(rest(&mut second).await, [(2, FINISH.to_json())]);
        assert!(rest(&mut reader.after(2).unwrap()).await.is_empty());
    }

    #[test]
    fn only_adjacent_deltas_of_a_part_are_merged() {
        let (writer, _reader) = channel();
        let delta = |id: &str, delta: &str| Chunk::TextDelta { id: id.into(), delta: delta.into() };
        let long = "x".repeat(MERGED_MAX_BYTES);
        for (id, text) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("a", &long)] {
            writer.write(&delta(id, text));
        }
        assert_eq!(writer.merged(), [delta("a", "12"), delta("b", "3"), delta("a", "4"), delta("a", &long)]);
    }

    #[test]
    fn events_are_full_at_their_bound() {
        let (writer, _reader) = channel();
        writer.write(&Chunk::TextDelta { id: "a".into(), delta: "x".repeat(TURN_MAX_BYTES / 2) });
        assert!(!writer.is_full());
        writer.write(&Chunk::TextDelta { id: "a".into(), delta: "x".repeat(TURN_MAX_BYTES / 2) });
        assert!(writer.is_full());
    }
}
