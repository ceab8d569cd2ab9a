//! Errors of the memory.

use crate::limits::NOTES_MAX;

/// Error returned when the memory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The agent has no session yet, so that its memory has no scope.
    #[error("the agent has no session yet")]
    Unbound,
    /// The database cannot be reached, or not in time.
    #[error("the memory cannot be reached: {0}")]
    Unreachable(String),
    /// The database does not accept the token.
    #[error("the memory does not accept the token in MEMORY_TOKEN")]
    Denied,
    /// The database failed, for example because its disk is full.
    #[error("the memory failed: {0}")]
    Failed(String),
    /// The database contains data that no agent wrote.
    #[error("the memory contains unreadable data: {0}")]
    Unreadable(String),
    /// The scope has as many notes as it may have.
    #[error("there are already {NOTES_MAX} notes; remove one first")]
    Full,
}

impl MemoryError {
    /// Returns the error for unreadable data.
    pub(super) fn unreadable(what: &str) -> Self {
        Self::Unreadable(what.to_owned())
    }
}
