//! A client that builds a transcript from its frames and checks that they cover the log without gap or overlap.
//!
//! The tests of the session core and the end-to-end tests share it.

use std::collections::BTreeMap;

use serde_json::Value;

/// The transcript of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Numbered frames of the session itself, one on a line.
    pub statuses: String,
    /// Frames of each turn, from its message to its end, with adjacent deltas merged.
    pub turns: BTreeMap<u64, String>,
}

/// A client that folds frames into a [`Transcript`] in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// The last sequence number received.
    pub head: u64,
    /// `true` if the transcript misses its beginning, because the hub had already dropped it before the snapshot.
    pub is_truncated: bool,
    /// The transcript so far.
    pub transcript: Transcript,
    /// The sequence number that the snapshot, expected as the next frame, must reach.
    expected_snapshot: Option<u64>,
}

impl Fold {
    /// Continues on another socket. A snapshot that the last socket announced is no longer expected.
    pub fn reconnect(&mut self) {
        self.expected_snapshot = None;
    }

    /// Adds the next frame, of any type.
    ///
    /// # Panics
    /// If the frame leaves a gap, repeats an earlier one, or comes instead of an announced snapshot.
    pub fn receive(&mut self, frame: &Value) {
        if let Some(head) = self.expected_snapshot.take() {
            assert_eq!(frame["type"], "session.snapshot", "an announced snapshot comes next");
            return self.replace(frame, head);
        }
        assert_ne!(frame["type"], "session.snapshot", "an unannounced snapshot");
        if frame["type"] == "session.ready" {
            let is_new = frame["token"].is_string();
            assert!(
                !is_new || frame["head"] == 0 && frame["resumed"] == false,
                "a new session has no record"
            );
            self.expected_snapshot = frame["head"].as_u64().filter(|_| !is_new && frame["resumed"] == false);
        }
        self.append_numbered(frame);
    }

    /// Adds a numbered frame, which must be the next one. Only `turn.accepted` may repeat: it answers a message that
    /// was sent again.
    fn append_numbered(&mut self, frame: &Value) {
        let Some(seq) = frame["seq"].as_u64() else { return };
        let from = frame["from"].as_u64().unwrap_or(seq);
        if seq <= self.head {
            assert_eq!(frame["type"], "turn.accepted", "a frame twice: {frame}");
            return;
        }
        assert_eq!(from, self.head + 1, "a gap or an overlap: {frame}");
        assert!(from == seq || delta(frame).is_some(), "no delta was merged: {frame}");
        self.head = seq;
        self.append(frame);
    }

    /// Replaces the transcript with a snapshot.
    fn replace(&mut self, snapshot: &Value, head: u64) {
        let frames = snapshot["frames"].as_array().expect("a snapshot has frames");
        let begin = frames
            .first()
            .map(|frame| frame["from"].as_u64().or(frame["seq"].as_u64()).expect("a frame has a number"));
        let is_truncated = snapshot["truncated"] == true;
        let before = begin.map_or(head, |begin| begin - 1);
        assert!(is_truncated || begin.is_none() || begin == Some(1), "the snapshot leaves out frames");
        *self = Self { head: before, is_truncated, ..Self::default() };
        frames.iter().for_each(|frame| self.append_numbered(frame));
        assert_eq!(self.head, head, "a snapshot ends at the head");
    }

    fn append(&mut self, frame: &Value) {
        let Some(turn) = frame["turn"].as_str().map(|turn| turn[1..].parse().expect("a turn has a number"))
        else {
            return self.transcript.statuses += &format!("{frame}\n");
        };
        let text = self.transcript.turns.entry(turn).or_default();
        if let Some((part, delta)) = delta(frame) {
            let part = format!("\n\"{part}: ");
            if text.rfind("\n\"").is_none_or(|begin| !text[begin..].starts_with(&part)) {
                *text += &part;
            }
            *text += delta.as_str().expect("a delta has text");
        } else {
            let mut frame = frame.clone();
            let object = frame.as_object_mut().expect("a frame is an object");
            // These differ between runs.
            object.retain(|key, _| !["seq", "ttft_ms", "took_ms"].contains(&key.as_str()));
            *text += &format!("\n{frame}");
        }
    }
}

/// Returns the part that a delta extends, and its text. Returns `None` for frames that are never merged.
fn delta(frame: &Value) -> Option<(String, &Value)> {
    let kind = frame["type"].as_str()?;
    let (part, text) = match kind {
        "text-delta" | "reasoning-delta" => (&frame["id"], &frame["delta"]),
        "tool-input-delta" => (&frame["toolCallId"], &frame["inputTextDelta"]),
        _ => return None,
    };
    Some((format!("{kind} {part}"), text))
}
