//! The end of the hub: running and waiting turns may finish for a while, then the session ends or is left to the next hub.

use std::time::Instant;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Clock, EndReason, HubFrame};
use mayfly_protocol::refusal::Refusal;

use crate::duration::millis;
use crate::limits::{DRAIN_RETRY_AFTER, DRAIN_TURNS_MAX};
use crate::session::end::End;
use crate::session::{Phase, Session};
use crate::timers::Timer;

/// The fate of a session's agent when the hub ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The agent ends with the hub, and the session with it.
    Ends,
    /// The agent lives on, and the next hub adopts the session.
    LivesOn,
}

impl Session {
    /// Handles the begin of the hub's shutdown: new turns are refused, and the others have [`DRAIN_TURNS_MAX`] to finish.
    pub fn handle_drain(&mut self, fate: Fate, now: Instant) {
        if self.has_ended() || self.drain.is_some() {
            return;
        }
        if self.position().is_some() {
            return self.drain_line(now);
        }
        self.drain = Some(fate);
        self.timers.set(Timer::Drain, now + DRAIN_TURNS_MAX);
        self.check_drain(now);
        if let Some(frame) = self.drain_warning(now) {
            self.send_notice(&frame);
        }
    }

    /// Handles a shutdown that waits for no turn, with or without [`Session::handle_drain`] before.
    pub fn handle_shutdown(&mut self, fate: Fate, now: Instant) {
        self.handle_drain(fate, now);
        self.timers.set(Timer::Drain, None);
        self.check_drain(now);
    }

    /// Returns `true` if the session is left to the next hub. This hub has nothing more to do with it.
    pub fn is_left(&self) -> bool {
        matches!(self.phase, Phase::Left { .. })
    }

    /// Returns the warning for clients while the hub waits for turns.
    pub(super) fn drain_warning(&self, now: Instant) -> Option<HubFrame> {
        let until = self.timers.get(Timer::Drain)?;
        let remaining_ms = millis(until.saturating_duration_since(now));
        Some(HubFrame::Expiring { cause: Clock::Drain, remaining_ms, can_extend: false })
    }

    /// Returns the refusal of new turns, if the hub shuts down.
    pub(super) fn refusal_of_turns(&self) -> Option<Refusal> {
        let message = "the hub shuts down and takes no more messages";
        self.drain?;
        Some(Refusal::new(ErrorCode::HubDraining, message).after(DRAIN_RETRY_AFTER))
    }

    /// Ends or leaves the session if the hub shuts down and waits for no turn.
    pub(super) fn check_drain(&mut self, now: Instant) {
        let Some(fate) = self.drain.filter(|_| !self.has_ended()) else { return };
        let has_turns = self.is_busy() || self.turns.queued() > 0;
        if has_turns && self.timers.get(Timer::Drain).is_some() {
            return;
        }
        match (fate, self.phase) {
            (Fate::LivesOn, Phase::Active | Phase::Idle) => self.leave(),
            // An agent that is not ready cannot be adopted.
            (Fate::Ends | Fate::LivesOn, _) => self.end(End::of(EndReason::Drained), now),
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Left { status: self.status() };
        self.timers.clear_all();
        let refusal = draining();
        self.close_where(|_| true, &[refusal.to_frame().to_json().into()], refusal.close());
    }
}

/// Returns the refusal of a socket whose session goes on at the next hub.
pub(super) fn draining() -> Refusal {
    let message = "the hub shuts down; the session goes on: come back in a moment";
    Refusal::new(ErrorCode::HubDraining, message).after(DRAIN_RETRY_AFTER)
}
