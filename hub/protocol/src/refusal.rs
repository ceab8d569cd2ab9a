//! Refusals, and the three forms in which a client receives one: an `error` frame, a close frame and
//! `application/problem+json`. All three follow from the code's [`Rule`](crate::code::Rule).

use std::borrow::Cow;
use std::time::Duration;

use crate::code::{CloseCode, ErrorCode, Retry, Scope};
use crate::hub::HubFrame;
use crate::rest::Problem;

/// A refused request: a code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The cause.
    pub code: ErrorCode,
    /// The problem and the accepted form, as a text for people.
    pub message: Cow<'static, str>,
    /// Time after which the same request may succeed.
    pub retry_after: Option<Duration>,
}

/// A client's frame that was refused, while the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFrame {
    /// The refusal.
    pub refusal: Refusal,
    /// The `id` of the refused message, if the client gave one.
    pub id: Option<String>,
}

/// A WebSocket close frame (RFC 6455, section 5.5.1). Its reason is the name of an error code, `bye`, `heartbeat` or
/// `replaced`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    code: CloseCode,
    reason: &'static str,
}

impl Refusal {
    /// Creates a refusal without a time to retry.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// Returns the refusal with a time after which the same request may succeed.
    #[must_use]
    pub fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    /// Returns the refusal as one of a frame: of the message with this `id`, if it has one.
    #[must_use]
    pub fn of_frame(self, id: Option<String>) -> RefusedFrame {
        RefusedFrame { refusal: self, id }
    }

    /// Returns the `error` frame for a client whose connection or request is refused.
    pub fn to_frame(&self) -> HubFrame {
        self.frame(self.code.rule().scope, None)
    }

    /// Returns the close frame that follows [`Refusal::to_frame`].
    pub fn close(&self) -> Close {
        Close::because(self.code)
    }

    /// Returns the body of the refused REST call's answer. `title` is the status as a phrase.
    pub fn to_problem(&self, title: &str) -> Problem {
        Problem {
            title: title.to_owned(),
            status: self.code.rule().status,
            code: self.code,
            detail: self.message.clone().into_owned(),
            retry_after_ms: self.retry_after_ms(),
        }
    }

    /// Rounds up: a client that waits this long does not come too early.
    fn retry_after_ms(&self) -> Option<u64> {
        u64::try_from(self.retry_after?.as_nanos().div_ceil(1_000_000)).ok()
    }

    fn frame(&self, scope: Scope, id: Option<String>) -> HubFrame {
        HubFrame::Error {
            id,
            code: self.code,
            scope,
            retryable: self.code.rule().retry == Retry::Later,
            retry_after_ms: self.retry_after_ms(),
            message: self.message.clone().into_owned(),
        }
    }
}

impl RefusedFrame {
    /// Returns the `error` frame for the client that sent the refused frame. Its scope is always `frame`.
    pub fn to_frame(&self) -> HubFrame {
        self.refusal.frame(Scope::Frame, self.id.clone())
    }
}

impl From<Refusal> for RefusedFrame {
    fn from(refusal: Refusal) -> Self {
        refusal.of_frame(None)
    }
}

impl Close {
    /// A client said `bye`.
    pub const BYE: Self = Self { code: CloseCode::Normal, reason: "bye" };
    /// The client sent no sign of life for too long.
    pub const HEARTBEAT: Self = Self { code: CloseCode::Silent, reason: "heartbeat" };
    /// Another socket with the same `client_id` replaced this one.
    pub const REPLACED: Self = Self { code: CloseCode::Replaced, reason: "replaced" };
    /// The client violated the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self::with(CloseCode::ProtocolError, ErrorCode::ProtoInvalid);
    /// The client sent text that is not UTF-8.
    pub const INVALID_UTF8: Self = Self::with(CloseCode::InvalidUtf8, ErrorCode::ProtoInvalid);

    /// Returns the close frame for an error code; a normal closure if the code does not close sockets.
    pub const fn because(code: ErrorCode) -> Self {
        match code.rule().close {
            Some(close) => Self::with(close, code),
            None => Self::with(CloseCode::Normal, code),
        }
    }

    /// Returns the close frame for a client that sent too many bad frames. `last` is the code of the last one.
    pub const fn bad_frames(last: ErrorCode) -> Self {
        Self::with(CloseCode::BadFrames, last)
    }

    /// Returns the close code.
    pub const fn code(self) -> CloseCode {
        self.code
    }

    /// Returns the reason text.
    pub const fn reason(self) -> &'static str {
        self.reason
    }

    const fn with(code: CloseCode, reason: ErrorCode) -> Self {
        Self { code, reason: reason.name() }
    }
}
