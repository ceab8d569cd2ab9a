//! The calls that an agent answers at once: health, bind, history and cancel.

use std::future::Future;

use axum::body::{Body, Bytes};
use futures::future::OptionFuture;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use mayfly_platform::AgentHandle;
use mayfly_protocol::agent::{
    BindRequest, HISTORY_MAX_BYTES, Health, History, PATH_BIND, PATH_HEALTH, PATH_HISTORY, path_cancel,
};
use mayfly_protocol::ids::TurnId;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::agents::client::{CallError, exchange, request};
use crate::limits::{AGENT_ANSWER_MAX_BYTES, AGENT_CALL_TIMEOUT, PROBE_INTERVAL_MAX, PROBE_INTERVAL_MIN};

const JSON: &str = "application/json";

/// Requests the agent's health. Returns `None` if the agent is healthy and sends no [`Health`] object.
///
/// # Errors
/// Returns [`CallError`] if the agent is not healthy, or does not answer in time.
pub(crate) async fn health(agent: &AgentHandle) -> Result<Option<Health>, CallError> {
    let body = call(agent, Method::GET, PATH_HEALTH, None, StatusCode::OK, AGENT_ANSWER_MAX_BYTES).await?;
    Ok(serde_json::from_slice(&body).ok())
}

/// Requests the agent's health at growing intervals until the agent is healthy. Returns `None` if the agent is gone.
/// The caller limits the time.
pub(crate) async fn until_healthy(agent: AgentHandle) -> Option<Option<Health>> {
    let mut interval = PROBE_INTERVAL_MIN;
    loop {
        match health(&agent).await {
            Ok(health) => return Some(health),
            Err(error) => debug!(incarnation = %agent.incarnation, %error, "health probe failed"),
        }
        tokio::select! {
            () = agent.gone.cancelled() => return None,
            () = sleep(interval) => interval = (interval * 5 / 4).min(PROBE_INTERVAL_MAX),
        }
    }
}

/// Binds a warm agent to a session.
///
/// # Errors
/// Returns [`CallError`] if the agent does not accept; [`CallError::is_unsupported`] if the agent cannot be bound at
/// all.
pub(crate) async fn bind(agent: &AgentHandle, bind: &BindRequest) -> Result<(), CallError> {
    // Text and numbers only: serializing into memory cannot fail.
    let body = serde_json::to_vec(bind).unwrap_or_default();
    let body = Some(body);
    call(agent, Method::POST, PATH_BIND, body, StatusCode::NO_CONTENT, AGENT_ANSWER_MAX_BYTES).await.map(drop)
}

/// Requests the messages of the session so far. Returns `None` if the agent does not support the call.
///
/// # Errors
/// Returns [`CallError`] if the agent does not answer in time, or its answer is not a [`History`].
pub(crate) async fn history(agent: &AgentHandle) -> Result<Option<History>, CallError> {
    match call(agent, Method::GET, PATH_HISTORY, None, StatusCode::OK, HISTORY_MAX_BYTES).await {
        Ok(body) => {
            serde_json::from_slice(&body).map(Some).map_err(|error| CallError::Body(error.to_string()))
        }
        Err(error) if error.is_unsupported() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Requests the end of a turn.
///
/// # Errors
/// Returns [`CallError`] if the agent does not accept the request.
pub(crate) async fn cancel(agent: AgentHandle, turn: TurnId) -> Result<(), CallError> {
    let path = path_cancel(turn);
    call(&agent, Method::POST, &path, None, StatusCode::ACCEPTED, AGENT_ANSWER_MAX_BYTES).await.map(drop)
}

/// Makes one call, and returns the body of the answer, at most `max_bytes`.
async fn call(
    agent: &AgentHandle,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
    expected: StatusCode,
    max_bytes: usize,
) -> Result<Bytes, CallError> {
    let request = request(agent, method, path).header(ACCEPT, JSON);
    let request = match body {
        Some(body) => request.header(CONTENT_TYPE, JSON).body(Body::from(body))?,
        None => request.body(Body::empty())?,
    };
    let answer = async {
        let (response, connection) = exchange(agent, request).await?;
        if response.status() != expected {
            return Err(CallError::Status(response.status()));
        }
        let body = axum::body::to_bytes(Body::new(response.into_body()), max_bytes);
        let body = with_background(body, OptionFuture::from(connection)).await;
        body.map_err(|error| CallError::Body(error.to_string()))
    };
    timeout(AGENT_CALL_TIMEOUT, answer).await.map_err(|_| CallError::Timeout)?
}

/// Returns the output of a future, and polls another until either has ended.
async fn with_background<T>(future: impl Future<Output = T>, other: impl Future) -> T {
    tokio::pin!(future, other);
    tokio::select! {
        biased;
        output = &mut future => output,
        _ = &mut other => future.await,
    }
}
