//! A session's agent: its lifecycle, which decides, and its runner, which acts.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use mayfly_platform::AgentHandle;
use mayfly_session::lifecycle::{Lifecycle, LifecycleChange, Output};
use tracing::info;

use crate::agents::Agents;
use crate::agents::lifecycle::{AgentRunner, Job, Purpose, Report};
use crate::sessions::driver::{Driver, Outcome};

/// The agent of one session.
pub(super) struct Agent {
    pub(super) lifecycle: Lifecycle,
    runner: AgentRunner,
}

impl Agent {
    /// Returns the agent, once there is one.
    pub(super) fn handle(&self) -> Option<&AgentHandle> {
        self.runner.handle()
    }
}

impl Driver {
    /// Requests an agent: a warm one if there is one, else a new one.
    pub(super) fn begin_agent(&mut self) {
        let agents = Arc::clone(&self.sessions.agents);
        let runner = AgentRunner::new(&agents, self.purpose());
        let (lifecycle, first) = Lifecycle::for_session(agents.settings.spawn_timeout, Instant::now());
        self.agent = Some(Agent { lifecycle, runner });
        self.apply(first);
    }

    /// Takes over a ready agent of another hub's session.
    pub(super) fn adopt_agent(&mut self, agents: &Arc<Agents>, handle: AgentHandle) {
        let runner = AgentRunner::with_handle(agents, self.purpose(), handle);
        self.push(runner.watch());
        let lifecycle = Lifecycle::ready(agents.settings.spawn_timeout, Instant::now());
        self.agent = Some(Agent { lifecycle, runner });
    }

    /// Handles the outcome of one of the agent's jobs.
    pub(super) fn accept(&mut self, report: Report) {
        let Some(agent) = &mut self.agent else { return };
        let is_claimed = matches!(report, Report::Claimed);
        let Some(event) = agent.runner.accept(report) else { return };
        let watch = agent.runner.watch().filter(|_| is_claimed);
        let output = agent.lifecycle.handle(event, Instant::now());
        self.push(watch);
        self.apply(output);
    }

    /// Handles the agent's timeout, if it is time.
    pub(super) fn handle_agent_timeout(&mut self, now: Instant) {
        if let Some(agent) = &mut self.agent {
            let output = agent.lifecycle.handle_timeout(now);
            self.apply(output);
        }
    }

    /// Stops the agent, whatever its state.
    pub(super) fn stop_agent(&mut self) {
        if let Some(agent) = &mut self.agent {
            let output = agent.lifecycle.stop();
            self.apply(output);
        }
    }

    fn purpose(&self) -> Purpose {
        Purpose::Session { session: self.session.id(), owner: self.place.shared_owner() }
    }

    fn apply(&mut self, Output { action, change }: Output) {
        if let Some((action, agent)) = action.zip(self.agent.as_mut()) {
            let jobs = agent.runner.perform(action);
            self.push(jobs);
        }
        let Some(change) = change else { return };
        if change == LifecycleChange::Ready {
            info!(session = %self.session.id(), "agent ready");
        }
        self.session.handle_lifecycle(change, Instant::now());
    }

    fn push(&self, jobs: impl IntoIterator<Item = Job>) {
        jobs.into_iter().for_each(|job| self.jobs.push(Box::pin(job.map(Outcome::Agent))));
    }
}
