//! Platform `docker`: an agent is a container, with a Unix socket in a directory that it shares with the hub.
//!
//! ```text
//!   spawn --> container.rs: what is in it, what keeps it in --> the engine: engine.rs
//!     |                                                            |
//!     +--> keeper.rs: one for each, until it is gone <-- watch.rs <-+ events, lists
//! ```
//!
//! The engine's own list is the truth about what runs; what is kept here is what it takes to end it. Containers go on
//! without a hub, and the next one finds them by their labels. No image is ever pulled.

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

use crate::docker::container::{LABEL_CLUSTER, Listed};
use crate::docker::engine::{EngineError, Who};
use crate::docker::keeper::{Kept, Signals};
use crate::limits::ENGINE_STARTS_AT_ONCE;
use crate::run_dir::RunDir;
use crate::settings::{AgentEnv, DockerNetwork, DockerSettings};
use crate::{
    AgentAddress, AgentHandle, Found, Lifetime, Platform, PlatformError, SpawnError, SpawnSpec, Stats,
};
use mayfly_egress::{AgentUid, Egress, Gate};

pub use engine::DockerError;

mod container;
mod engine;
mod keeper;
mod watch;

/// Containers of this machine's engine.
pub struct DockerPlatform {
    shared: Arc<Shared>,
}

/// What the platform and its tasks have in common.
struct Shared {
    docker: Docker,
    settings: DockerSettings,
    cluster: String,
    who: Who,
    run_dir: RunDir,
    egress: Option<Arc<Egress>>,
    agents: Mutex<HashMap<Incarnation, Running>>,
    starts: Semaphore,
}

/// An agent that is not gone, or is on its way.
struct Running {
    found: Found,
    signals: Signals,
    /// The container's, once it is started.
    id: Option<String>,
}

impl DockerPlatform {
    /// A platform of the engine that `settings` name, with sockets below `data_dir`. What of it belongs to no container
    /// of this `cluster` is removed. With `egress`, agents have that way out.
    ///
    /// # Errors
    /// [`DockerError`] says what to do.
    pub async fn open(
        settings: DockerSettings,
        data_dir: &Path,
        cluster: String,
        egress: Option<Arc<Egress>>,
    ) -> Result<Self, DockerError> {
        let run_dir = RunDir::open(data_dir)?;
        let (docker, who) = engine::connect(&settings).await?;
        let (agents, starts) = (Mutex::default(), Semaphore::new(ENGINE_STARTS_AT_ONCE));
        let shared = Arc::new(Shared { docker, settings, cluster, who, run_dir, egress, agents, starts });
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
        tokio::spawn(watch::look_at_directories(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }
}

#[async_trait]
impl Platform for DockerPlatform {
    fn lifetime(&self) -> Lifetime {
        Lifetime::Own
    }

    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        // A task, so that nothing is left half done when nobody waits any more.
        let started = tokio::spawn(Arc::clone(&self.shared).start(spec));
        started.await.unwrap_or(Err(SpawnError::ShuttingDown))
    }

    async fn claim(&self, agent: &AgentHandle, session: SessionId) -> Result<(), PlatformError> {
        let id = self.shared.agents().get(&agent.incarnation).and_then(|running| running.id.clone());
        let id = id.ok_or(PlatformError::Gone)?;
        let name = container::name(&self.shared.cluster, agent.incarnation, Some(session));
        let options = RenameContainerOptionsBuilder::new().name(&name).build();
        let renamed = self.shared.docker.rename_container(&id, options).await;
        renamed.map_err(|error| unavailable(error.into()))?;
        let mut agents = self.shared.agents();
        let running = agents.get_mut(&agent.incarnation).ok_or(PlatformError::Gone)?;
        running.found.session = Some(session);
        Ok(())
    }

    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError> {
        let running = |running: &Running| (running.found.gone.clone(), running.signals.stop.clone());
        let Some((gone, stop)) = self.shared.agents().get(&agent.incarnation).map(running) else {
            return Ok(false);
        };
        let is_first = !stop.is_cancelled();
        stop.cancel();
        match timeout(keeper::PATIENCE, gone.cancelled()).await {
            Ok(()) => Ok(is_first),
            Err(_) => Err(unavailable(EngineError::Gone("the container does not end".to_owned()))),
        }
    }

    async fn list(&self) -> Result<Vec<Found>, PlatformError> {
        for listed in self.shared.listed().await.map_err(unavailable)? {
            if !self.shared.agents().contains_key(&listed.incarnation) {
                self.shared.adopt(listed).await.map_err(unavailable)?;
            }
        }
        let agents = self.shared.agents();
        let here = agents.values().filter(|running| !running.signals.died.is_cancelled());
        Ok(here.map(|running| running.found.clone()).collect())
    }

    async fn stats(&self, agent: &AgentHandle) -> Option<Stats> {
        let id = self.shared.agents().get(&agent.incarnation)?.id.clone()?;
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = Box::pin(self.shared.docker.stats(&id, Some(options)));
        Some(Stats { memory_bytes: memory_bytes(&stats.next().await?.ok()?)? })
    }

    /// The image as the engine has it, the settings and the variables, as a digest.
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
        let directory = self.run_dir.make(agent, self.other_owner())?;
        let gate = self.open_gate(directory.path(), agent).map_err(SpawnError::Egress)?;
        let (signals, gone) = (Signals::default(), CancellationToken::new());
        let found = self.found(directory.socket(), agent, spec.session, SystemTime::now(), gone);
        let handle = found.handle(spec.token.clone());
        self.agents().insert(agent, Running { found, signals: signals.clone(), id: None });
        let started = self.create_and_start(&spec).await;
        let id = started.inspect_err(|_| self.forget(agent))?;
        if let Some(running) = self.agents().get_mut(&agent) {
            running.id = Some(id.clone());
        }
        let kept = Kept { agent, id, signals, directory: directory.lasting(), gate };
        tokio::spawn(keeper::keep(Arc::clone(&self), kept));
        Ok(handle)
    }

    async fn create_and_start(&self, spec: &SpawnSpec) -> Result<String, SpawnError> {
        // More at once make none of them faster.
        let _permit = self.starts.acquire().await;
        let name = container::name(&self.cluster, spec.incarnation, spec.session);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let directory = self.seen_by_the_engine(spec.incarnation);
        let has_egress = self.egress.is_some();
        // Only warm agents may turn out to be out of date.
        let version = if spec.session.is_none() { Some(self.version(&spec.env).await) } else { None };
        let inside = self.who.inside;
        let body =
            container::body(&self.settings, &self.cluster, spec, &directory, inside, has_egress, version);
        let refused = |error| EngineError::from(error).spawning(&self.settings.image);
        let id = self.docker.create_container(Some(options), body).await.map_err(refused)?.id;
        let started = self.docker.start_container(&id, None).await;
        if started.is_err()
            && let Err(error) = self.remove_container(&id).await
        {
            warn!(incarnation = %spec.incarnation, %error, "a container that did not start is left for the reaper");
        }
        started.map_err(refused)?;
        Ok(id)
    }

    /// Takes on a container that another hub has started.
    async fn adopt(self: &Arc<Self>, listed: Listed) -> Result<(), EngineError> {
        // It may have been removed since the list was made.
        match self.docker.inspect_container(&listed.id, None).await.map_err(EngineError::from) {
            Ok(_) => {}
            Err(EngineError::NoContainer) => return Ok(()),
            Err(error) => return Err(error),
        }
        let Listed { id, incarnation: agent, session, created, version, is_alive, .. } = listed;
        info!(incarnation = %agent, "found a container of this cluster");
        let directory = self.run_dir.of(agent);
        let gate = self.open_gate(directory.path(), agent).unwrap_or_else(|error| {
            warn!(incarnation = %agent, %error, "cannot open an agent's way out");
            None
        });
        let (signals, gone) = (Signals::default(), CancellationToken::new());
        if !is_alive {
            signals.died.cancel();
        }
        let found = Found { version, ..self.found(directory.socket(), agent, session, created, gone) };
        let running = Running { found, signals: signals.clone(), id: Some(id.clone()) };
        if self.agents().insert(agent, running).is_none() {
            let kept = Kept { agent, id, signals, directory, gate };
            tokio::spawn(keeper::keep(Arc::clone(self), kept));
        }
        Ok(())
    }

    fn found(
        &self,
        socket: PathBuf,
        incarnation: Incarnation,
        session: Option<SessionId>,
        created: SystemTime,
        gone: CancellationToken,
    ) -> Found {
        let address = AgentAddress::Contained { socket, user: self.who.outside.user };
        Found { incarnation, address, gone, session, created, version: None }
    }

    fn open_gate(&self, directory: &Path, agent: Incarnation) -> std::io::Result<Option<Gate>> {
        let open = |egress: &Arc<Egress>| egress.open(directory, agent, self.other_owner());
        self.egress.as_ref().map(open).transpose()
    }

    /// Whose an agent's directory is, when it is not this hub's user's.
    fn other_owner(&self) -> Option<AgentUid> {
        Some(self.who.outside).filter(|owner| owner.user != geteuid().as_raw())
    }

    /// An agent's directory, where the engine's machine has it.
    fn seen_by_the_engine(&self, agent: Incarnation) -> PathBuf {
        let run_dir = self.settings.data_dir.as_ref().map(|data_dir| data_dir.join("run"));
        run_dir.as_deref().unwrap_or(self.run_dir.path()).join(agent.short())
    }

    async fn version(&self, env: &AgentEnv) -> String {
        let image = self.docker.inspect_image(&self.settings.image).await;
        let image = image.ok().and_then(|image| image.id).unwrap_or_default();
        let mut digest = Sha256::new();
        let about = format!("{image} {:?} {:?} {}", self.settings, self.who, self.egress.is_some());
        digest.update(about);
        for (name, value) in env.iter() {
            digest.update(format!("\0{name}={value}"));
        }
        hex::encode(digest.finalize())
    }

    /// All containers of this cluster that share a directory with this hub, also those that have ended.
    async fn listed(&self) -> Result<Vec<Listed>, EngineError> {
        let filters = container::filter(&self.cluster);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await?.into_iter();
        let is_own = |listed: &Listed| listed.directory == self.seen_by_the_engine(listed.incarnation);
        Ok(listed.filter_map(Listed::read).filter(is_own).collect())
    }

    /// A bridge for this cluster's agents alone, on which they do not reach each other.
    async fn make_network(&self) -> Result<(), EngineError> {
        let name = container::network(&self.cluster);
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

    /// The agents whose containers are started.
    fn started(&self) -> Vec<Incarnation> {
        let agents = self.agents();
        agents.iter().filter(|(_, running)| running.id.is_some()).map(|(agent, _)| *agent).collect()
    }

    fn directories(&self) -> Vec<(Incarnation, PathBuf)> {
        self.agents().keys().map(|agent| (*agent, self.run_dir.path().join(agent.short()))).collect()
    }

    fn died(&self, agent: Incarnation) {
        if let Some(running) = self.agents().get(&agent) {
            running.signals.died.cancel();
        }
    }

    fn overfull(&self, agent: Incarnation) {
        if let Some(running) = self.agents().get(&agent) {
            running.signals.overfull.cancel();
        }
    }

    /// It is gone.
    fn forget(&self, agent: Incarnation) {
        if let Some(running) = self.agents().remove(&agent) {
            running.found.gone.cancel();
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

/// Without what the kernel only caches; named by control groups of version 1, then 2.
fn memory_bytes(stats: &ContainerStatsResponse) -> Option<u64> {
    let memory = stats.memory_stats.as_ref()?;
    let detail = memory.stats.as_ref();
    let cached = detail.and_then(|stats| stats.get("total_inactive_file").or(stats.get("inactive_file")));
    Some(memory.usage?.saturating_sub(cached.copied().unwrap_or_default()))
}
