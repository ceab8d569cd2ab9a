//! The end of a session, and what clients receive then.

use std::time::Instant;

use bytes::Bytes;
use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{EndReason, HubFrame, TurnError, TurnReason};

use crate::command::Command;
use crate::journal::{JournalEntry, SessionSummary};
use crate::session::{Phase, Session, error};

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
        if !self.has_ended() {
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

    /// Ends every turn, clears every timer and closes every socket.
    fn finish(&mut self, End { reason, error }: End, now: Instant) {
        self.timers.clear_all();
        let turn_reason = if error.is_some() { TurnReason::Error } else { TurnReason::Expired };
        for finished in self.turns.finish_all(now) {
            self.log_turn_done(finished, turn_reason, error.clone(), now);
        }
        let (turns, messages) = self.turns.counts();
        let (code, bytes) = (error.as_ref().map(|error| error.code), self.log.written_bytes());
        self.journal(JournalEntry::Ended(SessionSummary { reason, code, turns, messages, bytes }));
        let mut farewell = Vec::new();
        if let Some(TurnError { code, message }) = error {
            farewell.push(self::error(code, Scope::Session, &message));
        }
        farewell.push(HubFrame::Ended { reason });
        let farewell: Vec<Bytes> = farewell.iter().map(|frame| frame.to_json().into()).collect();
        self.close_where(|_| true, &farewell, close_code(reason));
    }
}

/// Returns the refusal of a socket that attaches after the end.
pub(super) fn refusal_after(reason: EndReason) -> (HubFrame, CloseCode) {
    if close_code(reason) == CloseCode::Expired {
        let frame = error(ErrorCode::SessionExpired, Scope::Session, "the session's time is up");
        (frame, CloseCode::Expired)
    } else {
        (error(ErrorCode::SessionEnded, Scope::Session, "the session has ended"), CloseCode::Ended)
    }
}

pub(super) fn spawn_failed(code: ErrorCode, message: &str) -> End {
    End { reason: EndReason::SpawnFailed, error: Some(TurnError { code, message: message.to_owned() }) }
}

pub(super) fn agent_lost(code: ErrorCode, message: &str) -> End {
    End { reason: EndReason::AgentLost, error: Some(TurnError { code, message: message.to_owned() }) }
}

fn close_code(reason: EndReason) -> CloseCode {
    match reason {
        EndReason::Bye => CloseCode::Normal,
        EndReason::Disconnected | EndReason::Deleted | EndReason::Drained => CloseCode::Ended,
        EndReason::Idle | EndReason::Max => CloseCode::Expired,
        EndReason::AgentLost => CloseCode::AgentLost,
        EndReason::SpawnFailed => CloseCode::SpawnFailed,
    }
}
