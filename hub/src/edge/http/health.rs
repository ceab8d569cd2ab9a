//! Health and metrics of the hub, for load balancers and Prometheus, and of single sessions.

use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mayfly_protocol::rest::{Health, SessionHealth, SessionMetrics};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::agents::client::call;
use crate::edge::Edge;
use crate::edge::http::Shared;
use crate::edge::http::caller::{Caller, Role, denied};
use crate::edge::http::json::Json;
use crate::edge::http::problem::ProblemJson;
use crate::edge::http::rest::Refusals;
use crate::edge::http::rest::request::{authorized_session, look, unknown_session};
use crate::limits::AGENT_CALL_TIMEOUT;
use crate::ops::journal::Past;
use crate::ops::metrics;
use crate::ops::metrics::Line;
use crate::sessions::request::{SessionAnswer, SessionRequest};

/// Returns the routes of the hub's own health and metrics.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(hub_metrics))
}

/// Returns the routes of a session's health and metrics.
pub(crate) fn session_router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(session_health)).routes(routes!(session_metrics))
}

/// Answers while the hub runs.
async fn healthz() -> Response {
    json_response(StatusCode::OK, &json!({"status": "ok"}))
}

/// Reports whether the hub accepts new sessions, and the state of its journal.
async fn readyz(State(shared): State<Shared>) -> Response {
    let is_ready = is_ready(&shared.edge);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let journal = shared.edge.ops.journal.stats().trouble();
    let body = json!({
        "status": if is_ready { "ready" } else { "draining" },
        "journal": journal.map_or_else(|| "ok".to_owned(), |trouble| format!("trouble: {trouble}")),
    });
    json_response(status, &body)
}

/// Returns the hub's metrics, to the operator and to local callers of a hub without a key.
async fn hub_metrics(State(shared): State<Shared>, caller: Caller) -> Result<Response, ProblemJson> {
    match caller.role(&shared.edge, None)? {
        Role::Operator | Role::Local => {}
        Role::Ticket(_) | Role::Session(_) => return Err(denied().into()),
    }
    let edge = &shared.edge;
    let (spawns, spawns_waiting) = edge.sessions.agents.spawns.counts();
    let line = Line { sockets: edge.sessions.admission.waiting(), spawns, spawns_waiting };
    let text =
        edge.ops.metrics.text(is_ready(edge), line, edge.sessions.agents.pool.stats(), &edge.ops.journal);
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// Reports whether the session's agent answers. The hub asks the agent for each call.
#[utoipa::path(
    get,
    path = "/sessions/{session}/health",
    tag = "sessions",
    params(("session" = String, Path, pattern = "^s_[0-9a-f]{32}$")),
    responses((status = OK, body = SessionHealth), Refusals),
)]
async fn session_health(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    caller: Caller,
) -> Result<Json<SessionHealth>, ProblemJson> {
    let session = authorized_session(&edge, &session, &caller)?;
    let checked_at = SystemTime::now();
    let began = Instant::now();
    let (status, error) = match look(&edge, session, SessionRequest::Look).await {
        Some(SessionAnswer { agent: Some(agent), .. }) => match call::health(&agent).await {
            Ok(_) => (Health::Healthy, None),
            Err(error) => (Health::Unhealthy, Some(error.to_string())),
        },
        Some(_) => (Health::Unhealthy, Some("the agent is starting".to_owned())),
        None if edge.sessions.registry.contains(session) => {
            (Health::Unhealthy, Some("the session does not answer".to_owned()))
        }
        None => {
            edge.ops.journal.find(session).await.ok_or_else(unknown_session)?;
            (Health::Terminated, None)
        }
    };
    Ok(Json(SessionHealth {
        status,
        last_check: humantime::format_rfc3339_millis(checked_at).to_string(),
        response_time_ms: millis(began.elapsed()),
        error,
    }))
}

/// Reports a session's messages, response time and memory.
#[utoipa::path(
    get,
    path = "/sessions/{session}/metrics",
    tag = "sessions",
    params(("session" = String, Path, pattern = "^s_[0-9a-f]{32}$")),
    responses((status = OK, body = SessionMetrics), Refusals),
)]
async fn session_metrics(
    State(Shared { edge, .. }): State<Shared>,
    Path(session): Path<String>,
    caller: Caller,
) -> Result<Json<SessionMetrics>, ProblemJson> {
    let session = authorized_session(&edge, &session, &caller)?;
    Ok(Json(match look(&edge, session, SessionRequest::Look).await {
        Some(answer) => live_metrics(&edge, answer).await,
        None => past_metrics(&edge.ops.journal.find(session).await.ok_or_else(unknown_session)?),
    }))
}

async fn live_metrics(edge: &Edge, answer: SessionAnswer) -> SessionMetrics {
    let SessionAnswer { view, agent, turns, .. } = answer;
    let stats = match agent {
        Some(agent) => tokio::time::timeout(AGENT_CALL_TIMEOUT, edge.sessions.agents.platform.stats(&agent))
            .await
            .ok()
            .flatten(),
        None => None,
    };
    SessionMetrics {
        messages_processed: turns.count,
        average_response_time_ms: Some(turns.duration.checked_div(turns.count).map_or(0, millis)),
        memory_usage_bytes: stats.map(|stats| stats.memory_bytes),
        uptime_ms: millis(view.age),
    }
}

/// An ended session has no agent, so it uses no memory.
fn past_metrics(past: &Past) -> SessionMetrics {
    let until = past.terminated_at.or(past.ended.map(|(at, _)| at)).unwrap_or_else(SystemTime::now);
    SessionMetrics {
        messages_processed: past.ended.map_or(0, |(_, ended)| ended.messages),
        average_response_time_ms: None,
        memory_usage_bytes: None,
        uptime_ms: millis(until.duration_since(past.created_at).unwrap_or_default()),
    }
}

fn is_ready(edge: &Edge) -> bool {
    !edge.ops.shutdown.is_cancelled()
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
