//! The session's side of its agent's lifecycle: the steps of the start, the spawn timeout and the signs of life.

use std::time::{Duration, Instant};

use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Step;

use crate::command::{Command, PlatformEvent};
use crate::journal::JournalEntry;
use crate::limits::SIGN_OF_LIFE_MISSES;
use crate::session::end::{agent_lost, spawn_failed};
use crate::session::{Phase, Session};
use crate::timers::Timer;

/// The agent's health, as far as the session counts it. Its only timer is [`Timer::Agent`].
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// Signs of life in a row that failed.
    misses: u8,
}

impl Session {
    /// Handles a change of the agent's process or container.
    pub fn handle_platform(&mut self, event: PlatformEvent, now: Instant) {
        match (self.phase, event) {
            (Phase::Creating { step }, PlatformEvent::Step(next)) => {
                if step.is_some_and(|(step, _)| step == Step::Queued) {
                    // The wait for other starts does not count against the spawn timeout.
                    self.timers.set(Timer::Agent, now + self.settings.spawn_timeout);
                }
                self.end_step(now);
                self.phase = Phase::Creating { step: Some((next, now)) };
                self.log_status(now);
            }
            (Phase::Creating { .. }, PlatformEvent::Ready) => {
                self.end_step(now);
                self.enter(Phase::Active);
                self.clocks.start(now);
                self.await_sign_of_life(now);
                self.log_status(now);
                self.start_turn(now);
            }
            (Phase::Creating { .. }, PlatformEvent::Failed { code, message }) => {
                self.end_without_agent(spawn_failed(code, &message), now);
            }
            (Phase::Creating { .. }, PlatformEvent::Gone) => {
                let message = "the agent ended before it was ready";
                self.end_without_agent(spawn_failed(ErrorCode::SpawnFailed, message), now);
            }
            (Phase::Active | Phase::Idle, PlatformEvent::Gone) => {
                let message = "the agent ended unexpectedly";
                self.end_without_agent(agent_lost(ErrorCode::AgentCrashed, message), now);
            }
            (Phase::Active | Phase::Idle, PlatformEvent::Alive) => {
                self.agent.misses = 0;
                self.await_sign_of_life(now);
            }
            (Phase::Active | Phase::Idle, PlatformEvent::Silent) => {
                self.agent.misses += 1;
                self.await_sign_of_life(now);
                if self.agent.misses >= SIGN_OF_LIFE_MISSES {
                    self.end(agent_lost(ErrorCode::AgentUnreachable, "the agent does not answer"), now);
                }
            }
            (Phase::Terminating { reason }, PlatformEvent::Gone | PlatformEvent::Failed { .. }) => {
                self.enter(Phase::Terminated { reason });
            }
            // Late events of a start that is over, or of an agent that is being stopped.
            (
                Phase::Queued(_)
                | Phase::Creating { .. }
                | Phase::Active
                | Phase::Idle
                | Phase::Left { .. }
                | Phase::Terminating { .. }
                | Phase::Terminated { .. },
                PlatformEvent::Step(_)
                | PlatformEvent::Ready
                | PlatformEvent::Failed { .. }
                | PlatformEvent::Gone
                | PlatformEvent::Alive
                | PlatformEvent::Silent,
            ) => {}
        }
    }

    /// Requests an agent, which has the spawn timeout to become healthy.
    pub(super) fn spawn_agent(&mut self, now: Instant) {
        self.timers.set(Timer::Agent, now + self.settings.spawn_timeout);
        self.commands.push_back(Command::Spawn);
    }

    /// Schedules the next sign of life.
    pub(super) fn await_sign_of_life(&mut self, now: Instant) {
        self.timers.set(Timer::Agent, now + Duration::from_secs(SIGN_OF_LIFE_SECS));
    }

    /// Handles [`Timer::Agent`].
    pub(super) fn agent_is_due(&mut self, now: Instant) {
        if let Phase::Creating { .. } = self.phase {
            let message = "the agent did not become healthy in time";
            self.end(spawn_failed(ErrorCode::SpawnTimeout, message), now);
        } else {
            self.commands.push_back(Command::SignOfLife);
        }
    }

    /// Writes down the step of the start that is over.
    fn end_step(&mut self, now: Instant) {
        if let Phase::Creating { step: Some((step, since)) } = self.phase {
            self.journal(JournalEntry::Step(step, now.saturating_duration_since(since)));
        }
    }
}
