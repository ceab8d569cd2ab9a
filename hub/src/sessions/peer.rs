//! Who takes a session's frames: a WebSocket, or somebody who only listens.

use std::task::{Context, Poll};

use bytes::Bytes;
use mayfly_protocol::ids::Epoch;
use mayfly_protocol::refusal::Close;
use mayfly_session::{Attach, SocketId};

use crate::sessions::listener::Listener;
use crate::socket::{Inbound, Socket};

pub(crate) enum Peer {
    Socket(Box<Socket>),
    Listener(Listener),
}

impl Peer {
    /// The same, named by the session whose frames are numbered as `epoch` says.
    pub(crate) fn named(self, id: SocketId, epoch: Epoch) -> Self {
        match self {
            Self::Socket(socket) => Self::Socket(Box::new(socket.named(id))),
            Self::Listener(listener) => Self::Listener(listener.named(id, epoch)),
        }
    }

    /// How it comes, with what its client has.
    pub(crate) fn attach(&self, position: Option<(Epoch, u64)>) -> Attach {
        match self {
            Self::Socket(_) => Attach::Join { position },
            Self::Listener(_) => Attach::Listen { position },
        }
    }

    /// Whether it is a WebSocket.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// The session's name for it.
    pub(crate) fn id(&self) -> SocketId {
        match self {
            Self::Socket(socket) => socket.id(),
            Self::Listener(listener) => listener.id(),
        }
    }

    /// Whether it can take a frame now; if not, the task is woken when it may.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Socket(socket) => socket.is_ready(cx),
            Self::Listener(listener) => listener.is_ready(cx),
        }
    }

    /// Gives it a frame, up to which the record has this number.
    pub(crate) fn send(&mut self, frame: Bytes, seq: Option<u64>) {
        match self {
            Self::Socket(socket) => socket.send(frame),
            Self::Listener(listener) => listener.send(frame, seq),
        }
    }

    /// Asks a WebSocket for a sign of life.
    pub(crate) fn ping(&mut self) {
        if let Self::Socket(socket) = self {
            socket.ping();
        }
    }

    /// Sends what is buffered, as far as it is taken; then the task is woken to call again.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        if let Self::Socket(socket) = self {
            socket.flush(cx);
        }
    }

    /// What came in.
    pub(crate) fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        match self {
            Self::Socket(socket) => socket.poll_inbound(cx),
            Self::Listener(listener) => listener.poll_inbound(cx),
        }
    }

    /// Gives it the last frames and the close.
    pub(crate) async fn say_farewell(self, frames: Vec<(Bytes, Option<u64>)>, close: Option<Close>) {
        match self {
            Self::Socket(socket) => {
                socket.say_farewell(frames.into_iter().map(|(frame, _)| frame).collect(), close).await;
            }
            Self::Listener(listener) => listener.say_farewell(frames, close).await,
        }
    }
}
