//! Where what is worth keeping of a session goes: the journal, the metrics, the log.

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Status, TurnReason};
use mayfly_session::{JournalEntry, TurnSummary};
use tracing::info;

use crate::ops::journal::Entry;
use crate::sessions::driver::Driver;

impl Driver {
    /// Keeps this.
    pub(super) fn keep(&mut self, entry: &JournalEntry) {
        match entry {
            JournalEntry::Status(status) => self.keep_status(*status),
            JournalEntry::Joined => {
                self.sessions.ops.journal.record(Entry::Joined { session: self.session.id() });
            }
            JournalEntry::Step(step, took) => {
                self.sessions.ops.metrics.count_step(*step, *took);
                if let Some(trace) = &self.trace {
                    trace.step(format!("{step:?}").to_lowercase(), *took);
                }
            }
            JournalEntry::Turn(turn) => self.keep_turn(turn),
            JournalEntry::LeftLine(code) => self.keep_departure(*code),
            JournalEntry::Ended(ended) => {
                let session = self.session.id();
                info!(%session, reason = ?ended.reason, turns = ended.turns, bytes = ended.bytes, "ends");
                self.sessions.ops.metrics.count_end(ended);
                self.sessions.ops.journal.record(Entry::Ended { session, ended: *ended });
                if let Some(trace) = &mut self.trace {
                    trace.end(ended);
                }
            }
        }
        self.tally.add_up(self.session.log_bytes());
    }

    /// Counts a session that was not admitted as refused, if the hub refused it.
    fn keep_departure(&mut self, code: Option<ErrorCode>) {
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

    fn keep_status(&mut self, status: Status) {
        let session = self.session.id();
        self.tally.changes_state(status);
        match status {
            Status::Active => {
                self.sessions.ops.journal.record(Entry::Ready { session });
                if let Some(trace) = &mut self.trace {
                    trace.is_ready();
                }
            }
            Status::Terminated => self.sessions.ops.journal.record(Entry::Terminated { session }),
            Status::Creating | Status::Idle | Status::Terminating => {}
        }
    }

    fn keep_turn(&mut self, turn: &TurnSummary) {
        info!(session = %self.session.id(), turn = %turn.turn, reason = ?turn.reason, took = ?turn.took, "is over");
        if let Some(trace) = &mut self.trace {
            trace.end_turn(turn);
        }
        self.sessions.ops.metrics.count_turn(turn);
        self.listed.count_turn(turn);
        if turn.reason == TurnReason::Expired && self.sessions.ops.shutdown.is_cancelled() {
            self.sessions.ops.drain.cut_turn();
        }
    }
}
