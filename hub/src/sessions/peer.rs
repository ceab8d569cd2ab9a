//! A receiver of a session's frames: a WebSocket, or a listener of an HTTP answer.

use std::task::{Context, Poll};

use bytes::Bytes;
use mayfly_protocol::ids::Epoch;
use mayfly_protocol::refusal::Close;
use mayfly_session::{Attach, SocketId};

use crate::sessions::listener::Listener;
use crate::socket::{Inbound, Socket};

/// A receiver of a session's frames.
pub(crate) enum Peer {
    Socket(Box<Socket>),
    Listener(Listener),
}

impl Peer {
    /// Sets the id within the session, and the epoch of its frames.
    pub(crate) fn named(self, id: SocketId, epoch: Epoch) -> Self {
        match self {
            Self::Socket(socket) => Self::Socket(Box::new(socket.named(id))),
            Self::Listener(listener) => Self::Listener(listener.named(id, epoch)),
        }
    }

    /// Returns the way in which the peer attaches. Its client has the frames up to `position`.
    pub(crate) fn attach(&self, position: Option<(Epoch, u64)>) -> Attach {
        match self {
            Self::Socket(_) => Attach::Join { position },
            Self::Listener(_) => Attach::Listen { position },
        }
    }

    /// Returns `true` if the peer is a WebSocket.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// Returns the id within the session.
    pub(crate) fn id(&self) -> SocketId {
        match self {
            Self::Socket(socket) => socket.id(),
            Self::Listener(listener) => listener.id(),
        }
    }

    /// Returns `true` if the peer can take a frame now. If not, wakes the task when it may.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Socket(socket) => socket.is_ready(cx),
            Self::Listener(listener) => listener.is_ready(cx),
        }
    }

    /// Buffers a frame. The client then has the transcript up to `seq`.
    pub(crate) fn send(&mut self, frame: Bytes, seq: Option<u64>) {
        match self {
            Self::Socket(socket) => socket.send(frame),
            Self::Listener(listener) => listener.send(frame, seq),
        }
    }

    /// Sends a WebSocket Ping; a listener gets none.
    pub(crate) fn ping(&mut self) {
        if let Self::Socket(socket) = self {
            socket.ping();
        }
    }

    /// Writes buffered frames as far as the connection takes them, and wakes the task for the rest.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        if let Self::Socket(socket) = self {
            socket.flush(cx);
        }
    }

    /// Returns the next input.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        match self {
            Self::Socket(socket) => socket.poll_inbound(cx),
            Self::Listener(listener) => listener.poll_inbound(cx),
        }
    }

    /// Sends the last frames and the close.
    pub(crate) async fn say_farewell(self, frames: Vec<(Bytes, Option<u64>)>, close: Option<Close>) {
        match self {
            Self::Socket(socket) => {
                socket.say_farewell(frames.into_iter().map(|(frame, _)| frame).collect(), close).await;
            }
            Self::Listener(listener) => listener.say_farewell(frames, close).await,
        }
    }
}
