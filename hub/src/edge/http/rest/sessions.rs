//! Sessions: made, seen, given more time, ended.

use std::time::SystemTime;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use futures::StreamExt;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::SessionId;
use mayfly_protocol::rest::{CreatedSession, Deleted, NewSession, SessionList, SessionView};
use mayfly_session::View;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;

use crate::edge::Edge;
use crate::edge::http::Shared;
use crate::edge::http::caller::{Asker, Caller, Denied};
use crate::edge::http::error::Problem;
use crate::edge::http::json::Json;
use crate::edge::http::rest::visit::{allowed, draining, look, over, passing, past, past_status};
use crate::edge::http::rest::{Refusals, checked_owner};
use crate::limits::{DELETE_WAIT_MAX, LOOKS_AT_ONCE};
use crate::ops::journal::Past;
use crate::sessions::admission::policy::Patience;
use crate::sessions::driver;
use crate::sessions::driver::visit::{Seen, Visit};

/// Makes a session; its agent is started at once.
#[utoipa::path(
    post,
    path = "/sessions",
    tag = "sessions",
    request_body = NewSession,
    responses(
        (status = CREATED, body = CreatedSession, headers(("location" = String, description = "Where it can be seen."))),
        Refusals,
    ),
)]
pub(super) async fn create(
    State(Shared { edge, .. }): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    Json(NewSession { owner }): Json<NewSession>,
) -> Result<impl IntoResponse, Problem> {
    let owner = owner.as_deref().map(checked_owner).transpose()?;
    if edge.ops.shutdown.is_cancelled() {
        return Err(draining());
    }
    let (ticket, owner) = match (asker.caller(&edge, None)?, owner) {
        (Caller::Operator, owner) => (None, owner),
        (Caller::Local, None) => (None, None),
        (Caller::Ticket(ticket), None) => {
            let owner = ticket.owner.clone();
            (Some(ticket), owner)
        }
        (Caller::Ticket(ticket), Some(_)) => {
            edge.tickets.give_back(ticket);
            return Err(Denied::Wrong.into());
        }
        (Caller::Local | Caller::Session(_), _) => return Err(Denied::Wrong.into()),
    };
    let session = SessionId::random();
    let who = asker.who(owner.clone(), ticket.as_ref());
    let pass = match edge.sessions.admission.ask(who, Patience::Leaves) {
        Ok(pass) => pass,
        Err(full) => {
            if let Some(ticket) = ticket {
                edge.tickets.give_back(ticket);
            }
            let refusal = full.told();
            edge.ops.metrics.count_refusal(refusal.code);
            info!(code = %refusal.code, client = %asker.address, "session refused");
            return Err(refusal.into());
        }
    };
    let (place, visits) = edge.sessions.registry.settle(session, owner, pass);
    let trace = edge.ops.traces.as_ref().map(|traces| traces.begin(&headers));
    driver::start(&edge.sessions, None, place, visits, trace).await;
    let body = CreatedSession {
        session_id: session,
        status: Status::Creating,
        token: edge.sessions.secret.session_token(session),
        endpoint: format!("/ws/{session}"),
        expires_at: rfc3339(SystemTime::now() + edge.sessions.settings.max_ttl),
    };
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/sessions/{session}"))], Json(body)))
}

/// All sessions that have not terminated; for the operator.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "sessions",
    responses((status = OK, body = SessionList), Refusals),
)]
pub(super) async fn list(
    State(Shared { edge, .. }): State<Shared>,
    asker: Asker,
) -> Result<Json<SessionList>, Problem> {
    asker.may_see_all(&edge)?;
    let ids = futures::stream::iter(edge.sessions.registry.sessions());
    let edge = &edge;
    let views = ids.map(|session| async move { view(edge, session).await.ok() });
    let mut sessions: Vec<_> =
        views.buffer_unordered(LOOKS_AT_ONCE).filter_map(async |view| view).collect().await;
    sessions
        .sort_by(|one, other| (&one.created_at, one.session_id).cmp(&(&other.created_at, other.session_id)));
    Ok(Json(SessionList { sessions }))
}

/// How a session is; of one that is over, how it ended.
#[utoipa::path(
    get,
    path = "/sessions/{session}",
    tag = "sessions",
    params(("session" = String, Path, pattern = "^s_[0-9a-f]{32}$")),
    responses((status = OK, body = SessionView), Refusals),
)]
pub(super) async fn show(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    asker: Asker,
) -> Result<Json<SessionView>, Problem> {
    let session = allowed(&edge, &session, &asker)?;
    Ok(Json(view(&edge, session).await?))
}

/// A session as it says itself, else as it is known.
async fn view(edge: &Edge, session: SessionId) -> Result<SessionView, Problem> {
    Ok(match look(edge, session, Visit::Look).await {
        Some(seen) => present(session, seen),
        None => gone(&past(edge, session).await?),
    })
}

/// Asks for more time before a session ends for idleness; its new deadlines.
#[utoipa::path(
    post,
    path = "/sessions/{session}/extend",
    tag = "sessions",
    params(("session" = String, Path, pattern = "^s_[0-9a-f]{32}$")),
    request_body = Nothing,
    responses((status = OK, body = SessionView), Refusals),
)]
pub(super) async fn extend(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    asker: Asker,
    _: Json<Nothing>,
) -> Result<Json<SessionView>, Problem> {
    let session = allowed(&edge, &session, &asker)?;
    match look(&edge, session, Visit::Extend).await {
        Some(seen) if seen.view.deadline.is_some() => Ok(Json(present(session, seen))),
        Some(_) => Err(Problem::new(ErrorCode::SessionEnded, "the session has ended")),
        None => Err(over(&past(&edge, session).await?)),
    }
}

/// The body of a call that has nothing to say.
#[derive(serde::Deserialize, utoipa::ToSchema)]
pub(super) struct Nothing {}

/// Ends a session. Answered once its agent is gone; a session that is over stays so.
#[utoipa::path(
    delete,
    path = "/sessions/{session}",
    tag = "sessions",
    params(("session" = String, Path, pattern = "^s_[0-9a-f]{32}$")),
    responses(
        (status = OK, body = Deleted),
        (status = ACCEPTED, body = Deleted, description = "It ends, and its agent takes long to be gone."),
        Refusals,
    ),
)]
pub(super) async fn delete(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    asker: Asker,
) -> Result<impl IntoResponse, Problem> {
    let session_id = allowed(&edge, &session, &asker)?;
    let (answer, ended) = oneshot::channel();
    let status = match edge.sessions.registry.visit(session_id, Box::new(Visit::Delete(answer))).await {
        Ok(()) => timeout(DELETE_WAIT_MAX, ended).await.unwrap_or(Ok(Status::Terminating)).ok(),
        Err(_) => None,
    };
    let status = match status {
        Some(status) => status,
        None => past_status(&past(&edge, session_id).await?),
    };
    match status {
        Status::Terminated => Ok((StatusCode::OK, Json(Deleted { session_id, status }))),
        Status::Terminating => Ok((StatusCode::ACCEPTED, Json(Deleted { session_id, status }))),
        Status::Creating | Status::Active | Status::Idle => Err(passing()),
    }
}

fn present(session_id: SessionId, Seen { view, owner, created_at }: Seen) -> SessionView {
    let View { status, step, reason, age, deadline, turn, queued, sockets, epoch, head } = view;
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    SessionView {
        session_id,
        status,
        step,
        reason,
        owner: owner.as_deref().map(str::to_owned),
        created_at: rfc3339(created_at),
        uptime_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        deadline,
        turn,
        queued: count(queued),
        sockets: count(sockets),
        epoch: Some(epoch),
        head: Some(head),
    }
}

fn gone(past: &Past) -> SessionView {
    let until = past.terminated_at.or(past.ended.map(|(at, _)| at)).unwrap_or_else(SystemTime::now);
    let uptime = until.duration_since(past.created_at).unwrap_or_default();
    SessionView {
        session_id: past.session,
        status: past_status(past),
        step: None,
        reason: past.ended.map(|(_, ended)| ended.reason),
        owner: past.owner.clone(),
        created_at: rfc3339(past.created_at),
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        deadline: None,
        turn: None,
        queued: 0,
        sockets: 0,
        epoch: None,
        head: None,
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
