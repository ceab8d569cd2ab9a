//! What one agent used of its way out: counted, bounded, told when it is over.

use std::sync::atomic::{AtomicU64, Ordering};

use mayfly_protocol::ids::Incarnation;
use tracing::{debug, info, warn};

use crate::limits::{BYTES_MAX, DENIALS_LOGGED};

/// One agent's counts.
#[derive(Debug)]
pub(super) struct Meter {
    agent: Incarnation,
    connections: AtomicU64,
    refusals: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Which way bytes go, as the agent sees it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// From the agent.
    Out,
    /// To the agent.
    In,
}

impl Meter {
    pub(super) fn new(agent: Incarnation) -> Self {
        let zero = || AtomicU64::new(0);
        Self { agent, connections: zero(), refusals: zero(), sent: zero(), received: zero() }
    }

    /// A tunnel was opened.
    pub(super) fn opened(&self, host: &str) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        debug!(incarnation = %self.agent, host, "an agent's way out leads there");
    }

    /// A tunnel was refused. Told for the first few; an agent cannot fill the log.
    pub(super) fn refused(&self, host: &str, why: &dyn std::error::Error) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) < DENIALS_LOGGED {
            warn!(incarnation = %self.agent, host, %why, "an agent's way out does not lead there");
        }
    }

    /// Counts; false when that is more than an agent may have.
    pub(super) fn count(&self, way: Way, bytes: usize) -> bool {
        let counter = match way {
            Way::Out => &self.sent,
            Way::In => &self.received,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        !self.is_used_up()
    }

    /// Whether the agent has had all that it may have.
    pub(super) fn is_used_up(&self) -> bool {
        self.bytes() > BYTES_MAX
    }

    /// Both ways.
    pub(super) fn bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.load(Ordering::Relaxed)
    }

    /// Tells the operator what it was in all, if it was anything.
    pub(super) fn tell(&self) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (connections, refusals) = (of(&self.connections), of(&self.refusals));
        if connections + refusals > 0 {
            let (sent, received) = (of(&self.sent), of(&self.received));
            info!(incarnation = %self.agent, connections, refusals, sent, received, "an agent's way out is closed");
        }
    }
}
