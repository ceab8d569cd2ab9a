//! How a session gets an agent: a warm one that becomes its own (`claim.rs`), or one that is started when it is its turn.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mayfly_protocol::hub::Step;
use mayfly_protocol::ids::Incarnation;
use mayfly_session::PlatformEvent;

use crate::agents::spawns::Start;
use crate::limits::AGENT_DEADLINE_MARGIN;
use crate::ops::journal::Claim;
use crate::platform::SpawnSpec;
use crate::sessions::driver::{Driver, Outcome};

impl Driver {
    /// A warm agent, or else a new one.
    pub(super) fn find_agent(&mut self) {
        match self.sessions.agents.pool.take() {
            Some(agent) => self.claim(agent),
            None => self.find_start(),
        }
    }

    /// Starts an agent, at once or when it is its turn.
    pub(super) fn find_start(&mut self) {
        if let Some(start) = self.sessions.agents.spawns.try_begin() {
            return self.spawn(start);
        }
        self.session.handle_platform(PlatformEvent::Step(Step::Queued), Instant::now());
        let (sessions, stop_due) = (Arc::clone(&self.sessions), self.stop_due.clone());
        self.jobs.push(Box::pin(async move {
            let start = stop_due.run_until_cancelled(sessions.agents.spawns.begin()).await;
            start.flatten().map_or(Outcome::NotSpawned, Outcome::Begins)
        }));
    }

    pub(super) fn spawn(&mut self, start: Start) {
        let incarnation = Incarnation::random();
        let spec = SpawnSpec {
            session: Some(self.session.id()),
            owner: self.place.owner().map(str::to_owned),
            incarnation,
            token: self.sessions.secret.agent_token(incarnation),
            deadline: self.agent_deadline(),
            env: self.sessions.agents.settings.env.clone(),
        };
        let sessions = Arc::clone(&self.sessions);
        let claim = Claim { session: self.session.id(), owner: spec.owner.clone() };
        let stop_due = self.stop_due.clone();
        self.session.handle_platform(PlatformEvent::Step(Step::Starting), Instant::now());
        self.jobs.push(Box::pin(async move {
            sessions.ops.journal.intend(incarnation, Some(claim)).await;
            if stop_due.is_cancelled() {
                return Outcome::NotSpawned;
            }
            Outcome::Spawned(sessions.agents.platform.spawn(spec).await, start)
        }));
    }

    pub(super) fn agent_deadline(&self) -> SystemTime {
        SystemTime::now() + self.sessions.settings.max_ttl + AGENT_DEADLINE_MARGIN
    }
}
