//! The session's side of its agent's lifecycle.

use std::time::Instant;

use crate::journal::JournalEntry;
use crate::lifecycle::{LifecycleChange, Stage};
use crate::session::end::{End, agent_lost, spawn_failed};
use crate::session::{Phase, Session};

impl Session {
    /// Handles a change of the agent.
    pub fn handle_lifecycle(&mut self, change: LifecycleChange, now: Instant) {
        match (self.phase, change) {
            (Phase::Creating { .. }, LifecycleChange::Step(step)) => {
                self.end_step(now);
                self.phase = Phase::Creating { step: Some((step, now)) };
                self.log_status(now);
            }
            (Phase::Creating { .. }, LifecycleChange::Ready) => {
                self.end_step(now);
                self.enter(Phase::Active);
                self.clocks.start(now);
                self.log_status(now);
                self.start_turn(now);
            }
            (Phase::Creating { .. }, LifecycleChange::Failed { code, message, stage }) => {
                self.end_for_lack_of_agent(stage, spawn_failed(code, &message), now);
            }
            (Phase::Active | Phase::Idle, LifecycleChange::Lost { code, message, stage }) => {
                self.end_for_lack_of_agent(stage, agent_lost(code, &message), now);
            }
            (Phase::Terminating { reason }, LifecycleChange::Gone) => {
                self.enter(Phase::Terminated { reason });
            }
            // Late changes of a start that is over, or of an agent that is being stopped.
            (
                Phase::Queued(_)
                | Phase::Creating { .. }
                | Phase::Active
                | Phase::Idle
                | Phase::Left { .. }
                | Phase::Terminating { .. }
                | Phase::Terminated { .. },
                LifecycleChange::Step(_)
                | LifecycleChange::Ready
                | LifecycleChange::Failed { .. }
                | LifecycleChange::Lost { .. }
                | LifecycleChange::Gone,
            ) => {}
        }
    }

    fn end_for_lack_of_agent(&mut self, stage: Stage, end: End, now: Instant) {
        match stage {
            Stage::Gone => self.end_without_agent(end, now),
            Stage::Starting | Stage::Ready | Stage::Stopping => self.end(end, now),
        }
    }

    /// Writes down the step of the start that is over.
    fn end_step(&mut self, now: Instant) {
        if let Phase::Creating { step: Some((step, since)) } = self.phase {
            self.journal(JournalEntry::Step(step, now.saturating_duration_since(since)));
        }
    }
}
