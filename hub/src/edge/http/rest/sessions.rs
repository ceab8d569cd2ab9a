//! Sessions over REST: create, list, show, extend and delete.

use std::time::SystemTime;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use futures::StreamExt;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::SessionId;
use mayfly_protocol::refusal::Refusal;
use mayfly_protocol::rest::{CreatedSession, Deleted, NewSession, SessionList, SessionView};
use mayfly_session::View;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::info;

use crate::edge::Edge;
use crate::edge::http::Shared;
use crate::edge::http::caller::{Caller, Role, denied};
use crate::edge::http::json::Json;
use crate::edge::http::problem::ProblemJson;
use crate::edge::http::rest::request::{
    authorized_session, draining, find_past, handing_over, look, past_status, refusal_of_past,
};
use crate::edge::http::rest::{Refusals, checked_owner};
use crate::limits::{DELETE_WAIT_MAX, LOOKS_AT_ONCE};
use crate::ops::journal::Past;
use crate::sessions::admission::policy::WhenFull;
use crate::sessions::driver;
use crate::sessions::request::{SessionAnswer, SessionRequest};

/// Creates a session and starts its agent.
#[utoipa::path(
    post,
    path = "/sessions",
    tag = "sessions",
    request_body = NewSession,
    responses(
        (status = CREATED, body = CreatedSession, headers(("location" = String, description = "Path of the session."))),
        Refusals,
    ),
)]
pub(super) async fn create(
    State(Shared { edge, .. }): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Json(NewSession { owner }): Json<NewSession>,
) -> Result<impl IntoResponse, ProblemJson> {
    let owner = owner.as_deref().map(checked_owner).transpose()?;
    if edge.ops.shutdown.is_cancelled() {
        return Err(draining().into());
    }
    let (ticket, owner) = match (caller.role(&edge, None)?, owner) {
        (Role::Operator, owner) => (None, owner),
        (Role::Local, None) => (None, None),
        (Role::Ticket(ticket), None) => {
            let owner = ticket.owner.clone();
            (Some(ticket), owner)
        }
        (Role::Ticket(ticket), Some(_)) => {
            edge.tickets.give_back(ticket);
            return Err(denied().into());
        }
        (Role::Local | Role::Session(_), _) => return Err(denied().into()),
    };
    let session = SessionId::random();
    let applicant = caller.applicant(owner.clone(), ticket.as_ref());
    let pass = match edge.sessions.admission.ask(applicant, WhenFull::Refuse) {
        Ok(pass) => pass,
        Err(full) => {
            if let Some(ticket) = ticket {
                edge.tickets.give_back(ticket);
            }
            let refusal = full.refusal();
            edge.ops.metrics.count_refusal(refusal.code);
            info!(code = %refusal.code, client = %caller.address, "session refused");
            return Err(refusal.into());
        }
    };
    let (place, mailbox) = edge.sessions.registry.register(session, owner, pass);
    let trace = edge.ops.traces.as_ref().map(|traces| traces.begin(&headers));
    driver::start(&edge.sessions, None, place, mailbox, trace).await;
    let body = CreatedSession {
        session_id: session,
        status: Status::Creating,
        token: edge.sessions.secret.session_token(session),
        endpoint: format!("/ws/{session}"),
        expires_at: rfc3339(SystemTime::now() + edge.sessions.settings.max_ttl),
    };
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/sessions/{session}"))], Json(body)))
}

/// Lists all sessions that have not terminated. Needs the operator key, unless the hub has none.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "sessions",
    responses((status = OK, body = SessionList), Refusals),
)]
pub(super) async fn list(
    State(Shared { edge, .. }): State<Shared>,
    caller: Caller,
) -> Result<Json<SessionList>, ProblemJson> {
    caller.authorize_list(&edge)?;
    let ids = futures::stream::iter(edge.sessions.registry.sessions());
    let edge = &edge;
    let views = ids.map(|session| async move { view(edge, session).await.ok() });
    let mut sessions: Vec<_> =
        views.buffer_unordered(LOOKS_AT_ONCE).filter_map(async |view| view).collect().await;
    sessions
        .sort_by(|one, other| (&one.created_at, one.session_id).cmp(&(&other.created_at, other.session_id)));
    Ok(Json(SessionList { sessions }))
}

/// Returns a session's state; for an ended session also the reason.
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
    caller: Caller,
) -> Result<Json<SessionView>, ProblemJson> {
    let session = authorized_session(&edge, &session, &caller)?;
    Ok(Json(view(&edge, session).await?))
}

/// Returns the state of a session: from its task, or from the journal if it has none.
async fn view(edge: &Edge, session: SessionId) -> Result<SessionView, Refusal> {
    Ok(match look(edge, session, SessionRequest::Look).await {
        Some(seen) => present(session, seen),
        None => gone(&find_past(edge, session).await?),
    })
}

/// Extends the time until an idle session ends. Returns the session with its new deadlines.
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
    caller: Caller,
    _: Json<Nothing>,
) -> Result<Json<SessionView>, ProblemJson> {
    let session = authorized_session(&edge, &session, &caller)?;
    match look(&edge, session, SessionRequest::Extend).await {
        Some(seen) if seen.view.deadline.is_some() => Ok(Json(present(session, seen))),
        Some(_) => Err(Refusal::new(ErrorCode::SessionEnded, "the session has ended").into()),
        None => Err(refusal_of_past(&find_past(&edge, session).await?).into()),
    }
}

/// An empty object: the body of a call without parameters.
#[derive(serde::Deserialize, utoipa::ToSchema)]
pub(super) struct Nothing {}

/// Ends a session. The hub answers once the agent is gone. Does nothing to an ended session.
#[utoipa::path(
    delete,
    path = "/sessions/{session}",
    tag = "sessions",
    params(("session" = String, Path, pattern = "^s_[0-9a-f]{32}$")),
    responses(
        (status = OK, body = Deleted),
        (status = ACCEPTED, body = Deleted, description = "The session has ended, and its agent is still stopping."),
        Refusals,
    ),
)]
pub(super) async fn delete(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    caller: Caller,
) -> Result<impl IntoResponse, ProblemJson> {
    let session_id = authorized_session(&edge, &session, &caller)?;
    let (answer, ended) = oneshot::channel();
    let status = match edge.sessions.registry.send(session_id, Box::new(SessionRequest::Delete(answer))).await
    {
        Ok(()) => timeout(DELETE_WAIT_MAX, ended).await.unwrap_or(Ok(Status::Terminating)).ok(),
        Err(_) => None,
    };
    let status = match status {
        Some(status) => status,
        None => past_status(&find_past(&edge, session_id).await?),
    };
    match status {
        Status::Terminated => Ok((StatusCode::OK, Json(Deleted { session_id, status }))),
        Status::Terminating => Ok((StatusCode::ACCEPTED, Json(Deleted { session_id, status }))),
        Status::Creating | Status::Active | Status::Idle => Err(handing_over().into()),
    }
}

fn present(
    session_id: SessionId,
    SessionAnswer { view, owner, created_at, .. }: SessionAnswer,
) -> SessionView {
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
