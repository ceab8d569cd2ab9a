//! One container from its start to its end: waits until it dies or must stop, logs how it ended, and removes it.
//!
//! A container is gone only when the engine has confirmed it, however often the engine fails before.

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
use crate::run_dir::LastingDirectory;
use mayfly_egress::Gate;

/// Time for a stopped container to be gone; after it the stop is reported as failed, and tried again.
pub(super) const STOP_TIMEOUT: Duration = AGENT_STOP_GRACE.saturating_add(ENGINE_CALL_TIMEOUT);

/// Signals to a container's task.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    /// The container must stop.
    pub(super) stop: CancellationToken,
    /// The engine reports that the container has ended.
    pub(super) died: CancellationToken,
    /// The agent's directory is too large.
    pub(super) overfull: CancellationToken,
}

/// A container, with the resources that are released after it.
pub(super) struct Container {
    pub(super) agent: Incarnation,
    pub(super) id: String,
    pub(super) signals: Signals,
    pub(super) directory: LastingDirectory,
    pub(super) gate: Option<Gate>,
}

/// Reason for a container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Died,
    Stopped,
    Overfull,
}

impl Container {
    /// Runs until the container is gone.
    pub(super) async fn run(self, shared: Arc<Shared>) {
        let Signals { stop, died, overfull } = &self.signals;
        let end = tokio::select! {
            () = stop.cancelled() => End::Stopped,
            () = overfull.cancelled() => End::Overfull,
            () = died.cancelled() => End::Died,
        };
        match end {
            End::Stopped => self.retry("stop", || shared.stop_container(&self.id)).await,
            // Removed without a request to stop, during which it could write more.
            End::Overfull | End::Died => {}
        }
        self.log_end(&shared, end).await;
        self.retry("remove", || shared.remove_container(&self.id)).await;
        let Self { agent, directory, gate, .. } = self;
        drop(gate);
        directory.remove().await;
        shared.forget(agent);
    }

    /// Repeats a call until the engine has done it, or the container is gone.
    async fn retry<F: Future<Output = Result<(), EngineError>>>(&self, action: &str, call: impl Fn() -> F) {
        let mut delay = ENGINE_RETRY_INTERVAL_MIN;
        loop {
            match call().await {
                Ok(()) | Err(EngineError::NoContainer) => return,
                Err(error) => {
                    let retry_ms = millis(delay);
                    warn!(incarnation = %self.agent, action, %error, retry_ms, "container call failed");
                }
            }
            sleep(delay).await;
            delay = (delay * 2).min(ENGINE_RETRY_INTERVAL_MAX);
        }
    }

    /// Logs how the agent ended; with its last lines if the end was unexpected.
    async fn log_end(&self, shared: &Shared, end: End) {
        let incarnation = self.agent;
        if end == End::Overfull {
            let (max_bytes, max_files) = (AGENT_DIRECTORY_MAX_BYTES, AGENT_DIRECTORY_MAX_FILES);
            warn!(%incarnation, max_bytes, max_files, "agent killed: its directory is too large or unreadable");
            return;
        }
        let inspected = shared.docker.inspect_container(&self.id, None).await;
        let state = inspected.ok().and_then(|container| container.state).unwrap_or_default();
        let exit_code = state.exit_code.unwrap_or(-1);
        let is_out_of_memory = state.oom_killed == Some(true);
        if !is_out_of_memory && (end == End::Stopped || exit_code == 0) {
            info!(%incarnation, exit_code, "agent exited");
            return;
        }
        let output = timeout(ENGINE_CALL_TIMEOUT, shared.last_lines(&self.id)).await.unwrap_or_default();
        let error = state.error.unwrap_or_default();
        if is_out_of_memory {
            warn!(%incarnation, exit_code, error, output, "agent killed: out of memory");
        } else {
            warn!(%incarnation, exit_code, error, output, "agent exited unexpectedly");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

impl Shared {
    /// Stops a container: SIGTERM, then SIGKILL after the grace.
    async fn stop_container(&self, id: &str) -> Result<(), EngineError> {
        let grace = AGENT_STOP_GRACE.as_secs().try_into().unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(grace).build();
        Ok(self.docker.stop_container(id, Some(options)).await?)
    }

    /// Removes a container with its volumes; kills it first if it runs.
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        Ok(self.docker.remove_container(id, Some(options)).await?)
    }

    /// Returns the last lines of a container's output.
    async fn last_lines(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true);
        let options = options.tail(&OUTPUT_LINES_KEPT.to_string()).build();
        let mut output = self.docker.logs(id, Some(options));
        let mut lines = String::new();
        while let Some(Ok(line)) = output.next().await {
            let line = line.into_bytes();
            let line = line.get(..OUTPUT_LINE_MAX_BYTES).unwrap_or(&line);
            lines.push_str(&String::from_utf8_lossy(line));
            if lines.len() > OUTPUT_LINE_MAX_BYTES * OUTPUT_LINES_KEPT {
                break;
            }
        }
        lines.trim_end().to_owned()
    }
}
