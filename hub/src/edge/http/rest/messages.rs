//! Messages to a session and its frames, over REST.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::client::{ClientFrame, MESSAGE_ID_MAX_BYTES};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::Epoch;
use mayfly_protocol::refusal::Refusal;
use mayfly_protocol::rest::{NewMessage, Reply};

use crate::edge::http::Shared;
use crate::edge::http::caller::{Caller, items};
use crate::edge::http::guard::{IDEMPOTENCY_KEY, LAST_EVENT_ID};
use crate::edge::http::json::Json;
use crate::edge::http::problem::ProblemJson;
use crate::edge::http::rest::answer::Answer;
use crate::edge::http::rest::request::{authorized_session, request};
use crate::edge::http::rest::stream;
use crate::edge::http::rest::{Refusals, StreamEvent};
use crate::edge::server::RequestGuard;
use crate::sessions::listener::Listener;
use crate::sessions::peer::Peer;
use crate::sessions::request::SessionRequest;

const EVENT_STREAM: &str = "text/event-stream";

/// Sends a message and waits for the answer. A message with the same `Idempotency-Key` as an earlier one gets that
/// message's answer. Closing the connection does not stop the turn.
#[utoipa::path(
    post,
    path = "/sessions/{session}/messages",
    tag = "messages",
    params(
        ("session" = String, Path, pattern = "^s_[0-9a-f]{32}$"),
        ("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 64, pattern = "^[!-~]+$"),
    ),
    request_body = NewMessage,
    responses(
        (
            status = OK,
            description = "The whole answer. With `Accept: text/event-stream`, the turn's frames as a stream, from `turn.accepted` to `turn.done`.",
            content((Reply = "application/json"), (StreamEvent = "text/event-stream")),
        ),
        Refusals,
    ),
)]
pub(super) async fn say(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    serving: Option<Extension<RequestGuard>>,
    Json(NewMessage { message }): Json<NewMessage>,
) -> Result<Response, ProblemJson> {
    let session = authorized_session(&edge, &session, &caller)?;
    let (name, text) = checked(idempotency_key(&headers)?, message)?;
    if wants_stream(&headers) {
        let (listener, items) = Listener::new();
        request(&edge, session, SessionRequest::Ask(listener, name, text)).await?;
        return Ok(stream::answer(items, serving).await?);
    }
    let (listener, reply) = Answer::collect(session);
    request(&edge, session, SessionRequest::Ask(listener, name, text)).await?;
    Ok(Json(reply.wait().await?).into_response())
}

/// Streams the session's frames: those after `Last-Event-ID`, then all that follow.
#[utoipa::path(
    get,
    path = "/sessions/{session}/events",
    tag = "messages",
    params(
        ("session" = String, Path, pattern = "^s_[0-9a-f]{32}$"),
        ("last-event-id" = Option<String>, Header, description = "The last `id` that the client received, as `EPOCH.SEQ`."),
    ),
    responses((status = OK, body = StreamEvent, content_type = "text/event-stream"), Refusals),
)]
pub(super) async fn events(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    serving: Option<Extension<RequestGuard>>,
) -> Result<Response, ProblemJson> {
    let session = authorized_session(&edge, &session, &caller)?;
    let (listener, items) = Listener::new();
    request(&edge, session, SessionRequest::Attach(Peer::Listener(listener), position(&headers))).await?;
    Ok(stream::answer(items, serving).await?)
}

/// Checks the `id` and text of a message.
///
/// # Errors
/// Returns `proto.invalid` or `proto.too_large`, with what is accepted.
fn checked(id: Option<String>, text: String) -> Result<(Option<String>, String), Refusal> {
    match (ClientFrame::Message { id, text }).checked() {
        Ok(ClientFrame::Message { id, text }) => Ok((id, text)),
        Ok(_) => Err(Refusal::new(ErrorCode::ProtoInvalid, "the body is not a message")),
        Err(refused) => Err(refused.refusal),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=MESSAGE_ID_MAX_BYTES).contains(&text.len()));
    let message = "Idempotency-Key must have 1 to 64 visible characters";
    text.map(|text| Some(text.to_owned())).ok_or_else(|| Refusal::new(ErrorCode::ProtoInvalid, message))
}

/// Returns the client's position from `Last-Event-ID`. Without a valid position the client gets a snapshot.
fn position(headers: &HeaderMap) -> Option<(Epoch, u64)> {
    let (epoch, seq) = headers.get(LAST_EVENT_ID)?.to_str().ok()?.split_once('.')?;
    Some((epoch.parse().ok()?, seq.parse().ok()?))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let essence =
        |item: &str| item.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENT_STREAM);
    items(headers, &header::ACCEPT).any(essence)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn event_id_is_an_epoch_and_a_number() {
        let of = |value| position(&headers(LAST_EVENT_ID, value));
        assert_eq!(of("e0000000a.12"), Some((Epoch(10), 12)));
        for bad in ["", "12", "e0000000a", "e0000000a.", "e0000000a.-1", "x.1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(position(&HeaderMap::new()), None);
    }

    #[test]
    fn accept_header_selects_the_stream() {
        let of = |value| wants_stream(&headers(header::ACCEPT, value));
        assert!(of("text/event-stream") && of("application/json, Text/Event-Stream;q=0.9"));
        assert!(!of("application/json") && !of("*/*") && !wants_stream(&HeaderMap::new()));
    }

    #[test]
    fn idempotency_key_is_short_and_visible() {
        let of = |value| idempotency_key(&headers(IDEMPOTENCY_KEY, value)).map_err(|refusal| refusal.code);
        assert_eq!(of("m-1"), Ok(Some("m-1".to_owned())));
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        assert_eq!(of(""), Err(ErrorCode::ProtoInvalid));
        let long: &'static str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        assert_eq!((long.len(), of(long)), (65, Err(ErrorCode::ProtoInvalid)));
    }
}
