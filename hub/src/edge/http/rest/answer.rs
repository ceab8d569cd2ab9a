//! A turn's frames as one JSON reply.

use std::borrow::Cow;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{HubFrame, TurnError, TurnReason};
use mayfly_protocol::ids::{SessionId, TurnId};
use mayfly_protocol::refusal::Refusal;
use mayfly_protocol::rest::Reply;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::edge::http::rest::stream::refusal;
use crate::limits::REPLY_MAX_BYTES;
use crate::sessions::listener::{Item, Listener};

/// The part of an answer that has arrived.
#[derive(Default)]
pub(super) struct Answer {
    /// The text as a JSON string without quotes, because a character may be split across two deltas. An empty line
    /// separates its parts.
    text: String,
}

/// The type of a frame, and its delta if it has one.
#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
}

/// A reply that arrives when the turn ends. Dropping it detaches the listener.
pub(super) struct PendingReply {
    reply: oneshot::Receiver<Result<Reply, Refusal>>,
    _listening: DropGuard,
}

impl PendingReply {
    /// Waits for the turn's end.
    ///
    /// # Errors
    /// Returns the refusal of the message, or the cause of the turn's failure.
    pub(super) async fn wait(self) -> Result<Reply, Refusal> {
        self.reply.await.unwrap_or_else(|_| Err(cut_short()))
    }
}

impl Answer {
    /// Returns a listener that collects an answer, and the pending reply.
    pub(super) fn collect(session_id: SessionId) -> (Listener, PendingReply) {
        let (sender, reply) = oneshot::channel();
        let listening = CancellationToken::new();
        let left = listening.clone().cancelled_owned();
        let (mut answer, mut sender) = (Self::default(), Some(sender));
        let collect = move |item| {
            let Some(result) = answer.take(session_id, item).transpose() else { return };
            if let Some(sender) = sender.take() {
                let _ = sender.send(result);
            }
        };
        (Listener::calling(collect, left), PendingReply { reply, _listening: listening.drop_guard() })
    }

    fn take(&mut self, session_id: SessionId, item: Item) -> Result<Option<Reply>, Refusal> {
        let Item::Frame(frame, _) = item else { return Err(cut_short()) };
        let Some((turn, reason)) = self.add_frame(&frame)? else { return Ok(None) };
        Ok(Some(Reply { response: self.text()?, session_id, turn, reason }))
    }

    /// Adds a frame to the answer. Returns the turn and its outcome after the last frame.
    fn add_frame(&mut self, frame: &[u8]) -> Result<Option<(TurnId, TurnReason)>, Refusal> {
        let Ok(Piece { kind, delta }) = serde_json::from_slice(frame) else { return Ok(None) };
        match (&*kind, delta) {
            ("text-delta", Some(delta)) => self.add_text(delta.get()),
            ("text-start", _) if !self.text.is_empty() => self.add_text(r#""\n\n""#),
            ("turn.done" | "error", _) => match serde_json::from_slice(frame) {
                Ok(frame) => Self::outcome(frame),
                Err(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn outcome(frame: HubFrame) -> Result<Option<(TurnId, TurnReason)>, Refusal> {
        if let Some(refusal) = refusal(&frame) {
            return Err(refusal);
        }
        match frame {
            HubFrame::TurnDone { reason: TurnReason::Expired, .. } => Err(cut_short()),
            HubFrame::TurnDone { error: Some(TurnError { code, message }), .. } => {
                Err(Refusal::new(code, message))
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

    fn add_text(&mut self, delta: &str) -> Result<Option<(TurnId, TurnReason)>, Refusal> {
        let inner = delta.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        if self.text.len() + inner.len() > REPLY_MAX_BYTES {
            let message = "the answer is too large for one reply; use Accept: text/event-stream";
            return Err(Refusal::new(ErrorCode::TurnTooLarge, message));
        }
        self.text += inner;
        Ok(None)
    }

    fn text(&self) -> Result<String, Refusal> {
        let message = "the agent's answer is not valid Unicode";
        serde_json::from_str(&format!("\"{}\"", self.text))
            .map_err(|_| Refusal::new(ErrorCode::AgentProtocol, message))
    }
}

fn cut_short() -> Refusal {
    Refusal::new(ErrorCode::SessionEnded, "the session ended before the answer was complete")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(answer: &mut Answer, frame: &str) -> Result<Option<(TurnId, TurnReason)>, String> {
        answer.add_frame(frame.as_bytes()).map_err(|refusal| refusal.code.to_string())
    }

    #[test]
    fn reply_joins_characters_that_deltas_split() {
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
            assert_eq!(add(&mut answer, frame), Ok(None), "{frame}");
        }
        let done = r#"{"type":"turn.done","turn":"t3","reason":"length","seq":8}"#;
        assert_eq!(add(&mut answer, done), Ok(Some((TurnId(3), TurnReason::Length))));
        assert_eq!(answer.text().unwrap(), "It's \"mild\" 😀 today\n\nLater.");
        answer.text += r"\ud83d";
        assert!(answer.text().is_err());
    }

    #[test]
    fn failed_turn_is_a_refusal() {
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
            assert_eq!(add(&mut Answer::default(), frame), Err(code.to_owned()));
        }
    }

    #[test]
    fn reply_is_bounded() {
        let mut answer = Answer::default();
        let delta = format!(r#"{{"type":"text-delta","delta":"{}"}}"#, "x".repeat(REPLY_MAX_BYTES));
        assert_eq!(add(&mut answer, &delta), Ok(None));
        assert_eq!(
            add(&mut answer, r#"{"type":"text-delta","delta":"x"}"#),
            Err("turn.too_large".to_owned())
        );
    }
}
