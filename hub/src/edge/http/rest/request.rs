//! The session that a call names: alive, ended, or unknown.

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, Status};
use mayfly_protocol::ids::SessionId;
use mayfly_protocol::refusal::Refusal;
use mayfly_session::limits::DRAIN_RETRY_AFTER;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::edge::Edge;
use crate::edge::http::caller::Caller;
use crate::limits::LOOK_TIMEOUT;
use crate::ops::journal::Past;
use crate::sessions::request::{SessionAnswer, SessionRequest};

/// Returns the session that a path names, if the caller may use it.
///
/// # Errors
/// Returns `session.gone` if the path names no session, `auth.missing` or `auth.denied` if the caller may not use it.
pub(crate) fn authorized_session(edge: &Edge, session: &str, caller: &Caller) -> Result<SessionId, Refusal> {
    let session = session.parse().map_err(|_| unknown_session())?;
    caller.authorize_session(edge, session)?;
    Ok(session)
}

/// Sends a request to a session.
///
/// # Errors
/// Returns the refusal if the session is not running here.
pub(super) async fn request(edge: &Edge, session: SessionId, request: SessionRequest) -> Result<(), Refusal> {
    match edge.sessions.registry.send(session, Box::new(request)).await {
        Ok(()) => Ok(()),
        Err(_) => Err(refusal_of_past(&find_past(edge, session).await?)),
    }
}

/// Returns a session's state, by a [`SessionRequest::Look`] or a [`SessionRequest::Extend`]; `None` if the session is not running here.
pub(crate) async fn look(
    edge: &Edge,
    session: SessionId,
    request: impl FnOnce(oneshot::Sender<SessionAnswer>) -> SessionRequest,
) -> Option<SessionAnswer> {
    let (answer, seen) = oneshot::channel();
    let look = async {
        edge.sessions.registry.send(session, Box::new(request(answer))).await.ok()?;
        seen.await.ok()
    };
    timeout(LOOK_TIMEOUT, look).await.ok().flatten()
}

/// Returns the journal's record of a session that is not running here.
///
/// # Errors
/// Returns `session.gone` if the journal has no such session.
pub(super) async fn find_past(edge: &Edge, session: SessionId) -> Result<Past, Refusal> {
    edge.ops.journal.find(session).await.ok_or_else(unknown_session)
}

/// Returns the state of a session that is not running here. A session that has not ended lives on: another hub takes
/// it over, or this hub is about to.
pub(super) fn past_status(past: &Past) -> Status {
    match (past.terminated_at, &past.ended, past.ready_at) {
        (Some(_), ..) => Status::Terminated,
        (None, Some(_), _) => Status::Terminating,
        (None, None, Some(_)) => Status::Active,
        (None, None, None) => Status::Creating,
    }
}

/// Returns the refusal of a call that needs a running session.
pub(super) fn refusal_of_past(past: &Past) -> Refusal {
    match past.ended.map(|(_, ended)| ended.reason) {
        Some(EndReason::Idle | EndReason::Max) => {
            Refusal::new(ErrorCode::SessionExpired, "the session reached its time limit")
        }
        None if past.terminated_at.is_none() => handing_over(),
        _ => Refusal::new(ErrorCode::SessionEnded, "the session has ended"),
    }
}

/// Returns the refusal while one hub hands a session over to the next.
pub(super) fn handing_over() -> Refusal {
    let message = "another hub takes this session over; try again in a moment";
    Refusal::new(ErrorCode::HubDraining, message).after(DRAIN_RETRY_AFTER)
}

/// Returns the refusal while the hub shuts down.
pub(super) fn draining() -> Refusal {
    Refusal::new(ErrorCode::HubDraining, "the hub is shutting down").after(DRAIN_RETRY_AFTER)
}

/// Returns the refusal of a session that the hub does not know.
pub(crate) fn unknown_session() -> Refusal {
    Refusal::new(ErrorCode::SessionGone, "the session does not exist, or the hub no longer remembers it")
}
