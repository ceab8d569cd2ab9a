//! The hub's line: a session waits there until the hub has room for it.
//!
//! A session in the line takes sockets and messages like any other, but it has no agent, no clocks and no journal. It loses
//! its place when its last socket goes, without a grace.

use std::time::{Duration, Instant};

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, HubFrame};
use mayfly_protocol::refusal::Refusal;

use crate::clocks::Clocks;
use crate::command::Command;
use crate::journal::JournalEntry;
use crate::limits::{
    CAPACITY_RETRY_AFTER, DRAIN_RETRY_AFTER, LINE_LOG_MAX_BYTES, LINE_MESSAGES_MAX_BYTES, POSITION_INTERVAL,
};
use crate::session::{Identity, Phase, Session};
use crate::settings::Settings;
use crate::timers::Timer;

/// A place in the hub's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The position; 1 is next.
    position: u32,
    /// The position that clients were told last.
    told: u32,
}

impl Session {
    /// Creates a session that waits in the hub's line. It ends with `quota.sessions` unless it is admitted within `wait`.
    pub fn queued(
        identity: Identity,
        settings: Settings,
        position: u32,
        wait: Duration,
        now: Instant,
    ) -> Self {
        let phase = Phase::Queued(Place { position, told: position });
        let mut session = Self::in_phase(phase, identity, settings, now);
        session.timers.set(Timer::Line, now + wait);
        session.timers.set(Timer::Position, now + POSITION_INTERVAL);
        session
    }

    /// Handles a new position in the hub's line. Clients are told at most once in each [`POSITION_INTERVAL`].
    pub fn handle_position(&mut self, position: u32, now: Instant) {
        if let Phase::Queued(place) = &mut self.phase {
            place.position = position;
            if self.timers.get(Timer::Position).is_none() {
                self.tell_position(now);
            }
        }
    }

    /// Handles the admission of a session from the hub's line: it requests its agent, and its clocks start.
    pub fn handle_admitted(&mut self, now: Instant) {
        if self.position().is_none() {
            return;
        }
        self.phase = Phase::Creating { step: None };
        self.is_admitted = true;
        self.timers.clear(&[Timer::Line, Timer::Position]);
        self.clocks = Clocks::new(now);
        self.arm_clocks();
        if self.was_joined {
            self.journal(JournalEntry::Joined);
        }
        self.commands.push_back(Command::Spawn);
    }

    /// Returns the position in the hub's line, while the session waits there.
    pub fn position(&self) -> Option<u32> {
        match self.phase {
            Phase::Queued(place) => Some(place.position),
            Phase::Creating { .. }
            | Phase::Active
            | Phase::Idle
            | Phase::Left { .. }
            | Phase::Terminating { .. }
            | Phase::Terminated { .. } => None,
        }
    }

    /// Tells clients the position if it has changed. Also handles [`Timer::Position`].
    pub(super) fn tell_position(&mut self, now: Instant) {
        if let Phase::Queued(place) = &mut self.phase
            && place.told != place.position
        {
            place.told = place.position;
            self.timers.set(Timer::Position, now + POSITION_INTERVAL);
            self.send_notice(&self.describe_position(now));
        }
    }

    /// Returns the `session.status` frame with the position.
    pub(super) fn describe_position(&self, now: Instant) -> HubFrame {
        HubFrame::Status {
            status: self.status(),
            step: self.step(),
            position: self.position(),
            elapsed_ms: self.age_ms(now),
            turn: None,
            queued: None,
            seq: None,
        }
    }

    /// Returns `true` if the session waits in the line and has no room for a message of this length.
    pub(super) fn line_is_full(&self, text: &str) -> bool {
        let is_full = self.turns.queued_bytes() + text.len() > LINE_MESSAGES_MAX_BYTES
            || self.log.kept_bytes() + text.len() > LINE_LOG_MAX_BYTES;
        self.position().is_some() && is_full
    }

    /// Handles [`Timer::Line`]: the session was not admitted in time.
    pub(super) fn end_wait(&mut self, now: Instant) {
        let message = "all sessions are taken";
        let refusal = Refusal::new(ErrorCode::QuotaSessions, message).after(CAPACITY_RETRY_AFTER);
        self.refuse_admission(EndReason::SpawnFailed, &refusal, now);
    }

    /// Ends a session in the line because the hub shuts down.
    pub(super) fn drain_line(&mut self, now: Instant) {
        let message = "the hub is shutting down";
        let refusal = Refusal::new(ErrorCode::HubDraining, message).after(DRAIN_RETRY_AFTER);
        self.refuse_admission(EndReason::Drained, &refusal, now);
    }

    fn refuse_admission(&mut self, reason: EndReason, refusal: &Refusal, now: Instant) {
        self.record_departure(Some(refusal.code));
        self.phase = Phase::Terminated { reason };
        self.finish_turns(None, now);
        self.close_where(|_| true, &[refusal.to_frame().to_json().into()], refusal.close());
    }

    /// Tells the driver that the session leaves the line without being admitted, before any client learns of it.
    pub(super) fn record_departure(&mut self, code: Option<ErrorCode>) {
        self.commands.push_back(Command::Journal(JournalEntry::LeftLine(code)));
    }
}
