//! `GET /ws`: a connection becomes a WebSocket (RFC 6455, section 4.2), and the WebSocket a session.
//!
//! Refusals that concern the person are told after the upgrade, as an `error` frame and a close code: a browser does
//! not show a page why its upgrade failed. Nothing is spawned before the caller is allowed.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use mayfly_protocol::SUBPROTOCOL;
use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::HubFrame;
use mayfly_protocol::ids::SessionId;
use mayfly_session::SocketId;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, info};

use crate::Hub;
use crate::driver;
use crate::http::error::Problem;
use crate::http::guard::Guard;
use crate::limits::CAPACITY_RETRY_AFTER;
use crate::server::ConnectionPermit;
use crate::socket::{Format, Socket};

/// What the route works with.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) guard: Arc<Guard>,
}

/// The query of `/ws`.
#[derive(Deserialize)]
pub(crate) struct Options {
    #[serde(default)]
    format: Format,
}

const NOT_AN_UPGRADE: Problem = Problem {
    status: StatusCode::UPGRADE_REQUIRED,
    code: "proto.upgrade",
    message: "this is a WebSocket endpoint: connect with a WebSocket client, version 13",
};
const BAD_FORMAT: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    code: "proto.invalid",
    message: "format must be json or text",
};

/// Answers the upgrade; the session begins when the connection is a WebSocket.
pub(crate) async fn open(State(shared): State<Shared>, mut request: Request) -> Response {
    let Ok(Query(Options { format })) = Query::<Options>::try_from_uri(request.uri()) else {
        return BAD_FORMAT.into_response();
    };
    let Some(accept) = accept_key(request.headers()) else {
        return ([(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")], NOT_AN_UPGRADE)
            .into_response();
    };
    let parts = request.extensions_mut().remove::<OnUpgrade>();
    let permit = request.extensions().get::<ConnectionPermit>().and_then(ConnectionPermit::take);
    let (Some(upgrade), Some(permit)) = (parts, permit) else { return NOT_AN_UPGRADE.into_response() };

    let refusal = (!shared.guard.allows_origin(request.headers())).then(forbidden);
    let hub = Arc::clone(&shared.hub);
    shared.hub.tasks.spawn(async move {
        if let Some(socket) = upgraded(upgrade, format, permit).await {
            admit(hub, socket, refusal).await;
        }
    });

    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if offers_subprotocol(request.headers()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// Makes the socket a session, or says why not.
async fn admit(hub: Arc<Hub>, socket: Socket, refusal: Option<(HubFrame, CloseCode)>) {
    let refusal = refusal.or_else(|| hub.shutdown.is_cancelled().then(draining));
    let place = match refusal {
        Some(refusal) => Err(refusal),
        None => hub.registry.reserve().ok_or_else(at_capacity),
    };
    match place {
        Ok(place) => driver::start(&hub, SessionId::random(), socket, place),
        Err((frame, code)) => {
            info!(code = code.reason(), "refused");
            socket.say_farewell(vec![frame.to_json().into()], Some(code)).await;
        }
    }
}

/// The socket beneath the upgraded connection, without the HTTP server's layers.
async fn upgraded(upgrade: OnUpgrade, format: Format, permit: OwnedSemaphorePermit) -> Option<Socket> {
    match upgrade.await.map(Upgraded::downcast::<TokioIo<TcpStream>>) {
        Ok(Ok(Parts { io, read_buf, .. })) => {
            Some(Socket::new(SocketId(0), format, io.into_inner(), read_buf, permit).await)
        }
        Ok(Err(_)) => {
            debug!("an upgraded connection is not a TCP stream");
            None
        }
        Err(error) => {
            debug!(%error, "an upgrade failed");
            None
        }
    }
}

/// The answer to a handshake that is complete.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_upgrade = has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_upgrade && key.len() == 24)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
}

/// Whether a header that is a comma-separated list has this token, in any case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn refusal(code: ErrorCode, message: &str, retry_after_ms: Option<u64>) -> HubFrame {
    let retryable = retry_after_ms.is_some();
    HubFrame::Error { code, scope: Scope::Hub, retryable, retry_after_ms, message: message.to_owned() }
}

fn forbidden() -> (HubFrame, CloseCode) {
    let message = "this page's origin is not allowed to use the hub; see --allow-origin";
    (refusal(ErrorCode::AuthOrigin, message, None), CloseCode::Forbidden)
}

fn at_capacity() -> (HubFrame, CloseCode) {
    let retry_after_ms = u64::try_from(CAPACITY_RETRY_AFTER.as_millis()).ok();
    (refusal(ErrorCode::QuotaSessions, "all sessions are taken", retry_after_ms), CloseCode::AtCapacity)
}

fn draining() -> (HubFrame, CloseCode) {
    (refusal(ErrorCode::HubDraining, "the hub is shutting down", None), CloseCode::Ended)
}
