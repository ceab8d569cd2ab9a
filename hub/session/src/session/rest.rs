//! REST calls. A caller attaches as a listener to the whole session or to one turn. It takes no part: the session neither
//! ends when it goes nor stays because it is there.

use std::time::{Duration, Instant};

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Deadline, EndReason, Status, Step};
use mayfly_protocol::ids::{Epoch, TurnId};
use mayfly_protocol::refusal::{Close, Refusal, RefusedFrame};

use crate::command::SocketId;
use crate::cursor::Role;
use crate::session::end::End;
use crate::session::{Phase, Session};

/// A session's public state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The state.
    pub status: Status,
    /// The step of the agent's start, while creating.
    pub step: Option<Step>,
    /// The reason why the session ended, if it has.
    pub reason: Option<EndReason>,
    /// Time since the session was created.
    pub age: Duration,
    /// Time that is left; absent once the session has ended.
    pub deadline: Option<Deadline>,
    /// The running turn.
    pub turn: Option<TurnId>,
    /// Number of turns that wait.
    pub queued: usize,
    /// Number of sockets that take part.
    pub sockets: usize,
    /// The name of this numbering of frames.
    pub epoch: Epoch,
    /// The last number in it.
    pub head: u64,
}

impl Session {
    /// Handles a message over REST. The caller's socket receives the turn's frames, from `turn.accepted` to `turn.done`,
    /// or one `error` frame if the message is refused. A message whose `id` was accepted before yields its turn's frames
    /// again.
    pub fn handle_ask(&mut self, asker: SocketId, id: Option<String>, text: &str, now: Instant) {
        if let Some(refusal) = self.attach_refusal(Role::Listener) {
            return self.refuse_socket(asker, &refusal.to_frame(), refusal.close());
        }
        let accepted = match self.accept_message(id, text, now) {
            Ok(accepted) if accepted.seq >= self.log.first() => accepted,
            Ok(_) => {
                let message = "that message was answered, and the answer is no longer kept";
                let refused = RefusedFrame::from(Refusal::new(ErrorCode::TurnNotFound, message));
                return self.refuse_socket(asker, &refused.to_frame(), Close::BYE);
            }
            Err(RefusedFrame { refusal, .. }) => {
                let refused = RefusedFrame::from(refusal);
                return self.refuse_socket(asker, &refused.to_frame(), Close::BYE);
            }
        };
        self.add_cursor(asker, Role::Asker(accepted.turn), accepted.seq, now);
        if !self.turns.is_open(accepted.turn) {
            self.close_askers(accepted.turn);
        }
    }

    /// Handles a request for more time.
    pub fn handle_extend(&mut self, now: Instant) {
        if !self.has_ended() {
            self.extend(now);
        }
    }

    /// Handles a request to end the session.
    pub fn handle_delete(&mut self, now: Instant) {
        self.end(End::of(EndReason::Deleted), now);
    }

    /// Returns the session's public state.
    pub fn view(&self, now: Instant) -> View {
        View {
            status: self.status(),
            step: self.step(),
            reason: self.end_reason(),
            age: now.saturating_duration_since(self.clocks.born()),
            deadline: (!self.has_ended()).then(|| self.deadline(now)),
            turn: self.turns.running(),
            queued: self.turns.queued(),
            sockets: self.sockets().count(),
            epoch: self.identity.epoch,
            head: self.log.head(),
        }
    }

    /// Returns the reason why the session ended, if it has.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        match self.phase {
            Phase::Terminating { reason } | Phase::Terminated { reason } => Some(reason),
            Phase::Queued(_) | Phase::Creating { .. } | Phase::Active | Phase::Idle | Phase::Left { .. } => {
                None
            }
        }
    }
}
