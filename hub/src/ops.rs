//! Operations: the journal, metrics, traces, and the drain at shutdown. Every other layer reports here.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ops::drain::{Drain, Stop};
use crate::ops::journal::Journal;
use crate::ops::metrics::Metrics;
use crate::ops::trace::Traces;

pub mod drain;
pub mod journal;
pub(crate) mod metrics;
mod settings;
pub mod trace;

pub use settings::{JournalKind, LogFormat, OpsSettings};

/// Services of one hub that every layer reports to.
pub(crate) struct Ops {
    pub(crate) journal: Journal,
    pub(crate) metrics: Metrics,
    pub(crate) traces: Option<Traces>,
    /// Every task of the hub that is not a session's; shutdown waits for all of them.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the hub starts to shut down: from then on there are no new sessions and no new turns.
    pub(crate) shutdown: CancellationToken,
    pub(crate) drain: Drain,
}

impl Ops {
    pub(crate) fn new(journal: Journal, traces: Option<Traces>, platform: &'static str, stop: Stop) -> Self {
        let Stop { begin: shutdown, hurry } = stop;
        Self {
            metrics: Metrics::new(platform, &journal),
            journal,
            traces,
            tasks: TaskTracker::new(),
            shutdown,
            drain: Drain::new(hurry),
        }
    }
}
