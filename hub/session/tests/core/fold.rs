//! What a client makes of the frames it gets: the transcript, and whether they cover the record without gap or overlap.
//! Also the auditor of end-to-end tests.

use std::collections::BTreeMap;

use serde_json::Value;

/// A client's transcript.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// What the record says of the session itself.
    pub statuses: String,
    /// What it says of each turn: the message, the answer, how it was done.
    pub turns: BTreeMap<u64, String>,
}

/// A client that folds frames as they come.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// The last number it has.
    pub head: u64,
    /// Whether it has not seen all: what came before its snapshot was forgotten.
    pub is_truncated: bool,
    /// What came of it all.
    pub transcript: Transcript,
    /// A snapshot must come next, up to this number.
    promise: Option<u64>,
}

impl Fold {
    /// Goes on with another socket: what the last one promised is void.
    pub fn reconnect(&mut self) {
        self.promise = None;
    }

    /// Takes a frame of any kind, as it comes.
    ///
    /// # Panics
    /// When it breaks a promise, leaves a gap or comes twice.
    pub fn hear(&mut self, frame: &Value) {
        if let Some(head) = self.promise.take() {
            assert_eq!(frame["type"], "session.snapshot", "a promise is kept");
            return self.replace(frame, head);
        }
        assert_ne!(frame["type"], "session.snapshot", "a snapshot that was not promised");
        if frame["type"] == "session.ready" {
            let is_new = frame["token"].is_string();
            assert!(!is_new || frame["head"] == 0 && frame["resumed"] == false, "a new session has no past");
            self.promise = frame["head"].as_u64().filter(|_| !is_new && frame["resumed"] == false);
        }
        self.take(frame);
    }

    /// Takes a frame of the record, which must be the next. One that it has is only ever the answer to a message that
    /// was sent again.
    fn take(&mut self, frame: &Value) {
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

    /// Takes a snapshot in place of all it has.
    fn replace(&mut self, snapshot: &Value, head: u64) {
        let frames = snapshot["frames"].as_array().expect("a snapshot has frames");
        let begin = frames
            .first()
            .map(|frame| frame["from"].as_u64().or(frame["seq"].as_u64()).expect("a frame has a number"));
        let is_truncated = snapshot["truncated"] == true;
        let before = begin.map_or(head, |begin| begin - 1);
        assert!(is_truncated || begin.is_none() || begin == Some(1), "something is left out");
        *self = Self { head: before, is_truncated, ..Self::default() };
        frames.iter().for_each(|frame| self.take(frame));
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
            // What differs from one run to the next.
            object.retain(|key, _| !["seq", "ttft_ms", "took_ms"].contains(&key.as_str()));
            *text += &format!("\n{frame}");
        }
    }
}

/// What a frame adds to, and what it adds, if it is one of those that may be merged.
fn delta(frame: &Value) -> Option<(String, &Value)> {
    let kind = frame["type"].as_str()?;
    let (part, text) = match kind {
        "text-delta" | "reasoning-delta" => (&frame["id"], &frame["delta"]),
        "tool-input-delta" => (&frame["toolCallId"], &frame["inputTextDelta"]),
        _ => return None,
    };
    Some((format!("{kind} {part}"), text))
}
