//! The clocks that end a session: idle, max, and the grace after its last socket was lost. They know neither frames nor
//! turns, only whether a turn runs, and set their timers from that.

use std::time::{Duration, Instant};

use mayfly_protocol::hub::{self, Deadline};

use crate::duration::millis;
use crate::limits::ADOPTION_GRACE_MIN;
use crate::settings::Settings;
use crate::timers::{Timer, Timers};

#[derive(Debug)]
pub(crate) struct Clocks {
    born: Instant,
    /// Last activity; `None` before the agent is ready, because idleness counts from then on.
    active_at: Option<Instant>,
    /// The clock that clients were warned of.
    warned: Option<Clock>,
    /// Time at which the last socket was lost; absent while there is one.
    lost_at: Option<Instant>,
}

/// A clock that clients are warned of.
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

impl Clocks {
    /// Creates the clocks of a session that is new.
    pub(crate) fn new(now: Instant) -> Self {
        Self { born: now, active_at: None, warned: None, lost_at: None }
    }

    /// Returns when the session was created.
    pub(crate) fn born(&self) -> Instant {
        self.born
    }

    /// Sets the creation time of an adopted session. If it had sockets, they count as lost now, and the grace is at
    /// least [`ADOPTION_GRACE_MIN`].
    pub(crate) fn restore(&mut self, settings: &Settings, born: Instant, had_sockets: bool, now: Instant) {
        self.born = born;
        self.lost_at = had_sockets.then(|| now + ADOPTION_GRACE_MIN.saturating_sub(settings.grace));
    }

    /// Starts the idle clock: the agent is ready.
    pub(crate) fn start(&mut self, now: Instant) {
        self.active_at = Some(now);
    }

    /// Records activity. Returns `true` if a pending idle warning is cancelled.
    pub(crate) fn renew(&mut self, now: Instant) -> bool {
        if self.active_at.is_some() {
            self.active_at = Some(now);
        }
        self.warned.take_if(|clock| *clock == Clock::Idle).is_some()
    }

    /// Starts the grace, or ends it with `None`.
    pub(crate) fn set_lost_at(&mut self, at: Option<Instant>) {
        self.lost_at = at;
    }

    /// Records that clients were warned of a clock.
    pub(crate) fn set_warned(&mut self, clock: Clock) {
        self.warned = Some(clock);
    }

    /// Returns the clock that clients were warned of.
    pub(crate) fn warned(&self) -> Option<Clock> {
        self.warned
    }

    /// Returns the time that is left until the session ends.
    pub(crate) fn deadline(&self, settings: &Settings, is_busy: bool, now: Instant) -> Deadline {
        let left = |at: Instant| millis(at.saturating_duration_since(now));
        Deadline { idle_ms: self.idle_at(settings, is_busy).map(left), max_ms: left(self.max_at(settings)) }
    }

    /// Returns when the session ends without further activity, and by which clock.
    pub(crate) fn end(&self, settings: &Settings, is_busy: bool) -> (Instant, Clock) {
        let max = (self.max_at(settings), Clock::Max);
        match self.idle_at(settings, is_busy) {
            Some(at) if at < max.0 => (at, Clock::Idle),
            _ => max,
        }
    }

    /// Sets the timers of all clocks. To be called after each change of a clock and of `is_busy`.
    pub(crate) fn arm(&self, settings: &Settings, is_busy: bool, timers: &mut Timers) {
        let (end, clock) = self.end(settings, is_busy);
        let ttl = match clock {
            Clock::Idle => settings.idle_ttl,
            Clock::Max => settings.max_ttl,
        };
        let warning_at = end - settings.warning.min(ttl / 2);
        let linger = if is_busy { settings.linger } else { Duration::ZERO };
        timers.set(Timer::Max, self.max_at(settings));
        timers.set(Timer::Idle, self.idle_at(settings, is_busy));
        timers.set(Timer::Warning, (self.warned != Some(clock)).then_some(warning_at));
        timers.set(Timer::Grace, self.lost_at.map(|at| at + settings.grace + linger));
    }

    fn idle_at(&self, settings: &Settings, is_busy: bool) -> Option<Instant> {
        self.active_at.filter(|_| !is_busy).map(|active_at| active_at + settings.idle_ttl)
    }

    fn max_at(&self, settings: &Settings) -> Instant {
        self.born + settings.max_ttl
    }
}
