//! The journal's health: counters for `/metrics`, a text for `/readyz`, and log messages when it changes.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tracing::{error, info};

/// Counters and health of the journal. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) entries: Counter,
    pub(crate) batches: Counter,
    pub(crate) failures: Counter,
    /// Entries lost because too many waited to be written.
    pub(crate) lost: Counter,
    /// Seconds to write a batch to disk.
    pub(crate) commit: Histogram,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            entries: Counter::default(),
            batches: Counter::default(),
            failures: Counter::default(),
            lost: Counter::default(),
            commit: Histogram::new(exponential_buckets(0.000_05, 4.0, 9)),
            trouble: Arc::default(),
        }
    }
}

impl Stats {
    /// Returns the cause, as long as the journal cannot be written.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a failure. The first one is logged.
    pub(crate) fn begin_trouble(&self, cause: &str) {
        self.failures.inc();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.replace(cause.to_owned()).is_none() {
            error!(cause, "journal write failed; the hub continues and retries");
        }
    }

    /// Records a success. The first one after a failure is logged.
    pub(crate) fn end_trouble(&self) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if trouble.is_some() {
            info!(lost = self.lost.get(), "journal write recovered");
        }
    }

    /// Counts lost entries. The first loss is logged.
    pub(crate) fn lose(&self, count: u64) {
        if count > 0 && self.lost.inc_by(count) == 0 {
            error!(reason = "queue full", "journal entries lost");
        }
    }
}
