//! What is said to a session without a socket, and what is heard of it.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use mayfly_protocol::client::{ClientFrame, MESSAGE_ID_MAX_BYTES};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::Epoch;
use mayfly_protocol::rest::{NewMessage, Reply};

use crate::edge::http::Shared;
use crate::edge::http::caller::{Asker, items};
use crate::edge::http::error::Problem;
use crate::edge::http::guard::{IDEMPOTENCY_KEY, LAST_EVENT_ID};
use crate::edge::http::json::Json;
use crate::edge::http::rest::answer::Answer;
use crate::edge::http::rest::stream;
use crate::edge::http::rest::visit::{allowed, visit};
use crate::edge::http::rest::{Refusals, StreamEvent};
use crate::edge::server::Serving;
use crate::sessions::driver::visit::Visit;
use crate::sessions::listener::Listener;
use crate::sessions::peer::Peer;

const EVENT_STREAM: &str = "text/event-stream";

/// Says something, and waits for the answer. A message that is sent again under its key is answered, not asked twice. Who
/// hangs up stops nothing.
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
            description = "The whole answer; or, where `Accept` names it, the turn's frames as an event stream, `turn.accepted` to `turn.done`.",
            content((Reply = "application/json"), (StreamEvent = "text/event-stream")),
        ),
        Refusals,
    ),
)]
pub(super) async fn say(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    asker: Asker,
    headers: HeaderMap,
    serving: Option<Extension<Serving>>,
    Json(NewMessage { message }): Json<NewMessage>,
) -> Result<Response, Problem> {
    let session = allowed(&edge, &session, &asker)?;
    let (name, text) = checked(idempotency_key(&headers)?, message)?;
    if wants_stream(&headers) {
        let (listener, heard) = Listener::new();
        visit(&edge, session, Visit::Ask(listener, name, text)).await?;
        return stream::answer(heard, serving).await;
    }
    let (listener, waiting) = Answer::collect(session);
    visit(&edge, session, Visit::Ask(listener, name, text)).await?;
    Ok(Json(waiting.wait().await?).into_response())
}

/// The session's frames as an event stream: what it has missed, for who says what it has, then all that come.
#[utoipa::path(
    get,
    path = "/sessions/{session}/events",
    tag = "messages",
    params(
        ("session" = String, Path, pattern = "^s_[0-9a-f]{32}$"),
        ("last-event-id" = Option<String>, Header, description = "The last `id` that came: EPOCH.SEQ"),
    ),
    responses((status = OK, body = StreamEvent, content_type = "text/event-stream"), Refusals),
)]
pub(super) async fn events(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    asker: Asker,
    headers: HeaderMap,
    serving: Option<Extension<Serving>>,
) -> Result<Response, Problem> {
    let session = allowed(&edge, &session, &asker)?;
    let (listener, heard) = Listener::new();
    visit(&edge, session, Visit::Attach(Peer::Listener(listener), position(&headers))).await?;
    stream::answer(heard, serving).await
}

/// A message's name and text, if they may be one's.
fn checked(id: Option<String>, text: String) -> Result<(Option<String>, String), Problem> {
    match (ClientFrame::Message { id, text }).checked() {
        Ok(ClientFrame::Message { id, text }) => Ok((id, text)),
        Ok(_) => Err(Problem::new(ErrorCode::ProtoInvalid, "that is no message")),
        Err(refused) => Err(refused.refusal.into()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=MESSAGE_ID_MAX_BYTES).contains(&text.len()));
    let message = "Idempotency-Key must have 1 to 64 visible characters";
    text.map(|text| Some(text.to_owned())).ok_or_else(|| Problem::new(ErrorCode::ProtoInvalid, message))
}

/// Where an event stream broke off; one that is not understood is as good as none, and gets all there is.
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
    fn an_event_id_is_an_epoch_and_a_number() {
        let of = |value| position(&headers(LAST_EVENT_ID, value));
        assert_eq!(of("e0000000a.12"), Some((Epoch(10), 12)));
        for bad in ["", "12", "e0000000a", "e0000000a.", "e0000000a.-1", "x.1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(position(&HeaderMap::new()), None);
    }

    #[test]
    fn a_stream_is_for_who_asks_for_one() {
        let of = |value| wants_stream(&headers(header::ACCEPT, value));
        assert!(of("text/event-stream") && of("application/json, Text/Event-Stream;q=0.9"));
        assert!(!of("application/json") && !of("*/*") && !wants_stream(&HeaderMap::new()));
    }

    #[test]
    fn a_key_is_short_and_visible() {
        let of = |value| idempotency_key(&headers(IDEMPOTENCY_KEY, value)).map_err(|problem| problem.0.code);
        assert_eq!(of("m-1"), Ok(Some("m-1".to_owned())));
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
        assert_eq!(of(""), Err(ErrorCode::ProtoInvalid));
        let long: &'static str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        assert_eq!((long.len(), of(long)), (65, Err(ErrorCode::ProtoInvalid)));
    }
}
