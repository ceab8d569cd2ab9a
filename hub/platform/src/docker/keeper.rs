//! One container from its start to its end: waits until it has died or is to be stopped, tells how it ended, removes it.
//!
//! Whatever the engine does meanwhile, it is gone only when the engine says so.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures::StreamExt;
use mayfly_protocol::ids::Incarnation;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::docker::Shared;
use crate::docker::engine::EngineError;
use crate::limits::{
    AGENT_DIRECTORY_MAX_BYTES, AGENT_DIRECTORY_MAX_FILES, AGENT_STOP_GRACE, ENGINE_CALL_TIMEOUT,
    ENGINE_RETRY_INTERVAL_MAX, ENGINE_RETRY_INTERVAL_MIN, OUTPUT_LINE_MAX_BYTES, OUTPUT_LINES_KEPT,
};
use crate::run_dir::Lasting;
use mayfly_egress::Gate;

/// What a keeper can be told; each of them once.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    /// It is to end.
    pub(super) stop: CancellationToken,
    /// The engine says that it has ended.
    pub(super) died: CancellationToken,
    /// Its directory holds more than it may.
    pub(super) overfull: CancellationToken,
}

/// A container, with what goes when it goes.
pub(super) struct Kept {
    pub(super) agent: Incarnation,
    pub(super) id: String,
    pub(super) signals: Signals,
    pub(super) directory: Lasting,
    pub(super) gate: Option<Gate>,
}

/// How a container came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Died,
    Stopped,
    Overfull,
}

/// Keeps it until it is gone.
pub(super) async fn keep(shared: Arc<Shared>, kept: Kept) {
    let Signals { stop, died, overfull } = &kept.signals;
    let end = tokio::select! {
        () = stop.cancelled() => End::Stopped,
        () = overfull.cancelled() => End::Overfull,
        () = died.cancelled() => End::Died,
    };
    match end {
        End::Stopped => until_done(&kept, "stop", || shared.stop_container(&kept.id)).await,
        // It is not asked first: it would go on meanwhile.
        End::Overfull | End::Died => {}
    }
    tell(&shared, &kept, end).await;
    until_done(&kept, "remove", || shared.remove_container(&kept.id)).await;
    let Kept { agent, directory, gate, .. } = kept;
    drop(gate);
    directory.remove().await;
    shared.forget(agent);
}

/// Tries again until the engine has done it, or there is nothing to do it to.
async fn until_done<F: Future<Output = Result<(), EngineError>>>(
    kept: &Kept,
    what: &str,
    call: impl Fn() -> F,
) {
    let mut interval = ENGINE_RETRY_INTERVAL_MIN;
    loop {
        match call().await {
            Ok(()) | Err(EngineError::NoContainer) => return,
            Err(error) => {
                warn!(incarnation = %kept.agent, %error, "cannot {what} an agent's container; trying again");
            }
        }
        sleep(interval).await;
        interval = (interval * 2).min(ENGINE_RETRY_INTERVAL_MAX);
    }
}

/// Tells the operator how it ended; with its last lines, if that was not asked for.
async fn tell(shared: &Shared, kept: &Kept, end: End) {
    let incarnation = kept.agent;
    if end == End::Overfull {
        warn!(
            %incarnation,
            "an agent is ended: its directory holds more than {AGENT_DIRECTORY_MAX_BYTES} bytes or \
             {AGENT_DIRECTORY_MAX_FILES} files, or hides them"
        );
        return;
    }
    let inspected = shared.docker.inspect_container(&kept.id, None).await;
    let state = inspected.ok().and_then(|container| container.state).unwrap_or_default();
    let (code, error) = (state.exit_code, state.error.filter(|error| !error.is_empty()));
    let is_out_of_memory = state.oom_killed == Some(true);
    if !is_out_of_memory && (end == End::Stopped || code == Some(0)) {
        info!(%incarnation, code, "an agent ended");
        return;
    }
    let last = timeout(ENGINE_CALL_TIMEOUT, shared.last_lines(&kept.id)).await.unwrap_or_default();
    let why = if is_out_of_memory { "out of memory" } else { "unexpectedly" };
    warn!(%incarnation, code, error, last, "an agent ended {why}");
}

impl Shared {
    /// SIGTERM, then SIGKILL after the grace.
    async fn stop_container(&self, id: &str) -> Result<(), EngineError> {
        let grace = AGENT_STOP_GRACE.as_secs().try_into().unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(grace).build();
        Ok(self.docker.stop_container(id, Some(options)).await?)
    }

    /// Ends it if it is not ended, and removes all that the engine has of it.
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        Ok(self.docker.remove_container(id, Some(options)).await?)
    }

    async fn last_lines(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true);
        let options = options.tail(&OUTPUT_LINES_KEPT.to_string()).build();
        let mut output = self.docker.logs(id, Some(options));
        let mut told = String::new();
        while let Some(Ok(line)) = output.next().await {
            let line = line.into_bytes();
            let line = line.get(..OUTPUT_LINE_MAX_BYTES).unwrap_or(&line);
            told.push_str(&String::from_utf8_lossy(line));
            if told.len() > OUTPUT_LINE_MAX_BYTES * OUTPUT_LINES_KEPT {
                break;
            }
        }
        told.trim_end().to_owned()
    }
}

/// For a keeper to have done its work; then a stop is told to be tried again.
pub(super) const PATIENCE: Duration = AGENT_STOP_GRACE.saturating_add(ENGINE_CALL_TIMEOUT);
