//! The driver's side of a [`SessionRequest`].

use std::time::Instant;

use mayfly_session::SocketId;
use tokio::sync::oneshot;

use crate::sessions::driver::Driver;
use crate::sessions::driver::agent::Agent;
use crate::sessions::peer::Peer;
use crate::sessions::request::{SessionAnswer, SessionRequest};

impl Driver {
    pub(super) fn handle_request(&mut self, request: SessionRequest) {
        let now = Instant::now();
        match request {
            SessionRequest::Attach(peer, position) => {
                let (attach, id) = (peer.attach(position), self.next_socket_id());
                self.session.handle_attach(id, attach, now);
                self.sockets.push(peer.named(id, self.session.epoch()));
            }
            SessionRequest::Ask(listener, message_id, text) => {
                let id = self.next_socket_id();
                self.session.handle_ask(id, message_id, &text, now);
                self.sockets.push(Peer::Listener(listener.named(id, self.session.epoch())));
            }
            SessionRequest::Look(answer) => self.answer(answer, now),
            SessionRequest::Extend(answer) => {
                self.session.handle_extend(now);
                self.answer(answer, now);
            }
            SessionRequest::Delete(answer) => {
                self.session.handle_delete(now);
                self.deletions.retain(|deletion| !deletion.is_closed());
                self.deletions.push(answer);
            }
        }
    }

    fn next_socket_id(&mut self) -> SocketId {
        self.last_socket = SocketId(self.last_socket.0.wrapping_add(1));
        self.last_socket
    }

    fn answer(&self, answer: oneshot::Sender<SessionAnswer>, now: Instant) {
        // A caller that is gone needs no answer.
        let _ = answer.send(SessionAnswer {
            view: self.session.view(now),
            owner: self.place.shared_owner(),
            created_at: self.created_at,
            agent: self.agent.as_ref().and_then(Agent::handle).cloned(),
            turns: self.turn_totals,
        });
    }
}
