//! How a session ends, and what its people are told.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{EndReason, HubFrame, Status, TurnError, TurnReason};

use crate::command::Command;
use crate::record::{Ended, Record};
use crate::session::{Session, error};

/// Why a session ends: what its people are told.
pub(super) struct End {
    pub(super) reason: EndReason,
    /// What went wrong; also the error of every turn that has not ended.
    pub(super) error: Option<TurnError>,
}

impl Session {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status, Status::Terminating | Status::Terminated) || self.is_left()
    }

    /// Ends the session and has its agent stopped.
    pub(super) fn end(&mut self, end: End, now: Instant) {
        if !self.has_ended() {
            self.turn_into(Status::Terminating);
            self.commands.push_back(Command::Stop);
            self.tell_end(end, now);
        }
    }

    /// Ends the session when there is no agent to stop any more.
    pub(super) fn agent_is_gone(&mut self, end: End, now: Instant) {
        self.status = Status::Terminated;
        self.tell_end(end, now);
        self.record(Record::Status(Status::Terminated));
    }

    fn tell_end(&mut self, End { reason, error }: End, now: Instant) {
        self.ended = Some(reason);
        self.step = None;
        let turn_reason = if error.is_some() { TurnReason::Error } else { TurnReason::Expired };
        for finished in self.turns.finish_all(now) {
            self.log_turn_done(finished, turn_reason, error.clone(), now);
        }
        let (turns, messages) = self.turns.counts();
        let (code, bytes) = (error.as_ref().map(|error| error.code), self.log.written_bytes());
        self.record(Record::Ended(Ended { reason, code, turns, messages, bytes }));
        let mut farewell = VecDeque::new();
        if let Some(TurnError { code, message }) = error {
            farewell.push_back(self::error(code, Scope::Session, &message));
        }
        farewell.push_back(HubFrame::Ended { reason });
        let farewell: VecDeque<Bytes> = farewell.iter().map(|frame| frame.to_json().into()).collect();
        for cursor in &mut self.cursors {
            cursor.close_after(farewell.clone(), close_code(reason));
        }
    }
}

/// What a socket is told that comes when all is over.
pub(super) fn farewell_of(reason: EndReason) -> (ErrorCode, CloseCode, &'static str) {
    if close_code(reason) == CloseCode::Expired {
        (ErrorCode::SessionExpired, CloseCode::Expired, "the session's time is up")
    } else {
        (ErrorCode::SessionEnded, CloseCode::Ended, "the session has ended")
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
