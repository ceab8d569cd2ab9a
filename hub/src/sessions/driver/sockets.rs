//! A session's sockets, as its task polls them: frames out, messages in.

use std::task::{Context, Poll};

use bytes::Bytes;
use mayfly_protocol::code::CloseCode;
use mayfly_session::{Session, SocketId, Transmit};

use crate::sessions::driver::Driver;
use crate::sessions::driver::tally::Tally;
use crate::sessions::peer::Peer;
use crate::socket::Inbound;

impl Driver {
    /// Leaves the sockets that are to be closed to tasks of their own, with all that is left for them.
    pub(super) fn dismiss_closing_sockets(&mut self) {
        let ids = self.sockets.iter().map(Peer::id);
        let closing: Vec<_> = ids.filter(|id| self.session.is_closing(*id)).collect();
        for id in closing {
            let (frames, code) = take_rest(&mut self.session, id);
            self.dismiss(id, frames, code);
        }
    }

    pub(super) fn dismiss(&mut self, id: SocketId, frames: Vec<Rest>, code: Option<CloseCode>) {
        if let Some(index) = self.sockets.iter().position(|socket| socket.id() == id) {
            self.sessions.ops.tasks.spawn(self.sockets.swap_remove(index).say_farewell(frames, code));
        }
    }
}

/// Gives each socket that can take them its frames, and returns the next thing that one of them brings.
pub(super) fn poll_sockets(
    session: &mut Session,
    sockets: &mut [Peer],
    tally: &mut Tally,
    cx: &mut Context<'_>,
) -> Poll<(SocketId, Inbound)> {
    for socket in &mut *sockets {
        while socket.is_ready(cx) {
            match session.poll_transmit(socket.id()) {
                Some(Transmit::Frame(frame, seq)) => {
                    tally.sent(frame.len());
                    socket.send(frame, seq);
                }
                Some(Transmit::Ping) => socket.ping(),
                Some(Transmit::Close(_)) | None => break,
            }
        }
        socket.flush(cx);
    }
    tally.flushed();
    for socket in sockets {
        if let Poll::Ready(inbound) = socket.poll_inbound(cx) {
            return Poll::Ready((socket.id(), inbound));
        }
    }
    Poll::Pending
}

/// A frame, and up to which number the record is there with it.
type Rest = (Bytes, Option<u64>);

/// What is left for a socket that is to be closed.
fn take_rest(session: &mut Session, socket: SocketId) -> (Vec<Rest>, Option<CloseCode>) {
    let mut frames = Vec::new();
    loop {
        match session.poll_transmit(socket) {
            Some(Transmit::Frame(frame, seq)) => frames.push((frame, seq)),
            Some(Transmit::Ping) => {}
            Some(Transmit::Close(code)) => return (frames, Some(code)),
            None => return (frames, None),
        }
    }
}
