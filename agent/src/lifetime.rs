//! How long the agent lives without being told: until its deadline, and no longer than [`ORPHAN_SECS`] after the last
//! call from a hub.
//!
//! Owns that rule and is told the time; waiting is [`crate::agent::Agent::outlived`]'s. So a dead hub leaves no agent,
//! whatever the platform.

use std::time::{Duration, Instant, SystemTime};

use mayfly_protocol::agent::ORPHAN_SECS;

/// How long an agent lives after the last call from a hub, unless its environment says otherwise.
pub const ORPHAN_AFTER: Duration = Duration::from_secs(ORPHAN_SECS);

/// Why an agent ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlived {
    /// Its deadline has come.
    Deadline,
    /// No hub has called for [`ORPHAN_AFTER`], or as long as its environment says.
    Orphaned,
}

impl Outlived {
    /// The reason's name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Orphaned => "orphaned",
        }
    }
}

/// The two clocks of an agent.
#[derive(Debug)]
pub struct Lifetime {
    deadline: Option<Instant>,
    last_call: Instant,
    orphan_after: Duration,
}

impl Lifetime {
    /// An agent that starts now. To have been started counts as a call.
    pub fn new(now: Instant, deadline: Option<Instant>) -> Self {
        Self { deadline, last_call: now, orphan_after: ORPHAN_AFTER }
    }

    /// The same, with another time after the last call.
    #[must_use]
    pub fn orphaned_after(self, orphan_after: Duration) -> Self {
        Self { orphan_after, ..self }
    }

    /// A hub showed that it is there: an authorized call, or an event that it took from a stream.
    pub fn called(&mut self, now: Instant) {
        self.last_call = self.last_call.max(now);
    }

    /// The agent became a session's, with another deadline.
    pub fn bound(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// When to ask [`Lifetime::outlived`] again: not before this.
    pub fn ends_at(&self) -> Instant {
        let orphaned = self.last_call + self.orphan_after;
        self.deadline.map_or(orphaned, |deadline| deadline.min(orphaned))
    }

    /// Whether the agent's time is up.
    pub fn outlived(&self, now: Instant) -> Option<Outlived> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Outlived::Deadline);
        }
        (now >= self.ends_at()).then_some(Outlived::Orphaned)
    }
}

/// The moment of a deadline in Unix seconds; one that has passed is now, one beyond any clock is none.
pub fn deadline_at(unix_secs: u64, now: Instant, wall: SystemTime) -> Option<Instant> {
    let today = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.checked_add(Duration::from_secs(unix_secs).saturating_sub(today))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORPHAN: Duration = ORPHAN_AFTER;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_agent_that_nobody_calls_ends() {
        let start = Instant::now();
        let lifetime = Lifetime::new(start, None);
        assert_eq!(lifetime.ends_at(), start + ORPHAN);
        assert_eq!(lifetime.outlived(start + ORPHAN - SECOND), None);
        assert_eq!(lifetime.outlived(start + ORPHAN), Some(Outlived::Orphaned));
    }

    #[test]
    fn every_call_starts_the_time_anew() {
        let start = Instant::now();
        let mut lifetime = Lifetime::new(start, None);
        lifetime.called(start + ORPHAN - SECOND);
        assert_eq!(lifetime.outlived(start + ORPHAN), None);
        assert_eq!(lifetime.ends_at(), start + ORPHAN - SECOND + ORPHAN);
        lifetime.called(start);
        assert_eq!(lifetime.ends_at(), start + ORPHAN - SECOND + ORPHAN, "a late report takes nothing away");
    }

    #[test]
    fn no_call_extends_the_deadline() {
        let start = Instant::now();
        let deadline = start + 3 * SECOND;
        let mut lifetime = Lifetime::new(start, Some(deadline));
        lifetime.called(start + 2 * SECOND);
        assert_eq!(lifetime.ends_at(), deadline);
        assert_eq!(lifetime.outlived(deadline - SECOND), None);
        assert_eq!(lifetime.outlived(deadline), Some(Outlived::Deadline));
    }

    #[test]
    fn a_binding_brings_a_deadline_of_its_own() {
        let start = Instant::now();
        let mut lifetime = Lifetime::new(start, Some(start + SECOND));
        lifetime.bound(Some(start + 3 * SECOND));
        assert_eq!(lifetime.outlived(start + 2 * SECOND), None);
        assert_eq!(lifetime.outlived(start + 3 * SECOND), Some(Outlived::Deadline));
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
