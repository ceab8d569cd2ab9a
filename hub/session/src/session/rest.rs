//! What is done to a session without a socket. Who asks over REST listens: hears what a socket hears, or one turn of it,
//! and takes no part. Its coming and going ends nothing and keeps nothing.

use std::time::{Duration, Instant};

use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{Deadline, EndReason, Status, Step};
use mayfly_protocol::ids::{Epoch, TurnId};

use crate::command::SocketId;
use crate::cursor::Role;
use crate::session::end::End;
use crate::session::turn::NotTaken;
use crate::session::{Session, error};

/// How a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its state.
    pub status: Status,
    /// How far the agent's start is, while creating.
    pub step: Option<Step>,
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// Since it was made.
    pub age: Duration,
    /// What is left of its time; nothing once it has ended.
    pub deadline: Option<Deadline>,
    /// The turn that runs.
    pub turn: Option<TurnId>,
    /// Turns that wait.
    pub queued: usize,
    /// Sockets that take part.
    pub sockets: usize,
    /// Names the numbering of its frames.
    pub epoch: Epoch,
    /// The last number in it.
    pub head: u64,
}

impl Session {
    /// Somebody says something and listens to the answer: gets that turn's frames, `turn.accepted` to `turn.done`, or
    /// one `error` frame when there is no turn. With the `id` of a message that was taken before, its turn's frames.
    pub fn handle_ask(&mut self, asker: SocketId, id: Option<String>, text: &str, now: Instant) {
        if let Some((frame, code)) = self.turns_away(Role::Listener) {
            return self.refuse_socket(asker, &frame, code, now);
        }
        let accepted = match self.take(id, text, now) {
            Ok(accepted) => accepted,
            Err(NotTaken::Bad(refusal)) => {
                let frame = error(refusal.code, Scope::Frame, &refusal.message);
                return self.refuse_socket(asker, &frame, CloseCode::Normal, now);
            }
            Err(NotTaken::NotNow(frame)) => {
                return self.refuse_socket(asker, &frame, CloseCode::Normal, now);
            }
        };
        if accepted.seq < self.log.first() {
            let message = "that message was answered, and the answer is no longer kept";
            let frame = error(ErrorCode::TurnNotFound, Scope::Frame, message);
            return self.refuse_socket(asker, &frame, CloseCode::Normal, now);
        }
        self.add_asker(asker, accepted.turn, accepted.seq, now);
        if !self.turns.is_open(accepted.turn) {
            self.answer_askers(accepted.turn);
        }
    }

    /// Somebody asks for more time.
    pub fn handle_extend(&mut self, now: Instant) {
        if !self.has_ended() {
            self.extend(now);
        }
    }

    /// Somebody ends the session.
    pub fn handle_delete(&mut self, now: Instant) {
        self.end(End { reason: EndReason::Deleted, error: None }, now);
    }

    /// How it is.
    pub fn view(&self, now: Instant) -> View {
        View {
            status: self.status,
            step: self.step(),
            reason: self.ended,
            age: now.saturating_duration_since(self.clocks.born()),
            deadline: (!self.has_ended()).then(|| self.clocks.deadline(self.is_busy(), now)),
            turn: self.turns.running(),
            queued: self.turns.queued(),
            sockets: self.open_cursors().count(),
            epoch: self.identity.epoch,
            head: self.log.head(),
        }
    }
}
