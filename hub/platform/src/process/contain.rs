//! What contains this hub's agents: decided once, when the hub starts, and told to the operator.
//!
//! Knows what this machine has; how it is used is in `launcher/sandbox.rs` and `cgroup.rs`.

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

/// Why agents cannot be contained as they should be.
#[derive(Debug, thiserror::Error)]
pub enum ContainError {
    /// Bubblewrap was asked for.
    #[error("--sandbox bwrap: {0}; with --sandbox auto the hub takes what there is")]
    Bubblewrap(NoBubblewrap),
    /// The hub's secret would be among what agents may read.
    #[error(
        "agents may read {}, and so the hub's secret in {}: choose another --data-dir or --agent-paths",
        readable.display(), data_dir.display()
    )]
    Exposed {
        /// What agents may read.
        readable: PathBuf,
        /// The directory in it.
        data_dir: PathBuf,
    },
}

/// Why there is no bubblewrap.
#[derive(Debug, thiserror::Error)]
pub enum NoBubblewrap {
    /// It is not installed.
    #[error("there is no bwrap on PATH")]
    NotInstalled,
    /// It does not work here.
    #[error("bwrap does not work here: {0}")]
    Fails(String),
}

/// Chooses the means, and tells what it is and what it cannot do. `command` is the agents'; `run_dir` is in the data
/// directory, and a path without links.
///
/// # Errors
/// [`ContainError`] says what to do.
pub(super) fn choose(
    wanted: &Containment,
    command: &[String],
    run_dir: &Path,
) -> Result<Sandbox, ContainError> {
    if wanted.sandbox == SandboxKind::None {
        warn!("agents are not contained: they can do what this hub's user can (--sandbox none)");
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
            let network = match wanted.network {
                AgentNetwork::None => "without a network",
                AgentNetwork::Host => "with the host's network, so they can connect to this hub",
            };
            info!("agents are contained by bubblewrap, {network}");
            Ok(sandbox)
        }
        Err(error) if wanted.sandbox == SandboxKind::Bwrap => Err(ContainError::Bubblewrap(error)),
        Err(error) => {
            let (sandbox, means) = if has_landlock() {
                (Sandbox::Landlock { read }, "Landlock")
            } else {
                (Sandbox::None, "nothing: this kernel has no Landlock either")
            };
            let shortcomings = shortcomings(&sandbox).join("; ");
            warn!("{error}, so agents are contained by {means}; {shortcomings}");
            Ok(sandbox)
        }
    }
}

/// Finds the control groups that bound agents, and tells what they bound and what they do not.
pub(super) fn bound(run_dir: &Path) -> Groups {
    let groups = Groups::find(run_dir);
    let (bounded, open) = groups.told();
    if !bounded.is_empty() {
        info!("each agent's use is bounded by control groups: {}", bounded.join(", "));
    }
    if !open.is_empty() {
        warn!("each agent's use is not bounded, as no control group can be written: {}", open.join(", "));
    }
    groups
}

/// What agents can do without bubblewrap.
fn shortcomings(sandbox: &Sandbox) -> Vec<&'static str> {
    let mut told = vec!["they have the host's network, and can connect to this hub"];
    if *sandbox == Sandbox::None {
        told.push("they can read and write what this hub's user can");
        return told;
    }
    if !has_signal_scope() {
        told.push("they can signal this hub (not since Linux 6.12)");
    }
    if !has_socket_access() {
        told.push("they can connect to Unix sockets of others (not since Linux 7.1)");
    }
    told
}

fn bubblewrap(read: Vec<PathBuf>, network: AgentNetwork, run_dir: &Path) -> Result<Sandbox, NoBubblewrap> {
    let program = find_program("bwrap").ok_or(NoBubblewrap::NotInstalled)?;
    let bubblewrap = Bubblewrap { program, read, network };
    // With all that an agent's will have: what cannot be done here is known before there is an agent.
    let trial = bubblewrap.command(OsStr::new("/usr/bin/env"), run_dir).stdin(Stdio::null()).output();
    match trial {
        Ok(output) if output.status.success() => Ok(Sandbox::Bubblewrap(bubblewrap)),
        Ok(output) => Err(NoBubblewrap::Fails(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(NoBubblewrap::Fails(error.to_string())),
    }
}

/// The files and folders that the command names as arguments.
fn arguments(command: &[String]) -> impl Iterator<Item = PathBuf> {
    let paths = command.iter().skip(1).map(PathBuf::from);
    paths.filter(|path| path.is_absolute() && path.exists())
}

fn overlaps(path: &Path, data_dir: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.starts_with(data_dir) || data_dir.starts_with(&path)
}
