//! A WebSocket of a session: its frames, their format, and the close. The module does not interpret frames, except
//! for the credential in `hello`.

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

/// Close code of a client that has finished (RFC 6455, section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// The format of outgoing frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A frame is a JSON object.
    #[default]
    Json,
    /// A frame is text for a person in a terminal.
    Text,
}

/// An input from a socket.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A message, parsed as a frame, or the refusal of an invalid message.
    Frame(Result<ClientFrame, RefusedFrame>),
    /// A Ping, already answered, or a Pong.
    Heartbeat,
    /// The end of the input. The hub closes the socket with this code, if there is one.
    Gone(Detach, Option<Close>),
}

/// An open WebSocket.
pub(crate) struct Socket {
    id: SocketId,
    format: Format,
    wire: Wire,
    /// The `hello` frame that carried the credential, until the session takes the frame.
    hello: Option<ClientFrame>,
    /// Counts this connection against the hub's limit of connections.
    _connection: OwnedSemaphorePermit,
}

impl Socket {
    /// Creates a socket on an upgraded connection. `read` holds the bytes that were read with the request.
    pub(crate) async fn new(
        format: Format,
        stream: Transport,
        read: Bytes,
        connection: OwnedSemaphorePermit,
    ) -> Self {
        let wire = Wire::new(stream, read, SOCKET_MESSAGE_MAX_BYTES).await;
        Self { id: SocketId(0), format, wire, hello: None, _connection: connection }
    }

    /// Returns the socket with the session's id for it.
    pub(crate) fn named(self, id: SocketId) -> Self {
        Self { id, ..self }
    }

    /// Returns the session's id for the socket.
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Returns `true` if the socket can take a frame now. If not, the task is woken once it can.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.is_ready(cx)
    }

    /// Writes a frame to the buffer. [`Socket::poll_inbound`] reports a broken socket.
    pub(crate) fn send(&mut self, frame: Bytes) {
        if let Some(message) = self.message(frame) {
            self.wire.send(message);
        }
    }

    /// Writes a Ping to the buffer.
    pub(crate) fn ping(&mut self) {
        self.wire.send(Message::Ping(Bytes::new()));
    }

    /// Sends the buffer. If the socket does not take all of it, the task is woken to call this method again.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        self.wire.flush(cx);
    }

    /// Returns the next input.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Inbound::Frame(Ok(hello)));
        }
        self.poll_wire(cx)
    }

    /// Waits for the next input before a session has the socket, and answers Pings.
    async fn next(&mut self) -> Inbound {
        poll_fn(|cx| {
            self.wire.flush(cx);
            self.poll_wire(cx)
        })
        .await
    }

    /// Returns the credential in `hello`, which must be the first frame, and keeps the rest of `hello` for the session.
    /// Returns `None` if another frame came, or none within `HELLO_TIMEOUT`.
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

    /// Sends the last frames and closes the socket, as [`Wire::say_farewell`] does.
    pub(crate) async fn say_farewell(self, frames: Vec<Bytes>, close: Option<Close>) {
        let messages = frames.into_iter().filter_map(|frame| self.message(frame)).collect();
        self.wire.say_farewell(messages, close).await;
    }

    fn message(&self, frame: Bytes) -> Option<Message> {
        match self.format {
            // The session has checked that the frame is UTF-8, so the frame is not checked again.
            Format::Json => Some(Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))),
            Format::Text => text::render(&frame).map(Message::text),
        }
    }
}
