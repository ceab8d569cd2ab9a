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
pub(crate) struct Rate {
    /// When all of the burst is there again.
    full_at: Instant,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Counts one; false when it is one too many.
    #[must_use]
    pub(crate) fn allows(&mut self, limit: RateLimit, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + limit.interval;
        let is_allowed = full_at.saturating_duration_since(now) <= limit.interval * limit.burst;
        if is_allowed {
            self.full_at = full_at;
        }
        is_allowed
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
    fn no_more_than_the_burst_is_saved_up() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(count(&mut rate, now + Duration::from_secs(3600)), 3);
    }
}
