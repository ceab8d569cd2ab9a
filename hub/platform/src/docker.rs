//! Platform `docker`: an agent is a container, with a Unix socket in a directory that it shares with the hub.
//!
//! ```text
//!   spawn --> spec.rs: name, labels, limits --> the engine: engine.rs
//!     |                                            |
//!     +--> container.rs: a task for each <-- watch.rs: events, lists
//! ```
//!
//! The engine's list of containers is the truth about what runs; this module keeps only what it takes to end a container.
//! Containers outlive the hub, and the next hub finds them by their labels. The hub never pulls an image.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerStatsResponse, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RenameContainerOptionsBuilder,
    StatsOptionsBuilder,
};
use futures::StreamExt;
use mayfly_protocol::ids::{Incarnation, SessionId};
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::docker::container::{Container, STOP_TIMEOUT, Signals};
use crate::docker::engine::{EngineError, Users};
use crate::docker::spec::{LABEL_CLUSTER, ListedContainer};
use crate::limits::ENGINE_STARTS_AT_ONCE;
use crate::run_dir::RunDir;
use crate::settings::{AgentEnv, DockerNetwork, DockerSettings};
use crate::{
    AgentAddress, AgentHandle, AgentStats, Lifetime, ListedAgent, Platform, PlatformError, SpawnError,
    SpawnSpec,
};
use mayfly_egress::{AgentUid, Egress, Gate};

pub use engine::DockerError;

mod container;
mod engine;
mod spec;
mod watch;

/// The platform of containers of a local engine.
pub struct DockerPlatform {
    shared: Arc<Shared>,
}

/// State that the platform shares with its tasks.
struct Shared {
    docker: Docker,
    settings: DockerSettings,
    cluster: String,
    users: Users,
    run_dir: RunDir,
    egress: Option<Arc<Egress>>,
    agents: Mutex<HashMap<Incarnation, Running>>,
    starts: Semaphore,
}

/// An agent that is starting or running.
struct Running {
    listed: ListedAgent,
    signals: Signals,
    /// The container's id, after its start.
    id: Option<String>,
}

impl DockerPlatform {
    /// Connects to the engine that `settings` name. The agents' sockets are below `data_dir`; directories there that belong
    /// to no container of this `cluster` are removed. With `egress`, agents have that egress proxy.
    ///
    /// # Errors
    /// Returns [`DockerError`] if the engine or the data directory cannot be used.
    pub async fn open(
        settings: DockerSettings,
        data_dir: &Path,
        cluster: String,
        egress: Option<Arc<Egress>>,
    ) -> Result<Self, DockerError> {
        let run_dir = RunDir::open(data_dir)?;
        let (docker, users) = engine::connect(&settings).await?;
        let (agents, starts) = (Mutex::default(), Semaphore::new(ENGINE_STARTS_AT_ONCE));
        let shared = Arc::new(Shared { docker, settings, cluster, users, run_dir, egress, agents, starts });
        let unreachable = |error: EngineError| DockerError::Unreachable {
            host: shared.settings.host.clone(),
            cause: error.to_string(),
        };
        let listed = shared.listed().await.map_err(unreachable)?;
        let kept: HashSet<_> = listed.iter().map(|listed| listed.incarnation).collect();
        shared.run_dir.clear(&kept)?;
        if shared.settings.network == DockerNetwork::Bridge {
            shared.make_network().await.map_err(unreachable)?;
        }
        tokio::spawn(watch::follow_events(Arc::downgrade(&shared)));
        tokio::spawn(watch::check_directories(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }
}

#[async_trait]
impl Platform for DockerPlatform {
    fn lifetime(&self) -> Lifetime {
        Lifetime::Own
    }

    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        // A task of its own, so that a start is completed or undone even if the caller drops this future.
        let started = tokio::spawn(Arc::clone(&self.shared).start(spec));
        started.await.unwrap_or(Err(SpawnError::ShuttingDown))
    }

    async fn claim(&self, agent: &AgentHandle, session: SessionId) -> Result<(), PlatformError> {
        let id = self.shared.agents().get(&agent.incarnation).and_then(|running| running.id.clone());
        let id = id.ok_or(PlatformError::Gone)?;
        let name = spec::name(&self.shared.cluster, agent.incarnation, Some(session));
        let options = RenameContainerOptionsBuilder::new().name(&name).build();
        let renamed = self.shared.docker.rename_container(&id, options).await;
        renamed.map_err(|error| unavailable(error.into()))?;
        let mut agents = self.shared.agents();
        let running = agents.get_mut(&agent.incarnation).ok_or(PlatformError::Gone)?;
        running.listed.session = Some(session);
        Ok(())
    }

    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError> {
        let running = |running: &Running| (running.listed.gone.clone(), running.signals.stop.clone());
        let Some((gone, stop)) = self.shared.agents().get(&agent.incarnation).map(running) else {
            return Ok(false);
        };
        let is_first = !stop.is_cancelled();
        stop.cancel();
        match timeout(STOP_TIMEOUT, gone.cancelled()).await {
            Ok(()) => Ok(is_first),
            Err(_) => Err(unavailable(EngineError::Gone("the container has not ended in time".to_owned()))),
        }
    }

    async fn list(&self) -> Result<Vec<ListedAgent>, PlatformError> {
        for listed in self.shared.listed().await.map_err(unavailable)? {
            if !self.shared.agents().contains_key(&listed.incarnation) {
                self.shared.adopt(listed).await.map_err(unavailable)?;
            }
        }
        let agents = self.shared.agents();
        let alive = agents.values().filter(|running| !running.signals.died.is_cancelled());
        Ok(alive.map(|running| running.listed.clone()).collect())
    }

    async fn stats(&self, agent: &AgentHandle) -> Option<AgentStats> {
        let id = self.shared.agents().get(&agent.incarnation)?.id.clone()?;
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = Box::pin(self.shared.docker.stats(&id, Some(options)));
        Some(AgentStats { memory_bytes: memory_bytes(&stats.next().await?.ok()?)? })
    }

    /// Returns a digest of the image's id, the settings and the variables.
    async fn version(&self, env: &AgentEnv) -> String {
        self.shared.version(env).await
    }
}

impl Shared {
    fn agents(&self) -> MutexGuard<'_, HashMap<Incarnation, Running>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(self: Arc<Self>, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        let agent = spec.incarnation;
        let directory = self.run_dir.make(agent, self.other_uid())?;
        let gate = self.open_gate(directory.path(), agent).map_err(SpawnError::Egress)?;
        let (signals, gone) = (Signals::default(), CancellationToken::new());
        let listed = self.listed_agent(directory.socket(), agent, spec.session, SystemTime::now(), gone);
        let handle = listed.handle(spec.token.clone());
        self.agents().insert(agent, Running { listed, signals: signals.clone(), id: None });
        let started = self.create_and_start(&spec).await;
        let id = started.inspect_err(|_| self.forget(agent))?;
        if let Some(running) = self.agents().get_mut(&agent) {
            running.id = Some(id.clone());
        }
        let container = Container { agent, id, signals, directory: directory.lasting(), gate };
        tokio::spawn(container.run(Arc::clone(&self)));
        Ok(handle)
    }

    async fn create_and_start(&self, spec: &SpawnSpec) -> Result<String, SpawnError> {
        let _permit = self.starts.acquire().await;
        let name = spec::name(&self.cluster, spec.incarnation, spec.session);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let directory = self.directory_on_engine(spec.incarnation);
        let has_egress = self.egress.is_some();
        // Only warm agents can become out of date.
        let version = if spec.session.is_none() { Some(self.version(&spec.env).await) } else { None };
        let user = self.users.inside;
        let body = spec::body(&self.settings, &self.cluster, spec, &directory, user, has_egress, version);
        let refused = |error| EngineError::from(error).spawning(&self.settings.image);
        let id = self.docker.create_container(Some(options), body).await.map_err(refused)?.id;
        let started = self.docker.start_container(&id, None).await;
        if started.is_err()
            && let Err(error) = self.remove_container(&id).await
        {
            warn!(incarnation = %spec.incarnation, %error, "container that failed to start not removed");
        }
        started.map_err(refused)?;
        Ok(id)
    }

    /// Takes over a container that an earlier hub has started.
    async fn adopt(self: &Arc<Self>, container: ListedContainer) -> Result<(), EngineError> {
        // The container may have been removed since the list was made.
        match self.docker.inspect_container(&container.id, None).await.map_err(EngineError::from) {
            Ok(_) => {}
            Err(EngineError::NoContainer) => return Ok(()),
            Err(error) => return Err(error),
        }
        let ListedContainer { id, incarnation: agent, session, created, version, is_alive, .. } = container;
        info!(incarnation = %agent, "container of an earlier hub found");
        let directory = self.run_dir.of(agent);
        let gate = self.open_gate(directory.path(), agent).unwrap_or_else(|error| {
            warn!(incarnation = %agent, %error, "egress socket not opened");
            None
        });
        let (signals, gone) = (Signals::default(), CancellationToken::new());
        if !is_alive {
            signals.died.cancel();
        }
        let socket = directory.socket();
        let listed = ListedAgent { version, ..self.listed_agent(socket, agent, session, created, gone) };
        let running = Running { listed, signals: signals.clone(), id: Some(id.clone()) };
        if self.agents().insert(agent, running).is_none() {
            let container = Container { agent, id, signals, directory, gate };
            tokio::spawn(container.run(Arc::clone(self)));
        }
        Ok(())
    }

    fn listed_agent(
        &self,
        socket: PathBuf,
        incarnation: Incarnation,
        session: Option<SessionId>,
        created: SystemTime,
        gone: CancellationToken,
    ) -> ListedAgent {
        let address = AgentAddress::Contained { socket, user: self.users.outside.user };
        ListedAgent { incarnation, address, gone, session, created, version: None }
    }

    fn open_gate(&self, directory: &Path, agent: Incarnation) -> std::io::Result<Option<Gate>> {
        let open = |egress: &Arc<Egress>| egress.open(directory, agent, self.other_uid());
        self.egress.as_ref().map(open).transpose()
    }

    /// Returns the agents' user id, if it is not this hub's.
    fn other_uid(&self) -> Option<AgentUid> {
        Some(self.users.outside).filter(|uid| uid.user != geteuid().as_raw())
    }

    /// Returns the path of an agent's directory on the engine's machine.
    fn directory_on_engine(&self, agent: Incarnation) -> PathBuf {
        let run_dir = self.settings.data_dir.as_ref().map(|data_dir| data_dir.join("run"));
        run_dir.as_deref().unwrap_or(self.run_dir.path()).join(agent.short())
    }

    async fn version(&self, env: &AgentEnv) -> String {
        let image = self.docker.inspect_image(&self.settings.image).await;
        let image = image.ok().and_then(|image| image.id).unwrap_or_default();
        let mut digest = Sha256::new();
        let (settings, users, has_egress) = (&self.settings, self.users, self.egress.is_some());
        digest.update(format!("{image} {settings:?} {users:?} {has_egress}"));
        for (name, value) in env.iter() {
            digest.update(format!("\0{name}={value}"));
        }
        hex::encode(digest.finalize())
    }

    /// Returns all containers of this cluster that share a directory with this hub, including those that have ended.
    async fn listed(&self) -> Result<Vec<ListedContainer>, EngineError> {
        let filters = spec::filter(&self.cluster);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await?.into_iter();
        let is_own =
            |listed: &ListedContainer| listed.directory == self.directory_on_engine(listed.incarnation);
        Ok(listed.filter_map(ListedContainer::read).filter(is_own).collect())
    }

    /// Makes a bridge for the agents of this cluster, on which they cannot reach each other.
    async fn make_network(&self) -> Result<(), EngineError> {
        let name = spec::network(&self.cluster);
        if self.docker.inspect_network(&name, None).await.is_ok() {
            return Ok(());
        }
        let map = |name: &str, value: &str| Some(HashMap::from([(name.to_owned(), value.to_owned())]));
        let request = NetworkCreateRequest {
            name,
            driver: Some("bridge".to_owned()),
            options: map("com.docker.network.bridge.enable_icc", "false"),
            labels: map(LABEL_CLUSTER, &self.cluster),
            ..Default::default()
        };
        self.docker.create_network(request).await?;
        Ok(())
    }

    /// Returns the agents whose containers have been started.
    fn started(&self) -> Vec<Incarnation> {
        let agents = self.agents();
        agents.iter().filter(|(_, running)| running.id.is_some()).map(|(agent, _)| *agent).collect()
    }

    /// Returns the agents with their directories.
    fn directories(&self) -> Vec<(Incarnation, PathBuf)> {
        self.agents().keys().map(|agent| (*agent, self.run_dir.path().join(agent.short()))).collect()
    }

    /// Signals that an agent's container has ended.
    fn died(&self, agent: Incarnation) {
        if let Some(running) = self.agents().get(&agent) {
            running.signals.died.cancel();
        }
    }

    /// Signals that an agent's directory is too large.
    fn overfull(&self, agent: Incarnation) {
        if let Some(running) = self.agents().get(&agent) {
            running.signals.overfull.cancel();
        }
    }

    /// Removes an agent that is gone.
    fn forget(&self, agent: Incarnation) {
        if let Some(running) = self.agents().remove(&agent) {
            running.listed.gone.cancel();
        }
    }
}

fn unavailable(error: EngineError) -> PlatformError {
    match error {
        EngineError::NoContainer => PlatformError::Gone,
        error @ (EngineError::Gone(_)
        | EngineError::NoImage
        | EngineError::NameTaken(_)
        | EngineError::DiskFull(_)
        | EngineError::Refused { .. }) => PlatformError::Unavailable(Box::new(error)),
    }
}

/// Returns a container's memory without the kernel's file cache, which has another name in each version of control groups.
fn memory_bytes(stats: &ContainerStatsResponse) -> Option<u64> {
    let memory = stats.memory_stats.as_ref()?;
    let detail = memory.stats.as_ref();
    let cached = detail.and_then(|stats| stats.get("total_inactive_file").or(stats.get("inactive_file")));
    Some(memory.usage?.saturating_sub(cached.copied().unwrap_or_default()))
}
