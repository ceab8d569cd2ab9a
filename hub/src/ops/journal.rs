//! What became of sessions, and which agent was meant for which: an embedded libSQL file in the data directory.
//!
//! ```text
//!   driver, pool --> queue --> writer: one thread, a transaction for all that waits --> store: the file
//!                      |                    |
//!                   bounded            says when it is on disk, to who waits for that
//! ```
//!
//! Before an agent is started, and before one is claimed, that is on disk; all else may lag. Nothing here is on a token's
//! way. A file that cannot be used keeps the hub from starting. One that fails later leaves the hub running: that is
//! logged, counted and told by `/readyz`, what comes meanwhile waits up to a bound, and it is tried again.
//!
//! Does not know what a session is allowed to do, nor what runs: that is the platform's to say.

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

/// The journal of one hub. Cheap to share; [`Journal::close`] writes what is left.
pub struct Journal {
    queue: mpsc::Sender<Request>,
    stats: Stats,
}

/// Whom an agent is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The session.
    pub session: SessionId,
    /// Who made it, if the caller said so.
    pub owner: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An agent is about to be started: for a session, or to be kept warm.
    Intended { incarnation: Incarnation, claim: Option<Claim> },
    /// There is a session.
    Begun { claim: Claim },
    /// A warm agent is about to become a session's.
    Claimed { incarnation: Incarnation, claim: Claim },
    /// An agent is gone, or was not started.
    Gone { incarnation: Incarnation },
    /// A session's first socket came.
    Joined { session: SessionId },
    /// A session's agent is there.
    Ready { session: SessionId },
    /// A session ends.
    Ended { session: SessionId, ended: SessionSummary },
    /// Nothing of a session is left.
    Terminated { session: SessionId },
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The session.
    pub session: SessionId,
    /// Who made it, if the caller said so.
    pub owner: Option<String>,
    /// The agent that was meant for it last, until it is gone.
    pub incarnation: Option<Incarnation>,
    /// When its agent was asked for.
    pub created_at: SystemTime,
    /// When its first socket came.
    pub joined_at: Option<SystemTime>,
    /// When its agent was there.
    pub ready_at: Option<SystemTime>,
    /// When and why it ended.
    pub ended: Option<(SystemTime, SessionSummary)>,
    /// When nothing of it was left.
    pub terminated_at: Option<SystemTime>,
}

/// Why the journal cannot be used; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another hub has it.
    #[error("another hub uses {}: each needs a --data-dir of its own", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// Another program has it.
    #[error("{} is locked by another program; close that, or use --journal memory", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// It is no journal, or a broken one.
    #[error("{} is damaged ({cause}): move it away to begin a new one", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In what way.
        cause: String,
    },
    /// A newer hub wrote it.
    #[error("{} is of a newer version of Mayfly ({found}): move it away to begin a new one", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It cannot be written.
    #[error("cannot write {} ({cause}); make room or give permission, or use --journal memory", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
}

impl Journal {
    /// Opens the journal of a data directory that exists, or makes it.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read and written.
    pub async fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let store = Store::open(&data_dir.join(FILE), JOURNAL_FILE_MAX_BYTES).await?;
        Ok(Self::start(store))
    }

    /// One that is kept in memory, as long as the hub runs.
    ///
    /// # Errors
    /// [`JournalError`] when there is no memory for it.
    pub async fn in_memory() -> Result<Self, JournalError> {
        Ok(Self::start(Store::in_memory().await?))
    }

    fn start(store: Store) -> Self {
        let (queue, requests) = mpsc::channel(JOURNAL_QUEUE_MAX);
        let stats = Stats::default();
        let writer = Writer::new(store, requests, stats.clone());
        let runtime = tokio::runtime::Handle::current();
        // A thread of its own: libSQL blocks the thread that calls it.
        tokio::task::spawn_blocking(move || runtime.block_on(writer.drive()));
        Self { queue, stats }
    }

    /// An agent is about to be started, for this session or to be kept warm. Returns when that is on disk, or when it
    /// cannot be soon: then the hub has said so.
    pub async fn intend(&self, incarnation: Incarnation, claim: Option<Claim>) {
        self.write(Entry::Intended { incarnation, claim }).await;
    }

    /// There is a session, of which somebody is about to be told. Returns as [`Journal::intend`].
    pub async fn begin(&self, claim: Claim) {
        self.write(Entry::Begun { claim }).await;
    }

    /// A warm agent is about to become a session's. Returns as [`Journal::intend`].
    pub async fn claim(&self, incarnation: Incarnation, claim: Claim) {
        self.write(Entry::Claimed { incarnation, claim }).await;
    }

    /// An agent that was no session's is gone, or was not started.
    pub fn agent_is_gone(&self, incarnation: Incarnation) {
        self.record(Entry::Gone { incarnation });
    }

    /// A session of an earlier hub whose agent is not there any more: it ends as lost.
    pub fn lose(&self, session: SessionId) {
        let (reason, code) = (EndReason::AgentLost, Some(ErrorCode::AgentCrashed));
        let ended = SessionSummary { reason, code, turns: 0, messages: 0, bytes: 0 };
        self.record(Entry::Ended { session, ended });
        self.record(Entry::Terminated { session });
    }

    /// What is known of a session; nothing if there was none, or longer ago than is kept.
    pub async fn find(&self, session: SessionId) -> Option<Past> {
        self.ask(|answer| Request::Find(session, answer)).await.flatten()
    }

    /// Sessions of which something may be left, those of earlier hubs included; `None` when they cannot be read.
    pub async fn unfinished(&self) -> Option<Vec<Past>> {
        self.ask(Request::Unfinished).await
    }

    /// Writes what is left, as far as that is possible.
    pub async fn close(&self) {
        let (closed, is_closed) = oneshot::channel();
        let close = async {
            if self.queue.send(Request::Close(closed)).await.is_ok() {
                let _ = is_closed.await;
            }
        };
        if timeout(JOURNAL_WAIT_MAX, close).await.is_err() {
            self.stats.begin_trouble("it could not be closed in time");
        }
    }

    /// Keeps this, without waiting for it.
    pub(crate) fn record(&self, entry: Entry) {
        if self.queue.try_send(Request::Keep(entry, SystemTime::now(), None)).is_err() {
            self.stats.lose(1);
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many requests wait.
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
            // A writer that is gone was said to have failed.
            if self.queue.send(request).await.is_ok() {
                let _ = is_written.await;
            }
        };
        if timeout(JOURNAL_WAIT_MAX, write).await.is_err() {
            self.stats.begin_trouble(&format!("a write takes longer than {JOURNAL_WAIT_MAX:?}"));
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

/// Milliseconds since 1970, as the file has times.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
