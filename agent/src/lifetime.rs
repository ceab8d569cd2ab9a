//! The rule by which an agent exits on its own: at its deadline, or [`ORPHAN_SECS`] after the last call from a hub.
//!
//! The rule guarantees that a dead hub leaves no agent behind, whatever the platform. This file reads no clock: callers
//! pass the time, and `Agent::expired` waits.

use std::time::{Duration, Instant, SystemTime};

use mayfly_protocol::agent::ORPHAN_SECS;

/// Time without a call from a hub after which an agent exits, unless its environment sets another.
pub const ORPHAN_TIMEOUT: Duration = Duration::from_secs(ORPHAN_SECS);

/// The reason for which an agent exits on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The deadline has passed.
    Deadline,
    /// No hub has called for the orphan timeout.
    Orphaned,
}

impl ExitReason {
    /// Returns the reason's name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Orphaned => "orphaned",
        }
    }
}

/// The deadline and the orphan timeout of an agent.
#[derive(Debug)]
pub struct Lifetime {
    deadline: Option<Instant>,
    last_call: Instant,
    orphan_timeout: Duration,
}

impl Lifetime {
    /// Returns the lifetime of an agent that starts now. The start counts as a call.
    pub fn new(now: Instant, deadline: Option<Instant>) -> Self {
        Self { deadline, last_call: now, orphan_timeout: ORPHAN_TIMEOUT }
    }

    /// Returns the same lifetime with another orphan timeout.
    #[must_use]
    pub fn with_orphan_timeout(self, orphan_timeout: Duration) -> Self {
        Self { orphan_timeout, ..self }
    }

    /// Records a sign of a hub: an authorized call, or an event that the hub took from a stream.
    pub fn record_call(&mut self, now: Instant) {
        self.last_call = self.last_call.max(now);
    }

    /// Replaces the deadline.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Returns the earliest time at which [`Lifetime::exit_reason`] can return a reason.
    pub fn expires_at(&self) -> Instant {
        let orphaned = self.last_call + self.orphan_timeout;
        self.deadline.map_or(orphaned, |deadline| deadline.min(orphaned))
    }

    /// Returns the reason to exit at `now`, or `None` to go on.
    pub fn exit_reason(&self, now: Instant) -> Option<ExitReason> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Some(ExitReason::Deadline);
        }
        (now >= self.expires_at()).then_some(ExitReason::Orphaned)
    }
}

/// Returns the instant of a deadline in Unix seconds: `now` if it has passed, `None` if no clock can represent it.
pub fn deadline_at(unix_secs: u64, now: Instant, wall: SystemTime) -> Option<Instant> {
    let today = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.checked_add(Duration::from_secs(unix_secs).saturating_sub(today))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORPHAN: Duration = ORPHAN_TIMEOUT;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_agent_without_calls_exits() {
        let start = Instant::now();
        let lifetime = Lifetime::new(start, None);
        assert_eq!(lifetime.expires_at(), start + ORPHAN);
        assert_eq!(lifetime.exit_reason(start + ORPHAN - SECOND), None);
        assert_eq!(lifetime.exit_reason(start + ORPHAN), Some(ExitReason::Orphaned));
    }

    #[test]
    fn a_call_restarts_the_orphan_timeout() {
        let start = Instant::now();
        let mut lifetime = Lifetime::new(start, None);
        lifetime.record_call(start + ORPHAN - SECOND);
        assert_eq!(lifetime.exit_reason(start + ORPHAN), None);
        assert_eq!(lifetime.expires_at(), start + ORPHAN - SECOND + ORPHAN);
        lifetime.record_call(start);
        assert_eq!(lifetime.expires_at(), start + ORPHAN - SECOND + ORPHAN, "an older call changes nothing");
    }

    #[test]
    fn a_call_does_not_extend_the_deadline() {
        let start = Instant::now();
        let deadline = start + 3 * SECOND;
        let mut lifetime = Lifetime::new(start, Some(deadline));
        lifetime.record_call(start + 2 * SECOND);
        assert_eq!(lifetime.expires_at(), deadline);
        assert_eq!(lifetime.exit_reason(deadline - SECOND), None);
        assert_eq!(lifetime.exit_reason(deadline), Some(ExitReason::Deadline));
    }

    #[test]
    fn a_new_deadline_replaces_the_old_one() {
        let start = Instant::now();
        let mut lifetime = Lifetime::new(start, Some(start + SECOND));
        lifetime.set_deadline(Some(start + 3 * SECOND));
        assert_eq!(lifetime.exit_reason(start + 2 * SECOND), None);
        assert_eq!(lifetime.exit_reason(start + 3 * SECOND), Some(ExitReason::Deadline));
    }

    #[test]
    fn a_deadline_is_wall_time() {
        let now = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(deadline_at(1_060, now, wall), Some(now + Duration::from_secs(60)));
        assert_eq!(deadline_at(940, now, wall), Some(now), "passed");
        assert_eq!(deadline_at(u64::MAX, now, wall), None, "never");
    }
}
