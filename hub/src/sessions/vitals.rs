//! What can be said of a live session without asking its task: its agent, and how its turns went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mayfly_platform::AgentHandle;
use mayfly_protocol::ids::SessionId;
use mayfly_session::TurnSummary;

/// The vitals of all live sessions.
#[derive(Default)]
pub(crate) struct Roster(Arc<Mutex<HashMap<SessionId, Vitals>>>);

/// What is known of one.
#[derive(Debug, Clone)]
pub(crate) struct Vitals {
    pub(crate) born: Instant,
    /// Its agent, once that was started.
    pub(crate) agent: Option<AgentHandle>,
    /// Turns that are over and ran.
    pub(crate) turns: u32,
    /// How long they took together.
    pub(crate) took: Duration,
}

/// One session's entry; gone when it is dropped.
pub(crate) struct Listed {
    session: SessionId,
    all: Arc<Mutex<HashMap<SessionId, Vitals>>>,
}

impl Roster {
    pub(crate) fn list(&self, session: SessionId, born: Instant) -> Listed {
        let vitals = Vitals { born, agent: None, turns: 0, took: Duration::ZERO };
        let listed = Listed { session, all: Arc::clone(&self.0) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session, vitals);
        listed
    }

    /// Of this session, if it lives.
    pub(crate) fn of(&self, session: SessionId) -> Option<Vitals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned()
    }
}

impl Listed {
    pub(crate) fn has_agent(&self, agent: &AgentHandle) {
        self.change(|vitals| vitals.agent = Some(agent.clone()));
    }

    pub(crate) fn count_turn(&self, turn: &TurnSummary) {
        let Some(took) = turn.took else { return };
        self.change(|vitals| {
            vitals.turns += 1;
            vitals.took += took;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vitals)) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vitals) = all.get_mut(&self.session) {
            change(vitals);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}
