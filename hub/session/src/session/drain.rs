//! What the end of the hub means for a session: its turns may be finished, then it ends, or is left to another hub.

use std::collections::VecDeque;
use std::time::Instant;

use mayfly_protocol::code::{CloseCode, ErrorCode, Scope};
use mayfly_protocol::hub::{Clock, EndReason, HubFrame, Status};

use crate::limits::{DRAIN_RETRY_AFTER, DRAIN_TURNS_MAX};
use crate::millis;
use crate::session::end::End;
use crate::session::{Session, quota};

/// What becomes of a session's agent when the hub ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It ends with the hub, and the session with it.
    Ends,
    /// It goes on, and the next hub takes the session over.
    LivesOn,
}

#[derive(Debug)]
pub(super) struct Drain {
    fate: Fate,
    /// When turns are not waited for any more.
    until: Instant,
    is_left: bool,
}

impl Session {
    /// The hub is to end: running and waiting turns may be finished for a while, new ones are refused.
    pub fn handle_drain(&mut self, fate: Fate, now: Instant) {
        if self.has_ended() || self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain { fate, until: now + DRAIN_TURNS_MAX, is_left: false });
        self.check_drain(now);
        if let Some(frame) = self.drain_warning(now).filter(|_| !self.has_ended()) {
            self.tell_time(&frame);
        }
    }

    /// The hub is to end at once: turns are not waited for, also if [`Session::handle_drain`] came first.
    pub fn handle_shutdown(&mut self, fate: Fate, now: Instant) {
        self.handle_drain(fate, now);
        if let Some(drain) = &mut self.drain {
            drain.until = now;
        }
        self.check_drain(now);
    }

    /// Whether the session is another hub's to go on with: nothing of it is this one's any more.
    pub fn is_left(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.is_left)
    }

    /// When turns are not waited for any more.
    pub(super) fn drain_timeout(&self) -> Option<Instant> {
        self.drain.as_ref().map(|drain| drain.until)
    }

    /// What a socket is told while the hub waits for a turn.
    pub(super) fn drain_warning(&self, now: Instant) -> Option<HubFrame> {
        let until = self.drain_timeout()?;
        let remaining_ms = millis(until.saturating_duration_since(now));
        Some(HubFrame::Expiring { cause: Clock::Drain, remaining_ms, can_extend: false })
    }

    /// Why there is no new turn, when the hub is to end.
    pub(super) fn refuses_turns(&self) -> Option<HubFrame> {
        let refuses = self.drain.is_some();
        let message = "the hub shuts down and takes no more messages";
        refuses.then(|| quota(ErrorCode::HubDraining, Scope::Frame, DRAIN_RETRY_AFTER, message))
    }

    /// Ends or leaves the session when the hub is to end and no turn is waited for.
    pub(super) fn check_drain(&mut self, now: Instant) {
        let Some(Drain { fate, until, .. }) = self.drain else { return };
        let waits = self.is_busy() || self.turns.queued() > 0;
        if self.has_ended() || (waits && now < until) {
            return;
        }
        match (fate, self.status) {
            (Fate::LivesOn, Status::Active | Status::Idle) => self.leave(),
            // An agent that is not there yet cannot be left to anybody.
            (Fate::Ends | Fate::LivesOn, _) => self.end(End { reason: EndReason::Drained, error: None }, now),
        }
    }

    fn leave(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.is_left = true;
        }
        let (frame, code) = draining();
        let frame = frame.to_json().into();
        for cursor in &mut self.cursors {
            cursor.close_after(VecDeque::from([bytes::Bytes::clone(&frame)]), code);
        }
    }
}

/// What a socket is told when the session goes on at another hub.
pub(super) fn draining() -> (HubFrame, CloseCode) {
    let message = "the hub shuts down; the session goes on: come back in a moment";
    (quota(ErrorCode::HubDraining, Scope::Session, DRAIN_RETRY_AFTER, message), CloseCode::Draining)
}
