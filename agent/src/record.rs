//! The events of one turn, as they come: written once by the turn, read from the start by every caller.
//!
//! Owns the order, the bound, and the promise that a record ends in exactly one terminal chunk, even if its turn panics.
//! A reader that leaves changes nothing.

use std::sync::Arc;

use mayfly_protocol::agent::PastTurn;
use mayfly_protocol::chunk::Chunk;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::limits::{MERGED_MAX_BYTES, TURN_MAX_BYTES};

/// What happened in a turn so far.
#[derive(Debug, Default)]
struct Record {
    /// Chunks as JSON, each on one line.
    events: Vec<Arc<str>>,
    bytes: usize,
    /// All but the terminal chunk, adjacent deltas of a part as one.
    merged: Vec<Chunk>,
    /// All text, its pieces a blank line apart.
    text: String,
    terminal: Option<Chunk>,
}

/// The turn's end of a record.
pub struct Writer {
    record: watch::Sender<Record>,
}

/// A caller's end of a record.
#[derive(Clone)]
pub struct Reader {
    record: watch::Receiver<Record>,
    next: usize,
}

/// How a turn ended, with all of its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What the agent said.
    pub text: String,
    /// The last chunk.
    pub terminal: Chunk,
}

/// An empty record.
pub fn record() -> (Writer, Reader) {
    let (sender, receiver) = watch::channel(Record::default());
    (Writer { record: sender }, Reader { record: receiver, next: 0 })
}

/// The record of a turn that was over before, merged as it was kept; none when it is no such turn's.
pub fn of(past: &PastTurn) -> Option<Reader> {
    let chunk = |json: &RawValue| serde_json::from_str::<Chunk>(json.get()).ok();
    let end = past.end.as_deref().and_then(chunk).filter(Chunk::is_terminal)?;
    let (writer, reader) = record();
    for json in &past.chunks {
        writer.write(&chunk(json)?);
    }
    writer.end(&end);
    Some(reader)
}

impl Writer {
    /// Adds a chunk.
    pub fn write(&self, chunk: &Chunk) {
        self.record.send_modify(|record| record.push(chunk));
    }

    /// Whether the turn has said as much as it may.
    pub fn is_full(&self) -> bool {
        self.record.borrow().bytes >= TURN_MAX_BYTES
    }

    /// All but the terminal chunk, adjacent deltas of a part as one.
    pub fn merged(&self) -> Vec<Chunk> {
        self.record.borrow().merged.clone()
    }

    /// Adds the terminal chunk.
    pub fn end(self, terminal: &Chunk) {
        debug_assert!(terminal.is_terminal(), "only a terminal chunk ends a record");
        self.write(terminal);
    }
}

/// The end of a turn that panicked.
pub fn failed() -> Chunk {
    Chunk::Error {
        error_text: "the agent failed while it answered".to_owned(),
        code: None,
        message_metadata: None,
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.record.borrow().terminal.is_none() {
            self.write(&failed());
        }
    }
}

impl Record {
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
        } else if !self.merged.last_mut().is_some_and(|last| continues(last, chunk)) {
            self.merged.push(chunk.clone());
        }
        let event = chunk.to_json();
        self.bytes += event.len();
        self.events.push(event.into());
    }
}

/// Appends a delta to the one before it, if both are of one part.
fn continues(last: &mut Chunk, chunk: &Chunk) -> bool {
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

impl Reader {
    /// The same record from its start.
    pub fn from_start(&self) -> Self {
        Self { record: self.record.clone(), next: 0 }
    }

    /// The same record, without the events up to number `last`; none when it has no such event yet.
    pub fn after(&self, last: usize) -> Option<Self> {
        let is_there = last <= self.record.borrow().events.len();
        is_there.then(|| Self { record: self.record.clone(), next: last })
    }

    /// The next event and its number, from 1; nothing after the terminal one.
    pub async fn next(&mut self) -> Option<(usize, Arc<str>)> {
        let next = self.next;
        // The writer ends its record before it is gone, so there is no other error than the end.
        let record = self
            .record
            .wait_for(|record| record.events.len() > next || record.terminal.is_some())
            .await
            .ok()?;
        let event = record.events.get(next).cloned()?;
        self.next += 1;
        Some((self.next, event))
    }

    /// Waits for the turn to end.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        let record = self.record.wait_for(|record| record.terminal.is_some()).await.ok()?;
        let terminal = record.terminal.clone()?;
        Some(Outcome { text: record.text.clone(), terminal })
    }

    /// Whether the turn has ended.
    pub fn has_ended(&self) -> bool {
        self.record.borrow().terminal.is_some()
    }
}

#[cfg(test)]
mod tests {
    use mayfly_protocol::chunk::FinishReason;

    use super::*;

    const FINISH: Chunk = Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None };

    async fn rest(reader: &mut Reader) -> Vec<(usize, String)> {
        let mut events = Vec::new();
        while let Some((number, event)) = reader.next().await {
            events.push((number, event.to_string()));
        }
        events
    }

    #[tokio::test]
    async fn every_reader_gets_everything() {
        let (writer, mut early) = record();
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
    async fn a_record_that_is_dropped_ends_with_an_error() {
        let (writer, mut reader) = record();
        writer.write(&Chunk::Start);
        drop(writer);
        let events = rest(&mut reader).await;
        assert_eq!(events.len(), 2);
        assert!(events[1].1.starts_with(r#"{"type":"error""#), "{events:?}");
    }

    #[tokio::test]
    async fn an_outcome_has_all_text() {
        let (writer, mut reader) = record();
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
    async fn one_can_read_on_after_an_event() {
        let (writer, reader) = record();
        writer.write(&Chunk::Start);
        assert!(reader.after(2).is_none());
        let mut second = reader.after(1).unwrap();
        writer.end(&FINISH);
        assert_eq!(rest(&mut second).await, [(2, FINISH.to_json())]);
        assert!(rest(&mut reader.after(2).unwrap()).await.is_empty());
    }

    #[test]
    fn only_adjacent_deltas_of_a_part_are_merged() {
        let (writer, _reader) = record();
        let delta = |id: &str, delta: &str| Chunk::TextDelta { id: id.into(), delta: delta.into() };
        let long = "x".repeat(MERGED_MAX_BYTES);
        for (id, text) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("a", &long)] {
            writer.write(&delta(id, text));
        }
        assert_eq!(writer.merged(), [delta("a", "12"), delta("b", "3"), delta("a", "4"), delta("a", &long)]);
    }

    #[test]
    fn it_is_full_at_its_bound() {
        let (writer, _reader) = record();
        writer.write(&Chunk::TextDelta { id: "a".into(), delta: "x".repeat(TURN_MAX_BYTES / 2) });
        assert!(!writer.is_full());
        writer.write(&Chunk::TextDelta { id: "a".into(), delta: "x".repeat(TURN_MAX_BYTES / 2) });
        assert!(writer.is_full());
    }
}
