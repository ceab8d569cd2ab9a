//! How the hub ends: in what order, within what time, and whether all of it was done.
//!
//! ```text
//!   begin: not ready, no new session, people told --> turns end, or their time is up (mayfly-session: 18 s)
//!          --> agents gone, or their time is up (11 s) --> connections closed, journal written (30 s after the begin)
//!   hurry: turns are not waited for
//! ```
//!
//! What it means for a session is decided in `mayfly-session`; that no connection is taken any more in `server.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use mayfly_platform::{Lifetime, Platform};
use mayfly_session::Fate;
use mayfly_session::limits::DRAIN_TURNS_MAX;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::limits::{DRAIN_AGENTS_MAX, DRAIN_MAX, DRAIN_REST_MAX};
use crate::ops::Ops;

/// Tells a hub to end. Its clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// The hub is to end, in its own time.
    pub begin: CancellationToken,
    /// It is not to wait for turns.
    pub hurry: CancellationToken,
}

/// How a hub ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All turns were finished, and what was to be gone is gone.
    Clean,
    /// Not all of it was done in time.
    Cut {
        /// Turns that were ended before they were over.
        turns: u64,
        /// Agents that could not be stopped.
        agents: u64,
        /// Sessions that were not over.
        sessions: u64,
    },
}

/// How far a hub's end is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    pub(crate) hurry: CancellationToken,
    /// No connection is taken any more, and those that are there close.
    pub(crate) closing: CancellationToken,
    /// A task for each session.
    pub(crate) sessions: TaskTracker,
    /// The task of the pool, which ends when its agents are gone.
    pub(crate) pool: TaskTracker,
    cut_turns: AtomicU64,
    left_agents: AtomicU64,
}

impl Drain {
    pub(crate) fn new(hurry: CancellationToken) -> Self {
        Self { hurry, ..Self::default() }
    }

    /// A turn was ended because the hub does.
    pub(crate) fn cut_turn(&self) {
        self.cut_turns.fetch_add(1, Ordering::Relaxed);
    }

    /// An agent could not be stopped.
    pub(crate) fn leave_agent(&self) {
        self.left_agents.fetch_add(1, Ordering::Relaxed);
    }
}

/// What becomes of a platform's sessions when the hub ends. Whether another hub follows cannot be known; so whatever can
/// go on is left to it, as when this one dies: most hubs that end are begun again at once, and nobody should lose a
/// conversation by an update. When none follows, agents exit by themselves, as no hub calls them. Warm agents are ended
/// in any case: nobody would miss them.
pub(crate) fn fate(platform: &dyn Platform) -> Fate {
    match platform.lifetime() {
        Lifetime::Own => Fate::LivesOn,
        // What is fixed may serve others, and cannot be told apart from before.
        Lifetime::Hub | Lifetime::Fixed => Fate::Ends,
    }
}

/// Waits until the hub is to end and ends it: returns when all is done, or the time is up.
pub(crate) async fn conduct(ops: &Ops) -> Drained {
    ops.shutdown.cancelled().await;
    let deadline = Instant::now() + DRAIN_MAX;
    info!(sessions = ops.drain.sessions.len(), "shutting down");
    ops.drain.sessions.close();
    ops.drain.pool.close();
    let agents_are_gone = async {
        ops.drain.sessions.wait().await;
        ops.drain.pool.wait().await;
    };
    let time_is_up = async {
        tokio::select! {
            () = sleep(DRAIN_TURNS_MAX) => {}
            () = ops.drain.hurry.cancelled() => info!("shutting down at once"),
        }
        sleep(DRAIN_AGENTS_MAX).await;
    };
    tokio::select! {
        () = agents_are_gone => {}
        () = time_is_up => warn!(sessions = ops.drain.sessions.len(), "sessions are left when the time is up"),
    }
    ops.drain.closing.cancel();
    ops.tasks.close();
    let rest = async {
        ops.drain.sessions.wait().await;
        ops.drain.pool.wait().await;
        ops.tasks.wait().await;
    };
    if timeout_at(deadline.min(Instant::now() + DRAIN_REST_MAX), rest).await.is_err() {
        info!("connections that do not close are cut");
    }
    ops.journal.close().await;
    let turns = ops.drain.cut_turns.load(Ordering::Relaxed);
    let agents = ops.drain.left_agents.load(Ordering::Relaxed);
    match (turns, agents, ops.drain.sessions.len() as u64) {
        (0, 0, 0) => Drained::Clean,
        (turns, agents, sessions) => Drained::Cut { turns, agents, sessions },
    }
}
