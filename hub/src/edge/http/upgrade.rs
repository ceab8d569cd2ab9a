//! WebSocket upgrades (RFC 6455, section 4.2). `GET /ws` creates a session, `GET /ws/{session}` joins one.
//!
//! The hub sends most refusals after the upgrade, as an `error` frame and a close frame, because a browser does not show a
//! page why an upgrade failed. It starts an agent only after the caller was allowed to create a session.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use mayfly_protocol::SUBPROTOCOL;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{Epoch, SessionId};
use mayfly_protocol::refusal::Refusal;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::{debug, info};

use crate::edge::Edge;
use crate::edge::http::Shared;
use crate::edge::http::caller::{Caller, items};
use crate::edge::http::guard::forbidden;
use crate::edge::http::problem::ProblemJson;
use crate::edge::server::ConnectionPermit;
use crate::identity::ticket::HeldTicket;
use crate::ops::trace::Trace;
use crate::sessions::admission::policy::{Full, WhenFull};
use crate::sessions::driver::{self, Creator};
use crate::sessions::peer::Peer;
use crate::sessions::registry::{Mailbox, Place};
use crate::sessions::request::SessionRequest;
use crate::socket::transport::Transport;
use crate::socket::{Format, Socket};
use mayfly_session::limits::DRAIN_RETRY_AFTER;

/// The query of `/ws` and `/ws/{session}`.
#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    format: Format,
    /// Epoch and number of the client's last frame.
    epoch: Option<Epoch>,
    after: Option<u64>,
}

/// Purpose of the WebSocket.
#[derive(Clone, Copy)]
enum Purpose {
    Create,
    Join { session: SessionId, position: Option<(Epoch, u64)> },
}

/// Result of an admission.
enum Admitted {
    /// A new session, which may wait for capacity. Its admission uses up the ticket.
    Created(Place, Mailbox, Option<HeldTicket>),
    Joins {
        session: SessionId,
        position: Option<(Epoch, u64)>,
    },
}

/// Handles `GET /ws`: creates a session.
pub(crate) async fn create(State(shared): State<Shared>, caller: Caller, request: Request) -> Response {
    open(&shared, caller, request, None)
}

/// Handles `GET /ws/{session}`: joins a session.
pub(crate) async fn join(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    caller: Caller,
    request: Request,
) -> Response {
    open(&shared, caller, request, Some(session.parse().map_err(|_| gone())))
}

/// Answers the upgrade. The socket joins `session`, or creates a session if there is none.
fn open(
    shared: &Shared,
    caller: Caller,
    mut request: Request,
    session: Option<Result<SessionId, Refusal>>,
) -> Response {
    let Ok(Query(Options { format, epoch, after })) = Query::try_from_uri(request.uri()) else {
        let message = "format must be json or text; epoch and after must be values from the hub";
        return ProblemJson(Refusal::new(ErrorCode::ProtoQuery, message)).into_response();
    };
    let position = epoch.zip(after);
    let purpose = match session {
        None => Ok(Purpose::Create),
        Some(session) => session.map(|session| Purpose::Join { session, position }),
    };
    let Some(accept) = accept_key(request.headers()) else {
        return ([(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")], not_an_upgrade())
            .into_response();
    };
    let parts = request.extensions_mut().remove::<OnUpgrade>();
    let permit = request.extensions().get::<ConnectionPermit>().and_then(ConnectionPermit::take);
    let (Some(upgrade), Some(permit)) = (parts, permit) else { return not_an_upgrade().into_response() };

    let is_foreign = !shared.guard.allows_origin(request.headers());
    let purpose = if is_foreign { Err(forbidden()) } else { purpose };
    let edge = Arc::clone(&shared.edge);
    let traces = edge.ops.traces.as_ref().filter(|_| !matches!(purpose, Ok(Purpose::Join { .. })));
    let trace = traces.map(|traces| traces.begin(request.headers()));
    shared.edge.ops.tasks.spawn(async move {
        if let Some(socket) = upgraded(upgrade, format, permit).await {
            welcome(edge, socket, caller, purpose, trace).await;
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

/// Serves the socket's purpose, or refuses the socket.
async fn welcome(
    edge: Arc<Edge>,
    mut socket: Socket,
    caller: Caller,
    purpose: Result<Purpose, Refusal>,
    trace: Option<Trace>,
) {
    let address = caller.address;
    let admitted = match purpose {
        Ok(purpose) => admit(&edge, &mut socket, caller, purpose).await,
        Err(refusal) => Err(refusal),
    };
    let (socket, refusal) = match admitted {
        Ok(Admitted::Created(place, mailbox, ticket)) => {
            let creator = Some(Creator { socket, ticket });
            return driver::start(&edge.sessions, creator, place, mailbox, trace).await;
        }
        Ok(Admitted::Joins { session, position }) => {
            let request = SessionRequest::Attach(Peer::Socket(Box::new(socket)), position);
            let Err(request) = edge.sessions.registry.send(session, Box::new(request)).await else { return };
            let SessionRequest::Attach(Peer::Socket(socket), _) = *request else { return };
            // This hub may have left the session to the next one.
            (*socket, if edge.ops.shutdown.is_cancelled() { draining() } else { gone() })
        }
        Err(refusal) => (socket, refusal),
    };
    let code = refusal.code;
    if let Some(trace) = trace {
        trace.refused(code.name());
    }
    edge.ops.metrics.count_refusal(code);
    info!(%code, client = %address, "connection refused");
    socket.say_farewell(vec![refusal.to_frame().to_json().into()], Some(refusal.close())).await;
}

/// Checks that the caller may use the socket for its purpose. A caller without a credential may send one in `hello`.
async fn admit(
    edge: &Arc<Edge>,
    socket: &mut Socket,
    mut caller: Caller,
    purpose: Purpose,
) -> Result<Admitted, Refusal> {
    if matches!(purpose, Purpose::Create) && edge.ops.shutdown.is_cancelled() {
        return Err(draining());
    }
    let authorize = |caller: &Caller| match purpose {
        Purpose::Create => caller.authorize_create(edge),
        Purpose::Join { session, .. } => caller.authorize_session(edge, session).map(|()| None),
    };
    let mut allowed = authorize(&caller);
    if allowed.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::AuthMissing)
        && let Some(credential) = socket.hello().await
    {
        caller = caller.with(credential);
        allowed = authorize(&caller);
    }
    let ticket = allowed?;
    match purpose {
        Purpose::Join { session, position } => Ok(Admitted::Joins { session, position }),
        Purpose::Create => {
            let ticket = ticket.map(|ticket| HeldTicket::new(&edge.tickets, ticket));
            enter(edge, &caller, ticket)
        }
    }
}

/// Reserves capacity for a new session, or a place in line if the hub is full and `--wait` allows it.
fn enter(edge: &Edge, caller: &Caller, ticket: Option<HeldTicket>) -> Result<Admitted, Refusal> {
    let held = ticket.as_ref().and_then(HeldTicket::ticket);
    let owner = held.and_then(|ticket| ticket.owner.clone());
    let applicant = caller.applicant(owner.clone(), held);
    let when_full = if edge.sessions.wait.is_zero() { WhenFull::Refuse } else { WhenFull::Wait };
    let pass = edge.sessions.admission.ask(applicant, when_full).map_err(Full::refusal)?;
    let (place, mailbox) = edge.sessions.registry.register(SessionId::random(), owner, pass);
    Ok(Admitted::Created(place, mailbox, ticket))
}

/// Returns the socket of the upgraded connection, without the HTTP server's layers.
async fn upgraded(upgrade: OnUpgrade, format: Format, permit: OwnedSemaphorePermit) -> Option<Socket> {
    match upgrade.await.map(Upgraded::downcast::<TokioIo<Transport>>) {
        Ok(Ok(Parts { io, read_buf, .. })) => {
            Some(Socket::new(format, io.into_inner(), read_buf, permit).await)
        }
        Ok(Err(_)) => {
            debug!("upgraded connection has an unknown transport");
            None
        }
        Err(error) => {
            debug!(%error, "upgrade failed");
            None
        }
    }
}

/// Returns the accept key of a valid handshake.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_upgrade = has_token(headers, &header::CONNECTION, "upgrade")
        && has_token(headers, &header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_upgrade && key.len() == 24)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
}

/// Returns `true` if a comma-separated header has this token, in any case.
fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

fn not_an_upgrade() -> ProblemJson {
    let message = "this is a WebSocket endpoint: connect with a WebSocket client, version 13";
    Refusal::new(ErrorCode::ProtoUpgrade, message).into()
}

fn gone() -> Refusal {
    Refusal::new(ErrorCode::SessionGone, "the session does not exist, or the hub no longer remembers it")
}

fn draining() -> Refusal {
    Refusal::new(ErrorCode::HubDraining, "the hub is shutting down").after(DRAIN_RETRY_AFTER)
}
