//! Admission: reserves a place for each session before anything is started. Applicants wait in one line and are
//! admitted in order. A place is free again when its [`Pass`] is dropped. `admission/policy.rs` decides on admission.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;
use mayfly_session::limits::{CAPACITY_RETRY_AFTER, POSITION_INTERVAL};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::sessions::admission::policy::{
    AdmissionPolicy, Applicant, Bounds, Full, PlaceId, Standing, WhenFull,
};

pub(crate) mod policy;
mod settings;

pub use settings::AdmissionSettings;

/// The places of one hub.
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Notified when an applicant left the line.
    moved: watch::Sender<()>,
}

struct State {
    policy: AdmissionPolicy,
    /// Notifiers of the waiting applicants, used on admission.
    notifiers: HashMap<PlaceId, Arc<Notify>>,
}

/// A place, or a position in the line. Dropping the pass gives it up.
pub(crate) struct Pass {
    id: PlaceId,
    inner: Arc<Inner>,
}

/// A watch of one position in the line.
pub(crate) struct LineWatch {
    /// Notified on admission. `None` if the applicant was admitted before.
    admitted: Option<Arc<Notify>>,
    moved: watch::Receiver<()>,
}

/// A change of a position in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineChange {
    /// The applicant was admitted.
    Admitted,
    /// An applicant left the line, so the position may have changed.
    Moved,
}

impl LineWatch {
    /// Waits for the next change. Reports [`LineChange::Moved`] at most once in each [`POSITION_INTERVAL`]. Cancel
    /// safe.
    pub(crate) async fn changed(&mut self) -> LineChange {
        let Self { admitted: Some(admitted), moved } = self else { return LineChange::Admitted };
        tokio::select! {
            biased;
            () = admitted.notified() => LineChange::Admitted,
            Ok(()) = async { sleep(POSITION_INTERVAL).await; moved.changed().await } => LineChange::Moved,
        }
    }
}

impl Full {
    /// Returns the refusal to send, with the time after which to try again.
    pub(crate) fn refusal(self) -> Refusal {
        let (code, message) = match self {
            Self::Sessions => (ErrorCode::QuotaSessions, "all sessions are taken"),
            Self::Owner => (
                ErrorCode::QuotaOwner,
                "you have as many sessions as one may have at once; see --sessions-per-owner",
            ),
            Self::Address => (
                ErrorCode::QuotaAddress,
                "your address has as many sessions as one may have at once; see --sessions-per-address",
            ),
            Self::Rate(wait) => {
                return Refusal::new(ErrorCode::QuotaRate, "your address asks for sessions too often")
                    .after(wait);
            }
        };
        Refusal::new(code, message).after(CAPACITY_RETRY_AFTER)
    }
}

impl Admission {
    /// Creates the places of a hub.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let state = State { policy: AdmissionPolicy::new(bounds), notifiers: HashMap::new() };
        Self(Arc::new(Inner { state: Mutex::new(state), moved: watch::Sender::new(()) }))
    }

    /// Returns a place, or a position in the line if all places are taken and the applicant waits.
    ///
    /// # Errors
    /// Returns [`Full`], with the limit that was reached.
    pub(crate) fn ask(&self, applicant: Applicant, when_full: WhenFull) -> Result<Pass, Full> {
        let mut state = self.0.state();
        let id = state.policy.ask(applicant, when_full, Instant::now())?;
        if state.policy.standing(id) != Some(Standing::Admitted) {
            state.notifiers.insert(id, Arc::default());
        }
        Ok(Pass { id, inner: Arc::clone(&self.0) })
    }

    /// Returns the number of waiting applicants.
    pub(crate) fn waiting(&self) -> usize {
        self.0.state().policy.waiting()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Returns the position in the line, where 1 is next, or `None` once the applicant is admitted.
    pub(crate) fn position(&self) -> Option<usize> {
        match self.inner.state().policy.standing(self.id) {
            Some(Standing::InLine(position)) => Some(position),
            Some(Standing::Admitted) | None => None,
        }
    }

    /// Returns a watch of the position in the line.
    pub(crate) fn watch(&self) -> LineWatch {
        let moved = self.inner.moved.subscribe();
        LineWatch { admitted: self.inner.state().notifiers.get(&self.id).map(Arc::clone), moved }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let waited = state.policy.waiting();
        state.policy.leave(self.id);
        state.notifiers.remove(&self.id);
        while let Some(id) = state.policy.admit() {
            state.notifiers.remove(&id).inspect(|notifier| notifier.notify_one());
        }
        let has_moved = state.policy.waiting() != waited;
        drop(state);
        if has_moved {
            self.inner.moved.send_replace(());
        }
    }
}
