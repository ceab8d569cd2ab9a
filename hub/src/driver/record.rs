//! Where what is worth keeping of a session goes: the journal.

use mayfly_protocol::hub::{Status, TurnReason};
use mayfly_session::Record;

use crate::driver::Driver;
use crate::journal::Entry;

impl Driver {
    /// Keeps this.
    pub(super) fn keep(&self, record: &Record) {
        let session = self.session.id();
        match *record {
            Record::Status(Status::Active) => self.hub.journal.record(Entry::Ready { session }),
            Record::Status(Status::Terminated) => self.hub.journal.record(Entry::Terminated { session }),
            Record::Ended(ended) => self.hub.journal.record(Entry::Ended { session, ended }),
            Record::Turn(ref turn) => {
                if turn.reason == TurnReason::Expired && self.hub.shutdown.is_cancelled() {
                    self.hub.drain.cut_turn();
                }
            }
            Record::Status(Status::Creating | Status::Idle | Status::Terminating) => {}
        }
    }
}
