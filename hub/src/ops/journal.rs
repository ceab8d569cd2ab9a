//! The journal: the fate of each session and the agent intended for it, in an embedded libSQL file in the data directory.
//!
//! ```text
//!   driver, pool --> queue --> writer: one thread, one transaction for all waiting entries --> store: the file
//!                      |                    |
//!                   bounded            answers callers that wait for the disk
//! ```
//!
//! An agent is started or claimed only after its entry is on disk; other entries may lag. Nothing here is on the token
//! path. A file that cannot be used keeps the hub from starting. If the file fails later, the hub continues: the failure is
//! logged, counted and reported by `/readyz`, new entries wait up to a bound, and the writer retries.
//!
//! The journal does not know the rules of a session, and it does not know which agents run; platforms do.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::EndReason;
use mayfly_protocol::ids::{Incarnation, SessionId};
use mayfly_session::SessionSummary;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::limits::{JOURNAL_FILE_MAX_BYTES, JOURNAL_QUEUE_MAX, JOURNAL_WAIT_MAX};
use crate::ops::journal::stats::Stats;
use crate::ops::journal::store::Store;
use crate::ops::journal::writer::{Request, Writer};

pub(crate) mod stats;
mod store;
#[cfg(test)]
mod tests;
mod writer;

/// The file's name in the data directory.
const FILE: &str = "journal.db";

/// The journal of one hub. [`Journal::close`] writes the remaining entries.
pub struct Journal {
    queue: mpsc::Sender<Request>,
    stats: Stats,
}

/// The session that an agent is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The session.
    pub session: SessionId,
    /// Its owner, if known.
    pub owner: Option<String>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An agent will be started, for a session or for the pool.
    Intended { incarnation: Incarnation, claim: Option<Claim> },
    /// A session began.
    Begun { claim: Claim },
    /// A session will claim a warm agent.
    Claimed { incarnation: Incarnation, claim: Claim },
    /// An agent is gone or was not started.
    Gone { incarnation: Incarnation },
    /// The first socket of a session connected.
    Joined { session: SessionId },
    /// A session's agent became ready.
    Ready { session: SessionId },
    /// A session ended.
    Ended { session: SessionId, ended: SessionSummary },
    /// A session's agent and sockets are gone.
    Terminated { session: SessionId },
}

/// The journal's record of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The session.
    pub session: SessionId,
    /// Its owner, if known.
    pub owner: Option<String>,
    /// The last agent intended for it, until that agent is gone.
    pub incarnation: Option<Incarnation>,
    /// Time at which it began.
    pub created_at: SystemTime,
    /// Time at which its first socket connected.
    pub joined_at: Option<SystemTime>,
    /// Time at which its agent became ready.
    pub ready_at: Option<SystemTime>,
    /// Time and reason of its end.
    pub ended: Option<(SystemTime, SessionSummary)>,
    /// Time at which its agent and sockets were gone.
    pub terminated_at: Option<SystemTime>,
}

/// Error returned when the journal cannot be opened; its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another hub uses the file.
    #[error("another hub uses {}; each hub needs its own --data-dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another program has locked the file.
    #[error("another program has locked {}; close it, or use --journal memory", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a journal, or it is damaged.
    #[error("{} is damaged ({cause}): move it away to start a new one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        cause: String,
    },
    /// A newer version of Mayfly wrote the file.
    #[error("a newer version of Mayfly wrote {} ({found}): move it away to start a new one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: i64,
    },
    /// The file cannot be written.
    #[error("cannot write {} ({cause}); free space or grant permission, or use --journal memory", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
}

impl Journal {
    /// Opens the journal in a data directory that exists, or creates it there.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be read and written.
    pub async fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let store = Store::open(&data_dir.join(FILE), JOURNAL_FILE_MAX_BYTES).await?;
        Ok(Self::start(store))
    }

    /// Opens a journal in memory that lasts as long as the hub.
    ///
    /// # Errors
    /// [`JournalError`] if there is not enough memory.
    pub async fn in_memory() -> Result<Self, JournalError> {
        Ok(Self::start(Store::in_memory().await?))
    }

    fn start(store: Store) -> Self {
        let (queue, requests) = mpsc::channel(JOURNAL_QUEUE_MAX);
        let stats = Stats::default();
        let writer = Writer::new(store, requests, stats.clone());
        let runtime = tokio::runtime::Handle::current();
        // A thread of its own, because libSQL blocks the thread that calls it.
        tokio::task::spawn_blocking(move || runtime.block_on(writer.drive()));
        Self { queue, stats }
    }

    /// Records that an agent will be started, for this session or for the pool. Returns when the entry is on disk, or when
    /// the journal has reported that it cannot be written.
    pub async fn intend(&self, incarnation: Incarnation, claim: Option<Claim>) {
        self.write(Entry::Intended { incarnation, claim }).await;
    }

    /// Records that a session began, before a client learns of it. Returns as [`Journal::intend`] does.
    pub async fn begin(&self, claim: Claim) {
        self.write(Entry::Begun { claim }).await;
    }

    /// Records that a session will claim a warm agent. Returns as [`Journal::intend`] does.
    pub async fn claim(&self, incarnation: Incarnation, claim: Claim) {
        self.write(Entry::Claimed { incarnation, claim }).await;
    }

    /// Records that an agent without a session is gone or was not started.
    pub fn agent_is_gone(&self, incarnation: Incarnation) {
        self.record(Entry::Gone { incarnation });
    }

    /// Records that a session of an earlier hub ended because its agent is gone.
    pub fn lose(&self, session: SessionId) {
        let (reason, code) = (EndReason::AgentLost, Some(ErrorCode::AgentCrashed));
        let ended = SessionSummary { reason, code, turns: 0, messages: 0, bytes: 0 };
        self.record(Entry::Ended { session, ended });
        self.record(Entry::Terminated { session });
    }

    /// Returns the record of a session; `None` if there is none or it was removed after [`crate::limits::JOURNAL_KEPT`].
    pub async fn find(&self, session: SessionId) -> Option<Past> {
        self.ask(|answer| Request::Find(session, answer)).await.flatten()
    }

    /// Returns the sessions that have not terminated, those of earlier hubs included; `None` if they cannot be read.
    pub async fn unfinished(&self) -> Option<Vec<Past>> {
        self.ask(Request::Unfinished).await
    }

    /// Writes the remaining entries, if possible within [`JOURNAL_WAIT_MAX`].
    pub async fn close(&self) {
        let (closed, is_closed) = oneshot::channel();
        let close = async {
            if self.queue.send(Request::Close(closed)).await.is_ok() {
                let _ = is_closed.await;
            }
        };
        if timeout(JOURNAL_WAIT_MAX, close).await.is_err() {
            self.stats.begin_trouble("the journal could not be closed in time");
        }
    }

    /// Records an entry without waiting for the disk.
    pub(crate) fn record(&self, entry: Entry) {
        if self.queue.try_send(Request::Keep(entry, SystemTime::now(), None)).is_err() {
            self.stats.lose(1);
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the number of waiting requests.
    pub(crate) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    async fn write(&self, entry: Entry) {
        if self.stats.trouble().is_some() {
            return self.record(entry);
        }
        let (written, is_written) = oneshot::channel();
        let request = Request::Keep(entry, SystemTime::now(), Some(written));
        let write = async {
            // A writer that is gone has reported its failure.
            if self.queue.send(request).await.is_ok() {
                let _ = is_written.await;
            }
        };
        if timeout(JOURNAL_WAIT_MAX, write).await.is_err() {
            self.stats.begin_trouble(&format!("a write took longer than {} s", JOURNAL_WAIT_MAX.as_secs()));
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.queue.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(JOURNAL_WAIT_MAX, asked).await.ok().flatten()
    }
}

/// Returns milliseconds since 1970, the file's unit of time.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
