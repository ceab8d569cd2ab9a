//! The session's timers: one table with a named place for each.

use std::time::Instant;

/// A timer of a session. Of timers that expire at the same time, the first in this list is handled first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Some socket may be due a WebSocket Ping, or may be dead.
    Heartbeat,
    /// The running turn was stopped, and the agent has not ended it.
    StopGrace,
    /// The agent has sent nothing for the running turn.
    AgentSilence,
    /// The agent has sent no chunk of the running turn.
    ChunkSilence,
    /// The running turn is at its greatest length.
    TurnMax,
    /// The session is at its greatest age.
    Max,
    /// The session is idle for too long.
    Idle,
    /// The last socket was lost, and none has come back.
    Grace,
    /// Clients are warned before [`Timer::Idle`] or [`Timer::Max`].
    Warning,
    /// The hub shuts down and waits for turns no longer.
    Drain,
    /// The session has waited in the hub's line for as long as it may.
    Line,
    /// Clients may be told the position in the line again.
    Position,
}

impl Timer {
    const ALL: [Self; 12] = [
        Self::Heartbeat,
        Self::StopGrace,
        Self::AgentSilence,
        Self::ChunkSilence,
        Self::TurnMax,
        Self::Max,
        Self::Idle,
        Self::Grace,
        Self::Warning,
        Self::Drain,
        Self::Line,
        Self::Position,
    ];
}

/// The table: when each timer expires, if it is set.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    /// Sets a timer, or clears it with `None`.
    pub(crate) fn set(&mut self, timer: Timer, at: impl Into<Option<Instant>>) {
        self.0[timer as usize] = at.into();
    }

    /// Moves a timer that is set; leaves one that is not.
    pub(crate) fn postpone(&mut self, timer: Timer, at: Instant) {
        if let Some(before) = &mut self.0[timer as usize] {
            *before = at;
        }
    }

    /// Clears these timers.
    pub(crate) fn clear(&mut self, timers: &[Timer]) {
        for timer in timers {
            self.set(*timer, None);
        }
    }

    /// Clears every timer.
    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
    }

    /// Returns when a timer expires, if it is set.
    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    /// Returns when the next timer expires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Clears and returns the timer that expired first, if one has.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let set = Timer::ALL.into_iter().filter_map(|timer| Some((self.get(timer)?, timer)));
        let (at, timer) = set.min_by_key(|(at, _)| *at)?;
        if at > now {
            return None;
        }
        self.set(timer, None);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_timer_has_its_own_place() {
        for (place, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
        }
    }

    #[test]
    fn timers_expire_in_the_order_of_their_deadlines() {
        let now = Instant::now();
        let mut timers = Timers::default();
        assert_eq!((timers.next(), timers.expired(now)), (None, None));
        timers.set(Timer::Grace, now + Duration::from_secs(2));
        timers.set(Timer::Max, now + Duration::from_secs(1));
        timers.set(Timer::Drain, now + Duration::from_secs(1));
        timers.set(Timer::Idle, now);
        assert_eq!(timers.next(), Some(now));
        timers.clear(&[Timer::Idle]);
        assert_eq!(timers.expired(now + Duration::from_millis(999)), None);
        let now = now + Duration::from_secs(2);
        let expired = std::iter::from_fn(|| timers.expired(now));
        assert_eq!(expired.collect::<Vec<_>>(), [Timer::Max, Timer::Drain, Timer::Grace]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn only_a_set_timer_is_postponed() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut timers = Timers::default();
        timers.postpone(Timer::AgentSilence, later);
        assert_eq!(timers.get(Timer::AgentSilence), None);
        timers.set(Timer::AgentSilence, now);
        timers.postpone(Timer::AgentSilence, later);
        assert_eq!(timers.get(Timer::AgentSilence), Some(later));
    }
}
