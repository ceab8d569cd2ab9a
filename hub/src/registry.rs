//! How many sessions there are. A place is reserved before anything is spawned, and free again only when the
//! session's agent is gone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places.
pub(crate) struct Registry {
    places: Arc<Semaphore>,
}

/// One session's place; free again when it is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Registry {
    /// Room for this many sessions at once.
    pub(crate) fn new(max_sessions: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max_sessions)) }
    }

    /// A place, unless all are taken.
    pub(crate) fn reserve(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let registry = Registry::new(1);
        let place = registry.reserve();
        assert!(place.is_some());
        assert!(registry.reserve().is_none());
        drop(place);
        assert!(registry.reserve().is_some());
    }
}
