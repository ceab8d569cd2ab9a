//! JSON bodies of requests and answers. An invalid body is refused like any other request.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::edge::http::problem::ProblemJson;

/// A JSON object as body. An empty body counts as `{}`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ProblemJson;

    async fn from_request(request: Request, state: &S) -> Result<Self, ProblemJson> {
        let body = Bytes::from_request(request, state).await.map_err(|error| unreadable(&error))?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body };
        let refusal = |error: serde_json::Error| {
            let code = if error.is_data() { ErrorCode::ProtoInvalid } else { ErrorCode::ProtoBadJson };
            Refusal::new(code, error.to_string())
        };
        // Serde would also accept an array of the fields' values.
        let _: Map<String, Value> = serde_json::from_slice(body).map_err(refusal)?;
        Ok(Self(serde_json::from_slice(body).map_err(refusal)?))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self.0).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn unreadable(error: &BytesRejection) -> Refusal {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Refusal::new(ErrorCode::ProtoTooLarge, "the body is larger than the hub accepts");
    }
    Refusal::new(ErrorCode::ProtoBadJson, "the connection broke before the body was complete")
}
