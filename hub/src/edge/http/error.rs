//! Refusals over HTTP, as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;

use crate::edge::http::caller::Denied;

/// A refusal as an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) Refusal);

impl Problem {
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Refusal::new(code, message))
    }

    /// The same, which may succeed after this time.
    pub(crate) fn after(self, retry_after: Duration) -> Self {
        Self(self.0.after(retry_after))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self(denied.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let status =
            StatusCode::from_u16(refusal.code.rule().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = refusal.to_problem(status.canonical_reason().unwrap_or_default());
        let body = serde_json::to_string(&body).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = refusal.retry_after {
            // Whole seconds (RFC 9110, section 10.2.3), none of them too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
