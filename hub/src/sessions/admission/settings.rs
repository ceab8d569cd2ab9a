//! Settings of admission.

use std::time::Duration;

/// Bounds on the number of sessions.
#[derive(Debug, Clone)]
pub struct AdmissionSettings {
    /// Maximum number of sessions at the same time.
    pub max_sessions: usize,
    /// Maximum number of sessions of one owner; `None` is no bound.
    pub per_owner: Option<usize>,
    /// Maximum number of sessions created with tickets from one client address; `None` is no bound.
    pub per_address: Option<usize>,
    /// Time that a client may wait in line; zero refuses it at once.
    pub wait: Duration,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self { max_sessions: 100, per_owner: Some(20), per_address: Some(50), wait: Duration::ZERO }
    }
}
