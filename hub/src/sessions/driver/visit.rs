//! Who comes to a session that exists, and what they want of it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::Epoch;
use mayfly_session::{SocketId, View};
use tokio::sync::oneshot;

use crate::sessions::driver::Driver;
use crate::sessions::listener::Listener;
use crate::sessions::peer::Peer;

/// Somebody on the way to a session.
pub(crate) enum Visit {
    /// Takes part, or listens; its client has this much already: the numbering, and the last number in it.
    Attach(Peer, Option<(Epoch, u64)>),
    /// Says something, by this name if there is one, and listens to the answer.
    Ask(Listener, Option<String>, String),
    /// Wants to know how it is.
    Look(oneshot::Sender<Seen>),
    /// Wants it to have more time.
    Extend(oneshot::Sender<Seen>),
    /// Ends it, and wants to know what state it is in when this hub has nothing more to do with it.
    Delete(oneshot::Sender<Status>),
}

/// How a session is.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) view: View,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) created_at: SystemTime,
}

impl Driver {
    pub(super) fn receive(&mut self, visit: Visit) {
        let now = Instant::now();
        match visit {
            Visit::Attach(peer, position) => {
                let (attach, id) = (peer.attach(position), self.name_socket());
                self.session.handle_attach(id, attach, now);
                self.sockets.push(peer.named(id, self.session.epoch()));
            }
            Visit::Ask(listener, name, text) => {
                let id = self.name_socket();
                self.session.handle_ask(id, name, &text, now);
                self.sockets.push(Peer::Listener(listener.named(id, self.session.epoch())));
            }
            Visit::Look(answer) => self.show(answer, now),
            Visit::Extend(answer) => {
                self.session.handle_extend(now);
                self.show(answer, now);
            }
            Visit::Delete(answer) => {
                self.session.handle_delete(now);
                self.deleters.retain(|deleter| !deleter.is_closed());
                self.deleters.push(answer);
            }
        }
    }

    fn name_socket(&mut self) -> SocketId {
        self.last_socket = SocketId(self.last_socket.0.wrapping_add(1));
        self.last_socket
    }

    fn show(&self, answer: oneshot::Sender<Seen>, now: Instant) {
        let (view, created_at) = (self.session.view(now), self.created_at);
        // Who has left does not want to know any more.
        let _ = answer.send(Seen { view, owner: self.place.shared_owner(), created_at });
    }
}
