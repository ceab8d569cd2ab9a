//! A session's sockets: frames out, messages in.

use std::task::{Context, Poll};

use bytes::Bytes;
use mayfly_protocol::refusal::Close;
use mayfly_session::{Session, SocketId, Transmit};

use crate::sessions::driver::Driver;
use crate::sessions::driver::turn_metrics::TurnMetrics;
use crate::sessions::peer::Peer;
use crate::socket::Inbound;

impl Driver {
    /// Leaves a socket to a task of its own, which sends the last frames and the close. Does nothing if it is gone.
    pub(super) fn dismiss(&mut self, id: SocketId, frames: Vec<(Bytes, Option<u64>)>, close: Option<Close>) {
        if let Some(index) = self.sockets.iter().position(|socket| socket.id() == id) {
            self.sessions.ops.tasks.spawn(self.sockets.swap_remove(index).say_farewell(frames, close));
        }
    }
}

/// Writes frames to each socket that can take them, and returns the next input of a socket.
pub(super) fn poll_sockets(
    session: &mut Session,
    sockets: &mut [Peer],
    metrics: &mut TurnMetrics,
    cx: &mut Context<'_>,
) -> Poll<(SocketId, Inbound)> {
    for socket in &mut *sockets {
        while socket.is_ready(cx) {
            match session.poll_transmit(socket.id()) {
                Some(Transmit::Frame(frame, seq)) => {
                    metrics.count_sent(frame.len());
                    socket.send(frame, seq);
                }
                Some(Transmit::Ping) => socket.ping(),
                None => break,
            }
        }
        socket.flush(cx);
    }
    metrics.end_measure();
    for socket in sockets {
        if let Poll::Ready(inbound) = socket.poll_inbound(cx) {
            return Poll::Ready((socket.id(), inbound));
        }
    }
    Poll::Pending
}
