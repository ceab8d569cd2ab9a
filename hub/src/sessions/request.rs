//! Requests to a session from outside its driver, and the answers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mayfly_platform::AgentHandle;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::Epoch;
use mayfly_session::View;
use tokio::sync::oneshot;

use crate::sessions::listener::Listener;
use crate::sessions::peer::Peer;

/// A request to a session.
pub(crate) enum SessionRequest {
    /// Attaches a socket or a listener. Its client has the frames of this epoch up to this sequence number.
    Attach(Peer, Option<(Epoch, u64)>),
    /// Sends a message, under this id if there is one. The listener receives the answer.
    Ask(Listener, Option<String>, String),
    /// Returns the state of the session.
    Look(oneshot::Sender<SessionAnswer>),
    /// Renews the idle time, and returns the state of the session.
    Extend(oneshot::Sender<SessionAnswer>),
    /// Ends the session, and returns its last status once this hub has nothing more to do with it.
    Delete(oneshot::Sender<Status>),
}

/// The state of a live session.
#[derive(Debug)]
pub(crate) struct SessionAnswer {
    pub(crate) view: View,
    /// The person that the session belongs to, if known.
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) created_at: SystemTime,
    /// The agent, once it was started.
    pub(crate) agent: Option<AgentHandle>,
    pub(crate) turns: TurnTotals,
}

/// Totals of the turns of a session that ran and are over.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TurnTotals {
    /// Number of turns.
    pub(crate) count: u32,
    /// Sum of their durations.
    pub(crate) duration: Duration,
}
