//! The lifecycle of one agent: from the request for it until nothing of it is left. It is pure, and the same machine
//! serves a session's agent and an agent of the warm pool.
//!
//! ```text
//!                Acquired(Warm)            Claimed
//!   acquiring ------------------> claiming ---------------------------+
//!     |  ^  |                        | Failed: asks for a permit      v    2 missed signs of life, stop
//!     |  +--+ Queued                 v                              ready ------------+
//!     | Acquired(Permit)          acquiring                           ^               v        Gone
//!     +----------------> starting --Spawned--> probing --Healthy------+           stopping ----------> gone
//!                           |                     |                                   ^
//!                           | Failed: gone        | spawn timeout, stop               |
//!                           |                     +-----------------------------------+
//!                           | spawn timeout, stop
//!                           v
//!                       abandoned: stopped as soon as the outcome of the pending action is known
//! ```
//!
//! | state | meaning |
//! |---|---|
//! | acquiring | asks for a warm agent or for a permit to start one; may wait in a queue |
//! | claiming | a warm agent is being bound to its session |
//! | starting | the platform is starting the agent |
//! | probing | the agent runs and is not yet healthy |
//! | ready | the agent is healthy; it is asked for a sign of life at an interval |
//! | abandoned | the start is no longer wanted, and its outcome is not known yet |
//! | stopping | the platform is stopping the agent |
//! | gone | nothing of the agent is left |
//!
//! The owner calls [`Lifecycle::handle`] with each outcome, [`Lifecycle::handle_timeout`] at the time that
//! [`Lifecycle::poll_timeout`] returns, and [`Lifecycle::stop`] when it no longer needs the agent. Each call returns an
//! [`Output`]: an action for the shell and a change for the owner.

use std::time::{Duration, Instant};

use mayfly_protocol::agent::SIGN_OF_LIFE_SECS;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Step;

use crate::limits::SIGN_OF_LIFE_MISSES;

const SIGN_OF_LIFE: Duration = Duration::from_secs(SIGN_OF_LIFE_SECS);

/// The state machine of one agent.
#[derive(Debug)]
pub struct Lifecycle {
    state: State,
    /// Time of the next timeout: the end of the spawn timeout, or the next sign of life.
    deadline: Option<Instant>,
    spawn_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Acquiring { is_queued: bool },
    Claiming,
    Starting,
    Probing,
    Ready { misses: u8 },
    Abandoned,
    Stopping,
    Gone,
}

/// Coarse state of an agent, for counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The agent is on its way to being ready.
    Starting,
    /// The agent is healthy.
    Ready,
    /// The agent is being stopped, or will be as soon as its start has an outcome.
    Stopping,
    /// Nothing of the agent is left.
    Gone,
}

/// A source from which an agent can be acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A warm agent that already runs.
    Warm,
    /// A permit to start a new agent.
    Permit,
}

/// An action for the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleAction {
    /// Take a warm agent, or else a permit to start one. Outcome: [`LifecycleEvent::Acquired`], with [`LifecycleEvent::Queued`]
    /// before it if there is no permit yet.
    Acquire,
    /// Take a permit to start an agent, and no warm one. Outcome: as for [`LifecycleAction::Acquire`].
    AcquirePermit,
    /// Bind the warm agent to its session. Outcome: [`LifecycleEvent::Claimed`] or [`LifecycleEvent::ClaimFailed`].
    Claim,
    /// Start an agent. Outcome: [`LifecycleEvent::Spawned`] or [`LifecycleEvent::Failed`].
    Spawn,
    /// Ask the agent for its health until it is healthy. Outcome: [`LifecycleEvent::Healthy`].
    Probe,
    /// Ask the agent for its health once. Outcome: [`LifecycleEvent::Alive`] or [`LifecycleEvent::Silent`].
    SignOfLife,
    /// Give up the pending acquire, claim or spawn if it has not begun. Outcome: that of the pending action, or
    /// [`LifecycleEvent::Failed`] if nothing was begun.
    Cancel,
    /// Stop the agent, and try again until it is gone. Outcome: [`LifecycleEvent::Gone`].
    Stop,
}

/// The outcome of an action, or news about the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// The start waits for a permit.
    Queued,
    /// A warm agent or a permit was acquired.
    Acquired(Source),
    /// The warm agent now belongs to the session.
    Claimed,
    /// The warm agent cannot be used; somebody else stops it.
    ClaimFailed,
    /// The platform started the agent; from now on [`LifecycleEvent::Gone`] is reported.
    Spawned,
    /// The agent was not started, and nothing of it is left.
    Failed {
        /// Code for the client.
        code: ErrorCode,
        /// Text for the client.
        message: String,
    },
    /// The agent is healthy for the first time.
    Healthy,
    /// The agent answered the question for its health.
    Alive,
    /// The agent did not answer the question for its health.
    Silent,
    /// The platform reports that nothing of the agent is left.
    Gone,
}

/// A change that the owner of the agent has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleChange {
    /// The start entered this step.
    Step(Step),
    /// The agent is ready.
    Ready,
    /// The agent did not become ready.
    Failed {
        /// Code for the client.
        code: ErrorCode,
        /// Text for the client.
        message: String,
        /// [`Stage::Gone`], or [`Stage::Stopping`] if [`LifecycleChange::Gone`] follows.
        stage: Stage,
    },
    /// A ready agent ended or stopped answering.
    Lost {
        /// Code for the client.
        code: ErrorCode,
        /// Text for the client.
        message: String,
        /// [`Stage::Gone`], or [`Stage::Stopping`] if [`LifecycleChange::Gone`] follows.
        stage: Stage,
    },
    /// Nothing of an agent is left that was being stopped.
    Gone,
}

/// The result of a call.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[must_use = "the action has to be carried out"]
pub struct Output {
    /// Action for the shell.
    pub action: Option<LifecycleAction>,
    /// Change for the owner.
    pub change: Option<LifecycleChange>,
}

impl Lifecycle {
    /// Requests an agent that belongs to a session: a warm one if there is one. `Output` holds the first action.
    pub fn for_session(spawn_timeout: Duration, now: Instant) -> (Self, Output) {
        (Self::acquiring(spawn_timeout, now), Output::action(LifecycleAction::Acquire))
    }

    /// Requests an agent for the warm pool. `Output` holds the first action.
    ///
    /// Nobody waits for the agent, so its wait for a permit has no timeout.
    pub fn for_pool(spawn_timeout: Duration) -> (Self, Output) {
        let state = State::Acquiring { is_queued: true };
        let lifecycle = Self { state, deadline: None, spawn_timeout };
        (lifecycle, Output::action(LifecycleAction::AcquirePermit))
    }

    /// Takes over an agent that another hub started, and probes it. `Output` holds the first action.
    pub fn adopted(spawn_timeout: Duration, now: Instant) -> (Self, Output) {
        let lifecycle = Self { state: State::Probing, ..Self::acquiring(spawn_timeout, now) };
        (lifecycle, Output::action(LifecycleAction::Probe))
    }

    /// Takes over an agent that is known to be healthy.
    pub fn ready(spawn_timeout: Duration, now: Instant) -> Self {
        let mut lifecycle = Self::acquiring(spawn_timeout, now);
        let _ = lifecycle.become_ready(now);
        lifecycle
    }

    /// Takes over an agent that is to be stopped. `Output` holds the first action.
    pub fn unwanted(spawn_timeout: Duration, now: Instant) -> (Self, Output) {
        let mut lifecycle = Self { state: State::Probing, ..Self::acquiring(spawn_timeout, now) };
        let output = lifecycle.stop();
        (lifecycle, output)
    }

    fn acquiring(spawn_timeout: Duration, now: Instant) -> Self {
        let deadline = Some(now + spawn_timeout);
        Self { state: State::Acquiring { is_queued: false }, deadline, spawn_timeout }
    }

    /// Returns the coarse state.
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Acquiring { .. } | State::Claiming | State::Starting | State::Probing => Stage::Starting,
            State::Ready { .. } => Stage::Ready,
            State::Abandoned | State::Stopping => Stage::Stopping,
            State::Gone => Stage::Gone,
        }
    }

    /// Returns the time at which [`Lifecycle::handle_timeout`] has to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Handles the outcome of an action, or news about the agent. An outcome that no longer matters is ignored.
    pub fn handle(&mut self, event: LifecycleEvent, now: Instant) -> Output {
        match (self.state, event) {
            (State::Acquiring { .. }, LifecycleEvent::Queued) => {
                self.state = State::Acquiring { is_queued: true };
                Output::step(Step::Queued)
            }
            (State::Acquiring { .. }, LifecycleEvent::Acquired(Source::Warm)) => {
                self.state = State::Claiming;
                Output::step(Step::Claiming).with(LifecycleAction::Claim)
            }
            (State::Acquiring { is_queued }, LifecycleEvent::Acquired(Source::Permit)) => {
                if is_queued {
                    // Time in the queue does not count against the agent's own start.
                    self.deadline = Some(now + self.spawn_timeout);
                }
                self.state = State::Starting;
                Output::step(Step::Starting).with(LifecycleAction::Spawn)
            }
            (State::Claiming, LifecycleEvent::Claimed) => self.become_ready(now),
            (State::Claiming, LifecycleEvent::ClaimFailed) => {
                self.state = State::Acquiring { is_queued: false };
                Output::action(LifecycleAction::AcquirePermit)
            }
            (State::Starting, LifecycleEvent::Spawned) => {
                self.state = State::Probing;
                Output::step(Step::Probing).with(LifecycleAction::Probe)
            }
            (State::Acquiring { .. } | State::Starting, LifecycleEvent::Failed { code, message }) => {
                self.enter(State::Gone);
                Output::change(LifecycleChange::Failed { code, message, stage: Stage::Gone })
            }
            (State::Probing, LifecycleEvent::Healthy) => self.become_ready(now),
            (State::Probing, LifecycleEvent::Gone) => {
                self.enter(State::Gone);
                let message = "the agent ended before it was ready".to_owned();
                Output::change(LifecycleChange::Failed {
                    code: ErrorCode::SpawnFailed,
                    message,
                    stage: Stage::Gone,
                })
            }
            (State::Ready { .. }, LifecycleEvent::Alive) => self.wait_for_sign_of_life(0, now),
            (State::Ready { misses }, LifecycleEvent::Silent) => self.miss_sign_of_life(misses + 1, now),
            (State::Ready { .. }, LifecycleEvent::Gone) => {
                self.enter(State::Gone);
                let message = "the agent ended unexpectedly".to_owned();
                Output::change(LifecycleChange::Lost {
                    code: ErrorCode::AgentCrashed,
                    message,
                    stage: Stage::Gone,
                })
            }
            (
                State::Abandoned,
                LifecycleEvent::Acquired(Source::Warm) | LifecycleEvent::Spawned | LifecycleEvent::Claimed,
            ) => {
                self.enter(State::Stopping);
                Output::action(LifecycleAction::Stop)
            }
            (
                State::Abandoned,
                LifecycleEvent::Acquired(Source::Permit)
                | LifecycleEvent::ClaimFailed
                | LifecycleEvent::Failed { .. }
                | LifecycleEvent::Gone,
            )
            | (State::Stopping, LifecycleEvent::Gone) => {
                self.enter(State::Gone);
                Output::change(LifecycleChange::Gone)
            }
            (
                State::Acquiring { .. }
                | State::Claiming
                | State::Starting
                | State::Probing
                | State::Ready { .. }
                | State::Abandoned
                | State::Stopping
                | State::Gone,
                _,
            ) => Output::default(),
        }
    }

    /// Handles the time that [`Lifecycle::poll_timeout`] returned. A call that is early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) -> Output {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Output::default();
        }
        self.deadline = None;
        match self.state {
            State::Acquiring { .. } | State::Claiming | State::Starting | State::Probing => {
                let message = "the agent did not become healthy in time".to_owned();
                let change = LifecycleChange::Failed {
                    code: ErrorCode::SpawnTimeout,
                    message,
                    stage: Stage::Stopping,
                };
                Output { change: Some(change), ..self.stop() }
            }
            State::Ready { .. } => Output::action(LifecycleAction::SignOfLife),
            State::Abandoned | State::Stopping | State::Gone => Output::default(),
        }
    }

    /// Stops the agent, whatever its state. Ignored if it is already being stopped or gone.
    pub fn stop(&mut self) -> Output {
        match self.state {
            State::Acquiring { .. } | State::Claiming | State::Starting => {
                self.enter(State::Abandoned);
                Output::action(LifecycleAction::Cancel)
            }
            State::Probing | State::Ready { .. } => {
                self.enter(State::Stopping);
                Output::action(LifecycleAction::Stop)
            }
            State::Abandoned | State::Stopping | State::Gone => Output::default(),
        }
    }

    /// Enters a state without a timeout.
    fn enter(&mut self, state: State) {
        (self.state, self.deadline) = (state, None);
    }

    fn become_ready(&mut self, now: Instant) -> Output {
        Output { change: Some(LifecycleChange::Ready), ..self.wait_for_sign_of_life(0, now) }
    }

    fn wait_for_sign_of_life(&mut self, misses: u8, now: Instant) -> Output {
        (self.state, self.deadline) = (State::Ready { misses }, Some(now + SIGN_OF_LIFE));
        Output::default()
    }

    fn miss_sign_of_life(&mut self, misses: u8, now: Instant) -> Output {
        if misses < SIGN_OF_LIFE_MISSES {
            return self.wait_for_sign_of_life(misses, now);
        }
        let message = "the agent does not answer".to_owned();
        let change =
            LifecycleChange::Lost { code: ErrorCode::AgentUnreachable, message, stage: Stage::Stopping };
        Output { change: Some(change), ..self.stop() }
    }
}

impl Output {
    fn action(action: LifecycleAction) -> Self {
        Self { action: Some(action), change: None }
    }

    fn change(change: LifecycleChange) -> Self {
        Self { action: None, change: Some(change) }
    }

    fn step(step: Step) -> Self {
        Self::change(LifecycleChange::Step(step))
    }

    fn with(self, action: LifecycleAction) -> Self {
        Self { action: Some(action), ..self }
    }
}
