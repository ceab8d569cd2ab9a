//! The hub's edge: accepts connections, speaks TLS, HTTP and REST, serves the page, and upgrades connections to
//! WebSockets. It knows sessions by their mailbox only.

use std::sync::Arc;

use ipnet::IpNet;

use crate::identity::OperatorKey;
use crate::identity::ticket::Tickets;
use crate::ops::Ops;
use crate::sessions::Sessions;
use crate::settings::Origin;

pub(crate) mod http;
pub(crate) mod page;
pub(crate) mod server;
pub mod tls;

/// Everything that the handlers of requests share.
pub(crate) struct Edge {
    pub(crate) ops: Arc<Ops>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) settings: EdgeSettings,
    pub(crate) tickets: Arc<Tickets>,
}

/// Settings that decide which requests are allowed.
pub(crate) struct EdgeSettings {
    /// Credential that allows everything; without one, callers on this machine may create sessions.
    pub(crate) operator_key: Option<OperatorKey>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may use the hub, besides its own.
    pub(crate) allow_origins: Vec<Origin>,
    /// Largest number of sessions; bounds the number of connections.
    pub(crate) max_sessions: usize,
}

impl Edge {
    pub(crate) fn new(sessions: &Arc<Sessions>, settings: EdgeSettings) -> Self {
        let (ops, sessions) = (Arc::clone(&sessions.ops), Arc::clone(sessions));
        Self { ops, sessions, settings, tickets: Arc::default() }
    }
}
