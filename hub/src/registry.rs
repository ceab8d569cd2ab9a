//! Which sessions there are, and how many there may be. A place is reserved before anything is spawned, and free again
//! only when the session's agent is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_protocol::ids::{Epoch, SessionId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::VISITORS_MAX;
use crate::socket::Socket;

/// A socket on its way to a session that exists.
pub(crate) struct Visitor {
    pub(crate) socket: Socket,
    /// What its client has already: the numbering, and the last number in it.
    pub(crate) position: Option<(Epoch, u64)>,
}

/// Where visitors arrive. Boxed: a session keeps room for some of them as long as it lives.
pub(crate) type Visitors = mpsc::Receiver<Box<Visitor>>;

type Doors = Mutex<HashMap<SessionId, mpsc::Sender<Box<Visitor>>>>;

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

    /// A place, and where its visitors arrive; nothing if all are taken.
    pub(crate) fn reserve(&self, session: SessionId, owner: Option<Arc<str>>) -> Option<(Place, Visitors)> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (door, visitors) = mpsc::channel(VISITORS_MAX);
        let doors = Arc::clone(&self.doors);
        doors.lock().unwrap_or_else(PoisonError::into_inner).insert(session, door);
        Some((Place { session, owner, doors, _permit: permit }, visitors))
    }

    /// Sends a visitor to a session.
    ///
    /// # Errors
    /// The visitor, when there is no such session, or no longer.
    pub(crate) async fn visit(&self, session: SessionId, visitor: Box<Visitor>) -> Result<(), Box<Visitor>> {
        let door = self.doors.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned();
        match door {
            Some(door) => door.send(visitor).await.map_err(|refused| refused.0),
            None => Err(visitor),
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
