//! Every bound of the egress proxy. How many bytes an agent may move is not one of them: the policy decides that.

use std::time::Duration;

/// Connections to one agent's gate that are served at once; the next one waits in the socket's backlog.
pub const CONNECTIONS_PER_AGENT: usize = 32;
/// Connections of all agents that are served at once; the next one waits in its socket's backlog.
pub const CONNECTIONS_MAX: usize = 1024;
/// Backlog of a gate's socket (listen(2)).
pub const BACKLOG: u32 = 64;
/// Delay before the next attempt after a failed accept.
pub const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Time in which the head of a request must arrive; after it the connection is closed.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(8);
/// Size of a request's head; a longer one is refused with 431.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Name lookups that run at once; the next one waits. Each takes a thread.
pub const LOOKUPS_MAX: usize = 32;
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 4;
/// Time to resolve a name and connect to it; after it the agent receives 504.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Interval between two checks of a tunnel; a tunnel that moved no byte in between is cut. As long as an answer of a
/// model may be silent.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Size of the buffer for one direction of a tunnel.
pub const BUFFER_BYTES: usize = 8 * 1024;
