//! A listener's frames as server-sent events: one event for each frame, with the frame's number as `id`.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::{StreamExt, stream};
use mayfly_protocol::code::{CloseCode, ErrorCode};
use mayfly_protocol::hub::HubFrame;
use mayfly_protocol::refusal::Refusal;
use tokio::sync::mpsc;

use crate::edge::server::RequestGuard;
use crate::limits::STREAM_COMMENT_INTERVAL;
use crate::sessions::listener::Item;

/// Header that stops proxies from buffering the answer (nginx).
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Returns the stream of a listener's items. `request` counts the connection as busy while the stream goes on.
///
/// # Errors
/// Returns the refusal if the first item is an `error` frame.
pub(super) async fn answer(
    mut items: mpsc::Receiver<Item>,
    request: Option<Extension<RequestGuard>>,
) -> Result<Response, Refusal> {
    let first = items.recv().await;
    if let Some(Item::Frame(frame, _)) = &first
        && let Ok(frame) = serde_json::from_slice(frame)
        && let Some(refusal) = refusal(&frame)
    {
        return Err(refusal);
    }
    let rest = stream::unfold((items, request), async |(mut items, request)| {
        items.recv().await.map(|next| (next, (items, request)))
    });
    let events =
        stream::iter(first).chain(rest).filter_map(async |item| event(item).map(Ok::<_, Infallible>));
    let keep_alive = KeepAlive::new().interval(STREAM_COMMENT_INTERVAL);
    Ok(([UNBUFFERED], Sse::new(events).keep_alive(keep_alive)).into_response())
}

/// Returns the refusal in an `error` frame.
pub(super) fn refusal(frame: &HubFrame) -> Option<Refusal> {
    let HubFrame::Error { code, message, retry_after_ms, .. } = frame else { return None };
    let retry_after = retry_after_ms.map(Duration::from_millis);
    Some(Refusal { code: *code, message: message.clone().into(), retry_after })
}

fn event(item: Item) -> Option<Event> {
    match item {
        Item::Frame(frame, position) => {
            // The session checked that its frames are UTF-8.
            let event = Event::default().data(str::from_utf8(&frame).ok()?);
            Some(match position {
                Some((epoch, seq)) => event.id(format!("{epoch}.{seq}")),
                None => event,
            })
        }
        Item::Closed(close) if close.code() == CloseCode::TooSlow => {
            let message = "the client read too slowly; resume with Last-Event-ID";
            let slow = Refusal::new(ErrorCode::QuotaSlow, message).to_frame();
            Some(Event::default().data(str::from_utf8(&slow.to_json()).ok()?))
        }
        // A frame has reported the cause.
        Item::Closed(_) => None,
    }
}
