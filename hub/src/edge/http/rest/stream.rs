//! What a listener hears, as server-sent events: one frame each, with its place in the record as `id`.

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

use crate::edge::http::error::Problem;
use crate::edge::server::Serving;
use crate::limits::STREAM_COMMENT_INTERVAL;
use crate::sessions::listener::Heard;

/// Proxies that keep answers back do so no longer (nginx).
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The stream, on a connection that is `serving` as long as it goes on; or the refusal, when that is the first that is
/// heard.
///
/// # Errors
/// The refusal.
pub(super) async fn answer(
    mut heard: mpsc::Receiver<Heard>,
    serving: Option<Extension<Serving>>,
) -> Result<Response, Problem> {
    let first = heard.recv().await;
    if let Some(Heard::Frame(frame, _)) = &first
        && let Ok(frame) = serde_json::from_slice(frame)
        && let Some(problem) = refusal(&frame)
    {
        return Err(problem);
    }
    let rest = stream::unfold((heard, serving), async |(mut heard, serving)| {
        heard.recv().await.map(|next| (next, (heard, serving)))
    });
    let events =
        stream::iter(first).chain(rest).filter_map(async |heard| event(heard).map(Ok::<_, Infallible>));
    let keep_alive = KeepAlive::new().interval(STREAM_COMMENT_INTERVAL);
    Ok(([UNBUFFERED], Sse::new(events).keep_alive(keep_alive)).into_response())
}

/// What a frame refuses, if it does.
pub(super) fn refusal(frame: &HubFrame) -> Option<Problem> {
    let HubFrame::Error { code, message, retry_after_ms, .. } = frame else { return None };
    let problem = Problem::new(*code, message.clone());
    Some(match retry_after_ms {
        Some(wait) => problem.after(Duration::from_millis(*wait)),
        None => problem,
    })
}

fn event(heard: Heard) -> Option<Event> {
    match heard {
        Heard::Frame(frame, place) => {
            // Made by the session and UTF-8 by its check.
            let event = Event::default().data(str::from_utf8(&frame).ok()?);
            Some(match place {
                Some((epoch, seq)) => event.id(format!("{epoch}.{seq}")),
                None => event,
            })
        }
        Heard::Closed(close) if close.code() == CloseCode::TooSlow => {
            let message = "the frames were taken too slowly; come back with Last-Event-ID";
            let slow = Refusal::new(ErrorCode::QuotaSlow, message).to_frame();
            Some(Event::default().data(str::from_utf8(&slow.to_json()).ok()?))
        }
        // What is to be said of it was said by a frame.
        Heard::Closed(_) => None,
    }
}
