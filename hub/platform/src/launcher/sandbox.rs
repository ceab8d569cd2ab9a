//! The sandbox of an agent's process: bubblewrap or Landlock.
//!
//! Both allow the same: the agent reads the system's directories, its own program and a few named paths, and writes its
//! own directory. `process/contain.rs` chooses the sandbox. Sources: bwrap(1), landlock(7), proc_sys(5).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use rustix::io::FdFlags;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};

use crate::launcher::OWN_PROGRAM;
use crate::limits::AGENT_TMP_BYTES;
use crate::settings::AgentNetwork;

/// Paths of the system that programs need and that hold no secrets. Some do not exist on every system.
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
/// Devices that carry no data of others.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Newest version that the library knows; what the kernel lacks is left out.
const LANDLOCK: ABI = ABI::V10;

/// A kind of sandbox, with the paths that may be read besides [`SYSTEM`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sandbox {
    /// No sandbox.
    None,
    /// The kernel's Landlock restricts access to files, TCP ports, signals and abstract sockets.
    Landlock {
        /// Further paths that may be read.
        read: Vec<PathBuf>,
    },
    /// Namespaces in which nothing else of the machine is visible.
    Bubblewrap(Bubblewrap),
}

/// Parameters of bubblewrap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bubblewrap {
    /// Path of `bwrap`.
    pub program: PathBuf,
    /// Further paths that may be read.
    pub read: Vec<PathBuf>,
    /// Network of the sandbox.
    pub network: AgentNetwork,
}

impl Sandbox {
    /// Returns the sandbox with one more path that may be read.
    #[must_use]
    pub fn reading(mut self, path: PathBuf) -> Self {
        match &mut self {
            Self::None => {}
            Self::Landlock { read } | Self::Bubblewrap(Bubblewrap { read, .. }) => read.push(path),
        }
        self
    }

    /// Returns the command that runs `program` in the sandbox. Restricts this very process if the sandbox is Landlock.
    ///
    /// # Errors
    /// Returns the error of Landlock if the process cannot be restricted.
    pub(super) fn enter(&self, program: &OsStr, directory: &Path) -> io::Result<Command> {
        match self {
            Self::None => {}
            Self::Landlock { read } => {
                restrict(read, directory).map_err(io::Error::other)?;
                // Root's capabilities would allow everything that Landlock does not restrict.
                let (effective, none) = (CapabilitySet::empty(), CapabilitySet::empty());
                set_capabilities(None, CapabilitySets { effective, permitted: none, inheritable: none })?;
            }
            Self::Bubblewrap(bubblewrap) if program == OWN_PROGRAM => {
                return Ok(bubblewrap.command(&inherited_own_program()?, directory));
            }
            Self::Bubblewrap(bubblewrap) => return Ok(bubblewrap.command(program, directory)),
        }
        Ok(Command::new(program))
    }
}

/// Opens this very program for a process that this one becomes, and returns the path at which that process finds it.
///
/// Bubblewrap's own `/proc/self/exe` is another program, and this program's file may have no path any more. An open file
/// stays with the process through bubblewrap and `env`, and can be run in a sandbox that does not show it.
fn inherited_own_program() -> io::Result<OsString> {
    let program = File::open(OWN_PROGRAM)?;
    rustix::io::fcntl_setfd(&program, FdFlags::empty())?;
    Ok(format!("/proc/self/fd/{}", program.into_raw_fd()).into())
}

impl Bubblewrap {
    /// Returns the command that runs `program` in the sandbox.
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
        // Read-only, because root may write the machine's settings in /proc/sys even without capabilities.
        command.args(["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]);
        command.args(["--size", &size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
        command.args(["--size", &size, "--tmpfs", "/tmp"]);
        // A path in the system's directories is there already, and bubblewrap cannot mount over a link. The own program is
        // inherited as an open file.
        let is_there = |path: &PathBuf| {
            path.as_os_str() == OWN_PROGRAM || SYSTEM.iter().any(|directory| path.starts_with(directory))
        };
        for path in self.read.iter().filter(|path| !is_there(path)) {
            command.arg("--ro-bind-try").args([path, path]);
        }
        command.arg("--bind").args([directory, directory]).arg("--chdir").arg(directory);
        // The agents' wire promises that there are no other variables; bubblewrap adds PWD.
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

/// Returns `true` if the kernel has Landlock.
pub fn has_landlock() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Returns `true` if Landlock can stop an agent from signalling processes outside its sandbox (since Linux 6.12).
pub fn has_signal_scope() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.scope(Scope::Signal).and_then(Ruleset::create).is_ok()
}

/// Returns `true` if Landlock can stop an agent from connecting to other Unix sockets (since Linux 7.1).
pub fn has_socket_access() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::ResolveUnix).and_then(Ruleset::create).is_ok()
}
