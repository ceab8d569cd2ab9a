//! The end of a session, and what clients receive then.

use std::time::Instant;

use bytes::Bytes;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, HubFrame, TurnError, TurnReason};
use mayfly_protocol::refusal::{Close, Refusal};

use crate::command::Command;
use crate::journal::{JournalEntry, SessionSummary};
use crate::session::{Phase, Session};

/// The reason why a session ends.
pub(super) struct End {
    reason: EndReason,
    /// The error that ends the session. It is also the error of every turn that is not over.
    error: Option<TurnError>,
}

impl End {
    /// Creates an end without an error.
    pub(super) fn of(reason: EndReason) -> Self {
        Self { reason, error: None }
    }
}

impl Session {
    /// Ends the session and has its agent stopped. Does nothing if it has ended.
    pub(super) fn end(&mut self, end: End, now: Instant) {
        if self.position().is_some() {
            self.record_departure(None);
            self.end_without_agent(end, now);
        } else if !self.has_ended() {
            self.enter(Phase::Terminating { reason: end.reason });
            self.commands.push_back(Command::Stop);
            self.finish(end, now);
        }
    }

    /// Ends a session whose agent is gone.
    pub(super) fn end_without_agent(&mut self, end: End, now: Instant) {
        let reason = end.reason;
        self.phase = Phase::Terminated { reason };
        self.finish(end, now);
        self.journal(JournalEntry::Status(self.status()));
    }

    /// Clears every timer and ends every turn.
    pub(super) fn finish_turns(&mut self, error: Option<&TurnError>, now: Instant) {
        self.timers.clear_all();
        let turn_reason = if error.is_some() { TurnReason::Error } else { TurnReason::Expired };
        for finished in self.turns.finish_all(now) {
            self.log_turn_done(finished, turn_reason, error.cloned(), now);
        }
    }

    /// Ends every turn and closes every socket.
    fn finish(&mut self, End { reason, error }: End, now: Instant) {
        self.finish_turns(error.as_ref(), now);
        let (turns, messages) = self.turns.counts();
        let (code, bytes) = (error.as_ref().map(|error| error.code), self.log.written_bytes());
        self.journal(JournalEntry::Ended(SessionSummary { reason, code, turns, messages, bytes }));
        let refusal = error.map(|TurnError { code, message }| Refusal::new(code, message));
        let close = refusal.as_ref().map_or_else(|| close_of(reason), Refusal::close);
        let frames =
            refusal.map(|refusal| refusal.to_frame()).into_iter().chain([HubFrame::Ended { reason }]);
        let farewell: Vec<Bytes> = frames.map(|frame| frame.to_json().into()).collect();
        self.close_where(|_| true, &farewell, close);
    }
}

/// Returns the refusal of a socket that attaches after the end.
pub(super) fn refusal_after(reason: EndReason) -> Refusal {
    match reason {
        EndReason::Idle | EndReason::Max => {
            Refusal::new(ErrorCode::SessionExpired, "the session's time is up")
        }
        EndReason::Bye
        | EndReason::Disconnected
        | EndReason::Deleted
        | EndReason::Drained
        | EndReason::AgentLost
        | EndReason::SpawnFailed => Refusal::new(ErrorCode::SessionEnded, "the session has ended"),
    }
}

/// Returns the close frame of an end without an error.
fn close_of(reason: EndReason) -> Close {
    match reason {
        EndReason::Bye => Close::BYE,
        EndReason::Disconnected | EndReason::Deleted | EndReason::Drained => {
            Close::because(ErrorCode::SessionEnded)
        }
        EndReason::Idle | EndReason::Max => Close::because(ErrorCode::SessionExpired),
        EndReason::AgentLost => Close::because(ErrorCode::AgentCrashed),
        EndReason::SpawnFailed => Close::because(ErrorCode::SpawnFailed),
    }
}

pub(super) fn spawn_failed(code: ErrorCode, message: &str) -> End {
    End { reason: EndReason::SpawnFailed, error: Some(TurnError { code, message: message.to_owned() }) }
}

pub(super) fn agent_lost(code: ErrorCode, message: &str) -> End {
    End { reason: EndReason::AgentLost, error: Some(TurnError { code, message: message.to_owned() }) }
}
