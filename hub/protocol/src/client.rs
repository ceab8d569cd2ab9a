//! Client -> hub: the frames a client may send, and how a typed line becomes one.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::ErrorCode;
use crate::ids::TurnId;

/// Longest accepted `id` of a message, in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 64;

/// One frame from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ClientFrame {
    /// Something the person says: a turn begins, or waits in the queue.
    Message {
        /// The client's own name for the message, 1 to 64 bytes; comes back in `turn.accepted`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        id: Option<String>,
        /// What the person says; not empty.
        text: String,
    },
    /// Stop a turn, running or queued; without `turn`, the running one.
    Stop {
        /// Which turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        turn: Option<TurnId>,
    },
    /// Ask for a `session.status` frame.
    Status,
    /// Ask for a `help` frame.
    Help,
    /// End the session.
    Bye,
}

/// Why a frame was refused: a code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `proto.bad_json`, `proto.unknown_type` or `proto.invalid`.
    pub code: ErrorCode,
    /// What was wrong and what is accepted.
    pub message: String,
}

/// The lines a person can type, each with what it does; the answer to `/help`.
pub const COMMANDS: [(&str, &str); 4] = [
    ("/stop", "stop the answer"),
    ("/status", "how the session is doing"),
    ("/help", "this list"),
    ("/bye", "end the session and its agent"),
];

impl ClientFrame {
    /// Reads one WebSocket text message: a JSON frame when it starts with `{`, a command when it
    /// starts with `/`, and otherwise a message as typed. Blank text is a message without words, and refused.
    ///
    /// # Errors
    /// A [`Refusal`] that names what is accepted.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let frame = match text.as_bytes().first() {
            Some(b'{') => Self::parse_json(text)?,
            Some(b'/') => Self::parse_command(text)?,
            _ => Self::Message { id: None, text: text.trim_end_matches(['\r', '\n']).to_owned() },
        };
        frame.checked()
    }

    fn parse_json(text: &str) -> Result<Self, Refusal> {
        /// Only as much of a frame as tells an unknown type from a bad field.
        #[derive(Deserialize)]
        struct Tag<'a> {
            #[serde(rename = "type", borrow)]
            kind: Option<std::borrow::Cow<'a, str>>,
        }
        serde_json::from_str(text).map_err(|error| {
            // A frame is given up at its first error, which need not be the one that makes it no JSON.
            if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
                return Refusal::new(ErrorCode::ProtoBadJson, format!("not JSON: {error}"));
            }
            let kind = serde_json::from_str::<Tag<'_>>(text).ok().and_then(|tag| tag.kind);
            match kind.as_deref() {
                Some("message" | "stop" | "status" | "help" | "bye") => {
                    Refusal::new(ErrorCode::ProtoInvalid, error.to_string())
                }
                Some(_) | None => Refusal::new(
                    ErrorCode::ProtoUnknownType,
                    "type must be one of message, stop, status, help, bye".to_owned(),
                ),
            }
        })
    }

    fn parse_command(line: &str) -> Result<Self, Refusal> {
        match line.trim_end() {
            "/stop" => Ok(Self::Stop { turn: None }),
            "/status" => Ok(Self::Status),
            "/help" => Ok(Self::Help),
            "/bye" => Ok(Self::Bye),
            _ => Err(Refusal::new(
                ErrorCode::ProtoUnknownType,
                format!("unknown command; try {}", COMMANDS.map(|(name, _)| name).join(" ")),
            )),
        }
    }

    fn checked(self) -> Result<Self, Refusal> {
        if let Self::Message { id, text } = &self {
            if text.trim().is_empty() {
                return Err(Refusal::new(ErrorCode::ProtoInvalid, "text must not be empty".to_owned()));
            }
            if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MESSAGE_ID_MAX_BYTES) {
                let message = format!("id must have 1 to {MESSAGE_ID_MAX_BYTES} bytes");
                return Err(Refusal::new(ErrorCode::ProtoInvalid, message));
            }
        }
        Ok(self)
    }
}

impl Refusal {
    fn new(code: ErrorCode, message: String) -> Self {
        Self { code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> ErrorCode {
        ClientFrame::parse(text).unwrap_err().code
    }

    #[test]
    fn a_typed_line_is_a_message() {
        let frame = ClientFrame::parse("Weather in Oslo?\n").unwrap();
        assert_eq!(frame, ClientFrame::Message { id: None, text: "Weather in Oslo?".to_owned() });
    }

    #[test]
    fn commands_and_json_mean_the_same() {
        for (line, json) in [
            ("/stop", r#"{"type":"stop"}"#),
            ("/status\n", r#"{"type":"status"}"#),
            ("/help", r#"{"type":"help","unknown":1}"#),
            ("/bye", r#"{"type":"bye"}"#),
        ] {
            assert_eq!(ClientFrame::parse(line), ClientFrame::parse(json));
            assert!(ClientFrame::parse(line).is_ok());
        }
    }

    #[test]
    fn every_listed_command_is_known() {
        for (line, _) in COMMANDS {
            assert!(ClientFrame::parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn refusals_tell_their_kind() {
        assert_eq!(code(r#"{"type":"#), ErrorCode::ProtoBadJson);
        assert_eq!(code(r#"{"type":"dance","#), ErrorCode::ProtoBadJson);
        assert_eq!(code(r#"{"type":"dance"}"#), ErrorCode::ProtoUnknownType);
        assert_eq!(code("{}"), ErrorCode::ProtoUnknownType);
        assert_eq!(code("/dance"), ErrorCode::ProtoUnknownType);
        assert_eq!(code(r#"{"type":"message"}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"message","text":7}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"message","text":"a","id":""}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"stop","turn":"x"}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code("  \n"), ErrorCode::ProtoInvalid);
        assert_eq!(code(""), ErrorCode::ProtoInvalid);
    }
}
