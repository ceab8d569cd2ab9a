//! How the journal is doing: counted for `/metrics`, in words for `/readyz`, and in the log when it changes.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tracing::{error, info};

/// Shared by the journal and who tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) entries: Counter,
    pub(crate) batches: Counter,
    pub(crate) failures: Counter,
    /// What could not be kept: there was no room to wait for the file.
    pub(crate) lost: Counter,
    /// Seconds for a batch to be on disk.
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
    /// What is wrong, as long as it is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something is wrong; told once.
    pub(crate) fn begin_trouble(&self, cause: &str) {
        self.failures.inc();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.replace(cause.to_owned()).is_none() {
            error!(cause, "the journal cannot be written; the hub goes on, and tries again");
        }
    }

    /// It was written; told if something was wrong.
    pub(crate) fn end_trouble(&self) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if trouble.is_some() {
            info!(lost = self.lost.get(), "the journal is written again");
        }
    }

    /// So many entries are not kept.
    pub(crate) fn lose(&self, count: u64) {
        if count > 0 && self.lost.inc_by(count) == 0 {
            error!("the journal loses entries: too many wait for it");
        }
    }
}
