//! The registry of live sessions. Each has a place or a position in the line (`admission.rs`), which it takes before
//! anything is started and gives up only when its agent is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_protocol::ids::SessionId;
use tokio::sync::mpsc;

use crate::limits::REQUESTS_MAX;
use crate::sessions::admission::{LineWatch, Pass};
use crate::sessions::request::SessionRequest;

/// The receiving end of a session's requests. They are boxed because a session keeps room for some of them.
pub(crate) type Mailbox = mpsc::Receiver<Box<SessionRequest>>;

type Senders = Mutex<HashMap<SessionId, mpsc::Sender<Box<SessionRequest>>>>;

/// The live sessions of a hub, by id.
#[derive(Default)]
pub(crate) struct Registry {
    senders: Arc<Senders>,
}

/// The place of one session. When it is dropped, the place is free and the session is no longer found.
pub(crate) struct Place {
    session: SessionId,
    owner: Option<Arc<str>>,
    senders: Arc<Senders>,
    /// Absent once the session has left the line.
    pass: Option<Pass>,
}

impl Registry {
    /// Registers a session, and returns its place and mailbox.
    pub(crate) fn register(
        &self,
        session: SessionId,
        owner: Option<Arc<str>>,
        pass: Pass,
    ) -> (Place, Mailbox) {
        let (sender, mailbox) = mpsc::channel(REQUESTS_MAX);
        let senders = Arc::clone(&self.senders);
        senders.lock().unwrap_or_else(PoisonError::into_inner).insert(session, sender);
        (Place { session, owner, senders, pass: Some(pass) }, mailbox)
    }

    /// Returns the ids of all live sessions.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Returns `true` if the session is live.
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session)
    }

    /// Sends a request to a session. Waits while its mailbox is full.
    ///
    /// # Errors
    /// Returns the request if there is no such session.
    pub(crate) async fn send(
        &self,
        session: SessionId,
        request: Box<SessionRequest>,
    ) -> Result<(), Box<SessionRequest>> {
        let sender = self.senders.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned();
        match sender {
            Some(sender) => sender.send(request).await.map_err(|refused| refused.0),
            None => Err(request),
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

    /// Returns the session that the place belongs to.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the person that the session belongs to, if known.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the same as [`Place::owner`], shared.
    pub(crate) fn shared_owner(&self) -> Option<Arc<str>> {
        self.owner.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::admission::Admission;
    use crate::sessions::admission::policy::{Applicant, Bounds, WhenFull};

    #[test]
    fn dropped_place_is_free() {
        let bounds = Bounds { sessions: 1, per_owner: None, per_address: None, line: 0 };
        let (registry, admission) = (Registry::default(), Admission::new(bounds));
        let ask = || admission.ask(Applicant::default(), WhenFull::Refuse).ok();
        let registered = registry.register(SessionId::from_u128(1), None, ask().unwrap());
        assert!(ask().is_none());
        assert_eq!(registry.senders.lock().unwrap().len(), 1);
        drop(registered);
        assert_eq!(registry.senders.lock().unwrap().len(), 0);
        assert!(ask().is_some());
    }
}
