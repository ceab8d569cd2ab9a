//! A session as a call meets it: alive, over, or unknown.

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, Status};
use mayfly_protocol::ids::SessionId;
use mayfly_session::limits::DRAIN_RETRY_AFTER;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::edge::Edge;
use crate::edge::http::caller::Asker;
use crate::edge::http::error::Problem;
use crate::limits::LOOK_TIMEOUT;
use crate::ops::journal::Past;
use crate::sessions::driver::visit::{Seen, Visit};

/// The session that a path names, for who may use it.
///
/// # Errors
/// The refusal otherwise.
pub(crate) fn allowed(edge: &Edge, session: &str, asker: &Asker) -> Result<SessionId, Problem> {
    let session = session.parse().map_err(|_| unknown())?;
    asker.may_use(edge, session)?;
    Ok(session)
}

/// Visits a session.
///
/// # Errors
/// What a caller is told where there is none any more.
pub(super) async fn visit(edge: &Edge, session: SessionId, visit: Visit) -> Result<(), Problem> {
    match edge.sessions.registry.visit(session, Box::new(visit)).await {
        Ok(()) => Ok(()),
        Err(_) => Err(over(&past(edge, session).await?)),
    }
}

/// Asks a session how it is, with a [`Visit::Look`] or a [`Visit::Extend`]; nothing if it is not there any more.
pub(super) async fn look(
    edge: &Edge,
    session: SessionId,
    visit: impl FnOnce(oneshot::Sender<Seen>) -> Visit,
) -> Option<Seen> {
    let (answer, seen) = oneshot::channel();
    let look = async {
        edge.sessions.registry.visit(session, Box::new(visit(answer))).await.ok()?;
        seen.await.ok()
    };
    timeout(LOOK_TIMEOUT, look).await.ok().flatten()
}

/// What is known of a session that has no task any more.
///
/// # Errors
/// That there never was one, or longer ago than is known.
pub(super) async fn past(edge: &Edge, session: SessionId) -> Result<Past, Problem> {
    edge.ops.journal.find(session).await.ok_or_else(unknown)
}

/// The state of such a session. One that has not ended lives on: it was left to the next hub, or is about to be taken
/// over here.
pub(super) fn past_status(past: &Past) -> Status {
    match (past.terminated_at, &past.ended, past.ready_at) {
        (Some(_), ..) => Status::Terminated,
        (None, Some(_), _) => Status::Terminating,
        (None, None, Some(_)) => Status::Active,
        (None, None, None) => Status::Creating,
    }
}

/// What is told to who wants something of such a session.
pub(super) fn over(past: &Past) -> Problem {
    match past.ended.map(|(_, ended)| ended.reason) {
        Some(EndReason::Idle | EndReason::Max) => {
            Problem::new(ErrorCode::SessionExpired, "the session's time is up")
        }
        None if past.terminated_at.is_none() => passing(),
        _ => Problem::new(ErrorCode::SessionEnded, "the session has ended"),
    }
}

/// What is told of a session that lives, but not here now.
pub(super) fn passing() -> Problem {
    let message = "the session passes from one hub to the next: try again in a moment";
    Problem::new(ErrorCode::HubDraining, message).after(DRAIN_RETRY_AFTER)
}

/// What is told when the hub shuts down.
pub(super) fn draining() -> Problem {
    Problem::new(ErrorCode::HubDraining, "the hub is shutting down").after(DRAIN_RETRY_AFTER)
}

/// What is told of a session that is not known.
pub(crate) fn unknown() -> Problem {
    Problem::new(ErrorCode::SessionGone, "there is no such session, or it ended longer ago than is known")
}
