//! The agent's HTTP routes: authorization, calls, and a turn's events as SSE or as one JSON answer.
//!
//! Owns routes, statuses and headers (protocol: `mayfly_protocol::agent`). `agent.rs` decides about turns.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::{self, Stream, StreamExt};
use mayfly_protocol::agent::{
    BindRequest, ChatRequest, ChatResponse, HEADER_LAST_EVENT, Health, History, PATH_BIND, PATH_CHAT,
    PATH_HEALTH, PATH_HISTORY, STREAM_HEADER,
};
use mayfly_protocol::chunk::{Chunk, DONE};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{SessionId, TurnId};
use serde::Serialize;
use tokio::time::timeout;

use crate::agent::{Agent, Refusal};
use crate::limits::{CALL_BODY_MAX_BYTES, CANCEL_WAIT_MAX, KEEP_ALIVE_INTERVAL};
use crate::secret::Secret;
use crate::turn_events::EventReader;

/// Returns the routes of the agent's wire.
pub fn router(agent: Arc<Agent>, token: Secret) -> Router {
    let gate = Gate { agent: Arc::clone(&agent), token };
    Router::new()
        .route(PATH_HEALTH, get(health))
        .route(PATH_BIND, post(bind))
        .route(PATH_CHAT, post(chat))
        .route(PATH_HISTORY, get(history))
        .route("/turns/{turn}/events", get(turn_events))
        .route("/turns/{turn}/cancel", post(cancel))
        .fallback(async || CallError::NoSuchCall)
        .method_not_allowed_fallback(async || CallError::NoSuchMethod)
        .layer(DefaultBodyLimit::max(CALL_BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(Arc::new(gate), authorize))
        .with_state(agent)
}

/// Error returned when a call is refused or fails.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the call needs the agent's token in Authorization: Bearer TOKEN")]
    Unauthorized,
    #[error("there is no such call")]
    NoSuchCall,
    #[error("the call has another method")]
    NoSuchMethod,
    #[error("Accept must allow text/event-stream or application/json")]
    NotAcceptable,
    #[error("Last-Event-ID must be the number of an event")]
    LastEvent,
    #[error("{}", .0.body_text())]
    Body(#[from] JsonRejection),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the turn was cancelled")]
    Cancelled,
    #[error("{message}")]
    Failed { code: ErrorCode, message: String },
}

/// The body of an error.
#[derive(Serialize)]
struct ErrorBody {
    code: String,
    message: String,
}

impl CallError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "auth.denied"),
            Self::NoSuchCall => (StatusCode::NOT_FOUND, "http.not_found"),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "http.method"),
            Self::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "http.accept"),
            Self::LastEvent => (StatusCode::BAD_REQUEST, "proto.invalid"),
            Self::Body(rejection) => match rejection.status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "http.content_type")
                }
                StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "proto.too_large"),
                _ => (StatusCode::BAD_REQUEST, "proto.invalid"),
            },
            Self::Refused(Refusal::OtherSession) => (StatusCode::FORBIDDEN, "session.other"),
            Self::Refused(Refusal::Unbound) => (StatusCode::CONFLICT, "agent.unbound"),
            Self::Refused(Refusal::Bound) => (StatusCode::CONFLICT, "agent.bound"),
            Self::Refused(Refusal::Busy(_)) => (StatusCode::CONFLICT, "turn.conflict"),
            Self::Refused(Refusal::Forgotten(_)) => (StatusCode::GONE, "turn.gone"),
            Self::Refused(Refusal::UnknownTurn(_)) => (StatusCode::NOT_FOUND, "turn.not_found"),
            Self::Refused(
                Refusal::EmptyMessage
                | Refusal::BadOwner(_)
                | Refusal::FixedEnvironment
                | Refusal::UnknownEvent(..),
            ) => (StatusCode::BAD_REQUEST, "proto.invalid"),
            Self::Refused(Refusal::Closing) => (StatusCode::SERVICE_UNAVAILABLE, "agent.closing"),
            Self::Cancelled => (StatusCode::CONFLICT, "turn.cancelled"),
            Self::Failed { .. } => (StatusCode::BAD_GATEWAY, "agent.failed"),
        }
    }
}

impl IntoResponse for CallError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let code = if let Self::Failed { code, .. } = &self { code.to_string() } else { code.to_owned() };
        let mut response = (status, Json(ErrorBody { code, message: self.to_string() })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

struct Gate {
    agent: Arc<Agent>,
    token: Secret,
}

async fn authorize(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Result<Response, CallError> {
    let presented = request.headers().get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    if !presented.is_some_and(|presented| gate.token.matches(presented)) {
        return Err(CallError::Unauthorized);
    }
    gate.agent.record_call();
    Ok(next.run(request).await)
}

/// Returns the credential of the scheme `Bearer`, whose name ignores case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credential) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(credential)
}

async fn health(State(agent): State<Arc<Agent>>) -> Json<Health> {
    Json(agent.health())
}

async fn bind(
    State(agent): State<Arc<Agent>>,
    request: Result<Json<BindRequest>, JsonRejection>,
) -> Result<StatusCode, CallError> {
    let Json(request) = request?;
    agent.bind(request)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn history(State(agent): State<Arc<Agent>>) -> Json<History> {
    Json(agent.history().await)
}

async fn turn_events(
    State(agent): State<Arc<Agent>>,
    turn: Result<Path<TurnId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, CallError> {
    let Path(turn) = turn.map_err(|_| CallError::NoSuchCall)?;
    let last = match headers.get(HEADER_LAST_EVENT) {
        None => 0,
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()).ok_or(CallError::LastEvent)?,
    };
    let reader = agent.events(turn, last).await?;
    Ok(stream_of(agent, reader))
}

async fn cancel(
    State(agent): State<Arc<Agent>>,
    turn: Result<Path<TurnId>, PathRejection>,
) -> Result<StatusCode, CallError> {
    let Path(turn) = turn.map_err(|_| CallError::NoSuchCall)?;
    let mut turn = agent.cancel(turn)?;
    // The answer follows the end of the turn, so that the caller can start the next one.
    let _ = timeout(CANCEL_WAIT_MAX, turn.outcome()).await;
    Ok(StatusCode::ACCEPTED)
}

async fn chat(
    State(agent): State<Arc<Agent>>,
    headers: HeaderMap,
    request: Result<Json<ChatRequest>, JsonRejection>,
) -> Result<Response, CallError> {
    let form = Form::accepted(&headers).ok_or(CallError::NotAcceptable)?;
    let Json(request) = request?;
    let session = request.session_id;
    let reader = agent.chat(request).await?;
    match form {
        Form::Stream => Ok(stream_of(agent, reader)),
        Form::Whole => whole(session, reader).await,
    }
}

/// The form of a turn's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Stream,
    Whole,
}

impl Form {
    /// Returns the accepted form, by default a stream; ignores weights.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let accepted: Vec<_> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .collect();
        let accepts = |names: &[&str]| accepted.iter().any(|range| names.contains(&range.as_str()));
        if accepted.is_empty() || accepts(&["text/event-stream"]) {
            return Some(Self::Stream);
        }
        if accepts(&["application/json"]) {
            return Some(Self::Whole);
        }
        accepts(&["*/*", "text/*"]).then_some(Self::Stream)
    }
}

fn stream_of(agent: Arc<Agent>, reader: EventReader) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_INTERVAL).text("keep-alive");
    let marker = [(STREAM_HEADER.0, STREAM_HEADER.1)];
    (marker, Sse::new(events(agent, reader)).keep_alive(keep_alive)).into_response()
}

/// Returns the events of a turn, then `[DONE]`. Each event that the hub takes counts as a call.
fn events(agent: Arc<Agent>, reader: EventReader) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((agent, reader), |(agent, mut reader)| async {
        let (number, chunk) = reader.next().await?;
        agent.record_call();
        let event = Event::default().id(number.to_string()).data(&*chunk);
        Some((Ok(event), (agent, reader)))
    })
    .chain(stream::once(async { Ok(Event::default().data(DONE)) }))
}

async fn whole(session: SessionId, mut reader: EventReader) -> Result<Response, CallError> {
    let outcome = reader.outcome().await.ok_or(CallError::Cancelled)?;
    if matches!(outcome.terminal, Chunk::Abort { .. }) {
        return Err(CallError::Cancelled);
    }
    if let Chunk::Error { error_text, code, .. } = outcome.terminal {
        let code = code.unwrap_or(ErrorCode::AgentFailed);
        return Err(CallError::Failed { code, message: error_text });
    }
    Ok(Json(ChatResponse { response: outcome.text, session_id: session }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &[&'static str]) -> Option<Form> {
        Form::accepted(&accept.iter().map(|value| (ACCEPT, HeaderValue::from_static(value))).collect())
    }

    #[test]
    fn a_stream_is_the_default() {
        for accept in
            [&[][..], &["text/event-stream"], &["*/*"], &["application/json, text/event-stream;q=0.1"]]
        {
            assert_eq!(accepted(accept), Some(Form::Stream), "{accept:?}");
        }
        for accept in [&["application/json"][..], &["text/html", "Application/JSON;q=0.9, */*"]] {
            assert_eq!(accepted(accept), Some(Form::Whole), "{accept:?}");
        }
        assert_eq!(accepted(&["image/png"]), None);
    }

    #[test]
    fn the_bearer_scheme_ignores_case() {
        assert_eq!(bearer(b"bearer abc"), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"abc", b"Bearer", b""] {
            assert_eq!(bearer(other), None);
        }
    }
}
