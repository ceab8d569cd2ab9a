//! Refusals over HTTP, as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::rest;

use crate::edge::http::caller::Denied;

/// A refusal: status, code for programs, sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    /// One that is none of the wire's own.
    pub(crate) const fn of_http(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        let (code, message) = (Cow::Borrowed(code), Cow::Borrowed(message));
        Self { status, code, message, retry_after: None }
    }

    /// One of the wire's own.
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let code = code.to_string();
        Self { status: status(&code), code: code.into(), message: message.into(), retry_after: None }
    }

    /// The same, which may succeed after this time.
    pub(crate) fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }
}

/// What a code is in HTTP (RFC 9110, section 15): what its area is, but for some.
fn status(code: &str) -> StatusCode {
    match code {
        "proto.invalid" => StatusCode::UNPROCESSABLE_ENTITY,
        "proto.too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "auth.missing" => StatusCode::UNAUTHORIZED,
        "quota.sessions" | "hub.draining" => StatusCode::SERVICE_UNAVAILABLE,
        "turn.conflict" => StatusCode::CONFLICT,
        "session.ended" | "session.expired" => StatusCode::GONE,
        "agent.stalled" | "spawn.timeout" => StatusCode::GATEWAY_TIMEOUT,
        _ => match code.split_once('.').map_or(code, |(area, _)| area) {
            "proto" => StatusCode::BAD_REQUEST,
            "auth" => StatusCode::FORBIDDEN,
            "quota" => StatusCode::TOO_MANY_REQUESTS,
            "session" | "turn" => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (code, message) = denied.told();
        Self::new(code, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, message, retry_after } = self;
        let body = rest::Problem {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.into_owned(),
            detail: message.into_owned(),
            retry_after_ms: retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = retry_after {
            // Whole seconds (RFC 9110, section 10.2.3), none of them too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
