//! The clocks that end a session: idle, max, and the grace after its last socket. Knows no frames and no turns, only
//! whether one runs.

use std::time::{Duration, Instant};

use mayfly_protocol::hub::{self, Deadline, EndReason};

use crate::limits::ADOPTION_GRACE_MIN;
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct Clocks {
    idle_ttl: Duration,
    max_ttl: Duration,
    warning: Duration,
    grace: Duration,
    linger: Duration,
    born: Instant,
    /// When something was last done; nothing counts idleness down before the agent is there.
    active: Option<Instant>,
    warned: Option<Clock>,
    /// When the last socket was lost.
    deserted: Option<Instant>,
}

/// One of the clocks that people are warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Idle,
    Max,
}

impl From<Clock> for hub::Clock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::Idle => Self::Idle,
            Clock::Max => Self::Max,
        }
    }
}

/// What a clock asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Warning(Clock),
    End(EndReason),
}

impl Clocks {
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        let Settings { idle_ttl, max_ttl, warning, grace, linger, .. } = *settings;
        let (born, active, warned, deserted) = (now, None, None, None);
        Self { idle_ttl, max_ttl, warning, grace, linger, born, active, warned, deserted }
    }

    pub(crate) fn born(&self) -> Instant {
        self.born
    }

    /// The session is older than was known. One that had sockets has lost them.
    pub(crate) fn recall(&mut self, born: Instant, had_sockets: bool, now: Instant) {
        self.born = born;
        self.deserted = had_sockets.then(|| now + ADOPTION_GRACE_MIN.saturating_sub(self.grace));
    }

    /// The agent is there: idleness counts from now on.
    pub(crate) fn start(&mut self, now: Instant) {
        self.active = Some(now);
    }

    /// Something is done. Whether that ends the warning.
    pub(crate) fn renew(&mut self, now: Instant) -> bool {
        if self.active.is_some() {
            self.active = Some(now);
        }
        self.warned.take_if(|clock| *clock == Clock::Idle).is_some()
    }

    /// The last socket was lost, or one is there again.
    pub(crate) fn desert(&mut self, at: Option<Instant>) {
        self.deserted = at;
    }

    /// The clock that its people were told of.
    pub(crate) fn warned(&self) -> Option<Clock> {
        self.warned
    }

    /// What is left of the session's time.
    pub(crate) fn deadline(&self, is_busy: bool, now: Instant) -> Deadline {
        let left = |at: Instant| crate::millis(at.saturating_duration_since(now));
        Deadline { idle_ms: self.idle_at(is_busy).map(left), max_ms: left(self.max_at()) }
    }

    /// When the session ends if nothing happens, and by which clock.
    pub(crate) fn end(&self, is_busy: bool) -> (Instant, Clock) {
        let max = (self.max_at(), Clock::Max);
        match self.idle_at(is_busy) {
            Some(at) if at < max.0 => (at, Clock::Idle),
            _ => max,
        }
    }

    pub(crate) fn timeout(&self, is_busy: bool) -> Instant {
        let (end, clock) = self.end(is_busy);
        let at = if self.warned == Some(clock) { end } else { end - self.lead(clock) };
        self.deserted_until(is_busy).map_or(at, |deserted| deserted.min(at))
    }

    /// What is due, if that time has come. A warning counts as told then.
    pub(crate) fn due(&mut self, is_busy: bool, now: Instant) -> Option<Due> {
        let (end, clock) = self.end(is_busy);
        if now >= end {
            return Some(Due::End(match clock {
                Clock::Idle => EndReason::Idle,
                Clock::Max => EndReason::Max,
            }));
        }
        if self.deserted_until(is_busy).is_some_and(|until| now >= until) {
            return Some(Due::End(EndReason::Disconnected));
        }
        if now >= end - self.lead(clock) && self.warned != Some(clock) {
            self.warned = Some(clock);
            return Some(Due::Warning(clock));
        }
        None
    }

    fn idle_at(&self, is_busy: bool) -> Option<Instant> {
        self.active.filter(|_| !is_busy).map(|active| active + self.idle_ttl)
    }

    fn max_at(&self) -> Instant {
        self.born + self.max_ttl
    }

    fn deserted_until(&self, is_busy: bool) -> Option<Instant> {
        let linger = if is_busy { self.linger } else { Duration::ZERO };
        Some(self.deserted? + self.grace + linger)
    }

    /// How long before its end a clock warns.
    fn lead(&self, clock: Clock) -> Duration {
        let ttl = match clock {
            Clock::Idle => self.idle_ttl,
            Clock::Max => self.max_ttl,
        };
        self.warning.min(ttl / 2)
    }
}
