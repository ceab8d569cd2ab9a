//! Containment of this hub's agents: chosen once when the hub starts, and logged.
//!
//! This module finds out what the machine supports; `launcher/sandbox.rs` and `process/cgroup.rs` use it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tracing::{info, warn};

use crate::launcher::sandbox::{
    Bubblewrap, SYSTEM, Sandbox, has_landlock, has_signal_scope, has_socket_access,
};
use crate::process::cgroup::Groups;
use crate::process::find_program;
use crate::settings::{AgentNetwork, Containment, SandboxKind};

/// Error returned when agents cannot be contained as the settings demand.
#[derive(Debug, thiserror::Error)]
pub enum ContainError {
    /// The settings demand bubblewrap.
    #[error("--sandbox bwrap: {0}; install bubblewrap, or use --sandbox auto, which falls back to Landlock")]
    Bubblewrap(NoBubblewrap),
    /// Agents could read the hub's secret.
    #[error(
        "agents may read {}, and with it the hub's secret in {}: choose another --data-dir or --agent-paths",
        readable.display(), data_dir.display()
    )]
    Exposed {
        /// The path that agents may read.
        readable: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
    },
}

/// Reason for which bubblewrap is not used.
#[derive(Debug, thiserror::Error)]
pub enum NoBubblewrap {
    /// It is not installed.
    #[error("bwrap is not on PATH")]
    NotInstalled,
    /// It fails on this machine.
    #[error("bwrap fails on this machine: {0}")]
    Fails(String),
}

/// Chooses the sandbox, and logs it with its weaknesses. `command` is the agents'; `run_dir` lies in the data directory,
/// and is a path without links.
///
/// # Errors
/// [`ContainError`] if the settings demand more than this machine has, or would expose the hub's secret.
pub(super) fn choose(
    wanted: &Containment,
    command: &[String],
    run_dir: &Path,
) -> Result<Sandbox, ContainError> {
    if wanted.sandbox == SandboxKind::None {
        warn!(sandbox = "none", "agents are not contained: they can do everything that this hub's user can");
        return Ok(Sandbox::None);
    }
    let data_dir = run_dir.parent().unwrap_or(run_dir);
    let system = SYSTEM.iter().map(PathBuf::from);
    if let Some(readable) = system.chain(wanted.paths.clone()).find(|path| overlaps(path, data_dir)) {
        return Err(ContainError::Exposed { readable, data_dir: data_dir.to_owned() });
    }
    let arguments = arguments(command).filter(|path| !overlaps(path, data_dir));
    let read: Vec<PathBuf> = wanted.paths.iter().cloned().chain(arguments).collect();
    match bubblewrap(read.clone(), wanted.network, run_dir) {
        Ok(sandbox) => {
            match wanted.network {
                AgentNetwork::None => info!(sandbox = "bubblewrap", network = "none", "agents are contained"),
                AgentNetwork::Host => warn!(
                    sandbox = "bubblewrap",
                    network = "host",
                    "agents are contained, but have the host's network and can connect to this hub"
                ),
            }
            Ok(sandbox)
        }
        Err(error) if wanted.sandbox == SandboxKind::Bwrap => Err(ContainError::Bubblewrap(error)),
        Err(error) => {
            let (sandbox, name, outcome) = if has_landlock() {
                (Sandbox::Landlock { read }, "landlock", "agent containment is weaker than with bubblewrap")
            } else {
                (Sandbox::None, "none", "agents are not contained: the kernel has no Landlock either")
            };
            let weaknesses = weaknesses(&sandbox).join("; ");
            warn!(sandbox = name, reason = %error, weaknesses, "{outcome}");
            Ok(sandbox)
        }
    }
}

/// Finds the control groups that limit agents, and logs which resources they limit.
pub(super) fn limit(run_dir: &Path) -> Groups {
    let groups = Groups::find(run_dir);
    let (limited, unlimited) = groups.resources();
    if !limited.is_empty() {
        info!(resources = limited.join(", "), "control groups limit each agent");
    }
    if !unlimited.is_empty() {
        let resources = unlimited.join(", ");
        warn!(resources, "agents are not limited: the hub cannot write these control groups");
    }
    groups
}

/// Returns what agents can do that bubblewrap would prevent.
fn weaknesses(sandbox: &Sandbox) -> Vec<&'static str> {
    let mut weaknesses = vec!["agents have the host's network and can connect to this hub"];
    if *sandbox == Sandbox::None {
        weaknesses.push("agents can read and write everything that this hub's user can");
        return weaknesses;
    }
    if !has_signal_scope() {
        weaknesses.push("agents can signal this hub (prevented since Linux 6.12)");
    }
    if !has_socket_access() {
        weaknesses.push("agents can connect to Unix sockets of others (prevented since Linux 7.1)");
    }
    weaknesses
}

fn bubblewrap(read: Vec<PathBuf>, network: AgentNetwork, run_dir: &Path) -> Result<Sandbox, NoBubblewrap> {
    let program = find_program("bwrap").ok_or(NoBubblewrap::NotInstalled)?;
    let bubblewrap = Bubblewrap { program, read, network };
    // A trial with the arguments of a real agent: what fails on this machine fails now.
    let trial = bubblewrap.command(OsStr::new("/usr/bin/env"), run_dir).stdin(Stdio::null()).output();
    match trial {
        Ok(output) if output.status.success() => Ok(Sandbox::Bubblewrap(bubblewrap)),
        Ok(output) => Err(NoBubblewrap::Fails(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(NoBubblewrap::Fails(error.to_string())),
    }
}

/// Returns the files and directories that the command has as arguments.
fn arguments(command: &[String]) -> impl Iterator<Item = PathBuf> {
    let paths = command.iter().skip(1).map(PathBuf::from);
    paths.filter(|path| path.is_absolute() && path.exists())
}

fn overlaps(path: &Path, data_dir: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.starts_with(data_dir) || data_dir.starts_with(&path)
}
