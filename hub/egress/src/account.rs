//! One agent's account: the policy's decisions about it, the counts of its traffic, and its log entries.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mayfly_protocol::ids::Incarnation;
use tracing::{debug, info, warn};

use crate::error::ProxyError;
use crate::policy::{Denial, ExitPolicy, Target};

/// One agent, its policy and its counts.
pub(crate) struct Account {
    agent: Incarnation,
    policy: Arc<dyn ExitPolicy>,
    connections: AtomicU64,
    refusals: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Direction of bytes, as the agent sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// From the agent.
    Sent,
    /// To the agent.
    Received,
}

impl Account {
    pub(crate) fn new(agent: Incarnation, policy: Arc<dyn ExitPolicy>) -> Self {
        let zero = || AtomicU64::new(0);
        Self { agent, policy, connections: zero(), refusals: zero(), sent: zero(), received: zero() }
    }

    pub(crate) fn agent(&self) -> Incarnation {
        self.agent
    }

    /// Asks the policy about a target.
    ///
    /// # Errors
    /// Returns the policy's [`Denial`].
    pub(crate) fn check_target(&self, target: &Target) -> Result<(), Denial> {
        self.policy.check_target(self.agent, target)
    }

    /// Asks the policy about an address of a target.
    ///
    /// # Errors
    /// Returns the policy's [`Denial`].
    pub(crate) fn check_address(&self, target: &Target, address: IpAddr) -> Result<(), Denial> {
        self.policy.check_address(self.agent, target, address)
    }

    /// Counts an open connection.
    pub(crate) fn record_open(&self, host: &str) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        debug!(incarnation = %self.agent, host, "egress connection opened");
    }

    /// Counts a refused request, and logs it if the policy wants it logged.
    pub(crate) fn record_refusal(&self, host: &str, error: &ProxyError) {
        let earlier = self.refusals.fetch_add(1, Ordering::Relaxed);
        if self.policy.logs_refusal(self.agent, earlier) {
            let code = error.code();
            warn!(incarnation = %self.agent, host, code, %error, "egress connection refused");
        }
    }

    /// Asks the policy whether `bytes` more may move, and counts them either way.
    ///
    /// # Errors
    /// Returns the policy's [`Denial`].
    pub(crate) fn take(&self, direction: Direction, bytes: u64) -> Result<(), Denial> {
        let counter = match direction {
            Direction::Sent => &self.sent,
            Direction::Received => &self.received,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
        // Counted first, so that tunnels at the same time cannot pass with the same total.
        let moved = self.bytes().saturating_sub(bytes);
        self.policy.check_bytes(self.agent, moved, bytes)
    }

    /// Returns the bytes moved so far, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.load(Ordering::Relaxed)
    }

    /// Logs the totals, unless the agent never asked for anything.
    pub(crate) fn log_totals(&self) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (connections, refusals) = (read(&self.connections), read(&self.refusals));
        if connections + refusals > 0 {
            let (sent_bytes, received_bytes) = (read(&self.sent), read(&self.received));
            info!(incarnation = %self.agent, connections, refusals, sent_bytes, received_bytes, "egress closed");
        }
    }
}
