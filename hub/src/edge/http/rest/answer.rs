//! A turn's frames as one JSON answer.

use std::borrow::Cow;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{HubFrame, TurnError, TurnReason};
use mayfly_protocol::ids::{SessionId, TurnId};
use mayfly_protocol::rest::Reply;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::edge::http::error::Problem;
use crate::edge::http::rest::stream::refusal;
use crate::limits::REPLY_MAX_BYTES;
use crate::sessions::listener::{Heard, Listener};

/// What came so far.
#[derive(Default)]
pub(super) struct Answer {
    /// The text as it stands in JSON, without its quotes: a character may be in two deltas. Its parts are paragraphs.
    text: String,
}

/// As much of a frame as tells what it is.
#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
}

/// Who waits for the whole answer.
pub(super) struct Waiting {
    reply: oneshot::Receiver<Result<Reply, Problem>>,
    _here: DropGuard,
}

impl Waiting {
    /// Waits for the turn's end.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn wait(self) -> Result<Reply, Problem> {
        self.reply.await.unwrap_or_else(|_| Err(cut_short()))
    }
}

impl Answer {
    /// A listener that puts the answer together, and who waits for it.
    pub(super) fn collect(session_id: SessionId) -> (Listener, Waiting) {
        let (sender, reply) = oneshot::channel();
        let here = CancellationToken::new();
        let left = here.clone().cancelled_owned();
        let (mut answer, mut sender) = (Self::default(), Some(sender));
        let hear = move |heard| {
            let Some(result) = answer.take(session_id, heard).transpose() else { return };
            if let Some(sender) = sender.take() {
                let _ = sender.send(result);
            }
        };
        (Listener::calling(hear, left), Waiting { reply, _here: here.drop_guard() })
    }

    fn take(&mut self, session_id: SessionId, heard: Heard) -> Result<Option<Reply>, Problem> {
        let Heard::Frame(frame, _) = heard else { return Err(cut_short()) };
        let Some((turn, reason)) = self.hear(&frame)? else { return Ok(None) };
        Ok(Some(Reply { response: self.said()?, session_id, turn, reason }))
    }

    /// Takes a frame; the turn and how it ended, if that was the last.
    fn hear(&mut self, frame: &[u8]) -> Result<Option<(TurnId, TurnReason)>, Problem> {
        let Ok(Piece { kind, delta }) = serde_json::from_slice(frame) else { return Ok(None) };
        match (&*kind, delta) {
            ("text-delta", Some(delta)) => self.add(delta.get()),
            ("text-start", _) if !self.text.is_empty() => self.add(r#""\n\n""#),
            ("turn.done" | "error", _) => match serde_json::from_slice(frame) {
                Ok(frame) => Self::hear_hub(frame),
                Err(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn hear_hub(frame: HubFrame) -> Result<Option<(TurnId, TurnReason)>, Problem> {
        if let Some(problem) = refusal(&frame) {
            return Err(problem);
        }
        match frame {
            HubFrame::TurnDone { reason: TurnReason::Expired, .. } => Err(cut_short()),
            HubFrame::TurnDone { error: Some(TurnError { code, message }), .. } => {
                Err(Problem::new(code, message))
            }
            HubFrame::TurnDone { turn, reason, .. } => Ok(Some((turn, reason))),
            HubFrame::Ready { .. }
            | HubFrame::TurnAccepted { .. }
            | HubFrame::Status { .. }
            | HubFrame::Expiring { .. }
            | HubFrame::Extended { .. }
            | HubFrame::Pong { .. }
            | HubFrame::Ended { .. }
            | HubFrame::Error { .. }
            | HubFrame::Help { .. } => Ok(None),
        }
    }

    fn add(&mut self, delta: &str) -> Result<Option<(TurnId, TurnReason)>, Problem> {
        let inner = delta.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        if self.text.len() + inner.len() > REPLY_MAX_BYTES {
            let message = "the answer is longer than can be given at once: ask for text/event-stream";
            return Err(Problem::new(ErrorCode::TurnTooLarge, message));
        }
        self.text += inner;
        Ok(None)
    }

    fn said(&self) -> Result<String, Problem> {
        let message = "the agent's answer is no Unicode text";
        serde_json::from_str(&format!("\"{}\"", self.text))
            .map_err(|_| Problem::new(ErrorCode::AgentProtocol, message))
    }
}

fn cut_short() -> Problem {
    Problem::new(ErrorCode::SessionEnded, "the session ended before the answer did")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(answer: &mut Answer, frame: &str) -> Result<Option<(TurnId, TurnReason)>, String> {
        answer.hear(frame.as_bytes()).map_err(|problem| problem.0.code.to_string())
    }

    #[test]
    fn an_answer_is_its_text_also_where_a_character_is_cut() {
        let mut answer = Answer::default();
        for frame in [
            r#"{"type":"turn.accepted","turn":"t3","position":0,"text":"hi","seq":1}"#,
            r#"{"seq":2,"turn":"t3","type":"reasoning-delta","id":"r","delta":"hm"}"#,
            r#"{"seq":3,"turn":"t3","type":"text-delta","id":"x","delta":"It's \"mild\" \ud83d"}"#,
            r#"{"seq":4,"turn":"t3","type":"data-x","delta":{"a":1}}"#,
            r#"{"seq":5,"turn":"t3","type":"text-delta","id":"x","delta":"\ude00 today"}"#,
            r#"{"seq":6,"turn":"t3","type":"text-start","id":"y"}"#,
            r#"{"seq":7,"turn":"t3","type":"text-delta","id":"y","delta":"Later."}"#,
        ] {
            assert_eq!(hear(&mut answer, frame), Ok(None), "{frame}");
        }
        let done = r#"{"type":"turn.done","turn":"t3","reason":"length","seq":8}"#;
        assert_eq!(hear(&mut answer, done), Ok(Some((TurnId(3), TurnReason::Length))));
        assert_eq!(answer.said().unwrap(), "It's \"mild\" 😀 today\n\nLater.");
        answer.text += r"\ud83d";
        assert!(answer.said().is_err());
    }

    #[test]
    fn a_turn_that_fails_is_no_answer() {
        for (frame, code) in [
            (
                r#"{"type":"turn.done","turn":"t1","reason":"error","error":{"code":"model.auth","message":"no"},"seq":6}"#,
                "model.auth",
            ),
            (r#"{"type":"turn.done","turn":"t1","reason":"expired","seq":6}"#, "session.ended"),
            (
                r#"{"type":"error","code":"quota.queue","scope":"frame","retryable":true,"retry_after_ms":1000,"message":"full"}"#,
                "quota.queue",
            ),
        ] {
            assert_eq!(hear(&mut Answer::default(), frame), Err(code.to_owned()));
        }
    }

    #[test]
    fn an_answer_in_one_piece_is_bounded() {
        let mut answer = Answer::default();
        let delta = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(REPLY_MAX_BYTES));
        assert_eq!(hear(&mut answer, &delta), Ok(None));
        assert_eq!(
            hear(&mut answer, r#"{"type":"text-delta","delta":"x"}"#),
            Err("turn.too_large".to_owned())
        );
    }
}
