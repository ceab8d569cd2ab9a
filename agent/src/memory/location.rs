//! Places of the memory.

use std::path::PathBuf;

/// Place of the memory's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this process; the memory ends with it.
    Process,
    /// In a file of its own, made with mode 0600.
    File(PathBuf),
    /// At a libSQL server: its `https` or `http` URL, without a trailing slash.
    Remote(String),
}
