//! Checks the frames of one session: no token lost, doubled or reordered, no gap in the sequence, each turn done once.
//!
//! The checker counts faults and continues, so that one run reports all of them. It reads JSON and has no connection.

use std::collections::BTreeSet;
use std::ops::AddAssign;

use serde::Deserialize;

use mayfly_tests::token::Token;

/// Checks the frames of one session.
#[derive(Debug)]
pub struct Checker {
    record: Record,
    turn: Option<Turn>,
    tally: Tally,
}

/// The wire that the session uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Frames of the hub: they have a `seq`, and a turn ends with `turn.done`.
    Frames,
    /// Chunks of the agent: they have no `seq`, and a turn ends with `finish`.
    Chunks,
}

/// The meaning of one frame or chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The session is active.
    Active,
    /// A token, in order or not.
    Token(Token),
    /// The turn has ended.
    Done,
    /// Anything else.
    Other,
}

/// Counts of tokens, turns and faults. All fields but the first two count faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tokens in order.
    pub tokens: u64,
    /// Turns that ended.
    pub turns: u64,
    /// Tokens that never arrived.
    pub lost: u64,
    /// Tokens that arrived again.
    pub doubled: u64,
    /// Tokens that arrived after a later one.
    pub reordered: u64,
    /// Tokens outside of a turn, or beyond its number of tokens.
    pub stray: u64,
    /// Frames whose `seq` is missing or does not follow the previous one.
    pub misnumbered: u64,
    /// Turns without an end.
    pub undone: u64,
    /// Ends without a turn.
    pub redone: u64,
    /// Turns that ended with another reason than `complete`.
    pub incomplete: u64,
    /// Frames that are not valid, and frames of type `error`.
    pub bad: u64,
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Numbered { last: Option<u64> },
    Plain,
}

#[derive(Debug)]
struct Turn {
    tokens: u64,
    next: u64,
    missing: BTreeSet<u64>,
}

/// The fields of a frame or chunk that the check reads.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    seq: Option<u64>,
    head: Option<u64>,
    status: Option<&'a str>,
    delta: Option<&'a str>,
    reason: Option<&'a str>,
}

impl Checker {
    /// Creates a checker for a new session.
    pub fn new(wire: Wire) -> Self {
        let record = match wire {
            Wire::Frames => Record::Numbered { last: None },
            Wire::Chunks => Record::Plain,
        };
        Self { record, turn: None, tally: Tally::default() }
    }

    /// Begins a turn of this many tokens.
    pub fn begin(&mut self, tokens: u64) {
        self.end_turn();
        self.turn = Some(Turn { tokens, next: 0, missing: BTreeSet::new() });
    }

    /// Checks one frame or chunk.
    pub fn see(&mut self, json: &str) -> Seen {
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(json) else {
            self.tally.bad += 1;
            return Seen::Other;
        };
        self.check_seq(&frame);
        match (frame.kind, self.record) {
            ("session.ready" | "session.status", _) if frame.status == Some("active") => Seen::Active,
            ("text-delta", _) => self.see_delta(frame.delta),
            ("turn.done", Record::Numbered { .. }) => self.see_done(frame.reason == Some("complete")),
            ("finish", Record::Plain) => self.see_done(true),
            ("abort" | "error", Record::Plain) => self.see_done(false),
            ("error" | "finish" | "abort", Record::Numbered { .. }) => {
                self.tally.bad += 1;
                Seen::Other
            }
            _ => Seen::Other,
        }
    }

    /// Ends the check. Tokens and ends that are still missing count as lost.
    pub fn finish(mut self) -> Tally {
        self.end_turn();
        self.tally
    }

    fn check_seq(&mut self, frame: &Frame<'_>) {
        let Record::Numbered { last } = &mut self.record else { return };
        if frame.kind == "session.ready" {
            self.tally.misnumbered += u64::from(last.is_some() || frame.head.is_none());
            *last = frame.head;
            return;
        }
        let is_record = frame.kind == "turn.done"
            || !frame.kind.contains('.') && frame.kind != "error" && frame.kind != "help";
        match (frame.seq, *last) {
            (Some(seq), Some(before)) if seq == before + 1 => *last = Some(seq),
            (Some(seq), _) => {
                self.tally.misnumbered += 1;
                *last = Some(seq);
            }
            (None, _) => self.tally.misnumbered += u64::from(is_record),
        }
    }

    fn see_delta(&mut self, delta: Option<&str>) -> Seen {
        let Some(Ok(token)) = delta.map(str::parse::<Token>) else {
            self.tally.bad += 1;
            return Seen::Other;
        };
        let Some(turn) = self.turn.as_mut().filter(|turn| token.k < turn.tokens) else {
            self.tally.stray += 1;
            return Seen::Token(token);
        };
        if token.k >= turn.next {
            turn.missing.extend(turn.next..token.k);
            turn.next = token.k + 1;
            self.tally.tokens += 1;
        } else if turn.missing.remove(&token.k) {
            self.tally.reordered += 1;
        } else {
            self.tally.doubled += 1;
        }
        Seen::Token(token)
    }

    fn see_done(&mut self, is_complete: bool) -> Seen {
        match self.turn.take() {
            Some(turn) => {
                self.tally.turns += 1;
                self.tally.incomplete += u64::from(!is_complete);
                self.tally.lost += turn.lost();
            }
            None => self.tally.redone += 1,
        }
        Seen::Done
    }

    fn end_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.tally.undone += 1;
            self.tally.lost += turn.lost();
        }
    }
}

impl Turn {
    fn lost(&self) -> u64 {
        self.missing.len() as u64 + (self.tokens - self.next)
    }
}

impl Tally {
    /// Returns `true` if no fault was counted.
    pub fn is_clean(&self) -> bool {
        *self == Self { tokens: self.tokens, turns: self.turns, ..Self::default() }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.turns += other.turns;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.stray += other.stray;
        self.misnumbered += other.misnumbered;
        self.undone += other.undone;
        self.redone += other.redone;
        self.incomplete += other.incomplete;
        self.bad += other.bad;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = r#"{"type":"session.ready","v":1,"session":"s","status":"active","head":4}"#;

    fn delta(seq: u64, k: u64) -> String {
        format!(r#"{{"type":"text-delta","seq":{seq},"turn":"t1","id":"x0","delta":"{k}:99 "}}"#)
    }

    fn done(seq: u64) -> String {
        format!(r#"{{"type":"turn.done","turn":"t1","reason":"complete","seq":{seq}}}"#)
    }

    /// Returns the tally of a turn of three tokens after these frames.
    fn tally(frames: &[String]) -> Tally {
        let mut checker = Checker::new(Wire::Frames);
        checker.see(READY);
        checker.begin(3);
        for frame in frames {
            checker.see(frame);
        }
        checker.finish()
    }

    /// Returns the tally of a turn of three tokens that arrive in this order, with consecutive `seq`.
    fn of_tokens(ks: &[u64]) -> Tally {
        let mut frames: Vec<String> = ks.iter().zip(5..).map(|(k, seq)| delta(seq, *k)).collect();
        frames.push(done(5 + ks.len() as u64));
        tally(&frames)
    }

    #[test]
    fn a_turn_in_order_is_clean() {
        let tally = of_tokens(&[0, 1, 2]);
        assert_eq!(tally, Tally { tokens: 3, turns: 1, ..Tally::default() });
        assert!(tally.is_clean());
    }

    #[test]
    fn a_lost_token_is_found() {
        let base = Tally { tokens: 2, turns: 1, lost: 1, ..Tally::default() };
        for ks in [[0, 1], [0, 2], [1, 2]] {
            assert_eq!(of_tokens(&ks), base, "{ks:?}");
        }
        assert!(!base.is_clean());
    }

    #[test]
    fn a_doubled_token_is_found() {
        for ks in [[0, 0, 1, 2], [0, 1, 2, 0], [0, 1, 2, 2]] {
            assert_eq!(
                of_tokens(&ks),
                Tally { tokens: 3, turns: 1, doubled: 1, ..Tally::default() },
                "{ks:?}"
            );
        }
    }

    #[test]
    fn a_reordered_token_is_found() {
        for ks in [[1, 0, 2], [0, 2, 1]] {
            assert_eq!(
                of_tokens(&ks),
                Tally { tokens: 2, turns: 1, reordered: 1, ..Tally::default() },
                "{ks:?}"
            );
        }
    }

    #[test]
    fn a_token_nobody_asked_for_is_found() {
        assert_eq!(of_tokens(&[0, 1, 2, 3]).stray, 1);
        let after = tally(&[delta(5, 0), delta(6, 1), delta(7, 2), done(8), delta(9, 2)]);
        assert_eq!(after.stray, 1);
    }

    #[test]
    fn a_gap_in_the_record_is_found() {
        for seqs in [[6, 7, 8, 9], [5, 7, 8, 9], [5, 6, 7, 9], [5, 5, 6, 7]] {
            let mut frames: Vec<String> = (0..3).map(|k| delta(seqs[k as usize], k)).collect();
            frames.push(done(seqs[3]));
            assert_eq!(
                tally(&frames),
                Tally { tokens: 3, turns: 1, misnumbered: 1, ..Tally::default() },
                "{seqs:?}"
            );
        }
    }

    #[test]
    fn a_frame_of_the_record_without_seq_is_found() {
        let bare = delta(5, 0).replace(r#""seq":5,"#, "");
        assert_eq!(tally(&[bare, delta(5, 1), delta(6, 2), done(7)]).misnumbered, 1);
        let status = r#"{"type":"session.status","status":"active","elapsed_ms":1}"#.to_owned();
        assert!(tally(&[delta(5, 0), status, delta(6, 1), delta(7, 2), done(8)]).is_clean());
    }

    #[test]
    fn a_missing_and_a_second_end_are_found() {
        let open = tally(&[delta(5, 0), delta(6, 1), delta(7, 2)]);
        assert_eq!(open, Tally { tokens: 3, undone: 1, ..Tally::default() });
        let twice = tally(&[delta(5, 0), delta(6, 1), delta(7, 2), done(8), done(9)]);
        assert_eq!(twice, Tally { tokens: 3, turns: 1, redone: 1, ..Tally::default() });
    }

    #[test]
    fn another_end_than_complete_is_found() {
        let stopped = done(8).replace("complete", "stopped");
        assert_eq!(tally(&[delta(5, 0), delta(6, 1), delta(7, 2), stopped]).incomplete, 1);
    }

    #[test]
    fn errors_and_noise_are_found() {
        let error = r#"{"type":"error","code":"quota.queue","scope":"frame","retryable":true,"message":"m"}"#;
        let frames = [delta(5, 0), delta(6, 1), error.to_owned(), "{".to_owned(), delta(7, 2), done(8)];
        assert_eq!(tally(&frames).bad, 2);
    }

    #[test]
    fn chunks_are_checked_without_numbers() {
        let mut checker = Checker::new(Wire::Chunks);
        checker.begin(2);
        let chunk = |k| format!(r#"{{"type":"text-delta","id":"x0","delta":"{k}:99 "}}"#);
        assert_eq!(checker.see(&chunk(0)), Seen::Token(Token { k: 0, due_ns: 99 }));
        checker.see(&chunk(1));
        assert_eq!(checker.see(r#"{"type":"finish","finishReason":"stop"}"#), Seen::Done);
        assert_eq!(checker.finish(), Tally { tokens: 2, turns: 1, ..Tally::default() });
    }
}
