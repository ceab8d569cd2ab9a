//! The shell of one agent's lifecycle: carries out the actions that `mayfly_session::lifecycle` decides on, and reports
//! their outcomes. A session's driver and the warm pool use the same runner.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use mayfly_platform::{AgentHandle, Lifetime, PlatformError, SpawnError, SpawnSpec};
use mayfly_protocol::agent::{BindRequest, Health};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{Incarnation, SessionId};
use mayfly_session::lifecycle::{LifecycleAction, LifecycleEvent, Source};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use crate::agents::Agents;
use crate::agents::client::{CallError, call};
use crate::agents::reaper;
use crate::agents::spawns::Start;
use crate::limits::{AGENT_DEADLINE_MARGIN, POOL_AGE_MAX};
use crate::ops::journal::Claim;

/// An action under way. It resolves once.
pub(crate) type Job = Pin<Box<dyn Future<Output = Report> + Send>>;

/// The outcome of a job, for [`AgentRunner::accept`].
pub(crate) enum Report {
    /// No permit is free; another report follows.
    Queued,
    /// A warm agent was taken from the pool.
    Warm(AgentHandle),
    /// A permit to start an agent is there.
    Permit(Start),
    /// The start was cancelled before it began.
    NotStarted,
    /// The platform started the agent, or failed to.
    Spawned(Incarnation, Result<AgentHandle, SpawnError>),
    /// The warm agent now belongs to the session.
    Claimed,
    /// The warm agent cannot be used; it went back to the pool, to be stopped.
    ClaimFailed,
    /// The agent is healthy, and says this about itself.
    Healthy(Option<Health>),
    /// The agent answered a sign of life.
    Alive,
    /// The agent did not answer a sign of life.
    Silent,
    /// Nothing of the agent is left.
    Gone,
    /// The runner no longer owns the agent.
    Released,
}

/// The purpose that an agent is started for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// A session of this owner.
    Session {
        /// The session.
        session: SessionId,
        /// The person that the session belongs to, if known.
        owner: Option<Arc<str>>,
    },
    /// The warm pool, under this name.
    Pool(Incarnation),
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { session, .. } => write!(f, "session {session}"),
            Self::Pool(incarnation) => write!(f, "pool agent {incarnation}"),
        }
    }
}

/// Carries out the actions of one agent's lifecycle.
pub(crate) struct AgentRunner {
    agents: Arc<Agents>,
    purpose: Purpose,
    handle: Option<AgentHandle>,
    /// The permit to start, until the agent is being probed.
    start: Option<Start>,
    /// `true` while an agent that was taken from the pool is not yet the session's.
    is_unclaimed: bool,
    /// Cancelled when a pending start is no longer wanted.
    cancelled: CancellationToken,
    /// Cancelled when the runner is dropped: its jobs then end.
    released: CancellationToken,
    _release: DropGuard,
}

/// Reason why a warm agent does not become a session's.
#[derive(Debug, thiserror::Error)]
enum ClaimError {
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Agent(#[from] CallError),
}

impl AgentRunner {
    /// Creates a runner for an agent that does not exist yet.
    pub(crate) fn new(agents: &Arc<Agents>, purpose: Purpose) -> Self {
        let released = CancellationToken::new();
        Self {
            agents: Arc::clone(agents),
            purpose,
            handle: None,
            start: None,
            is_unclaimed: false,
            cancelled: CancellationToken::new(),
            _release: released.clone().drop_guard(),
            released,
        }
    }

    /// Creates a runner for an agent that exists. The caller passes [`AgentRunner::watch`] to its jobs.
    pub(crate) fn with_handle(agents: &Arc<Agents>, purpose: Purpose, handle: AgentHandle) -> Self {
        Self { handle: Some(handle), ..Self::new(agents, purpose) }
    }

    /// Returns the agent, once there is one.
    pub(crate) fn handle(&self) -> Option<&AgentHandle> {
        self.handle.as_ref()
    }

    /// Returns a job that reports the end of the agent.
    pub(crate) fn watch(&self) -> Option<Job> {
        let gone = self.handle.as_ref()?.gone.clone();
        Some(self.until_released(async move {
            gone.cancelled().await;
            Report::Gone
        }))
    }

    /// Begins an action and returns its jobs.
    pub(crate) fn perform(&mut self, action: LifecycleAction) -> Vec<Job> {
        match (action, self.handle.clone()) {
            (LifecycleAction::Acquire, _) => match self.agents.pool.take() {
                Some(agent) => vec![Box::pin(ready(Report::Warm(agent)))],
                None => self.acquire_permit(),
            },
            (LifecycleAction::AcquirePermit, _) => self.acquire_permit(),
            (LifecycleAction::Spawn, _) => vec![self.spawn()],
            (LifecycleAction::Cancel, _) => {
                self.cancelled.cancel();
                vec![]
            }
            (LifecycleAction::Claim, Some(agent)) => vec![self.claim(agent)],
            (LifecycleAction::Probe, Some(agent)) => {
                let probe = self.probe(agent);
                [Some(probe), self.watch()].into_iter().flatten().collect()
            }
            (LifecycleAction::SignOfLife, Some(agent)) => vec![self.until_released(sign_of_life(agent))],
            (LifecycleAction::Stop, Some(agent)) => {
                // A stop may take long. The start that it ends no longer counts.
                self.start = None;
                let stopped = reaper::stop(Arc::clone(&self.agents), agent);
                vec![Box::pin(stopped.map(|()| Report::Gone))]
            }
            (
                LifecycleAction::Claim
                | LifecycleAction::Probe
                | LifecycleAction::SignOfLife
                | LifecycleAction::Stop,
                None,
            ) => {
                warn!(purpose = %self.purpose, "agent action skipped: there is no agent");
                vec![]
            }
        }
    }

    /// Accepts the outcome of a job and returns the event for the lifecycle.
    pub(crate) fn accept(&mut self, report: Report) -> Option<LifecycleEvent> {
        Some(match report {
            Report::Queued => LifecycleEvent::Queued,
            Report::Warm(agent) => {
                self.handle = Some(agent);
                self.is_unclaimed = true;
                LifecycleEvent::Acquired(Source::Warm)
            }
            Report::Permit(start) => {
                self.start = Some(start);
                LifecycleEvent::Acquired(Source::Permit)
            }
            Report::NotStarted => failed(ErrorCode::SpawnFailed, "the start of the agent was cancelled"),
            Report::Spawned(_, Ok(agent)) => {
                self.handle = Some(agent);
                LifecycleEvent::Spawned
            }
            Report::Spawned(incarnation, Err(error)) => {
                self.start = None;
                let code = error.code();
                warn!(%incarnation, %code, %error, "agent start failed");
                failed(code, "the agent could not be started")
            }
            Report::Claimed => {
                self.is_unclaimed = false;
                LifecycleEvent::Claimed
            }
            Report::ClaimFailed => {
                self.is_unclaimed = false;
                self.handle = None;
                LifecycleEvent::ClaimFailed
            }
            Report::Healthy(_) => LifecycleEvent::Healthy,
            Report::Alive => LifecycleEvent::Alive,
            Report::Silent => LifecycleEvent::Silent,
            Report::Gone => {
                // The journal still has the agent as one of the pool.
                if let Some(agent) = self.handle.as_ref().filter(|_| self.is_unclaimed) {
                    self.agents.ops.journal.agent_is_gone(agent.incarnation);
                }
                LifecycleEvent::Gone
            }
            Report::Released => return None,
        })
    }

    fn acquire_permit(&self) -> Vec<Job> {
        if let Some(start) = self.agents.spawns.try_begin() {
            return vec![Box::pin(ready(Report::Permit(start)))];
        }
        let (agents, cancelled) = (Arc::clone(&self.agents), self.cancelled.clone());
        let wait = async move {
            let start = cancelled.run_until_cancelled(agents.spawns.begin()).await;
            start.flatten().map_or(Report::NotStarted, Report::Permit)
        };
        vec![Box::pin(ready(Report::Queued)), Box::pin(wait)]
    }

    fn spawn(&self) -> Job {
        let (agents, cancelled) = (Arc::clone(&self.agents), self.cancelled.clone());
        let (spec, claim) = self.spec();
        Box::pin(async move {
            let incarnation = spec.incarnation;
            agents.ops.journal.intend(incarnation, claim.clone()).await;
            let spawned = match cancelled.is_cancelled() {
                true => None,
                false => Some(agents.platform.spawn(spec).await),
            };
            if claim.is_none() && !matches!(spawned, Some(Ok(_))) {
                agents.ops.journal.agent_is_gone(incarnation);
            }
            spawned.map_or(Report::NotStarted, |spawned| Report::Spawned(incarnation, spawned))
        })
    }

    /// Returns the spawn spec and, for a session's agent, its journal claim.
    fn spec(&self) -> (SpawnSpec, Option<Claim>) {
        let (incarnation, session, owner) = match &self.purpose {
            Purpose::Session { session, owner } => (Incarnation::random(), Some(*session), owner.as_deref()),
            Purpose::Pool(incarnation) => (*incarnation, None, None),
        };
        let owner = owner.map(str::to_owned);
        let claim = session.map(|session| Claim { session, owner: owner.clone() });
        let spec = SpawnSpec {
            session,
            owner,
            incarnation,
            token: self.agents.secret.agent_token(incarnation),
            deadline: self.deadline(),
            env: self.agents.settings.env.clone(),
        };
        (spec, claim)
    }

    /// Returns the time at which the agent exits by itself at the latest.
    fn deadline(&self) -> SystemTime {
        let life = match self.purpose {
            Purpose::Session { .. } => self.agents.settings.session_max_ttl,
            Purpose::Pool(_) => POOL_AGE_MAX + self.agents.settings.spawn_timeout,
        };
        SystemTime::now() + life + AGENT_DEADLINE_MARGIN
    }

    /// Returns the bind request for an agent that was started without this session.
    fn binding(&self) -> Option<BindRequest> {
        let Purpose::Session { session, owner } = &self.purpose else { return None };
        let deadline = self.deadline().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let owner = owner.as_deref().map(str::to_owned);
        Some(BindRequest { session_id: *session, deadline, owner, env: BTreeMap::new() })
    }

    fn claim(&self, agent: AgentHandle) -> Job {
        let (agents, binding) = (Arc::clone(&self.agents), self.binding());
        Box::pin(async move {
            let Some(binding) = binding else { return Report::ClaimFailed };
            let Err(error) = claim(&agents, &agent, &binding).await else { return Report::Claimed };
            let (incarnation, session) = (agent.incarnation, binding.session_id);
            warn!(%incarnation, %session, %error, "warm agent claim failed");
            if matches!(&error, ClaimError::Agent(error) if error.is_unsupported()) {
                warn!("warm pool disabled: agents of this version do not accept POST /bind; see --pool-size");
                agents.pool.give_up();
            }
            agents.pool.discard(agent);
            Report::ClaimFailed
        })
    }

    /// Asks for the agent's health until it is healthy. The permit to start is held until then, or until the start no
    /// longer counts.
    fn probe(&mut self, agent: AgentHandle) -> Job {
        let (platform, binding) = (Arc::clone(&self.agents.platform), self.binding());
        let probe = async move {
            let Some(health) = call::until_healthy(agent.clone()).await else { return Report::Released };
            let is_unbound = health.as_ref().is_some_and(|health| health.session_id.is_none());
            if let Some(binding) = binding.filter(|_| is_unbound && platform.lifetime() == Lifetime::Fixed) {
                // An agent that serves many sessions does not know this call.
                if let Err(error) = call::bind(&agent, &binding).await {
                    debug!(incarnation = %agent.incarnation, %error, "static agent not bound");
                }
            }
            Report::Healthy(health)
        };
        match self.start.take() {
            Some(start) => self.until_released(start.lasts(probe)),
            None => self.until_released(probe),
        }
    }

    fn until_released(&self, job: impl Future<Output = Report> + Send + 'static) -> Job {
        let released = self.released.clone();
        Box::pin(async move { released.run_until_cancelled_owned(job).await.unwrap_or(Report::Released) })
    }
}

fn failed(code: ErrorCode, message: &str) -> LifecycleEvent {
    LifecycleEvent::Failed { code, message: message.to_owned() }
}

/// Writes the claim down before the agent is told, so that the next hub knows the agent's session.
async fn claim(agents: &Agents, agent: &AgentHandle, binding: &BindRequest) -> Result<(), ClaimError> {
    let claim = Claim { session: binding.session_id, owner: binding.owner.clone() };
    agents.ops.journal.claim(agent.incarnation, claim).await;
    agents.platform.claim(agent, binding.session_id).await?;
    call::bind(agent, binding).await?;
    info!(incarnation = %agent.incarnation, session = %binding.session_id, "warm agent claimed");
    Ok(())
}

async fn sign_of_life(agent: AgentHandle) -> Report {
    match call::health(&agent).await {
        Ok(_) => Report::Alive,
        Err(error) => {
            warn!(incarnation = %agent.incarnation, %error, "agent sign of life missed");
            Report::Silent
        }
    }
}
