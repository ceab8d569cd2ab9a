//! One session's part of the hub's metrics. The driver counts in plain numbers, so that a token costs an addition, and adds
//! them to the hub's metrics with each journal entry, at each timeout and at the end.

use std::sync::Arc;
use std::time::Instant;

use mayfly_protocol::hub::Status;

use crate::limits::RELAY_SAMPLE_INTERVAL;
use crate::sessions::Sessions;

/// One session's part of the hub's metrics. Dropping it subtracts its share from the gauges.
pub(super) struct TurnMetrics {
    sessions: Arc<Sessions>,
    state: Option<Status>,
    sockets: usize,
    log_bytes: usize,
    sent_frames: u64,
    sent_bytes: u64,
    agent_bytes: u64,
    /// Arrivals until the next one that is measured.
    unmeasured: u32,
    /// Arrival of the chunk whose time in the hub is being measured.
    arrived: Option<Instant>,
}

impl TurnMetrics {
    /// Creates the metrics of a session in this state; a session in the line has none.
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

    /// Counts a frame that was written to a socket.
    pub(super) fn count_sent(&mut self, bytes: usize) {
        self.sent_frames += 1;
        self.sent_bytes += bytes as u64;
    }

    /// Counts a chunk of the agent.
    pub(super) fn count_received(&mut self, bytes: usize) {
        self.agent_bytes += bytes as u64;
    }

    /// Starts to measure one in [`RELAY_SAMPLE_INTERVAL`] arrivals.
    pub(super) fn start_measure(&mut self, now: Instant) {
        if self.unmeasured == 0 {
            (self.unmeasured, self.arrived) = (RELAY_SAMPLE_INTERVAL, Some(now));
        }
        self.unmeasured -= 1;
    }

    /// Ends the measure: everything was written to the sockets that take it.
    pub(super) fn end_measure(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            self.sessions.ops.metrics.relay.observe(arrived.elapsed().as_secs_f64());
        }
    }

    /// Sets the number of sockets.
    pub(super) fn set_sockets(&mut self, count: usize) {
        if self.sockets != count {
            self.sessions.ops.metrics.sockets.inc_by(difference(self.sockets, count));
            self.sockets = count;
        }
    }

    /// Sets the state of the session.
    pub(super) fn set_state(&mut self, status: Status) {
        let after = (status != Status::Terminated).then_some(status);
        self.sessions.ops.metrics.change_state(self.state, after);
        self.state = after;
    }

    /// Adds the counts to the hub's metrics, and sets the memory that the transcript takes.
    pub(super) fn publish(&mut self, log_bytes: usize) {
        let metrics = &self.sessions.ops.metrics;
        metrics.log_bytes.inc_by(difference(self.log_bytes, log_bytes));
        self.log_bytes = log_bytes;
        metrics.sent_frames.inc_by(std::mem::take(&mut self.sent_frames));
        metrics.sent_bytes.inc_by(std::mem::take(&mut self.sent_bytes));
        metrics.agent_bytes.inc_by(std::mem::take(&mut self.agent_bytes));
    }
}

impl Drop for TurnMetrics {
    fn drop(&mut self) {
        self.publish(0);
        self.set_sockets(0);
        self.sessions.ops.metrics.change_state(self.state, None);
    }
}

fn difference(before: usize, after: usize) -> i64 {
    let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}
