//! Baseline `direct`: a client that reads the agent's event stream itself. The driver uses it for `relay`, too.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, ensure};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_protocol::agent::{ChatRequest, PATH_CHAT};
use mayfly_protocol::chunk::DONE;
use mayfly_protocol::ids::{SessionId, TurnId};
use memchr::memchr;

use mayfly_tests::address::{Address, Stream};
use mayfly_tests::load::Load;

type Connection = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// One session's connection to an agent. The reader polls it, without a task or a channel.
pub struct Events {
    sender: SendRequest<Full<Bytes>>,
    connection: Option<Connection>,
    bearer: String,
    session: SessionId,
    turns: u32,
}

impl Events {
    /// Connects to an agent.
    ///
    /// # Errors
    /// Returns an error if nobody listens at the address.
    pub async fn connect(address: &Address, token: &str) -> anyhow::Result<Self> {
        let stream = address.connect().await.with_context(|| format!("cannot connect to {address}"))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let bearer = format!("Bearer {token}");
        Ok(Self { sender, connection: Some(connection), bearer, session: SessionId::random(), turns: 0 })
    }

    /// Sends one message and passes each chunk of the answer to `on`.
    ///
    /// # Errors
    /// Returns an error if the agent refuses, or the stream ends without its last line.
    pub async fn turn(&mut self, load: Load, mut on: impl FnMut(&str)) -> anyhow::Result<()> {
        self.turns += 1;
        let chat = ChatRequest {
            session_id: self.session,
            turn: TurnId(self.turns),
            message: load.to_string(),
            message_id: None,
            replaces: None,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(PATH_CHAT)
            .header(HOST, "agent")
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(Full::from(serde_json::to_vec(&chat)?))?;
        let response = self.send(request).await?;
        ensure!(response.status() == StatusCode::OK, "the agent answered {}", response.status());

        let mut body = response.into_body();
        let mut rest = BytesMut::new();
        let mut is_done = false;
        while let Some(piece) = self.piece(&mut body).await? {
            rest.extend_from_slice(&piece);
            while let Some(end) = memchr(b'\n', &rest) {
                let data = rest[..end].strip_prefix(b"data: ").map(std::str::from_utf8).transpose()?;
                match data {
                    Some(DONE) => is_done = true,
                    Some(chunk) => on(chunk),
                    None => {}
                }
                rest.advance(end + 1);
            }
        }
        ensure!(is_done, "the stream broke off");
        Ok(())
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let mut answer = std::pin::pin!(self.sender.send_request(request));
        let connection = &mut self.connection;
        Ok(poll_fn(|cx| {
            poll_connection(connection, cx);
            answer.as_mut().poll(cx)
        })
        .await?)
    }

    async fn piece(&mut self, body: &mut Incoming) -> anyhow::Result<Option<Bytes>> {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            poll_connection(&mut self.connection, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
        .await;
        Ok(frame.transpose()?.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

/// Polls the connection. Its end shows in what is read from it.
fn poll_connection(connection: &mut Option<Connection>, cx: &mut Context<'_>) {
    if let Some(open) = connection
        && Pin::new(open).poll(cx).is_ready()
    {
        *connection = None;
    }
}
