//! Which sessions there are. Each has a place (`admission.rs`), which is reserved before anything is spawned, and free
//! again only when the session's agent is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_protocol::ids::SessionId;
use tokio::sync::mpsc;

use crate::limits::VISITORS_MAX;
use crate::sessions::admission::{LineWatch, Pass};
use crate::sessions::driver::visit::Visit;

/// Where visits arrive. Boxed: a session keeps room for some of them as long as it lives.
pub(crate) type Visits = mpsc::Receiver<Box<Visit>>;

type Doors = Mutex<HashMap<SessionId, mpsc::Sender<Box<Visit>>>>;

/// The sessions that have a place.
#[derive(Default)]
pub(crate) struct Registry {
    doors: Arc<Doors>,
}

/// One session's place; free again when it is dropped, and then the session is not found any more.
pub(crate) struct Place {
    session: SessionId,
    owner: Option<Arc<str>>,
    doors: Arc<Doors>,
    /// Absent once the session has left the line.
    pass: Option<Pass>,
}

impl Registry {
    /// Makes a session with this place known, and returns where its visits arrive.
    pub(crate) fn settle(&self, session: SessionId, owner: Option<Arc<str>>, pass: Pass) -> (Place, Visits) {
        let (door, visits) = mpsc::channel(VISITORS_MAX);
        let doors = Arc::clone(&self.doors);
        doors.lock().unwrap_or_else(PoisonError::into_inner).insert(session, door);
        (Place { session, owner, doors, pass: Some(pass) }, visits)
    }

    /// All sessions that have a place.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Visits a session.
    ///
    /// # Errors
    /// The visit, when there is no such session, or no longer.
    pub(crate) async fn visit(&self, session: SessionId, visit: Box<Visit>) -> Result<(), Box<Visit>> {
        let door = self.doors.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned();
        match door {
            Some(door) => door.send(visit).await.map_err(|refused| refused.0),
            None => Err(visit),
        }
    }
}

impl Place {
    /// Returns the position in the line, 1 is next, while the session waits there.
    pub(crate) fn position(&self) -> Option<u32> {
        self.pass.as_ref()?.position().map(|position| u32::try_from(position).unwrap_or(u32::MAX))
    }

    /// Returns a watch of the place in the line.
    pub(crate) fn watch(&self) -> Option<LineWatch> {
        self.pass.as_ref().map(Pass::watch)
    }

    /// Gives up the place in the line, so that it is another session's.
    pub(crate) fn leave_line(&mut self) {
        self.pass = None;
    }

    /// The session that it is for.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Whose session that is, where that is known.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The same, to keep.
    pub(crate) fn shared_owner(&self) -> Option<Arc<str>> {
        self.owner.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::admission::Admission;
    use crate::sessions::admission::policy::{Bounds, Patience, Who};

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let bounds = Bounds { sessions: 1, per_owner: None, per_address: None, line: 0 };
        let (registry, admission) = (Registry::default(), Admission::new(bounds));
        let ask = || admission.ask(Who::default(), Patience::Leaves).ok();
        let settled = registry.settle(SessionId::from_u128(1), None, ask().unwrap());
        assert!(ask().is_none());
        assert_eq!(registry.doors.lock().unwrap().len(), 1);
        drop(settled);
        assert_eq!(registry.doors.lock().unwrap().len(), 0);
        assert!(ask().is_some());
    }
}
