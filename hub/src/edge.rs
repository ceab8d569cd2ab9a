//! The hub's edge: accepts connections, speaks TLS, HTTP and REST, serves the page, and upgrades connections to
//! WebSockets. It knows sessions by their mailbox only.

use std::sync::Arc;

use crate::identity::ticket::Tickets;
use crate::ops::Ops;
use crate::sessions::Sessions;

pub(crate) mod http;
pub mod origin;
pub(crate) mod page;
pub(crate) mod server;
mod settings;
pub mod tls;

pub use settings::EdgeSettings;

/// Everything that the handlers of requests share.
pub(crate) struct Edge {
    pub(crate) ops: Arc<Ops>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) settings: EdgeSettings,
    pub(crate) tickets: Arc<Tickets>,
}

impl Edge {
    pub(crate) fn new(sessions: &Arc<Sessions>, settings: EdgeSettings) -> Self {
        let (ops, sessions) = (Arc::clone(&sessions.ops), Arc::clone(sessions));
        Self { ops, sessions, settings, tickets: Arc::default() }
    }
}
