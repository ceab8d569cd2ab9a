//! Journal entries of a session: they go to the journal, the metrics, the traces and the log.

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Status, TurnReason};
use mayfly_protocol::ids::SessionId;
use mayfly_session::{JournalEntry, TurnSummary};
use tracing::{info, warn};

use crate::ops::journal::Entry;
use crate::sessions::driver::Driver;

impl Driver {
    /// Records an entry of the session.
    pub(super) fn record(&mut self, entry: &JournalEntry) {
        match entry {
            JournalEntry::Status(status) => self.record_status(*status),
            JournalEntry::Joined => {
                self.sessions.ops.journal.record(Entry::Joined { session: self.session.id() });
            }
            JournalEntry::Step(step, took) => {
                self.sessions.ops.metrics.count_step(*step, *took);
                if let Some(trace) = &self.trace {
                    trace.step(step.to_string(), *took);
                }
            }
            JournalEntry::Turn(turn) => self.record_turn(turn),
            JournalEntry::LeftLine(code) => self.record_departure(*code),
            JournalEntry::Ended(ended) => {
                let session = self.session.id();
                info!(%session, reason = %ended.reason, turns = ended.turns, bytes = ended.bytes, "session ended");
                self.sessions.ops.metrics.count_end(ended);
                self.sessions.ops.journal.record(Entry::Ended { session, ended: *ended });
                if let Some(trace) = &mut self.trace {
                    trace.end(ended);
                }
            }
        }
        self.metrics.publish(self.session.log_bytes());
    }

    /// Counts a session that was not admitted as refused, if the hub refused it.
    fn record_departure(&mut self, code: Option<ErrorCode>) {
        let session = self.session.id();
        self.place.leave_line();
        self.ticket = None;
        let trace = self.trace.take();
        match code {
            None => info!(%session, "session left the line"),
            Some(code) => {
                info!(%session, %code, "session refused");
                self.sessions.ops.metrics.count_refusal(code);
                trace.into_iter().for_each(|trace| trace.refused(code.name()));
            }
        }
    }

    fn record_status(&mut self, status: Status) {
        let session = self.session.id();
        self.metrics.set_state(status);
        match status {
            Status::Active => {
                self.sessions.ops.journal.record(Entry::Ready { session });
                if let Some(trace) = &mut self.trace {
                    trace.end_connect();
                }
            }
            Status::Terminated => self.sessions.ops.journal.record(Entry::Terminated { session }),
            Status::Creating | Status::Idle | Status::Terminating => {}
        }
    }

    fn record_turn(&mut self, turn: &TurnSummary) {
        log_turn(self.session.id(), turn);
        if let Some(trace) = &mut self.trace {
            trace.end_turn(turn);
        }
        self.sessions.ops.metrics.count_turn(turn);
        if let Some(duration) = turn.took {
            self.turn_totals.count += 1;
            self.turn_totals.duration += duration;
        }
        if turn.reason == TurnReason::Expired && self.sessions.ops.shutdown.is_cancelled() {
            self.sessions.ops.drain.cut_turn();
        }
    }
}

/// Logs the end of a turn: one line, a warning with the error's code if the turn failed.
fn log_turn(session: SessionId, turn: &TurnSummary) {
    let TurnSummary { turn: id, reason, .. } = turn;
    let duration_ms = turn.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    match turn.code {
        Some(code) => warn!(%session, turn = %id, %reason, %code, duration_ms, "turn ended"),
        None => info!(%session, turn = %id, %reason, duration_ms, "turn ended"),
    }
}
