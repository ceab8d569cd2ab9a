//! The log of numbered frames, as far back as they are kept. It knows no sockets; its owner says where they are.
//!
//! ```text
//!   forgotten | settled: adjacent deltas of a part merged | recent: each frame as it was sent | head
//! ```
//!
//! Old frames are settled, older ones are forgotten. A snapshot shows all frames that are kept. A client that has the
//! transcript up to the end of a kept frame can resume after that frame.

use std::collections::VecDeque;

use bytes::Bytes;
use mayfly_protocol::hub::{SnapshotReason, snapshot_json};
use mayfly_protocol::ids::TurnId;

use crate::chunk::{self, Delta, DeltaKind};
use crate::limits::{LOG_ENTRY_OVERHEAD_BYTES, LOG_MAX_BYTES, MERGED_MAX_BYTES, RECENT_MAX_BYTES};

#[derive(Debug, Default)]
pub(crate) struct Log {
    settled: VecDeque<Settled>,
    settled_bytes: usize,
    recent: VecDeque<Recent>,
    recent_bytes: usize,
    head: u64,
    written_bytes: u64,
    is_truncated: bool,
}

/// The subject of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Session,
    Turn(TurnId),
    /// A turn that begins with the frame.
    NewTurn(TurnId),
}

/// A frame as it was sent.
#[derive(Debug)]
struct Recent {
    frame: Bytes,
    subject: Subject,
    delta: Option<Delta>,
}

/// Frames `from ..= seq`, as one.
#[derive(Debug)]
struct Settled {
    from: u64,
    seq: u64,
    subject: Subject,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Frame(Bytes),
    Deltas { turn: TurnId, kind: DeltaKind, part: Box<[u8]>, text: Vec<u8> },
}

impl Subject {
    /// Returns the turn, if the subject is one.
    pub(crate) fn turn(self) -> Option<TurnId> {
        match self {
            Self::Session => None,
            Self::Turn(turn) | Self::NewTurn(turn) => Some(turn),
        }
    }
}

impl Log {
    /// Marks the log as incomplete: frames before its first one are unknown.
    pub(crate) fn begin_truncated(&mut self) {
        self.is_truncated = true;
    }

    /// Returns the last number in use; 0 before the first.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Returns the bytes of all frames so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Returns the bytes of the frames that are kept, with their overhead.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.settled_bytes + self.recent_bytes
    }

    /// Returns the number of the oldest frame that is kept; `head + 1` if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.settled.front().map_or_else(|| self.first_recent(), |settled| settled.from)
    }

    /// Adds the frame that has the number `head + 1`.
    pub(crate) fn push(&mut self, subject: Subject, frame: Vec<u8>) {
        self.head += 1;
        self.push_recent(Recent { frame: frame.into(), subject, delta: None });
    }

    /// Adds the frame of an inspected chunk, whose parts are at `delta`.
    pub(crate) fn push_chunk(&mut self, turn: TurnId, data: &[u8], delta: Option<Delta>) {
        self.head += 1;
        let frame = Bytes::from(chunk::splice(data, self.head, turn));
        let delta = delta.map(|delta| delta.moved(frame.len() - data.len()));
        self.push_recent(Recent { frame, subject: Subject::Turn(turn), delta });
    }

    fn push_recent(&mut self, recent: Recent) {
        self.written_bytes += recent.frame.len() as u64;
        self.recent_bytes += cost(recent.frame.len());
        self.recent.push_back(recent);
    }

    /// Returns the frame that begins with this number, the number it ends with, and its subject.
    pub(crate) fn get(&self, from: u64) -> Option<(Bytes, u64, Subject)> {
        if let Some(index) = from.checked_sub(self.first_recent()) {
            let recent = self.recent.get(usize::try_from(index).ok()?)?;
            return Some((recent.frame.clone(), from, recent.subject));
        }
        let index = self.settled.binary_search_by_key(&from, |settled| settled.from).ok()?;
        let settled = self.settled.get(index)?;
        Some((settled.frame(), settled.seq, settled.subject))
    }

    /// Checks that a client that has the transcript up to `after` can go on from there.
    ///
    /// # Errors
    /// Returns the reason why it needs a snapshot.
    pub(crate) fn follows(&self, after: u64) -> Result<(), SnapshotReason> {
        if after > self.head {
            return Err(SnapshotReason::Gap);
        }
        if after + 1 < self.first() {
            return Err(SnapshotReason::Gone);
        }
        if after == self.head || self.get(after + 1).is_some() { Ok(()) } else { Err(SnapshotReason::Gap) }
    }

    /// Returns all frames that are kept as one `session.snapshot` frame.
    pub(crate) fn snapshot(&self, why: SnapshotReason) -> Bytes {
        let settled = self.settled.iter().map(Settled::frame);
        let recent = self.recent.iter().map(|recent| recent.frame.clone());
        let frames: Vec<Bytes> = settled.chain(recent).collect();
        snapshot_json(frames.iter().map(AsRef::as_ref), self.is_truncated, why).into()
    }

    /// Settles frames that are no longer recent, and forgets the oldest past [`LOG_MAX_BYTES`], if possible in whole
    /// turns. `is_next` returns `true` if some socket's next frame begins with a number; that frame is not merged into
    /// another.
    pub(crate) fn compact(&mut self, is_next: impl Fn(u64) -> bool) {
        while self.recent_bytes > RECENT_MAX_BYTES {
            self.settle(&is_next);
        }
        if self.settled_bytes + self.recent_bytes <= LOG_MAX_BYTES {
            return;
        }
        self.is_truncated = true;
        while self.settled_bytes + self.recent_bytes > LOG_MAX_BYTES / 4 * 3 {
            self.forget();
        }
        if let Some(turn) =
            self.settled.iter().position(|settled| matches!(settled.subject, Subject::NewTurn(_)))
        {
            (0..turn).for_each(|_| self.forget());
        }
    }

    fn first_recent(&self) -> u64 {
        self.head + 1 - self.recent.len() as u64
    }

    /// Turns the oldest recent frame into a settled one, or merges it into the last settled one.
    fn settle(&mut self, is_next: impl Fn(u64) -> bool) {
        let seq = self.first_recent();
        let Some(Recent { frame, subject, delta }) = self.recent.pop_front() else { return };
        self.recent_bytes -= cost(frame.len());
        let Some((turn, delta)) = subject.turn().zip(delta) else {
            return self.push_settled(Settled { from: seq, seq, subject, content: Content::Frame(frame) });
        };
        let part = frame.get(delta.part).unwrap_or_default();
        let text = frame.get(delta.text).unwrap_or_default();
        let kind = delta.kind;
        if let Some(last) = self.settled.back_mut()
            && last.continues_with(turn, kind, part, text)
            && !is_next(seq)
            && let Content::Deltas { text: before, .. } = &mut last.content
        {
            before.extend_from_slice(text);
            last.seq = seq;
            self.settled_bytes += text.len();
            return;
        }
        let content = Content::Deltas { turn, kind, part: part.into(), text: text.to_vec() };
        self.push_settled(Settled { from: seq, seq, subject, content });
    }

    fn push_settled(&mut self, settled: Settled) {
        self.settled_bytes += settled.cost();
        self.settled.push_back(settled);
    }

    fn forget(&mut self) {
        if let Some(settled) = self.settled.pop_front() {
            self.settled_bytes -= settled.cost();
        }
    }
}

impl Settled {
    fn frame(&self) -> Bytes {
        match &self.content {
            Content::Frame(frame) => frame.clone(),
            Content::Deltas { turn, kind, part, text } => {
                let [name, part_key, text_key] = kind.names();
                let Self { from, seq, .. } = self;
                let head = if from == seq { "{".to_owned() } else { format!(r#"{{"from":{from},"#) };
                let head = format!(r#"{head}"seq":{seq},"turn":"{turn}","type":"{name}","{part_key}":""#);
                [head.as_bytes(), part, br#"",""#, text_key.as_bytes(), br#"":""#, text, br#""}"#]
                    .concat()
                    .into()
            }
        }
    }

    fn continues_with(&self, turn: TurnId, kind: DeltaKind, part: &[u8], more: &[u8]) -> bool {
        match &self.content {
            Content::Frame(_) => false,
            Content::Deltas { turn: t, kind: k, part: p, text } => {
                (*t, *k, &**p) == (turn, kind, part) && text.len() + more.len() <= MERGED_MAX_BYTES
            }
        }
    }

    fn cost(&self) -> usize {
        match &self.content {
            Content::Frame(frame) => cost(frame.len()),
            Content::Deltas { part, text, .. } => cost(part.len() + text.len()),
        }
    }
}

fn cost(bytes: usize) -> usize {
    bytes + LOG_ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::chunk::inspect;

    fn say(log: &mut Log, turn: u32, part: &str, text: &str) {
        let data = format!(r#"{{"type":"text-delta","id":"{part}","delta":"{text}"}}"#);
        let delta = inspect(data.as_bytes()).unwrap().delta;
        log.push_chunk(TurnId(turn), data.as_bytes(), delta);
    }

    fn begin_turn(log: &mut Log, bytes: usize) {
        let frame = format!(r#"{{"seq":{},"x":"{}"}}"#, log.head() + 1, "x".repeat(bytes));
        log.push(Subject::NewTurn(TurnId(1)), frame.into_bytes());
    }

    fn settle_all(log: &mut Log, is_next: impl Fn(u64) -> bool) {
        while !log.recent.is_empty() {
            log.settle(&is_next);
        }
    }

    fn json(log: &Log, from: u64) -> Value {
        serde_json::from_slice(&log.get(from).unwrap().0).unwrap()
    }

    #[test]
    fn numbers_start_at_one_without_gaps() {
        let mut log = Log::default();
        assert_eq!((log.first(), log.head()), (1, 0));
        for _ in 0..3 {
            begin_turn(&mut log, 0);
        }
        assert_eq!((log.first(), log.head()), (1, 3));
        assert_eq!((json(&log, 1)["seq"].as_u64(), json(&log, 3)["seq"].as_u64()), (Some(1), Some(3)));
        assert_eq!((log.get(0), log.get(4)), (None, None));
    }

    #[test]
    fn adjacent_deltas_of_a_part_are_merged() {
        let mut log = Log::default();
        for (part, text) in [("a", "x\\n"), ("a", "\\ud83d"), ("a", "\\ude00"), ("b", "y"), ("a", "z")] {
            say(&mut log, 1, part, text);
        }
        say(&mut log, 2, "a", "w");
        settle_all(&mut log, |_| false);
        let merged = json(&log, 1);
        assert_eq!((merged["from"].as_u64(), merged["seq"].as_u64()), (Some(1), Some(3)));
        assert_eq!((merged["turn"].as_str(), merged["type"].as_str()), (Some("t1"), Some("text-delta")));
        assert_eq!((merged["id"].as_str(), merged["delta"].as_str()), (Some("a"), Some("x\n😀")));
        assert_eq!((log.get(2), log.get(1).map(|(_, seq, _)| seq)), (None, Some(3)));
        for (from, text) in [(4, "y"), (5, "z"), (6, "w")] {
            assert_eq!(
                (json(&log, from)["from"].as_u64(), json(&log, from)["delta"].as_str()),
                (None, Some(text))
            );
        }
    }

    #[test]
    fn merging_keeps_the_next_frame_of_a_socket() {
        let mut log = Log::default();
        for text in ["a", "b", "c"] {
            say(&mut log, 1, "p", text);
        }
        settle_all(&mut log, |seq| seq == 2);
        assert_eq!(
            (json(&log, 1)["delta"].as_str(), json(&log, 2)["delta"].as_str()),
            (Some("a"), Some("bc"))
        );
    }

    #[test]
    fn merged_deltas_are_bounded() {
        let mut log = Log::default();
        let text = "x".repeat(MERGED_MAX_BYTES / 2);
        (0..3).for_each(|_| say(&mut log, 1, "p", &text));
        settle_all(&mut log, |_| false);
        let end = |from| log.get(from).map(|(_, seq, _)| seq);
        assert_eq!((end(1), end(3)), (Some(2), Some(3)));
    }

    #[test]
    fn resume_is_possible_where_a_kept_frame_ends() {
        let mut log = Log::default();
        for text in ["a", "b", "c"] {
            say(&mut log, 1, "p", text);
        }
        assert_eq!([0, 1, 2, 3].map(|after| log.follows(after)), [Ok(()); 4]);
        assert_eq!([4, u64::MAX].map(|after| log.follows(after)), [Err(SnapshotReason::Gap); 2]);
        settle_all(&mut log, |_| false);
        let gap = Err(SnapshotReason::Gap);
        assert_eq!([0, 1, 2, 3].map(|after| log.follows(after)), [Ok(()), gap, gap, Ok(())]);
        log.forget();
        assert_eq!(log.follows(0), Err(SnapshotReason::Gone));
        assert_eq!(log.follows(3), Ok(()));
    }

    #[test]
    fn recent_frames_are_not_settled() {
        let mut log = Log::default();
        say(&mut log, 1, "p", &"a".repeat(800));
        begin_turn(&mut log, RECENT_MAX_BYTES - 1_500);
        say(&mut log, 1, "p", "b");
        log.compact(|_| false);
        assert_eq!((log.settled.len(), log.recent.len()), (0, 3));
        begin_turn(&mut log, 400);
        log.compact(|_| false);
        assert_eq!((log.settled.len(), log.recent.len(), log.is_truncated), (1, 3, false));
        assert!(log.recent_bytes <= RECENT_MAX_BYTES);
    }

    #[test]
    fn oldest_turns_are_forgotten_as_a_whole() {
        let mut log = Log::default();
        let turn_bytes = LOG_MAX_BYTES / 16;
        while !log.is_truncated {
            begin_turn(&mut log, 0);
            for part in ["p", "q", "r"] {
                say(&mut log, 1, part, &"x".repeat(turn_bytes / 3));
            }
            log.compact(|_| false);
            assert!(log.settled_bytes + log.recent_bytes <= LOG_MAX_BYTES);
        }
        assert!(log.first() > 1 && log.settled[0].subject == Subject::NewTurn(TurnId(1)));
        assert!(log.settled_bytes + log.recent_bytes > LOG_MAX_BYTES / 2, "more is forgotten than need be");
        let snapshot: Value = serde_json::from_slice(&log.snapshot(SnapshotReason::Gone)).unwrap();
        assert_eq!((snapshot["why"].as_str(), snapshot["truncated"].as_bool()), (Some("gone"), Some(true)));
        let frames = snapshot["frames"].as_array().unwrap();
        assert_eq!(frames[0]["seq"].as_u64(), Some(log.first()));
        assert_eq!(frames.last().unwrap()["seq"].as_u64(), Some(log.head()));
    }
}
