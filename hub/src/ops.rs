//! Operations: the journal, metrics, traces, and the drain at shutdown.

pub mod drain;
pub mod journal;
pub(crate) mod metrics;
pub(crate) mod trace;
