//! JSON bodies, whose faults are problems as all others.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::code::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::edge::http::error::Problem;

/// A body. An empty one is an object without anything in it.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body };
        let problem = |error: serde_json::Error| {
            let code = if error.is_data() { ErrorCode::ProtoInvalid } else { ErrorCode::ProtoBadJson };
            Problem::new(code, error.to_string())
        };
        // A list of an object's values would be taken for it.
        let _: Map<String, Value> = serde_json::from_slice(body).map_err(problem)?;
        serde_json::from_slice(body).map(Self).map_err(problem)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self.0).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn unread(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(ErrorCode::ProtoTooLarge, "the body is larger than the hub reads");
    }
    Problem::new(ErrorCode::ProtoBadJson, "the body broke off")
}
