//! Tests of the agent's HTTP server, over a Unix socket, and in invented time without a socket.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use mayfly_agent::agent::Agent;
use mayfly_agent::binding::Binding;
use mayfly_agent::conversation::Message;
use mayfly_agent::http::Http;
use mayfly_agent::lifetime::{ExitReason, Lifetime};
use mayfly_agent::limits::{CALL_BODY_MAX_BYTES, TURNS_KEPT};
use mayfly_agent::mcp::Servers;
use mayfly_agent::memory::{Location, Memory};
use mayfly_agent::model::{Model, ModelError, ModelEvent, Prompt};
use mayfly_agent::secret::Secret;
use mayfly_agent::server::routes::router;
use mayfly_agent::tool::Toolbox;
use mayfly_protocol::agent::ORPHAN_SECS;
use mayfly_protocol::chunk::FinishReason;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

mod calls;
mod lifetime;
mod memory;
mod turns;

const TOKEN: &str = "secret";
const SESSION: &str = "s_00000000000000000000000000000001";
const OTHER_SESSION: &str = "s_00000000000000000000000000000002";

type Asked = Arc<Mutex<Vec<usize>>>;

/// A model that answers `One ` and, after a permit, `two.`. Records the number of messages of each request. Panics on the
/// message `Panic`.
struct GatedModel {
    may_go_on: Arc<Semaphore>,
    asked: Asked,
}

impl Model for GatedModel {
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        assert_ne!(prompt.messages.last(), Some(&Message::User("Panic".to_owned())));
        self.asked.lock().unwrap().push(prompt.messages.len());
        let second = async {
            self.may_go_on.acquire().await.unwrap().forget();
            Ok(ModelEvent::Text("two.".to_owned()))
        };
        stream::iter([Ok(ModelEvent::Text("One ".to_owned()))])
            .chain(stream::once(second))
            .chain(stream::iter([Ok(ModelEvent::Finish(FinishReason::Stop))]))
            .boxed()
    }
}

/// The stream of a turn of [`GatedModel`].
const WHOLE_STREAM: &str = r#"id: 1
data: {"type":"start"}

id: 2
data: {"type":"start-step"}

id: 3
data: {"type":"text-start","id":"text-1"}

id: 4
data: {"type":"text-delta","id":"text-1","delta":"One "}

id: 5
data: {"type":"text-delta","id":"text-1","delta":"two."}

id: 6
data: {"type":"text-end","id":"text-1"}

id: 7
data: {"type":"finish-step"}

id: 8
data: {"type":"finish","finishReason":"stop"}

data: [DONE]

"#;

/// An agent that listens on a Unix socket.
struct Running {
    path: PathBuf,
    may_go_on: Arc<Semaphore>,
    asked: Asked,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

/// Returns the session's agent.
fn agent() -> (Arc<Agent>, Arc<Semaphore>, Asked) {
    agent_of(Some(Binding { session: SESSION.parse().unwrap(), owner: None, deadline: None }))
}

fn memory(location: Location) -> Arc<Memory> {
    Arc::new(Memory::new(location, None, Http::new(None).unwrap()))
}

fn agent_of(binding: Option<Binding>) -> (Arc<Agent>, Arc<Semaphore>, Asked) {
    agent_with(binding, Location::Process)
}

fn agent_with(binding: Option<Binding>, place: Location) -> (Arc<Agent>, Arc<Semaphore>, Asked) {
    let (may_go_on, asked) = (Arc::new(Semaphore::new(0)), Asked::default());
    let model = GatedModel { may_go_on: Arc::clone(&may_go_on), asked: Arc::clone(&asked) };
    let lifetime = Lifetime::new(Instant::now().into_std(), None);
    (
        Agent::new(
            Box::new(model),
            Toolbox::new(Vec::new()),
            Servers::default(),
            memory(place),
            binding,
            lifetime,
        ),
        may_go_on,
        asked,
    )
}

fn token() -> Secret {
    Secret::parse(TOKEN.to_owned()).unwrap()
}

/// Starts an agent whose model waits for permits.
fn start() -> Running {
    serve(agent())
}

/// Starts a warm agent whose model does not wait.
fn start_warm() -> Running {
    let running = serve(agent_of(None));
    running.may_go_on.add_permits(1_000);
    running
}

fn serve((agent, may_go_on, asked): (Arc<Agent>, Arc<Semaphore>, Asked)) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listener = mayfly_agent::server::bind_unix(&path).unwrap();
    let stop = CancellationToken::new();
    let server =
        tokio::spawn(mayfly_agent::server::serve(listener, token(), agent, stop.clone().cancelled_owned()));
    Running { path, may_go_on, asked, stop, server, _directory: directory }
}

/// Starts an agent whose model does not wait.
fn start_ungated() -> Running {
    let running = start();
    running.may_go_on.add_permits(1_000);
    running
}

fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

fn chat(session: &str, turn: &str, message: &str) -> Request<Body> {
    let body = json!({ "sessionId": session, "turn": turn, "message": message });
    request(Method::POST, "/chat", body.to_string())
}

fn accepting(accept: &'static str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("accept", accept.parse().unwrap());
    request
}

impl Running {
    /// Sends a request and returns the response with its body as a stream.
    async fn call(&self, request: Request<Body>) -> Response<hyper::body::Incoming> {
        let stream = UnixStream::connect(&self.path).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    async fn whole(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.call(request).await;
        (response.status(), rest(response).await)
    }

    /// Sends a request and returns status and code of the refusal. Asserts that it has a message.
    async fn refused(&self, request: Request<Body>) -> (u16, String) {
        let (status, body) = self.whole(request).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        assert!(body["message"].as_str().unwrap().len() > 10, "{body}");
        (status.as_u16(), body["code"].as_str().unwrap().to_owned())
    }

    fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn health(&self) -> Value {
        let (status, body) = self.whole(request(Method::GET, "/health", "")).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str(&body).unwrap()
    }
}

async fn rest(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Reads a stream up to `end`.
async fn read_until(response: &mut Response<hyper::body::Incoming>, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let frame = response.body_mut().frame().await.expect("the stream ended").unwrap();
        text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
    text
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn bind(session: &str, mut changes: Value) -> Request<Body> {
    let mut body = json!({ "sessionId": session, "deadline": 4_000_000_000_u64 });
    body.as_object_mut().unwrap().append(changes.as_object_mut().unwrap());
    request(Method::POST, "/bind", body.to_string())
}

fn events(turn: &str, after: Option<&'static str>) -> Request<Body> {
    let mut call = request(Method::GET, &format!("/turns/{turn}/events"), "");
    if let Some(id) = after {
        call.headers_mut().insert("last-event-id", id.parse().unwrap());
    }
    call
}
