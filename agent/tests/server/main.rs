//! The agent as a hub sees it: the real router, over a Unix socket, and in invented time without one.

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
use mayfly_agent::agent::{Agent, Binding};
use mayfly_agent::config::Token;
use mayfly_agent::conversation::Message;
use mayfly_agent::http::Http;
use mayfly_agent::lifetime::{Lifetime, Outlived};
use mayfly_agent::limits::{CALL_BODY_MAX_BYTES, TURNS_KEPT};
use mayfly_agent::mcp::Servers;
use mayfly_agent::memory::{Location, Memory};
use mayfly_agent::model::{Model, ModelError, ModelEvent, Prompt};
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

mod remembering;

const TOKEN: &str = "secret";
const SESSION: &str = "s_00000000000000000000000000000001";
const OTHER_SESSION: &str = "s_00000000000000000000000000000002";

type Asked = Arc<Mutex<Vec<usize>>>;

/// Says `One `, and `two.` once it may; keeps how many messages it was asked with, each time. Panics when told to.
struct Patient {
    may_go_on: Arc<Semaphore>,
    asked: Asked,
}

impl Model for Patient {
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        assert_ne!(prompt.messages.last(), Some(&Message::Person("Panic".to_owned())));
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

/// What a whole turn of [`Patient`] is on the wire.
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

/// An agent at a Unix socket.
struct Running {
    path: PathBuf,
    may_go_on: Arc<Semaphore>,
    asked: Asked,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

/// The session's agent.
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
    let model = Patient { may_go_on: Arc::clone(&may_go_on), asked: Arc::clone(&asked) };
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

fn token() -> Token {
    Token::parse("MAYFLY_TOKEN", TOKEN.to_owned()).unwrap()
}

/// An agent whose model waits for permits.
fn start() -> Running {
    serve(agent())
}

/// An agent that is nobody's yet, and whose model need not wait.
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

/// An agent whose model need not wait.
fn start_unhindered() -> Running {
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
    /// The head of the answer; the body follows as it comes.
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

    /// Status and code of a refusal; its message must say something.
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

/// Reads a stream until `end` came.
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

#[tokio::test]
async fn a_turn_is_a_stream_of_numbered_events() {
    let agent = start_unhindered();
    let response = agent.call(chat(SESSION, "t1", "Hi")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-vercel-ai-ui-message-stream"], "v1");
    assert_eq!(rest(response).await, WHOLE_STREAM);
}

#[tokio::test]
async fn a_turn_is_one_answer_for_those_who_want_json() {
    let agent = start_unhindered();
    let response = agent.call(accepting("application/json", chat(SESSION, "t1", "Hi"))).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(rest(response).await, format!(r#"{{"response":"One two.","sessionId":"{SESSION}"}}"#));
}

#[tokio::test]
async fn a_token_arrives_before_the_next_is_made() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    let begun = read_until(&mut response, "One ").await;
    assert!(WHOLE_STREAM.starts_with(&begun), "{begun}");
    agent.may_go_on.add_permits(1);
    assert_eq!(begun + &rest(response).await, WHOLE_STREAM);
}

#[tokio::test]
async fn a_known_turn_is_replayed_and_not_rerun() {
    let agent = start();
    let mut first = agent.call(chat(SESSION, "t1", "Hi")).await;
    let begun = read_until(&mut first, "One ").await;
    let second = agent.call(chat(SESSION, "t1", "Hi")).await;
    agent.may_go_on.add_permits(1);
    assert_eq!(begun + &rest(first).await, WHOLE_STREAM);
    assert_eq!(rest(second).await, WHOLE_STREAM, "while it runs");
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM, "when it is over");
    assert_eq!(agent.times_asked(), 1);
}

#[tokio::test]
async fn a_forgotten_turn_is_refused_rather_than_rerun() {
    let agent = start_unhindered();
    for turn in 1..=TURNS_KEPT + 1 {
        assert_eq!(agent.whole(chat(SESSION, &format!("t{turn}"), "Hi")).await.1, WHOLE_STREAM);
    }
    assert_eq!(agent.refused(chat(SESSION, "t1", "Hi")).await, refusal(410, "turn.gone"));
    assert_eq!(agent.whole(chat(SESSION, "t2", "Hi")).await.1, WHOLE_STREAM);
    assert_eq!(agent.times_asked(), TURNS_KEPT + 1);
}

#[tokio::test]
async fn a_cancelled_turn_ends_with_abort_and_the_next_may_begin() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    assert_eq!(agent.refused(chat(SESSION, "t2", "Hi")).await, refusal(409, "turn.conflict"));

    let cancel = || request(Method::POST, "/turns/t1/cancel", "");
    assert_eq!(agent.whole(cancel()).await, (StatusCode::ACCEPTED, String::new()));
    let end = rest(response).await;
    assert!(end.contains(r#"{"type":"text-end","id":"text-1"}"#), "{end}");
    assert!(end.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{end}");
    assert_eq!(agent.whole(cancel()).await.0, StatusCode::ACCEPTED, "again");
    let as_json = accepting("application/json", chat(SESSION, "t1", "Hi"));
    assert_eq!(agent.refused(as_json).await, refusal(409, "turn.cancelled"));

    agent.may_go_on.add_permits(1);
    assert_eq!(agent.whole(chat(SESSION, "t2", "Hi")).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn it_remembers_every_turn_that_came_to_an_end() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    agent.whole(request(Method::POST, "/turns/t1/cancel", "")).await;
    rest(response).await;
    agent.may_go_on.add_permits(2);
    agent.whole(chat(SESSION, "t2", "Hi")).await;
    agent.whole(chat(SESSION, "t3", "Hi")).await;
    assert_eq!(*agent.asked.lock().unwrap(), [1, 3, 5]);
}

#[tokio::test]
async fn an_answer_that_is_replaced_is_forgotten_with_its_question() {
    let agent = start_unhindered();
    let again = |turn: &str, replaces: &str| {
        let body = json!({ "sessionId": SESSION, "turn": turn, "message": "Hi", "replaces": replaces });
        request(Method::POST, "/chat", body.to_string())
    };
    agent.whole(chat(SESSION, "t1", "Hi")).await;
    agent.whole(chat(SESSION, "t2", "Hi")).await;
    agent.whole(again("t3", "t2")).await;
    agent.whole(again("t4", "t3")).await;
    assert_eq!(*agent.asked.lock().unwrap(), [1, 3, 3, 3]);
    agent.whole(again("t5", "t1")).await;
    assert_eq!(agent.asked.lock().unwrap().last(), Some(&5), "only the last turn can be replaced");
}

#[tokio::test]
async fn a_turn_that_panics_ends_with_an_error_and_the_next_may_begin() {
    let agent = start_unhindered();
    let stream = agent.whole(chat(SESSION, "t1", "Panic")).await.1;
    let end =
        "data: {\"type\":\"error\",\"errorText\":\"the agent failed while it answered\"}\n\ndata: [DONE]\n\n";
    assert!(stream.ends_with(end), "{stream}");
    let as_json = accepting("application/json", chat(SESSION, "t1", "Panic"));
    assert_eq!(agent.refused(as_json).await, refusal(502, "agent.failed"));
    let history = agent.whole(request(Method::GET, "/history", "")).await.1;
    let end = r#""end":{"type":"error","errorText":"the agent failed while it answered"}"#;
    assert!(history.contains(end), "{history}");
    assert_eq!(agent.whole(chat(SESSION, "t2", "Hi")).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn a_caller_who_leaves_cancels_nothing() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    drop(response);
    assert_eq!(agent.health().await["turn"], "t1");
    agent.may_go_on.add_permits(1);
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM);
    assert_eq!(agent.times_asked(), 1);
}

#[tokio::test]
async fn only_its_own_session_is_answered() {
    let agent = start_unhindered();
    agent.whole(chat(SESSION, "t1", "Hi")).await;
    assert_eq!(agent.health().await, json!({ "status": "healthy", "sessionId": SESSION, "turn": null }));
    assert_eq!(agent.refused(chat(OTHER_SESSION, "t2", "Hi")).await, refusal(403, "session.other"));
    assert_eq!(agent.refused(chat(OTHER_SESSION, "t1", "Hi")).await, refusal(403, "session.other"));
}

fn bind(session: &str, mut changes: Value) -> Request<Body> {
    let mut body = json!({ "sessionId": session, "deadline": 4_000_000_000_u64 });
    body.as_object_mut().unwrap().append(changes.as_object_mut().unwrap());
    request(Method::POST, "/bind", body.to_string())
}

#[tokio::test]
async fn a_warm_agent_is_bound_once() {
    let agent = start_warm();
    assert_eq!(agent.health().await, json!({ "status": "healthy", "sessionId": null, "turn": null }));
    assert_eq!(agent.refused(chat(SESSION, "t1", "Hi")).await, refusal(409, "agent.unbound"));
    for wrong in [
        bind("s_1", json!({})),
        bind(SESSION, json!({ "deadline": "soon" })),
        bind(SESSION, json!({ "owner": "" })),
        bind(SESSION, json!({ "owner": "\u{6f22}".repeat(129) })),
        bind(SESSION, json!({ "env": { "MODEL": "builtin" } })),
    ] {
        assert_eq!(agent.refused(wrong).await, refusal(400, "proto.invalid"));
    }
    assert_eq!(agent.health().await["sessionId"], Value::Null);

    let ours = || bind(SESSION, json!({ "owner": "ada", "env": {} }));
    let done = (StatusCode::NO_CONTENT, String::new());
    assert_eq!(agent.whole(ours()).await, done);
    assert_eq!(agent.whole(ours()).await, done, "told again");
    for other in [
        bind(OTHER_SESSION, json!({ "owner": "ada" })),
        bind(SESSION, json!({ "owner": "bob" })),
        bind(SESSION, json!({})),
        bind(SESSION, json!({ "owner": "ada", "deadline": 4_000_000_001_u64 })),
    ] {
        assert_eq!(agent.refused(other).await, refusal(409, "agent.bound"));
    }
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM);
    assert_eq!(agent.whole(ours()).await, done, "once it talks too");
    assert_eq!(agent.refused(chat(OTHER_SESSION, "t2", "Hi")).await, refusal(403, "session.other"));
}

#[tokio::test]
async fn an_agent_that_was_started_for_a_session_is_bound() {
    let agent = start_unhindered();
    assert_eq!(agent.refused(bind(SESSION, json!({}))).await, refusal(409, "agent.bound"));
    assert_eq!(agent.refused(bind(OTHER_SESSION, json!({}))).await, refusal(409, "agent.bound"));
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_binding_is_kept() {
    let (agent, _, _) = agent_of(None);
    let begin = Instant::now();
    let outlived = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { (agent.outlived().await, begin.elapsed()) }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let request = bind(SESSION, json!({ "deadline": wall + 30 }));
    let answer = router(Arc::clone(&agent), token()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let (why, after) = outlived.await.unwrap();
    assert_eq!(why, Outlived::Deadline);
    assert!((Duration::from_secs(33)..=Duration::from_secs(36)).contains(&after), "{after:?}");
}

fn events(turn: &str, after: Option<&'static str>) -> Request<Body> {
    let mut call = request(Method::GET, &format!("/turns/{turn}/events"), "");
    if let Some(id) = after {
        call.headers_mut().insert("last-event-id", id.parse().unwrap());
    }
    call
}

#[tokio::test]
async fn a_turns_events_are_told_again_from_anywhere() {
    let agent = start();
    let mut first = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut first, "One ").await;
    let again = agent.call(events("t1", None)).await;
    assert_eq!(again.headers()["x-vercel-ai-ui-message-stream"], "v1");
    let on = agent.call(events("t1", Some("4"))).await;
    assert_eq!(agent.refused(events("t1", Some("5"))).await, refusal(400, "proto.invalid"));
    agent.may_go_on.add_permits(1);
    let after = |id: usize| {
        let head: usize = WHOLE_STREAM.split_inclusive("\n\n").take(id).map(str::len).sum();
        &WHOLE_STREAM[head..]
    };
    assert_eq!(rest(again).await, WHOLE_STREAM);
    assert_eq!(rest(on).await, after(4));
    assert_eq!(agent.whole(events("t1", Some("7"))).await.1, after(7), "when it is over");
    assert_eq!(agent.whole(events("t1", Some("8"))).await.1, "data: [DONE]\n\n");
    for wrong in ["9", "-1", "x", ""] {
        assert_eq!(agent.refused(events("t1", Some(wrong))).await, refusal(400, "proto.invalid"), "{wrong}");
    }
    assert_eq!(agent.refused(events("t2", None)).await, refusal(404, "turn.not_found"));
    assert_eq!(agent.times_asked(), 1);
}

#[tokio::test]
async fn events_of_a_forgotten_turn_are_gone() {
    let agent = start_unhindered();
    for turn in 1..=TURNS_KEPT + 1 {
        agent.whole(chat(SESSION, &format!("t{turn}"), "Hi")).await;
    }
    assert_eq!(agent.refused(events("t1", None)).await, refusal(410, "turn.gone"));
    assert_eq!(agent.whole(events("t2", None)).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn the_history_has_every_turn_and_the_one_that_runs() {
    let agent = start();
    let history = async || -> Value {
        let (status, body) = agent.whole(request(Method::GET, "/history", "")).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str(&body).unwrap()
    };
    assert_eq!(history().await, json!({ "truncated": false, "turns": [] }));

    let mut stopped = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut stopped, "One ").await;
    agent.whole(request(Method::POST, "/turns/t1/cancel", "")).await;
    rest(stopped).await;
    agent.may_go_on.add_permits(1);
    let body = json!({ "sessionId": SESSION, "turn": "t2", "message": "Again", "replaces": "t1" });
    agent.whole(request(Method::POST, "/chat", body.to_string())).await;
    let mut running = agent.call(chat(SESSION, "t3", "And?")).await;
    read_until(&mut running, "One ").await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&history().await).unwrap());
}

#[tokio::test]
async fn nothing_is_told_without_the_token() {
    let agent = start_unhindered();
    for shown in
        [None, Some(""), Some("secret"), Some("Bearer secre"), Some("Bearer secrets"), Some("Basic secret")]
    {
        for (method, path) in [
            (Method::GET, "/health"),
            (Method::POST, "/chat"),
            (Method::POST, "/turns/t1/cancel"),
            (Method::GET, "/turns/t1/events"),
            (Method::POST, "/bind"),
            (Method::GET, "/history"),
            (Method::GET, "/nothing"),
            (Method::DELETE, "/health"),
        ] {
            let mut call = request(method, path, "{}");
            call.headers_mut().remove("authorization");
            if let Some(shown) = shown {
                call.headers_mut().insert("authorization", shown.parse().unwrap());
            }
            assert_eq!(agent.refused(call).await, refusal(401, "auth.denied"), "{shown:?} {path}");
        }
    }
    assert_eq!(agent.times_asked(), 0);
}

#[tokio::test]
async fn a_call_that_cannot_be_meant_is_refused() {
    let agent = start_unhindered();
    let post = |body: &str| request(Method::POST, "/chat", body.to_owned());
    let mut form = chat(SESSION, "t1", "Hi");
    form.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let mut bare = chat(SESSION, "t1", "Hi");
    bare.headers_mut().remove("content-type");
    let large = "x".repeat(CALL_BODY_MAX_BYTES);
    for (call, status, code) in [
        (form, 415, "http.content_type"),
        (bare, 415, "http.content_type"),
        (chat(SESSION, "t1", &large), 413, "proto.too_large"),
        (post("{"), 400, "proto.invalid"),
        (post("{}"), 400, "proto.invalid"),
        (chat("s_1", "t1", "Hi"), 400, "proto.invalid"),
        (chat(SESSION, "1", "Hi"), 400, "proto.invalid"),
        (chat(SESSION, "t1", " \n"), 400, "proto.invalid"),
        (accepting("image/png", chat(SESSION, "t1", "Hi")), 406, "http.accept"),
        (request(Method::POST, "/turns/t9/cancel", ""), 404, "turn.not_found"),
        (request(Method::POST, "/turns/x/cancel", ""), 404, "http.not_found"),
        (request(Method::GET, "/nothing", ""), 404, "http.not_found"),
        (request(Method::GET, "/chat", ""), 405, "http.method"),
    ] {
        let what = format!("{} {} -> {status}", call.method(), call.uri());
        assert_eq!(agent.refused(call).await, refusal(status, code), "{what}");
    }
    assert_eq!(agent.times_asked(), 0);
}

#[tokio::test]
async fn a_message_as_long_as_a_hub_takes_is_taken() {
    let agent = start_unhindered();
    // Each of these bytes is six in JSON.
    let message = format!("Hi{}", "\u{1}".repeat(64 * 1024));
    assert_eq!(agent.whole(chat(SESSION, "t1", &message)).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn a_socket_is_for_its_user_only() {
    let agent = start();
    let mode = std::fs::metadata(&agent.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = mayfly_agent::server::bind_unix(&agent.path).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn when_it_stops_the_running_turn_is_ended() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    agent.stop.cancel();
    let end = rest(response).await;
    assert!(end.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{end}");
    agent.server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_comments() {
    let (agent, _, _) = agent();
    let mut body = router(agent, token()).oneshot(chat(SESSION, "t1", "Hi")).await.unwrap().into_body();
    let mut last = Instant::now();
    for comment in 0..3 {
        let text = loop {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let text = String::from_utf8(data.to_vec()).unwrap();
            if text.starts_with(':') {
                break text;
            }
            assert_eq!(comment, 0, "{text}");
        };
        assert_eq!(text, ": keep-alive\n\n");
        assert!(last.elapsed() <= Duration::from_secs(10));
        last = Instant::now();
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_hub_keeps_it_alive() {
    let (agent, may_go_on, _) = agent();
    let begin = Instant::now();
    let outlived = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { (agent.outlived().await, begin.elapsed().as_secs()) }
    });
    let call =
        async |request: Request<Body>| router(Arc::clone(&agent), token()).oneshot(request).await.unwrap();

    tokio::time::sleep(Duration::from_secs(ORPHAN_SECS - 1)).await;
    let mut body = call(chat(SESSION, "t1", "Hi")).await.into_body();
    tokio::time::sleep(Duration::from_secs(ORPHAN_SECS - 1)).await;
    may_go_on.add_permits(1);
    while body.frame().await.is_some() {}
    tokio::time::sleep(Duration::from_secs(ORPHAN_SECS - 1)).await;
    let mut stranger = request(Method::GET, "/health", "");
    stranger.headers_mut().remove("authorization");
    assert_eq!(call(stranger).await.status(), StatusCode::UNAUTHORIZED);
    let events_read = 2 * (ORPHAN_SECS - 1);
    assert_eq!(outlived.await.unwrap(), (Outlived::Orphaned, events_read + ORPHAN_SECS));
}
