//! What keeps an agent apart from the rest of the machine: bubblewrap, or else Landlock.
//!
//! Both give it the same: the system's folders, its own program and a few named paths to read, its own directory to
//! write. What is to be used is decided in `platform/process/contain.rs`.
//! Facts: bwrap(1), landlock(7), proc_sys(5).

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};

use crate::limits::AGENT_TMP_BYTES;
use crate::settings::AgentNetwork;

/// What of the system programs need, and nobody keeps secrets in. Not all of it is everywhere.
pub const SYSTEM: [&str; 24] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];
/// Devices that hold nothing of anybody.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// The newest that the library knows; of it, what the kernel has is used.
const LANDLOCK: ABI = ABI::V10;

/// The means, with the paths that may be read besides [`SYSTEM`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sandbox {
    /// Nothing.
    None,
    /// What may be touched is restricted.
    Landlock {
        /// Further paths to read.
        read: Vec<PathBuf>,
    },
    /// A view of the machine that has nothing else in it.
    Bubblewrap(Bubblewrap),
}

/// How bubblewrap is to be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bubblewrap {
    /// Where `bwrap` is.
    pub program: PathBuf,
    /// Further paths to read.
    pub read: Vec<PathBuf>,
    /// Whether there is a network in it.
    pub network: AgentNetwork,
}

impl Sandbox {
    /// The same with one more path to read.
    #[must_use]
    pub fn reading(mut self, path: PathBuf) -> Self {
        match &mut self {
            Self::None => {}
            Self::Landlock { read } | Self::Bubblewrap(Bubblewrap { read, .. }) => read.push(path),
        }
        self
    }

    /// What runs `program` in it, after restricting this very process where that is the means.
    ///
    /// # Errors
    /// When it cannot be restricted.
    pub(super) fn enter(&self, program: &OsStr, directory: &Path) -> io::Result<Command> {
        match self {
            Self::None => {}
            Self::Landlock { read } => {
                restrict(read, directory).map_err(io::Error::other)?;
                // An agent of root's would otherwise be one that can do all that Landlock does not know.
                let (effective, none) = (CapabilitySet::empty(), CapabilitySet::empty());
                set_capabilities(None, CapabilitySets { effective, permitted: none, inheritable: none })?;
            }
            Self::Bubblewrap(bubblewrap) => return Ok(bubblewrap.command(program, directory)),
        }
        Ok(Command::new(program))
    }
}

impl Bubblewrap {
    /// What runs `program` in it.
    pub fn command(&self, program: &OsStr, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        command.args(["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        if self.network == AgentNetwork::None {
            command.arg("--unshare-net");
        }
        for path in SYSTEM {
            command.args(["--ro-bind-try", path, path]);
        }
        let size = AGENT_TMP_BYTES.to_string();
        // Settings of the whole machine are files of /proc that root may write, also without capabilities.
        command.args(["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]);
        command.args(["--size", &size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
        command.args(["--size", &size, "--tmpfs", "/tmp"]);
        // What is in the system's folders is there already, and cannot be mounted over where it is a link.
        let is_there = |path: &PathBuf| SYSTEM.iter().any(|folder| path.starts_with(folder));
        for path in self.read.iter().filter(|path| !is_there(path)) {
            command.arg("--ro-bind-try").args([path, path]);
        }
        command.arg("--bind").args([directory, directory]).arg("--chdir").arg(directory);
        // The wire promises no other variables than its own; bubblewrap adds PWD.
        command.args(["--remount-ro", "/", "--", "/usr/bin/env", "-u", "PWD"]).arg(program);
        command
    }
}

fn restrict(read: &[PathBuf], directory: &Path) -> Result<(), RulesetError> {
    let to_read = AccessFs::from_read(LANDLOCK);
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let own = AccessFs::from_all(LANDLOCK) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM.iter().chain(&["/proc"]), to_read))?
        .add_rules(path_beneath_rules(read, to_read))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules([directory], own))?
        .restrict_self()?;
    Ok(())
}

/// Whether the kernel has Landlock at all.
pub fn has_landlock() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Whether Landlock can keep an agent from signalling what is not its own (since Linux 6.12).
pub fn has_signal_scope() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.scope(Scope::Signal).and_then(Ruleset::create).is_ok()
}

/// Whether Landlock can keep an agent from the sockets of others (since Linux 7.1).
pub fn has_socket_access() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::ResolveUnix).and_then(Ruleset::create).is_ok()
}
