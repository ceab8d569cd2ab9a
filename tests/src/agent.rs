//! The simulated agent: any number of sessions in one process, on any number of addresses.
//!
//! The agent implements the part of its wire that a turn needs (`/health`, `/chat`, `/turns/{turn}/cancel`). A message
//! is a [`Load`], and [`answer`] streams the tokens on the schedule of [`pacer`]. Hubs, baselines and tests call the
//! agent in the same way. It uses little processor time, so that a benchmark measures the server in front of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_protocol::agent::{ChatRequest, Health, HealthStatus, PATH_CHAT, PATH_HEALTH, STREAM_HEADER};
use tokio::task::JoinSet;

use crate::address::Listener;
use crate::load::Load;

pub mod answer;
pub mod pacer;

use answer::{Answer, Cancel};
use pacer::Pacer;

/// Longest body of a call. A longer one is refused.
const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// Size of a connection's buffers.
const BUFFER_BYTES: usize = 16 * 1024;

/// State that all connections share.
pub struct SimAgent {
    token: Option<String>,
    pacer: Arc<Pacer>,
    turns_begun: AtomicU64,
    /// Running turns by name. A cancel names no session, so it applies to all turns of that name.
    running: Mutex<HashMap<String, Vec<Arc<Cancel>>>>,
}

type Body = Either<Full<Bytes>, Answer>;

/// Serves until the future is dropped. With a token, calls without it are refused.
///
/// # Errors
/// Returns an error if the timer cannot be created, or a listener fails.
pub async fn serve(listeners: Vec<Listener>, token: Option<String>) -> io::Result<()> {
    let pacer = Arc::new(Pacer::new()?);
    let agent = Arc::new(SimAgent {
        token: token.map(|token| format!("Bearer {token}")),
        pacer: Arc::clone(&pacer),
        turns_begun: AtomicU64::new(0),
        running: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { pacer.run().await });
    for listener in listeners {
        tasks.spawn(accept(listener, Arc::clone(&agent)));
    }
    // A task ends only with an error.
    match tasks.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(io::Error::other(error)),
        None => Ok(()),
    }
}

async fn accept(listener: Listener, agent: Arc<SimAgent>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let stream = listener.accept().await?;
        let agent = Arc::clone(&agent);
        connections.spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&agent), request));
            let connection = http1::Builder::new()
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A caller that leaves in the middle is none of the agent's business.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn handle(agent: Arc<SimAgent>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if !agent.allows(&request) {
        return Ok(plain(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong"));
    }
    let path = request.uri().path();
    let cancelled = path.strip_prefix("/turns/").and_then(|rest| rest.strip_suffix("/cancel"));
    Ok(match (request.method(), path, cancelled) {
        (&Method::GET, PATH_HEALTH, _) => health(),
        (&Method::POST, PATH_CHAT, _) => chat(&agent, request).await,
        (&Method::POST, _, Some(turn)) => agent.cancel(turn),
        _ => plain(StatusCode::NOT_FOUND, "no such call"),
    })
}

fn health() -> Response<Body> {
    let health = Health { status: HealthStatus::Healthy, session_id: None, turn: None };
    let mut response = plain(StatusCode::OK, &serde_json::to_string(&health).unwrap_or_default());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn chat(agent: &Arc<SimAgent>, request: Request<Incoming>) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), REQUEST_MAX_BYTES).collect().await else {
        return plain(StatusCode::BAD_REQUEST, "the body broke off or is too long");
    };
    let Ok(chat) = serde_json::from_slice::<ChatRequest>(&body.to_bytes()) else {
        return plain(StatusCode::BAD_REQUEST, "expected {sessionId, turn, message}");
    };
    let load: Load = match chat.message.parse() {
        Ok(load) => load,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let cancel = agent.register(&chat.turn.to_string());
    let order = agent.turns_begun.fetch_add(1, Ordering::Relaxed);
    let answer = Answer::new(load, order, Arc::clone(&agent.pacer), cancel);
    let mut response = Response::new(Either::Right(answer));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(STREAM_HEADER.0, HeaderValue::from_static(STREAM_HEADER.1));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::copy_from_slice(text.as_bytes()))));
    *response.status_mut() = status;
    response
}

impl SimAgent {
    fn allows(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.token.as_ref().is_none_or(|token| given == Some(token.as_bytes()))
    }

    fn register(&self, turn: &str) -> Arc<Cancel> {
        let cancel = Arc::new(Cancel::default());
        let mut running = self.running();
        let turns = running.entry(turn.to_owned()).or_default();
        // An answer that is over has dropped its share.
        turns.retain(|cancel| Arc::strong_count(cancel) > 1);
        turns.push(Arc::clone(&cancel));
        cancel
    }

    fn cancel(&self, turn: &str) -> Response<Body> {
        let turns = self.running().remove(turn).unwrap_or_default();
        let running = turns.iter().filter(|cancel| Arc::strong_count(cancel) > 1);
        let cancelled = running.map(|cancel| cancel.cancel()).count();
        match cancelled {
            0 => plain(StatusCode::NOT_FOUND, "no such turn runs"),
            _ => plain(StatusCode::ACCEPTED, ""),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Cancel>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
