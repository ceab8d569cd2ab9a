//! A control group for each agent: what its whole tree may use of memory, processes and processor time.
//!
//! Both versions are known: version 2 where its controllers are at hand, version 1 where they are mounted, a mixture
//! of both where that is what there is. Groups are made below the hub's own, so a service needs `Delegate=yes`. Knows
//! nothing of processes but how to kill those that are in a group. Facts: cgroups(7), proc_pid_mountinfo(5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};
use tracing::{debug, warn};

use crate::limits::{AGENT_CPU_PERCENT, AGENT_MEMORY_MAX_BYTES, AGENT_PROCESSES_MAX};

/// Of version 2, as only a group without processes can pass controllers on: where the hub itself goes.
const HUB: &str = "mayfly-hub";
/// The kernel's default, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;

/// What can be bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where one controller's groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    controller: Controller,
    version: Version,
    directory: PathBuf,
}

/// Where this hub makes groups.
#[derive(Debug)]
pub(super) struct Groups {
    places: Vec<Place>,
    /// Of the names of all groups of this hub, also of those before it.
    prefix: String,
}

/// The groups of one agent. Ended and removed when dropped, if its supervisor has not done so.
#[derive(Debug)]
pub(super) struct Group {
    /// One for each hierarchy.
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

    fn bounds(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "processes",
            Self::Cpu => "processor time",
        }
    }

    /// The files that set the bound, in the order in which they are to be written.
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

    /// Without swap the bound on memory would be one on where it is; not every kernel accounts for it.
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
    /// Finds out what can be bounded here, and removes what a dead hub of this run directory left. Moves this process
    /// into a group of its own where that is what version 2 asks for.
    pub(super) fn find(run_dir: &Path) -> Self {
        let key = Sha256::digest(run_dir.as_os_str().as_encoded_bytes());
        let prefix = format!("mayfly-{}-", hex::encode(key.get(..4).unwrap_or_default()));
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let mut groups =
            Self { places: places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")), prefix };
        groups.remove_leftovers();
        groups.places.retain(|place| {
            let tried = prepare(place)
                .and_then(|()| Self::make_in(std::slice::from_ref(place), &groups.prefix, "trial"));
            if let Err(error) = &tried {
                debug!(directory = %place.directory.display(), %error, "no control group for agents");
            }
            tried.is_ok()
        });
        groups
    }

    /// What is bounded, and what is not, in words.
    pub(super) fn told(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let is_bounded =
            |controller: &Controller| self.places.iter().any(|place| place.controller == *controller);
        let (bounded, open): (Vec<_>, Vec<_>) = Controller::ALL.into_iter().partition(is_bounded);
        let words = |controllers: Vec<Controller>| controllers.into_iter().map(Controller::bounds).collect();
        (words(bounded), words(open))
    }

    /// Makes the groups of one agent.
    ///
    /// # Errors
    /// When one cannot be made; then none is left.
    pub(super) fn make(&self, name: &str) -> io::Result<Group> {
        Self::make_in(&self.places, &self.prefix, name)
    }

    fn make_in(places: &[Place], prefix: &str, name: &str) -> io::Result<Group> {
        let mut group = Group { directories: Vec::new() };
        for place in places {
            let directory = place.directory.join(format!("{prefix}{name}"));
            if !group.directories.contains(&directory) {
                fs::create_dir(&directory)?;
                group.directories.push(directory.clone());
            }
            for (file, value) in place.controller.settings(place.version) {
                fs::write(directory.join(file), value)?;
            }
            for (file, value) in place.controller.optional_settings(place.version) {
                // See there.
                let _ = fs::write(directory.join(file), value);
            }
        }
        Ok(group)
    }

    fn remove_leftovers(&self) {
        for place in &self.places {
            for entry in fs::read_dir(&place.directory).into_iter().flatten().flatten() {
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
            // As a rule there is nobody left in it. What is there after all starts nothing new; a group of another
            // controller has no such file.
            let _ = fs::write(directory.join("pids.max"), "0");
            let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            for process in processes.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw) {
                // It may have ended just now.
                let _ = kill(process, Signal::SIGKILL);
            }
            let removed = fs::remove_dir(directory);
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(directory = %directory.display(), %error, "cannot remove a control group");
            }
        }
    }
}

/// What the processes of an agent's groups use, without files that the kernel only caches for them: none where memory is
/// not bounded by a group.
pub(super) fn memory_bytes(directories: &[PathBuf]) -> Option<u64> {
    let read = |file: &str| directories.iter().find_map(|group| fs::read_to_string(group.join(file)).ok());
    let used: u64 = read("memory.current").or_else(|| read("memory.usage_in_bytes"))?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    let cached = ["total_inactive_file ", "inactive_file "]
        .into_iter()
        .find_map(|key| stat.lines().find_map(|line| line.strip_prefix(key)?.parse().ok()));
    Some(used.saturating_sub(cached.unwrap_or(0)))
}

/// Where the controllers of the hub's own groups are: `/proc/self/mountinfo`, `/proc/self/cgroup`.
fn places(mountinfo: &str, cgroup: &str) -> Vec<Place> {
    let place = |controller: Controller| {
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
            Some(Place { controller, version, directory: Path::new(mountpoint).join(below) })
        })
    };
    Controller::ALL.into_iter().filter_map(place).collect()
}

/// Of version 2: sees to it that groups in this place have the controller.
fn prepare(place: &Place) -> io::Result<()> {
    let has = |file: &str| -> io::Result<bool> {
        let list = fs::read_to_string(place.directory.join(file))?;
        Ok(list.split_whitespace().any(|name| name == place.controller.name()))
    };
    if place.version == Version::One || has("cgroup.subtree_control")? {
        return Ok(());
    }
    if !has("cgroup.controllers")? {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the controller is not at hand"));
    }
    let enable =
        || fs::write(place.directory.join("cgroup.subtree_control"), format!("+{}", place.controller.name()));
    let leaf = place.directory.join(HUB);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::write(leaf.join("cgroup.procs"), "0")?;
    enable().inspect_err(|_| {
        // Others are in the group, so nothing is gained: back to where it was.
        let _ = fs::write(place.directory.join("cgroup.procs"), "0").and_then(|()| fs::remove_dir(&leaf));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mountinfo: &str, cgroup: &str) -> Vec<(&'static str, Version, String)> {
        let told = |place: Place| {
            (place.controller.name(), place.version, place.directory.to_string_lossy().into_owned())
        };
        places(mountinfo, cgroup).into_iter().map(told).collect()
    }

    #[test]
    fn version_2_is_one_place_for_all() {
        let mounts = "25 20 0:22 / /proc rw - proc proc rw\n30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let directory = "/sys/fs/cgroup/system.slice/mayfly.service".to_owned();
        let two = |name| (name, Version::Two, directory.clone());
        let found = found(mounts, "0::/system.slice/mayfly.service\n");
        assert_eq!(found, [two("memory"), two("pids"), two("cpu")]);
    }

    #[test]
    fn version_1_has_a_place_for_each_mount_and_controllers_may_share_one() {
        let mounts = "33 31 0:30 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 31 0:31 /docker/abc /cg/memory rw - cgroup cgroup rw,memory\n";
        let own = "4:memory:/docker/abc/inner\n2:cpu,cpuacct:/\n0::/\n";
        let expected = [
            ("memory", Version::One, "/cg/memory/inner".to_owned()),
            ("cpu", Version::One, "/cg/cpu,cpuacct/".to_owned()),
        ];
        assert_eq!(found(mounts, own), expected);
    }

    #[test]
    fn version_2_passes_controllers_on_from_a_group_that_the_hub_has_left() {
        let own = tempfile::tempdir().unwrap();
        let file = |name: &str| own.path().join(name);
        let place =
            |controller| Place { controller, version: Version::Two, directory: own.path().to_owned() };
        fs::write(file("cgroup.controllers"), "cpu memory\n").unwrap();
        fs::write(file("cgroup.subtree_control"), "cpu\n").unwrap();
        prepare(&place(Controller::Cpu)).unwrap();
        assert!(!file(HUB).exists(), "the controller is passed on already");
        prepare(&place(Controller::Memory)).unwrap();
        assert_eq!(fs::read_to_string(file(HUB).join("cgroup.procs")).unwrap(), "0");
        assert_eq!(fs::read_to_string(file("cgroup.subtree_control")).unwrap(), "+memory");
        let error = prepare(&place(Controller::Pids)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_group_of_version_2_has_all_bounds_in_one_directory() {
        let own = tempfile::tempdir().unwrap();
        let place =
            |controller| Place { controller, version: Version::Two, directory: own.path().to_owned() };
        let group = Groups::make_in(&Controller::ALL.map(place), "mayfly-0-", "a").unwrap();
        assert_eq!(group.directories, [own.path().join("mayfly-0-a")]);
        let read = |name| fs::read_to_string(own.path().join("mayfly-0-a").join(name)).unwrap();
        assert_eq!(read("memory.max"), "536870912");
        assert_eq!(read("pids.max"), "256");
        assert_eq!(read("cpu.max"), "50000 100000");
    }

    #[test]
    fn where_there_is_nothing_nothing_is_found() {
        assert!(found("25 20 0:22 / /proc rw - proc proc rw\n", "0::/\n").is_empty());
        assert!(found("", "").is_empty());
        // A mount that shows another part of the hierarchy than the hub's own.
        assert!(found("30 23 0:26 /other /cg rw - cgroup2 cgroup2 rw\n", "0::/mine\n").is_empty());
    }
}
