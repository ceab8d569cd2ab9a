//! One WebSocket of a session: the frames on it, their format, its close. Does not know what a frame says.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use mayfly_protocol::client::{ClientFrame, Credential};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::{Close, Refusal, RefusedFrame};
use mayfly_protocol::text;
use mayfly_session::{Detach, SocketId};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::limits::{HELLO_TIMEOUT, SOCKET_MESSAGE_MAX_BYTES};
use crate::socket::transport::Transport;
use crate::socket::wire::{Incoming, Wire};

mod meter;
pub mod transport;
pub mod wire;

/// What a client says that is done (RFC 6455, section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A frame is a JSON object.
    #[default]
    Json,
    /// A frame is what a person would read.
    Text,
}

/// What a socket brings.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A message, as the frame that it is or the reason why it is none.
    Frame(Result<ClientFrame, RefusedFrame>),
    /// A Ping, which is answered already, or a Pong.
    Heartbeat,
    /// The socket is closed, or about to be with this code. Nothing follows.
    Gone(Detach, Option<Close>),
}

/// An open WebSocket.
pub(crate) struct Socket {
    id: SocketId,
    format: Format,
    wire: Wire,
    /// The `hello` that brought the credential, until the session takes it.
    hello: Option<ClientFrame>,
    /// What counts this connection among those that the hub takes.
    _connection: OwnedSemaphorePermit,
}

impl Socket {
    /// A socket on an upgraded connection, of which `read` was read already.
    pub(crate) async fn new(
        format: Format,
        stream: Transport,
        read: Bytes,
        connection: OwnedSemaphorePermit,
    ) -> Self {
        let wire = Wire::new(stream, read, SOCKET_MESSAGE_MAX_BYTES).await;
        Self { id: SocketId(0), format, wire, hello: None, _connection: connection }
    }

    /// The same, named by the session it joins.
    pub(crate) fn named(self, id: SocketId) -> Self {
        Self { id, ..self }
    }

    /// The session's name for it.
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Whether it can take a frame now; if not, the task is woken when it may.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.is_ready(cx)
    }

    /// Writes a frame to the buffer. A socket that is broken says so when it is read.
    pub(crate) fn send(&mut self, frame: Bytes) {
        if let Some(message) = self.message(frame) {
            self.wire.send(message);
        }
    }

    /// Writes a Ping to the buffer.
    pub(crate) fn ping(&mut self) {
        self.wire.send(Message::Ping(Bytes::new()));
    }

    /// Sends what is in the buffer, as far as the socket takes it; then the task is woken to call again.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        self.wire.flush(cx);
    }

    /// What came in.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Inbound::Frame(Ok(hello)));
        }
        self.poll_wire(cx)
    }

    /// Waits for the socket's next input, before a session has the socket. Pings are answered.
    async fn next(&mut self) -> Inbound {
        poll_fn(|cx| {
            self.wire.flush(cx);
            self.poll_wire(cx)
        })
        .await
    }

    /// Returns the credential in `hello`, which must come first, and leaves the rest of `hello` to the session. Returns
    /// `None` if another frame came, or none in time.
    pub(crate) async fn hello(&mut self) -> Option<Credential> {
        let inbound = timeout(HELLO_TIMEOUT, self.next()).await.ok()?;
        let Inbound::Frame(Ok(ClientFrame::Hello { client, client_id, token })) = inbound else {
            return None;
        };
        self.hello = Some(ClientFrame::Hello { client, client_id, token: None });
        token
    }

    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        Poll::Ready(match ready!(self.wire.poll_incoming(cx)) {
            Incoming::Text(text) => Inbound::Frame(ClientFrame::parse(&text)),
            Incoming::Binary(_) => {
                let message = "frames are text messages, not binary ones";
                Inbound::Frame(Err(Refusal::new(ErrorCode::ProtoInvalid, message).into()))
            }
            Incoming::Heartbeat => Inbound::Heartbeat,
            Incoming::Closed(None | Some(NORMAL_CLOSURE)) => Inbound::Gone(Detach::Closed, None),
            Incoming::Closed(Some(_)) => Inbound::Gone(Detach::Lost, None),
            Incoming::Gone(code) => Inbound::Gone(Detach::Lost, code),
        })
    }

    /// Sends the last frames and the close, as [`Wire::say_farewell`].
    pub(crate) async fn say_farewell(self, frames: Vec<Bytes>, close: Option<Close>) {
        let messages = frames.into_iter().filter_map(|frame| self.message(frame)).collect();
        self.wire.say_farewell(messages, close).await;
    }

    fn message(&self, frame: Bytes) -> Option<Message> {
        match self.format {
            // Made by the session and UTF-8 by its check, so it is not looked at again.
            Format::Json => Some(Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))),
            Format::Text => text::render(&frame).map(Message::text),
        }
    }
}
