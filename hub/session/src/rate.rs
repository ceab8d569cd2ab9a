//! How often something may happen: `burst` times at once, then once each `interval` (a leaky bucket, as the generic
//! cell rate algorithm has it: ITU-T I.371). Knows nothing of what is counted.

use std::time::{Duration, Instant};

/// A bound on how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many at once.
    pub burst: u32,
    /// After which time there may be one more.
    pub interval: Duration,
}

/// What was counted against one bound.
#[derive(Debug)]
pub struct Rate {
    /// When all of the burst is there again.
    full_at: Instant,
}

impl Rate {
    /// Nothing was counted yet.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Counts one; false when it is one too many.
    #[must_use]
    pub fn allows(&mut self, limit: RateLimit, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + limit.interval;
        let is_allowed = full_at.saturating_duration_since(now) <= limit.interval * limit.burst;
        if is_allowed {
            self.full_at = full_at;
        }
        is_allowed
    }

    /// How long until there may be one more.
    pub fn wait(&self, limit: RateLimit, now: Instant) -> Duration {
        let after_one_more = self.full_at.max(now) + limit.interval - limit.interval * limit.burst;
        after_one_more.saturating_duration_since(now)
    }

    /// Whether all of the burst is there, as if nothing had been counted.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { burst: 3, interval: Duration::from_millis(100) };

    fn count(rate: &mut Rate, now: Instant) -> usize {
        (0..10).take_while(|_| rate.allows(LIMIT, now)).count()
    }

    #[test]
    fn a_burst_then_one_each_interval() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(count(&mut rate, now), 3);
        assert_eq!(count(&mut rate, now + Duration::from_millis(99)), 0);
        assert_eq!(count(&mut rate, now + Duration::from_millis(100)), 1);
        assert_eq!(count(&mut rate, now + Duration::from_millis(350)), 2);
    }

    #[test]
    fn after_the_wait_there_may_be_one_more_and_not_before() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!((rate.wait(LIMIT, now), rate.is_full(now)), (Duration::ZERO, true));
        assert_eq!(count(&mut rate, now), 3);
        let wait = rate.wait(LIMIT, now);
        assert_eq!((wait, rate.is_full(now)), (LIMIT.interval, false));
        assert!(!rate.allows(LIMIT, now + wait - Duration::from_nanos(1)));
        assert!(rate.allows(LIMIT, now + wait));
    }

    #[test]
    fn no_more_than_the_burst_is_saved_up() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(count(&mut rate, now + Duration::from_secs(3600)), 3);
    }
}
