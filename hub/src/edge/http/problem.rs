//! A refusal as an HTTP answer: `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::refusal::Refusal;

/// A refusal, as the answer of a handler. The status follows from the refusal's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProblemJson(pub(crate) Refusal);

impl From<Refusal> for ProblemJson {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for ProblemJson {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let status =
            StatusCode::from_u16(refusal.code.rule().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = refusal.to_problem(status.canonical_reason().unwrap_or_default());
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = refusal.retry_after {
            // Whole seconds (RFC 9110, section 10.2.3), rounded up so that no client comes too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
