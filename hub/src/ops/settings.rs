//! Settings of operations.

use std::path::PathBuf;

/// Where the hub keeps data, and what it reports.
#[derive(Debug, Clone, Default)]
pub struct OpsSettings {
    /// Directory of the hub's secret, its journal and its agents' sockets.
    pub data_dir: PathBuf,
    /// Where the journal is kept.
    pub journal: JournalKind,
    /// Collector that receives traces; `None` is no traces.
    pub otlp_endpoint: Option<String>,
    /// Format of the log.
    pub log: LogFormat,
}

/// Where the journal is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JournalKind {
    /// A file in the data directory.
    #[default]
    File,
    /// Memory, as long as the hub runs.
    Memory,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object on each line.
    #[default]
    Json,
    /// Text for people.
    Pretty,
}

impl JournalKind {
    /// The words that name the kinds.
    pub const WORDS: [(&str, Self); 2] = [("file", Self::File), ("memory", Self::Memory)];
}

impl LogFormat {
    /// The words that name the formats.
    pub const WORDS: [(&str, Self); 2] = [("json", Self::Json), ("pretty", Self::Pretty)];
}
