//! Control groups: limits on the memory, processes and processor time of each agent's process tree.
//!
//! Supports version 2, version 1, and a mixture of both. The groups are made below the hub's own group, so a systemd
//! service needs `Delegate=yes`. Sources: cgroups(7), proc_pid_mountinfo(5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};
use tracing::{debug, warn};

use crate::limits::{AGENT_CPU_PERCENT, AGENT_MEMORY_MAX_BYTES, AGENT_PROCESSES_MAX};

/// Group into which the hub moves itself in version 2, where only a group without processes can delegate controllers.
const HUB: &str = "mayfly-hub";
/// The kernel's default period, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;

/// A controller that limits one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

/// A version of the kernel's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Directory in which one controller's groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Location {
    controller: Controller,
    version: Version,
    directory: PathBuf,
}

/// Maker of this hub's groups.
#[derive(Debug)]
pub(super) struct Groups {
    locations: Vec<Location>,
    /// Prefix of the names of this hub's groups, and of those of earlier hubs with the same run directory.
    prefix: String,
}

/// The groups of one agent. Dropping it kills the processes in them and removes them, if the supervisor has not done so.
#[derive(Debug)]
pub(super) struct Group {
    /// One directory for each hierarchy.
    pub(super) directories: Vec<PathBuf>,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    /// Returns the resource in words.
    fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "processes",
            Self::Cpu => "processor time",
        }
    }

    /// Returns the files that set the limit, in the order in which they must be written.
    fn settings(self, version: Version) -> Vec<(&'static str, String)> {
        let quota = CPU_PERIOD_US * AGENT_CPU_PERCENT / 100;
        match (self, version) {
            (Self::Memory, Version::One) => {
                vec![("memory.limit_in_bytes", AGENT_MEMORY_MAX_BYTES.to_string())]
            }
            (Self::Memory, Version::Two) => vec![("memory.max", AGENT_MEMORY_MAX_BYTES.to_string())],
            (Self::Pids, _) => vec![("pids.max", AGENT_PROCESSES_MAX.to_string())],
            (Self::Cpu, Version::One) => vec![
                ("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ],
            (Self::Cpu, Version::Two) => vec![("cpu.max", format!("{quota} {CPU_PERIOD_US}"))],
        }
    }

    /// Returns files that exist only if the kernel accounts for swap. They stop an agent from exceeding its memory in swap.
    fn optional_settings(self, version: Version) -> Vec<(&'static str, String)> {
        match (self, version) {
            (Self::Memory, Version::One) => {
                vec![("memory.memsw.limit_in_bytes", AGENT_MEMORY_MAX_BYTES.to_string())]
            }
            (Self::Memory, Version::Two) => vec![("memory.swap.max", "0".to_owned())],
            (Self::Pids | Self::Cpu, _) => Vec::new(),
        }
    }
}

impl Groups {
    /// Finds the controllers that can be used here, and removes groups that an earlier hub with this run directory left.
    /// Moves this process into a group of its own if version 2 requires it.
    pub(super) fn find(run_dir: &Path) -> Self {
        let key = Sha256::digest(run_dir.as_os_str().as_encoded_bytes());
        let prefix = format!("mayfly-{}-", hex::encode(key.get(..4).unwrap_or_default()));
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let mut groups =
            Self { locations: locations(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")), prefix };
        groups.remove_leftovers();
        groups.locations.retain(|location| {
            let tried = prepare(location)
                .and_then(|()| Self::make_in(std::slice::from_ref(location), &groups.prefix, "trial"));
            if let Err(error) = &tried {
                debug!(directory = %location.directory.display(), %error, "control group not usable");
            }
            tried.is_ok()
        });
        groups
    }

    /// Returns the resources that are limited, and those that are not, in words.
    pub(super) fn resources(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let is_limited = |controller: &Controller| {
            self.locations.iter().any(|location| location.controller == *controller)
        };
        let (limited, unlimited): (Vec<_>, Vec<_>) = Controller::ALL.into_iter().partition(is_limited);
        let words =
            |controllers: Vec<Controller>| controllers.into_iter().map(Controller::resource).collect();
        (words(limited), words(unlimited))
    }

    /// Makes the groups of one agent.
    ///
    /// # Errors
    /// Returns the error of the file system if a group cannot be made; then no group is left.
    pub(super) fn make(&self, name: &str) -> io::Result<Group> {
        Self::make_in(&self.locations, &self.prefix, name)
    }

    fn make_in(locations: &[Location], prefix: &str, name: &str) -> io::Result<Group> {
        let mut group = Group { directories: Vec::new() };
        for location in locations {
            let directory = location.directory.join(format!("{prefix}{name}"));
            if !group.directories.contains(&directory) {
                fs::create_dir(&directory)?;
                group.directories.push(directory.clone());
            }
            for (file, value) in location.controller.settings(location.version) {
                fs::write(directory.join(file), value)?;
            }
            for (file, value) in location.controller.optional_settings(location.version) {
                // Fails on a kernel that does not account for swap.
                let _ = fs::write(directory.join(file), value);
            }
        }
        Ok(group)
    }

    fn remove_leftovers(&self) {
        for location in &self.locations {
            for entry in fs::read_dir(&location.directory).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                    drop(Group { directories: vec![entry.path()] });
                }
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            // Usually the group is empty. If it is not, its processes must start no others; only the group of the pids
            // controller has this file.
            let _ = fs::write(directory.join("pids.max"), "0");
            let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            for process in processes.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw) {
                // Fails if the process has just ended.
                let _ = kill(process, Signal::SIGKILL);
            }
            let removed = fs::remove_dir(directory);
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(directory = %directory.display(), %error, "control group not removed");
            }
        }
    }
}

/// Returns the memory of all processes in an agent's groups, without the kernel's file cache; `None` if no group limits
/// memory.
pub(super) fn memory_bytes(directories: &[PathBuf]) -> Option<u64> {
    let read = |file: &str| directories.iter().find_map(|group| fs::read_to_string(group.join(file)).ok());
    let used: u64 = read("memory.current").or_else(|| read("memory.usage_in_bytes"))?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    let cached = ["total_inactive_file ", "inactive_file "]
        .into_iter()
        .find_map(|key| stat.lines().find_map(|line| line.strip_prefix(key)?.parse().ok()));
    Some(used.saturating_sub(cached.unwrap_or(0)))
}

/// Returns the directories of the hub's own groups, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn locations(mountinfo: &str, cgroup: &str) -> Vec<Location> {
    let location = |controller: Controller| {
        mountinfo.lines().find_map(|mount| {
            let (mount, source) = mount.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let (root, mountpoint) = (mount.next()?, mount.next()?);
            let mut source = source.split(' ');
            let version = match source.next()? {
                "cgroup" => Version::One,
                "cgroup2" => Version::Two,
                _ => return None,
            };
            if version == Version::One && !source.nth(1)?.split(',').any(|name| name == controller.name()) {
                return None;
            }
            let own = cgroup.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                let is_it = match version {
                    Version::One => controllers.split(',').any(|name| name == controller.name()),
                    Version::Two => controllers.is_empty(),
                };
                is_it.then_some(path)
            })?;
            let below = Path::new(own).strip_prefix(root).ok()?;
            Some(Location { controller, version, directory: Path::new(mountpoint).join(below) })
        })
    };
    Controller::ALL.into_iter().filter_map(location).collect()
}

/// Makes sure that new groups in this directory have the controller. Only version 2 requires it.
fn prepare(location: &Location) -> io::Result<()> {
    let has = |file: &str| -> io::Result<bool> {
        let list = fs::read_to_string(location.directory.join(file))?;
        Ok(list.split_whitespace().any(|name| name == location.controller.name()))
    };
    if location.version == Version::One || has("cgroup.subtree_control")? {
        return Ok(());
    }
    if !has("cgroup.controllers")? {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the controller is not delegated to the hub's group",
        ));
    }
    let enable = || {
        fs::write(
            location.directory.join("cgroup.subtree_control"),
            format!("+{}", location.controller.name()),
        )
    };
    let leaf = location.directory.join(HUB);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::write(leaf.join("cgroup.procs"), "0")?;
    enable().inspect_err(|_| {
        // Other processes are in the group, so the move gained nothing: undo it.
        let _ = fs::write(location.directory.join("cgroup.procs"), "0").and_then(|()| fs::remove_dir(&leaf));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mountinfo: &str, cgroup: &str) -> Vec<(&'static str, Version, String)> {
        let shown = |location: Location| {
            (location.controller.name(), location.version, location.directory.to_string_lossy().into_owned())
        };
        locations(mountinfo, cgroup).into_iter().map(shown).collect()
    }

    #[test]
    fn version_2_has_one_directory_for_all_controllers() {
        let mounts = "25 20 0:22 / /proc rw - proc proc rw\n30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let directory = "/sys/fs/cgroup/system.slice/mayfly.service".to_owned();
        let two = |name| (name, Version::Two, directory.clone());
        let found = found(mounts, "0::/system.slice/mayfly.service\n");
        assert_eq!(found, [two("memory"), two("pids"), two("cpu")]);
    }

    #[test]
    fn version_1_has_a_directory_for_each_mount() {
        let mounts = "33 31 0:30 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 31 0:31 /docker/abc /cg/memory rw - cgroup cgroup rw,memory\n";
        let own = "4:memory:/docker/abc/inner\n2:cpu,cpuacct:/\n0::/\n";
        let expected = [
            ("memory", Version::One, "/cg/memory/inner".to_owned()),
            ("cpu", Version::One, "/cg/cpu,cpuacct/".to_owned()),
        ];
        assert_eq!(found(mounts, own), expected);
    }

    #[test]
    fn version_2_delegates_controllers_after_the_hub_has_moved() {
        let own = tempfile::tempdir().unwrap();
        let file = |name: &str| own.path().join(name);
        let location =
            |controller| Location { controller, version: Version::Two, directory: own.path().to_owned() };
        fs::write(file("cgroup.controllers"), "cpu memory\n").unwrap();
        fs::write(file("cgroup.subtree_control"), "cpu\n").unwrap();
        prepare(&location(Controller::Cpu)).unwrap();
        assert!(!file(HUB).exists(), "the controller is delegated already");
        prepare(&location(Controller::Memory)).unwrap();
        assert_eq!(fs::read_to_string(file(HUB).join("cgroup.procs")).unwrap(), "0");
        assert_eq!(fs::read_to_string(file("cgroup.subtree_control")).unwrap(), "+memory");
        let error = prepare(&location(Controller::Pids)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_group_of_version_2_has_all_limits_in_one_directory() {
        let own = tempfile::tempdir().unwrap();
        let location =
            |controller| Location { controller, version: Version::Two, directory: own.path().to_owned() };
        let group = Groups::make_in(&Controller::ALL.map(location), "mayfly-0-", "a").unwrap();
        assert_eq!(group.directories, [own.path().join("mayfly-0-a")]);
        let read = |name| fs::read_to_string(own.path().join("mayfly-0-a").join(name)).unwrap();
        assert_eq!(read("memory.max"), "536870912");
        assert_eq!(read("pids.max"), "256");
        assert_eq!(read("cpu.max"), "50000 100000");
    }

    #[test]
    fn no_controller_is_found_without_a_usable_mount() {
        assert!(found("25 20 0:22 / /proc rw - proc proc rw\n", "0::/\n").is_empty());
        assert!(found("", "").is_empty());
        // A mount that shows another part of the hierarchy than the hub's.
        assert!(found("30 23 0:26 /other /cg rw - cgroup2 cgroup2 rw\n", "0::/mine\n").is_empty());
    }
}
