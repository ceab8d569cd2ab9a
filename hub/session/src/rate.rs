//! Rate limits: `burst` events at once, then one each `interval` (the generic cell rate algorithm, ITU-T I.371).

use std::time::{Duration, Instant};

/// A bound on the rate of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Number of events at once.
    pub burst: u32,
    /// Time after which one more event is allowed.
    pub interval: Duration,
}

/// The events counted against one [`RateLimit`].
#[derive(Debug)]
pub struct Rate {
    /// Time at which the whole burst is allowed again.
    full_at: Instant,
}

impl Rate {
    /// Creates a rate without events.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Counts an event. Returns false, without counting it, if it exceeds the limit.
    #[must_use]
    pub fn allows(&mut self, limit: RateLimit, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + limit.interval;
        let is_allowed = full_at.saturating_duration_since(now) <= limit.interval * limit.burst;
        if is_allowed {
            self.full_at = full_at;
        }
        is_allowed
    }

    /// Returns the time until one more event is allowed.
    pub fn wait(&self, limit: RateLimit, now: Instant) -> Duration {
        let after_one_more = self.full_at.max(now) + limit.interval - limit.interval * limit.burst;
        after_one_more.saturating_duration_since(now)
    }

    /// Returns `true` if the whole burst is allowed, as if there had been no event.
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
    fn burst_is_followed_by_one_each_interval() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(count(&mut rate, now), 3);
        assert_eq!(count(&mut rate, now + Duration::from_millis(99)), 0);
        assert_eq!(count(&mut rate, now + Duration::from_millis(100)), 1);
        assert_eq!(count(&mut rate, now + Duration::from_millis(350)), 2);
    }

    #[test]
    fn one_more_is_allowed_exactly_after_the_wait() {
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
    fn quiet_time_saves_up_one_burst() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(count(&mut rate, now + Duration::from_secs(3600)), 3);
    }
}
