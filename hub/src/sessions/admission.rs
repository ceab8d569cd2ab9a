//! Places for sessions: reserved before anything is started, given to who waits in the order of coming, and free again
//! when the last of a session is gone. Who may have one is decided in `admission/policy.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;
use mayfly_session::limits::{CAPACITY_RETRY_AFTER, POSITION_INTERVAL};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::sessions::admission::policy::{Bounds, Full, Patience, Policy, Standing, Visit, Who};

pub(crate) mod policy;
mod settings;

pub use settings::AdmissionSettings;

/// All places of one hub.
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Somebody left the line.
    moved: watch::Sender<()>,
}

struct State {
    policy: Policy,
    /// Of those who wait: rung when one is let in.
    bells: HashMap<Visit, Arc<Notify>>,
}

/// A place, or one in line; given up when it is dropped.
pub(crate) struct Pass {
    visit: Visit,
    inner: Arc<Inner>,
}

/// A watch of one place in the line.
pub(crate) struct LineWatch {
    /// Notified at the admission; absent if that was before.
    admitted: Option<Arc<Notify>>,
    moved: watch::Receiver<()>,
}

/// A change of a place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineChange {
    /// There is room for the session now.
    Admitted,
    /// Somebody left the line, so the position may be another.
    Moved,
}

impl LineWatch {
    /// Waits for the next change. Reports [`LineChange::Moved`] at most once in each [`POSITION_INTERVAL`]. Cancel safe.
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
    /// What is told to who is refused.
    pub(crate) fn told(self) -> Refusal {
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
    pub(crate) fn new(bounds: Bounds) -> Self {
        let state = State { policy: Policy::new(bounds), bells: HashMap::new() };
        Self(Arc::new(Inner { state: Mutex::new(state), moved: watch::Sender::new(()) }))
    }

    /// A place, or one in line for who would wait.
    ///
    /// # Errors
    /// Why there is neither.
    pub(crate) fn ask(&self, who: Who, patience: Patience) -> Result<Pass, Full> {
        let mut state = self.0.state();
        let visit = state.policy.ask(who, patience, Instant::now())?;
        if state.policy.standing(visit) != Some(Standing::Inside) {
            state.bells.insert(visit, Arc::default());
        }
        Ok(Pass { visit, inner: Arc::clone(&self.0) })
    }

    /// How many wait.
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
    /// How many-th in line it is, 1 is next; none when there is a place.
    pub(crate) fn position(&self) -> Option<usize> {
        match self.inner.state().policy.standing(self.visit) {
            Some(Standing::InLine(position)) => Some(position),
            Some(Standing::Inside) | None => None,
        }
    }

    /// Returns a watch of this place in the line.
    pub(crate) fn watch(&self) -> LineWatch {
        let moved = self.inner.moved.subscribe();
        LineWatch { admitted: self.inner.state().bells.get(&self.visit).map(Arc::clone), moved }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let waited = state.policy.waiting();
        state.policy.leave(self.visit);
        state.bells.remove(&self.visit);
        while let Some(visit) = state.policy.admit() {
            state.bells.remove(&visit).inspect(|bell| bell.notify_one());
        }
        let has_moved = state.policy.waiting() != waited;
        drop(state);
        if has_moved {
            self.inner.moved.send_replace(());
        }
    }
}
