//! Activity, warnings and deadlines: how the session's clocks become states and frames.

use std::time::Instant;

use mayfly_protocol::hub::{Deadline, EndReason, HubFrame};

use crate::clocks::{Clock, Clocks};
use crate::duration::millis;
use crate::session::end::End;
use crate::session::{Phase, Session};
use crate::settings::Activity;
use crate::timers::Timer;

impl Session {
    /// Returns `true` if a turn runs or is about to run. The session is not idle then.
    pub(super) fn is_busy(&self) -> bool {
        self.turns.is_busy()
    }

    /// Sets the timers of the session's clocks. To be called after each change of a clock or a turn.
    pub(super) fn arm_clocks(&mut self) {
        if self.is_admitted && !self.has_ended() {
            self.clocks.arm(&self.settings, self.turns.is_busy(), &mut self.timers);
        }
    }

    /// Returns the time that is left until the session ends. It does not run out in the hub's line.
    pub(super) fn deadline(&self, now: Instant) -> Deadline {
        if !self.is_admitted {
            return Clocks::new(now).deadline(&self.settings, false, now);
        }
        self.clocks.deadline(&self.settings, self.is_busy(), now)
    }

    /// Records a sign of a socket. By the operator's choice, it counts as activity.
    pub(super) fn record_sign(&mut self, now: Instant) {
        if self.settings.activity == Activity::Heartbeat {
            self.renew(now);
        }
    }

    /// Records activity, which puts off the idle end.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.clocks.renew(now) {
            self.enter(Phase::Active);
            self.log_status(now);
            self.send_notice(&self.extended(now));
        }
        self.arm_clocks();
    }

    /// Records activity and tells every client the new deadline.
    pub(super) fn extend(&mut self, now: Instant) {
        self.renew(now);
        self.send_notice(&self.extended(now));
    }

    /// Handles [`Timer::Warning`]. Does nothing if the end itself has come.
    pub(super) fn warn(&mut self, now: Instant) {
        let (end, clock) = self.clocks.end(&self.settings, self.is_busy());
        if now >= end {
            return;
        }
        self.clocks.set_warned(clock);
        self.arm_clocks();
        if clock == Clock::Idle {
            self.enter(Phase::Idle);
            self.log_status(now);
        }
        self.send_notice(&self.expiring(clock, now));
    }

    /// Ends the session if its grace is over.
    pub(super) fn check_grace(&mut self, now: Instant) {
        if self.timers.get(Timer::Grace).is_some_and(|at| now >= at) {
            self.end(End::of(EndReason::Disconnected), now);
        }
    }

    /// Returns the warning before the end of a clock.
    pub(super) fn expiring(&self, cause: Clock, now: Instant) -> HubFrame {
        let (end, _) = self.clocks.end(&self.settings, self.is_busy());
        let remaining_ms = millis(end.saturating_duration_since(now));
        HubFrame::Expiring { cause: cause.into(), remaining_ms, can_extend: cause == Clock::Idle }
    }

    fn extended(&self, now: Instant) -> HubFrame {
        HubFrame::Extended { deadline: self.deadline(now) }
    }
}
