//! Client -> hub: the frames that a client may send, and the commands that a person may type.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::ErrorCode;
use crate::ids::TurnId;
use crate::refusal::{Refusal, RefusedFrame};

pub use crate::credential::Credential;

/// Longest accepted `id` of a message, in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 64;
/// Largest message of a client, in bytes: a WebSocket message or the body of a REST call.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Longest accepted text of a message, in bytes of its JSON string (RFC 8259, section 7), as it stands in frames.
pub const MESSAGE_JSON_MAX_BYTES: usize = 160 * 1024;
/// Most bytes that one byte of a text takes in a JSON string: `\u0001`.
const ESCAPED_MAX_BYTES: usize = 6;
/// Longest accepted `client_id`, in bytes.
pub const CLIENT_ID_MAX_BYTES: usize = 64;

/// A frame from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ClientFrame {
    /// Introduces the client. Optional, and accepted as the first frame only.
    Hello {
        /// Name and version of the client, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        client: Option<String>,
        /// Id that the client chose for itself, 1 to 64 bytes. It replaces an older socket with the same id (4507).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        client_id: Option<String>,
        /// Session token, ticket or operator key, if the upgrade request had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        token: Option<Credential>,
    },
    /// Sends a message. A turn begins, or waits in the queue.
    Message {
        /// Id that the client chose for the message, 1 to 64 bytes. It comes back in `turn.accepted`. A repeated message
        /// with the same id is confirmed again, and starts no second turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        id: Option<String>,
        /// Text of the message; not blank.
        text: String,
    },
    /// Stops a running or waiting turn.
    Stop {
        /// Turn to stop; without it, the running turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        turn: Option<TurnId>,
    },
    /// Asks for another answer to the last message. The new answer replaces the last one.
    Regenerate {
        /// Turn whose answer is replaced; without it, the last turn. A repeated request for the same turn does nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        turn: Option<TurnId>,
    },
    /// Asks for a `pong` frame. A page cannot see WebSocket Pings.
    Ping {
        /// Value that comes back in `pong`.
        #[ts(type = "number")]
        t: u64,
    },
    /// Asks for more time until the idle session ends.
    Extend,
    /// Asks for a `session.status` frame.
    Status,
    /// Asks for a `help` frame.
    Help,
    /// Ends the session.
    Bye,
}

/// The commands that a person can type, each with its effect.
pub const COMMANDS: [(&str, &str); 5] = [
    ("/stop", "stop the answer"),
    ("/extend", "stay, though nothing is said"),
    ("/status", "how the session is doing"),
    ("/help", "this list"),
    ("/bye", "end the session and its agent"),
];

/// Every `type` of a client's frame.
const TYPES: [&str; 9] =
    ["hello", "message", "stop", "regenerate", "ping", "extend", "status", "help", "bye"];

impl ClientFrame {
    /// Parses a WebSocket text message: a JSON frame if it starts with `{`, a command if it starts with `/`, and
    /// otherwise the text of a message. A blank message is refused.
    ///
    /// # Errors
    /// Returns `proto.bad_json`, `proto.unknown_type`, `proto.invalid` or `proto.too_large`, with what is accepted.
    pub fn parse(text: &str) -> Result<Self, RefusedFrame> {
        let frame = match text.as_bytes().first() {
            Some(b'{') => Self::parse_json(text)?,
            Some(b'/') => Self::parse_command(text)?,
            _ => Self::Message { id: None, text: text.trim_end_matches(['\r', '\n']).to_owned() },
        };
        frame.checked()
    }

    fn parse_json(text: &str) -> Result<Self, Refusal> {
        /// The type alone, which distinguishes an unknown type from an invalid field.
        #[derive(Deserialize)]
        struct Tag<'a> {
            #[serde(rename = "type", borrow)]
            kind: Option<std::borrow::Cow<'a, str>>,
        }
        serde_json::from_str(text).map_err(|error| {
            // Serde stops at the frame's first error, which may come before the syntax error.
            if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
                return Refusal::new(ErrorCode::ProtoBadJson, format!("not JSON: {error}"));
            }
            let kind = serde_json::from_str::<Tag<'_>>(text).ok().and_then(|tag| tag.kind);
            if kind.is_some_and(|kind| TYPES.contains(&&*kind)) {
                return Refusal::new(ErrorCode::ProtoInvalid, error.to_string());
            }
            Refusal::new(ErrorCode::ProtoUnknownType, format!("type must be one of {}", TYPES.join(", ")))
        })
    }

    fn parse_command(line: &str) -> Result<Self, Refusal> {
        match line.trim_end() {
            "/stop" => Ok(Self::Stop { turn: None }),
            "/extend" => Ok(Self::Extend),
            "/status" => Ok(Self::Status),
            "/help" => Ok(Self::Help),
            "/bye" => Ok(Self::Bye),
            _ => Err(Refusal::new(
                ErrorCode::ProtoUnknownType,
                format!("unknown command; try {}", COMMANDS.map(|(name, _)| name).join(" ")),
            )),
        }
    }

    /// Checks the values of the frame's fields, and returns the frame.
    ///
    /// # Errors
    /// Returns `proto.invalid` or `proto.too_large`, with what is accepted.
    pub fn checked(self) -> Result<Self, RefusedFrame> {
        let invalid = |message: String| Refusal::new(ErrorCode::ProtoInvalid, message);
        if let Self::Message { id: Some(id), .. } = &self
            && !is_name(id, MESSAGE_ID_MAX_BYTES)
        {
            return Err(invalid(format!("id must have 1 to {MESSAGE_ID_MAX_BYTES} bytes")).into());
        }
        if let Self::Message { id, text } = &self
            && text.trim().is_empty()
        {
            return Err(invalid("text must not be empty".to_owned()).of_frame(id.clone()));
        }
        if let Self::Message { id, text } = &self
            && text.len() > MESSAGE_JSON_MAX_BYTES / ESCAPED_MAX_BYTES
            && serde_json::to_string(text).is_ok_and(|json| json.len() > MESSAGE_JSON_MAX_BYTES)
        {
            let message = format!("text must have at most {MESSAGE_JSON_MAX_BYTES} bytes as JSON, escaped");
            return Err(Refusal::new(ErrorCode::ProtoTooLarge, message).of_frame(id.clone()));
        }
        if let Self::Hello { client_id: Some(id), .. } = &self
            && !is_name(id, CLIENT_ID_MAX_BYTES)
        {
            return Err(invalid(format!("client_id must have 1 to {CLIENT_ID_MAX_BYTES} bytes")).into());
        }
        Ok(self)
    }
}

fn is_name(name: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> ErrorCode {
        ClientFrame::parse(text).unwrap_err().refusal.code
    }

    #[test]
    fn typed_line_is_a_message() {
        let frame = ClientFrame::parse("Weather in Oslo?\n").unwrap();
        assert_eq!(frame, ClientFrame::Message { id: None, text: "Weather in Oslo?".to_owned() });
    }

    #[test]
    fn command_equals_its_json_frame() {
        for (line, json) in [
            ("/stop", r#"{"type":"stop"}"#),
            ("/status\n", r#"{"type":"status"}"#),
            ("/help", r#"{"type":"help","unknown":1}"#),
            ("/extend", r#"{"type":"extend"}"#),
            ("/bye", r#"{"type":"bye"}"#),
        ] {
            assert_eq!(ClientFrame::parse(line), ClientFrame::parse(json));
            assert!(ClientFrame::parse(line).is_ok());
        }
    }

    #[test]
    fn every_listed_command_is_accepted() {
        for (line, _) in COMMANDS {
            assert!(ClientFrame::parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn every_listed_type_is_accepted() {
        for kind in TYPES {
            let refused = ClientFrame::parse(&format!(r#"{{"type":"{kind}","turn":7}}"#)).err();
            assert_ne!(
                refused.map(|refused| refused.refusal.code),
                Some(ErrorCode::ProtoUnknownType),
                "{kind}"
            );
        }
    }

    #[test]
    fn refusal_has_the_code_of_its_cause() {
        assert_eq!(code(r#"{"type":"#), ErrorCode::ProtoBadJson);
        assert_eq!(code(r#"{"type":"dance","#), ErrorCode::ProtoBadJson);
        assert_eq!(code(r#"{"type":"dance"}"#), ErrorCode::ProtoUnknownType);
        assert_eq!(code("{}"), ErrorCode::ProtoUnknownType);
        assert_eq!(code("/dance"), ErrorCode::ProtoUnknownType);
        assert_eq!(code(r#"{"type":"message"}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"message","text":7}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"message","text":"a","id":""}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"stop","turn":"x"}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"ping"}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code(r#"{"type":"hello","client_id":""}"#), ErrorCode::ProtoInvalid);
        assert_eq!(code("  \n"), ErrorCode::ProtoInvalid);
        assert_eq!(code(""), ErrorCode::ProtoInvalid);
        assert_eq!(code(&"\u{1}".repeat(30_000)), ErrorCode::ProtoTooLarge);
        assert!(ClientFrame::parse(&"\"".repeat(64 * 1024)).is_ok());
    }
}
