//! Which sessions there are, and how many there may be. A place is reserved before anything is spawned, and free again
//! only when the session's agent is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_protocol::ids::SessionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::driver::visit::Visit;
use crate::limits::VISITORS_MAX;

/// Where visits arrive. Boxed: a session keeps room for some of them as long as it lives.
pub(crate) type Visits = mpsc::Receiver<Box<Visit>>;

type Doors = Mutex<HashMap<SessionId, mpsc::Sender<Box<Visit>>>>;

/// All places, and the sessions that have one.
pub(crate) struct Registry {
    places: Arc<Semaphore>,
    doors: Arc<Doors>,
}

/// One session's place; free again when it is dropped, and then the session is not found any more.
pub(crate) struct Place {
    session: SessionId,
    owner: Option<Arc<str>>,
    doors: Arc<Doors>,
    _permit: OwnedSemaphorePermit,
}

impl Registry {
    /// Room for this many sessions at once.
    pub(crate) fn new(max_sessions: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max_sessions)), doors: Arc::default() }
    }

    /// A place, and where its visits arrive; nothing if all are taken.
    pub(crate) fn reserve(&self, session: SessionId, owner: Option<Arc<str>>) -> Option<(Place, Visits)> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (door, visits) = mpsc::channel(VISITORS_MAX);
        let doors = Arc::clone(&self.doors);
        doors.lock().unwrap_or_else(PoisonError::into_inner).insert(session, door);
        Some((Place { session, owner, doors, _permit: permit }, visits))
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

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let registry = Registry::new(1);
        let (one, other) = (SessionId::from_u128(1), SessionId::from_u128(2));
        let place = registry.reserve(one, None);
        assert!(place.is_some());
        assert!(registry.reserve(other, None).is_none());
        assert_eq!(registry.doors.lock().unwrap().len(), 1);
        drop(place);
        assert_eq!(registry.doors.lock().unwrap().len(), 0);
        assert!(registry.reserve(other, None).is_some());
    }
}
