//! The hub's shutdown: its steps, their time limits, and its outcome.
//!
//! ```text
//!   begin: not ready, no new session, clients warned --> turns end, at most 18 s (mayfly-session)
//!          --> agents gone, at most 11 s --> connections closed, journal written, at most 30 s after the begin
//!   hurry: running turns are cut short
//! ```
//!
//! `mayfly-session` decides what the shutdown means for a session; `edge/server.rs` stops accepting connections.

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

/// The signal that shuts a hub down. Clones share the signal.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Begins the shutdown; running turns may finish.
    pub begin: CancellationToken,
    /// Cuts running turns short.
    pub hurry: CancellationToken,
}

/// The outcome of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every turn finished, and every agent and session that had to end did.
    Clean,
    /// Something was cut short or left.
    Cut {
        /// Turns that the shutdown cut short.
        turns: u64,
        /// Agents that could not be stopped.
        agents: u64,
        /// Sessions that did not end in time.
        sessions: u64,
    },
}

/// The state of a hub's shutdown.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    pub(crate) hurry: CancellationToken,
    /// Cancelled when the hub stops accepting connections and closes the open ones.
    pub(crate) closing: CancellationToken,
    /// The tasks of sessions, one for each.
    pub(crate) sessions: TaskTracker,
    /// The pool's task, which ends when the warm agents are gone.
    pub(crate) pool: TaskTracker,
    cut_turns: AtomicU64,
    left_agents: AtomicU64,
}

impl Drain {
    pub(crate) fn new(hurry: CancellationToken) -> Self {
        Self { hurry, ..Self::default() }
    }

    /// Counts a turn that the shutdown cut short.
    pub(crate) fn cut_turn(&self) {
        self.cut_turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an agent that could not be stopped.
    pub(crate) fn leave_agent(&self) {
        self.left_agents.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the fate of a platform's sessions when the hub shuts down.
///
/// The hub cannot know whether another hub follows. It leaves every agent that can live on to the next hub, so that an
/// update ends no conversation. If no hub follows, these agents exit by themselves because no hub calls them. Warm agents
/// always end, because they hold no conversation.
pub(crate) fn fate(platform: &dyn Platform) -> Fate {
    match platform.lifetime() {
        Lifetime::Own => Fate::LivesOn,
        // A fixed agent may serve other hubs, and a later hub could not tell whether it is the same conversation.
        Lifetime::Hub | Lifetime::Fixed => Fate::Ends,
    }
}

/// Waits for the signal, then shuts the hub down. Returns when everything ended, or the time limit passed.
pub(crate) async fn conduct(ops: &Ops) -> Drained {
    ops.shutdown.cancelled().await;
    let deadline = Instant::now() + DRAIN_MAX;
    info!(sessions = ops.drain.sessions.len(), "shutdown began");
    ops.drain.sessions.close();
    ops.drain.pool.close();
    let agents_are_gone = async {
        ops.drain.sessions.wait().await;
        ops.drain.pool.wait().await;
    };
    let time_limit = async {
        tokio::select! {
            () = sleep(DRAIN_TURNS_MAX) => {}
            () = ops.drain.hurry.cancelled() => info!("shutdown hurried"),
        }
        sleep(DRAIN_AGENTS_MAX).await;
    };
    tokio::select! {
        () = agents_are_gone => {}
        () = time_limit => warn!(sessions = ops.drain.sessions.len(), "shutdown left sessions behind"),
    }
    ops.drain.closing.cancel();
    ops.tasks.close();
    let rest = async {
        ops.drain.sessions.wait().await;
        ops.drain.pool.wait().await;
        ops.tasks.wait().await;
    };
    if timeout_at(deadline.min(Instant::now() + DRAIN_REST_MAX), rest).await.is_err() {
        info!("shutdown cut open connections");
    }
    ops.journal.close().await;
    let turns = ops.drain.cut_turns.load(Ordering::Relaxed);
    let agents = ops.drain.left_agents.load(Ordering::Relaxed);
    match (turns, agents, ops.drain.sessions.len() as u64) {
        (0, 0, 0) => Drained::Clean,
        (turns, agents, sessions) => Drained::Cut { turns, agents, sessions },
    }
}
