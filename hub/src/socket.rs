//! One WebSocket of a session: its buffers, its format, its close. Does not know what a frame says.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use mayfly_protocol::client::{ClientFrame, Refusal};
use mayfly_protocol::code::{CloseCode, ErrorCode};
use mayfly_protocol::text;
use mayfly_session::SocketId;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::{
    CLOSE_TIMEOUT, SOCKET_MESSAGE_MAX_BYTES, SOCKET_READ_BUFFER_BYTES, SOCKET_UNFINISHED_MAX_BYTES,
    SOCKET_WRITE_BUFFER_BYTES, SOCKET_WRITE_BUFFER_MAX_BYTES, UNREAD_MAX_BYTES,
};
use crate::socket::meter::Metered;

mod meter;

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
    Frame(Result<ClientFrame, Refusal>),
    /// A Ping, which is answered already, or a Pong.
    Heartbeat,
    /// The socket is closed, or about to be with this code. Nothing follows.
    Gone(Option<CloseCode>),
}

/// An open WebSocket.
pub(crate) struct Socket {
    id: SocketId,
    format: Format,
    stream: WebSocketStream<Metered>,
    /// What counts this connection among those that the hub takes.
    _connection: OwnedSemaphorePermit,
}

impl Socket {
    /// A socket on an upgraded connection, of which `read` was read already.
    pub(crate) async fn new(
        id: SocketId,
        format: Format,
        stream: TcpStream,
        read: Bytes,
        connection: OwnedSemaphorePermit,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
            .write_buffer_size(SOCKET_WRITE_BUFFER_BYTES)
            .max_write_buffer_size(SOCKET_WRITE_BUFFER_MAX_BYTES)
            .max_message_size(Some(SOCKET_MESSAGE_MAX_BYTES))
            .max_frame_size(Some(SOCKET_MESSAGE_MAX_BYTES));
        let stream = WebSocketStream::from_partially_read(
            Metered::new(stream),
            read.into(),
            Role::Server,
            Some(config),
        )
        .await;
        Self { id, format, stream, _connection: connection }
    }

    /// The session's name for it.
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Whether it can take a frame now; if not, the task is woken when it may.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(Pin::new(&mut self.stream).poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Writes a frame to the buffer. A socket that is broken says so when it is read.
    pub(crate) fn send(&mut self, frame: Bytes) {
        if let Some(message) = self.message(frame) {
            let _ = Pin::new(&mut self.stream).start_send(message);
        }
    }

    /// Sends what is in the buffer, as far as the socket takes it.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
    }

    /// What came in. Pings are answered on the way.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        let message = match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(message) => message,
            Poll::Pending if self.stream.get_ref().read_bytes() > SOCKET_UNFINISHED_MAX_BYTES => {
                return Poll::Ready(Inbound::Gone(Some(CloseCode::TooBig)));
            }
            Poll::Pending => return Poll::Pending,
        };
        self.stream.get_mut().reset();
        Poll::Ready(match message {
            Some(Ok(Message::Text(text))) => Inbound::Frame(ClientFrame::parse(&text)),
            Some(Ok(Message::Binary(_))) => Inbound::Frame(Err(Refusal {
                code: ErrorCode::ProtoInvalid,
                message: "frames are text messages, not binary ones".to_owned(),
            })),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Inbound::Heartbeat,
            Some(Err(error)) => Inbound::Gone(close_code(&error)),
            Some(Ok(Message::Close(_))) | None => Inbound::Gone(None),
        })
    }

    /// Sends the last frames and the close, and waits for the other side's close, all within `CLOSE_TIMEOUT`:
    /// a closing socket must be read to its end, or the close is not clean (RFC 6455, section 7.1.1).
    pub(crate) async fn say_farewell(mut self, frames: Vec<Bytes>, code: Option<CloseCode>) {
        let farewell = async {
            for frame in frames {
                if let Some(message) = self.message(frame) {
                    self.stream.feed(message).await?;
                }
            }
            if let Some(code) = code {
                let close = CloseFrame { code: code.number().into(), reason: code.reason().into() };
                self.stream.send(Message::Close(Some(close))).await?;
            }
            while self.stream.next().await.is_some_and(|message| message.is_ok()) {}
            // A connection that is closed with input unread is reset, and the close frame lost with it.
            let stream = self.stream.get_mut();
            stream.shutdown().await?;
            let mut unread = stream.take(UNREAD_MAX_BYTES);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
            Ok::<(), Error>(())
        };
        // A socket that is broken or stalled has nobody to tell.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }

    fn message(&self, frame: Bytes) -> Option<Message> {
        match self.format {
            // Made by the session and UTF-8 by its check, so it is not looked at again.
            Format::Json => Some(Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))),
            Format::Text => text::render(&frame).map(Message::text),
        }
    }
}

/// How a connection is to be closed that cannot be read any further; nothing when it is gone already.
fn close_code(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseCode::TooBig),
        Error::Utf8(_) => Some(CloseCode::InvalidUtf8),
        Error::Protocol(error) if *error != ProtocolError::ResetWithoutClosingHandshake => {
            Some(CloseCode::ProtocolError)
        }
        Error::Protocol(_)
        | Error::Capacity(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => None,
    }
}
