//! What a session's task counts of its own work, in plain numbers, so that a token costs an addition: added up for all
//! sessions when something is kept, when its clock rings, and at its end.

use std::sync::Arc;
use std::time::Instant;

use mayfly_protocol::hub::Status;

use crate::limits::RELAY_SAMPLE_INTERVAL;
use crate::sessions::Sessions;

/// One session's part of the hub's metrics. What it takes of gauges it gives back when it is dropped.
pub(super) struct Tally {
    sessions: Arc<Sessions>,
    state: Option<Status>,
    sockets: usize,
    log_bytes: usize,
    sent_frames: u64,
    sent_bytes: u64,
    agent_bytes: u64,
    /// Until the next arrival that is measured.
    unmeasured: u32,
    /// When the chunk came whose way through the hub is measured.
    arrived: Option<Instant>,
}

impl Tally {
    /// Creates the tally of a session in this state; a session in the line has none.
    pub(super) fn new(sessions: &Arc<Sessions>, state: Option<Status>) -> Self {
        sessions.ops.metrics.change_state(None, state);
        Self {
            sessions: Arc::clone(sessions),
            state,
            sockets: 0,
            log_bytes: 0,
            sent_frames: 0,
            sent_bytes: 0,
            agent_bytes: 0,
            unmeasured: 0,
            arrived: None,
        }
    }

    /// A frame was written to a socket.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_frames += 1;
        self.sent_bytes += bytes as u64;
    }

    /// The agent sent a chunk.
    pub(super) fn received(&mut self, bytes: usize) {
        self.agent_bytes += bytes as u64;
    }

    /// Something of the agent's came, then. One in so many is measured: the clock is not asked for the others.
    pub(super) fn arrives(&mut self, now: Instant) {
        if self.unmeasured == 0 {
            (self.unmeasured, self.arrived) = (RELAY_SAMPLE_INTERVAL, Some(now));
        }
        self.unmeasured -= 1;
    }

    /// All that was there was written to the sockets that take it.
    pub(super) fn flushed(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            self.sessions.ops.metrics.relay.observe(arrived.elapsed().as_secs_f64());
        }
    }

    /// There are so many sockets now.
    pub(super) fn has_sockets(&mut self, count: usize) {
        if self.sockets != count {
            self.sessions.ops.metrics.sockets.inc_by(difference(self.sockets, count));
            self.sockets = count;
        }
    }

    /// The session is in another state.
    pub(super) fn changes_state(&mut self, status: Status) {
        let after = (status != Status::Terminated).then_some(status);
        self.sessions.ops.metrics.change_state(self.state, after);
        self.state = after;
    }

    /// Adds up what was counted; the session's record takes so much memory now.
    pub(super) fn add_up(&mut self, log_bytes: usize) {
        let metrics = &self.sessions.ops.metrics;
        metrics.log_bytes.inc_by(difference(self.log_bytes, log_bytes));
        self.log_bytes = log_bytes;
        metrics.sent_frames.inc_by(std::mem::take(&mut self.sent_frames));
        metrics.sent_bytes.inc_by(std::mem::take(&mut self.sent_bytes));
        metrics.agent_bytes.inc_by(std::mem::take(&mut self.agent_bytes));
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.add_up(0);
        self.has_sockets(0);
        self.sessions.ops.metrics.change_state(self.state, None);
    }
}

fn difference(before: usize, after: usize) -> i64 {
    let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}
