//! The hub's HTTP/1.1 client for an agent. Each call has its own connection, which is closed after the call.
//!
//! The client knows the agent's wire and no sessions: `mayfly-session` decides the meaning of an answer. A call follows
//! no redirect and uses no proxy. The reader of a turn also polls the turn's connection, so that a token crosses no
//! task and no channel inside the hub.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_platform::{AgentAddress, AgentHandle};
use mayfly_protocol::agent::{ChatRequest, PATH_CHAT, path_events};
use mayfly_protocol::chunk::DONE;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::TurnId;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::agents::client::wake_filter::WakeFilter;
use crate::limits::AGENT_READ_BUFFER_BYTES;

pub(crate) mod call;
mod connect;
pub mod sse;
mod wake_filter;

const EVENT_STREAM: &str = "text/event-stream";

type Io = TokioIo<Either<UnixStream, TcpStream>>;
type Connection = Pin<Box<http1::Connection<Io, Body>>>;

/// Error returned when a call to an agent fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection could not be opened, or it broke.
    #[error("cannot reach the agent: {0}")]
    Io(#[from] std::io::Error),
    /// The path of the agent's socket holds another kind of file.
    #[error("the file at the agent's socket path is not a socket")]
    NotASocket,
    /// A process of this other user listens on the agent's socket.
    #[error("a process of another user, {0}, listens on the agent's socket")]
    WrongUser(u32),
    /// The answer is not HTTP, or the connection closed before the end of the answer's head.
    #[error("the agent did not send a valid HTTP answer: {0}")]
    Http(#[from] hyper::Error),
    /// The request could not be built.
    #[error("cannot build the request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The answer has an unexpected status.
    #[error("the agent answered with status {0}")]
    Status(StatusCode),
    /// The body of the answer could not be read or parsed.
    #[error("cannot read the agent's answer: {0}")]
    Body(String),
    /// The answer is not an event stream.
    #[error("the agent did not answer with an event stream")]
    NotAStream,
    /// The agent does not know the turn, or does not support `GET` of a turn's events.
    #[error("the hub restarted during the answer, and the agent cannot replay it")]
    NotReplayable,
    /// The answer did not come within the time limit.
    #[error("the agent did not answer in time")]
    Timeout,
}

impl CallError {
    /// Returns `true` if the agent does not support the call, or does not know the call's subject.
    pub(crate) fn is_unsupported(&self) -> bool {
        let unknown = [
            StatusCode::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::GONE,
            StatusCode::NOT_IMPLEMENTED,
        ];
        matches!(self, Self::Status(status) if unknown.contains(status))
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Io(_) | Self::NotASocket | Self::WrongUser(_) | Self::Timeout => {
                ErrorCode::AgentUnreachable
            }
            Self::NotReplayable => ErrorCode::AgentStreamTruncated,
            Self::Http(error) if !error.is_parse() => ErrorCode::AgentUnreachable,
            Self::Http(_) | Self::Request(_) | Self::Status(_) | Self::Body(_) | Self::NotAStream => {
                ErrorCode::AgentHttp
            }
        }
    }
}

/// The next event of a turn's stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TurnEvent {
    /// The agent sent bytes that complete no event.
    Alive,
    /// The data of one event.
    Chunk(Bytes),
    /// The stream ended or broke.
    Failed(ErrorCode, String),
}

impl TurnEvent {
    /// Returns the number of bytes of data in the event.
    pub(crate) fn len(&self) -> usize {
        if let Self::Chunk(data) = self { data.len() } else { 0 }
    }
}

/// The agent's answer to one turn, read while it arrives.
pub(crate) struct TurnStream {
    turn: TurnId,
    state: State,
}

enum State {
    Asking(Pin<Box<dyn Future<Output = Result<Answer, CallError>> + Send>>),
    Answering(Box<Answer>),
    Over,
}

struct Answer {
    body: Incoming,
    connection: Option<Connection>,
    wake_filter: WakeFilter,
    parser: sse::Parser,
}

impl TurnStream {
    /// Creates the stream of a new turn, with `headers` added to the request. The request is sent when
    /// [`TurnStream::next`] is first polled.
    pub(crate) fn start(agent: AgentHandle, request: ChatRequest, headers: HeaderMap) -> Self {
        let turn = request.turn;
        let answer = async move {
            // Ids and text only: serializing into memory cannot fail.
            let body = serde_json::to_vec(&request).unwrap_or_default();
            ask(&agent, Method::POST, PATH_CHAT, headers, Body::from(body)).await
        };
        Self { turn, state: State::Asking(Box::pin(answer)) }
    }

    /// Creates a stream that replays a turn's events from the first one. The request is sent when
    /// [`TurnStream::next`] is first polled.
    pub(crate) fn resume(agent: AgentHandle, turn: TurnId) -> Self {
        let answer = async move {
            match ask(&agent, Method::GET, &path_events(turn), HeaderMap::new(), Body::empty()).await {
                Err(error) if error.is_unsupported() => Err(CallError::NotReplayable),
                answer => answer,
            }
        };
        Self { turn, state: State::Asking(Box::pin(answer)) }
    }

    /// Returns the turn that the stream answers.
    pub(crate) fn turn(&self) -> TurnId {
        self.turn
    }

    /// Returns the next event. Cancel safe. Never resolves after `Failed`.
    pub(crate) async fn next(&mut self) -> TurnEvent {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next event, as [`TurnStream::next`] does.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<TurnEvent> {
        let (code, message) = match &mut self.state {
            State::Over => return Poll::Pending,
            State::Asking(answer) => match ready!(answer.as_mut().poll(cx)) {
                Ok(answer) => {
                    self.state = State::Answering(Box::new(answer));
                    return Poll::Ready(TurnEvent::Alive);
                }
                Err(error) => (error.code(), error.to_string()),
            },
            State::Answering(answer) => match ready!(answer.poll_event(cx)) {
                Ok(event) => return Poll::Ready(event),
                Err(failed) => failed,
            },
        };
        self.state = State::Over;
        Poll::Ready(TurnEvent::Failed(code, message))
    }
}

impl Answer {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<TurnEvent, (ErrorCode, String)>> {
        let truncated =
            |cause: &str| (ErrorCode::AgentStreamTruncated, format!("the agent's answer ended early{cause}"));
        if let Some(event) = self.next_event() {
            return Poll::Ready(event);
        }
        match ready!(self.poll_frame(cx)) {
            None => Poll::Ready(Err(truncated(""))),
            Some(Err(error)) => Poll::Ready(Err(truncated(&format!(": {error}")))),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    self.parser.push(piece);
                }
                Poll::Ready(self.next_event().unwrap_or(Ok(TurnEvent::Alive)))
            }
        }
    }

    /// Takes the next event from the bytes that were read.
    fn next_event(&mut self) -> Option<Result<TurnEvent, (ErrorCode, String)>> {
        match self.parser.next_event() {
            Ok(Some(data)) if data == DONE.as_bytes() => Some(Ok(TurnEvent::Alive)),
            Ok(Some(data)) => Some(Ok(TurnEvent::Chunk(data))),
            Ok(None) => None,
            Err(sse::TooLarge) => {
                let message = "the agent sent an event that is too large".to_owned();
                Some(Err((ErrorCode::AgentProtocol, message)))
            }
        }
    }

    /// Polls the body, and the connection that the body is read from.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, connection, wake_filter, .. } = self;
        wake_filter.poll(cx, |cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            let Some(running) = connection else { return Poll::Pending };
            if running.as_mut().poll(cx).is_ready() {
                *connection = None;
            }
            Pin::new(&mut *body).poll_frame(cx)
        })
    }
}

async fn ask(
    agent: &AgentHandle,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, CallError> {
    let mut request = request(agent, method, path)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, EVENT_STREAM)
        .header(ACCEPT_ENCODING, "identity")
        .body(body)?;
    request.headers_mut().extend(headers);
    let (response, connection) = exchange(agent, request).await?;
    if response.status() != StatusCode::OK {
        return Err(CallError::Status(response.status()));
    }
    if !is_event_stream(response.headers()) {
        return Err(CallError::NotAStream);
    }
    Ok(Answer {
        body: response.into_body(),
        connection,
        wake_filter: WakeFilter::new(),
        parser: sse::Parser::default(),
    })
}

/// Returns `true` if the headers describe an uncompressed event stream. Some agents send `Content-Encoding: none`.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let is = |value: &str, expected: &str| value.trim().eq_ignore_ascii_case(expected);
    let media_type = value(CONTENT_TYPE).and_then(|value| value.split(';').next());
    media_type.is_some_and(|value| is(value, EVENT_STREAM))
        && value(CONTENT_ENCODING).is_none_or(|value| is(value, "identity") || is(value, "none"))
}

fn request(agent: &AgentHandle, method: Method, path: &str) -> hyper::http::request::Builder {
    let host = match &agent.address {
        AgentAddress::Unix(_) | AgentAddress::Contained { .. } => "agent",
        AgentAddress::Tcp(authority) => authority,
    };
    let bearer = format!("Bearer {}", agent.token.expose());
    Request::builder().method(method).uri(path).header(HOST, host).header(AUTHORIZATION, bearer)
}

/// Sends a request on a new connection, and returns the head of the response. The connection is `None` if it has ended.
async fn exchange(
    agent: &AgentHandle,
    request: Request<Body>,
) -> Result<(Response<Incoming>, Option<Connection>), CallError> {
    let stream = match &agent.address {
        AgentAddress::Unix(path) => Either::Left(UnixStream::connect(path).await?),
        AgentAddress::Contained { socket, user } => Either::Left(connect::contained(socket, *user).await?),
        AgentAddress::Tcp(authority) => {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Either::Right(stream)
        }
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(AGENT_READ_BUFFER_BYTES)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await?;
    let mut connection = Box::pin(connection);
    let response = sender.send_request(request);
    tokio::pin!(response);
    let mut ended = false;
    poll_fn(|cx| {
        if !ended {
            ended = connection.as_mut().poll(cx).is_ready();
        }
        response.as_mut().poll(cx)
    })
    .await
    .map(|response| (response, (!ended).then_some(connection)))
    .map_err(CallError::from)
}

#[cfg(test)]
mod tests {
    use mayfly_protocol::ids::{Incarnation, SessionId};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio::task::JoinHandle;

    use super::*;
    use mayfly_platform::AgentToken;

    /// Starts an agent that answers one call with these bytes, then closes. The task returns the request.
    fn scripted(answer: &str) -> (AgentHandle, JoinHandle<String>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let answer = answer.to_owned();
        let request = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_complete(&request) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let agent = AgentHandle {
            incarnation: Incarnation::from_u128(7),
            address: AgentAddress::Unix(path),
            token: AgentToken::new("secret".to_owned()),
            gone: tokio_util::sync::CancellationToken::new(),
        };
        (agent, request, directory)
    }

    fn is_complete(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.len() >= length.map_or(0, |length| length.parse().unwrap())
    }

    async fn turn(answer: &str) -> (Vec<TurnEvent>, String) {
        let (agent, request, _directory) = scripted(answer);
        let chat = ChatRequest {
            session_id: SessionId::from_u128(1),
            turn: TurnId(3),
            message: "Hi".to_owned(),
            message_id: None,
            replaces: None,
        };
        let mut stream = TurnStream::start(agent, chat, HeaderMap::new());
        let mut events = Vec::new();
        while !matches!(events.last(), Some(TurnEvent::Failed(..))) {
            events.push(stream.next().await);
        }
        events.retain(|event| *event != TurnEvent::Alive);
        (events, request.await.unwrap())
    }

    async fn failure(answer: &str) -> ErrorCode {
        match turn(answer).await.0.pop() {
            Some(TurnEvent::Failed(code, _)) => code,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn turn_is_posted_with_the_agents_token() {
        let (events, request) = turn(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 0\ndata: {\"type\":\"start\"}\n\n: hm\n\ndata: [DONE]\n\n",
        )
        .await;
        assert_eq!(events.first(), Some(&TurnEvent::Chunk(Bytes::from_static(b"{\"type\":\"start\"}"))));
        assert_eq!(events.len(), 2, "[DONE] is no chunk, and the stream ends once: {events:?}");
        assert!(request.starts_with("POST /chat HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer secret\r\n"), "{request}");
        let body = r#"{"sessionId":"s_00000000000000000000000000000001","turn":"t3","message":"Hi"}"#;
        assert!(request.ends_with(body), "{request}");
    }

    #[tokio::test]
    async fn resume_requests_the_turn_by_id() {
        let not_found = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let (agent, request, _directory) = scripted(not_found);
        let mut stream = TurnStream::resume(agent, TurnId(3));
        let TurnEvent::Failed(code, message) = stream.next().await else {
            panic!("the turn cannot be replayed")
        };
        assert_eq!(code, ErrorCode::AgentStreamTruncated);
        assert!(message.contains("cannot replay it"), "{message}");
        let request = request.await.unwrap();
        assert!(request.starts_with("GET /turns/t3/events HTTP/1.1\r\n"), "{request}");
    }

    #[tokio::test]
    async fn answer_that_is_no_event_stream_is_refused() {
        assert_eq!(failure("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n").await, ErrorCode::AgentHttp);
        let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(failure(html).await, ErrorCode::AgentHttp);
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(failure(elsewhere).await, ErrorCode::AgentHttp);
        assert_eq!(failure("SSH-2.0-OpenSSH\r\n").await, ErrorCode::AgentHttp);
        for headers in [
            "content-type: text/event-streams",
            "content-type: text/event-stream\r\ncontent-encoding: gzip",
            "accept: text/event-stream",
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\ndata: x\n\n");
            assert_eq!(failure(&answer).await, ErrorCode::AgentHttp, "{headers}");
        }
    }

    #[tokio::test]
    async fn event_stream_headers_may_vary() {
        for headers in [
            "Content-Type: Text/Event-Stream; charset=utf-8",
            "content-type: text/event-stream\r\ncontent-encoding: none",
            "content-type: text/event-stream ;x=y\r\ncontent-encoding: Identity",
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\ndata: x\n\n");
            let (events, _) = turn(&answer).await;
            assert_eq!(events.first(), Some(&TurnEvent::Chunk(Bytes::from_static(b"x"))), "{headers}");
        }
    }

    #[tokio::test]
    async fn answer_cut_in_its_head_makes_the_agent_unreachable() {
        assert_eq!(failure("").await, ErrorCode::AgentUnreachable);
        assert_eq!(failure("HTTP/1.1 200 OK\r\ncontent-type: text/").await, ErrorCode::AgentUnreachable);
    }

    #[tokio::test]
    async fn stream_cut_in_its_body_is_truncated() {
        let chunked = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: {}\n\r\n";
        assert_eq!(failure(chunked).await, ErrorCode::AgentStreamTruncated);
    }

    #[tokio::test]
    async fn missing_agent_is_unreachable() {
        let (mut agent, _request, directory) = scripted("");
        agent.address = AgentAddress::Unix(directory.path().join("nothing"));
        let error = call::health(&agent).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::AgentUnreachable);
    }

    #[tokio::test]
    async fn health_requires_status_200() {
        let (agent, request, _directory) = scripted("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert!(call::health(&agent).await.is_ok());
        assert!(request.await.unwrap().starts_with("GET /health HTTP/1.1\r\n"));
        let (agent, _request, _directory) = scripted("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
        assert!(matches!(call::health(&agent).await, Err(CallError::Status(StatusCode::UNAUTHORIZED))));
    }
}
