//! Timeouts of MCP servers.

use std::time::Duration;

use crate::limits::{
    MCP_CALL_TIMEOUT, MCP_PING_TIMEOUT, MCP_RELIST_INTERVAL, MCP_RETRY_BASE, MCP_RETRY_CAP,
    MCP_RETURN_TIMEOUT, MCP_START_TIMEOUT,
};

/// Timeouts of MCP servers.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Start of a server, including the list of its tools.
    pub start: Duration,
    /// One call of a tool.
    pub call: Duration,
    /// Answer to a ping after a call that timed out.
    pub ping: Duration,
    /// Wait of a call for a server that was just lost.
    pub reconnect: Duration,
    /// Interval between two reads of a list that changes.
    pub relist: Duration,
    /// First restart delay; doubled with each failure.
    pub retry_base: Duration,
    /// Longest restart delay.
    pub retry_cap: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: MCP_START_TIMEOUT,
            call: MCP_CALL_TIMEOUT,
            ping: MCP_PING_TIMEOUT,
            reconnect: MCP_RETURN_TIMEOUT,
            relist: MCP_RELIST_INTERVAL,
            retry_base: MCP_RETRY_BASE,
            retry_cap: MCP_RETRY_CAP,
        }
    }
}
