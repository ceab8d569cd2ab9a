//! Servers as child processes: their announcements, resource usage and end.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Longest wait for a server to announce its address.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a server to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Lines of output that are kept until they are read.
const LINES_AHEAD: usize = 64;

/// A child process, which is killed when this value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Receiver<String>,
}

/// The resource usage of a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pid: Pid,
}

impl Server {
    /// Starts a process and reads its standard output for announcements.
    ///
    /// # Errors
    /// Returns an error if the command cannot be run.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let stdout = child.stdout.take().context("the output is a pipe")?;
        let (sender, lines) = sync_channel(LINES_AHEAD);
        thread::spawn(move || read_lines(stdout, &sender));
        Ok(Self { child, lines })
    }

    /// Returns the word after `marker` on the next line that contains it.
    ///
    /// # Errors
    /// Returns an error if the process ends without such a line, or prints none in time.
    pub fn announced(&self, marker: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + ANNOUNCE_TIMEOUT;
        loop {
            let line = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("no {marker:?} within {ANNOUNCE_TIMEOUT:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended without {marker:?}"),
            };
            if let Some((_, rest)) = line.split_once(marker) {
                return Ok(rest.split_whitespace().next().unwrap_or_default().to_owned());
            }
        }
    }

    /// Returns the number of lines with the marker since the last call.
    pub fn said(&self, marker: &str) -> usize {
        self.lines.try_iter().filter(|line| line.contains(marker)).count()
    }

    /// Returns `true` if the process still runs.
    ///
    /// # Errors
    /// Returns an error if the kernel does not answer.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the resource usage.
    pub fn usage(&self) -> Usage {
        Usage { pid: Pid::from_raw(self.child.id().cast_signed()) }
    }

    /// Sends SIGTERM and waits for the end. Blocks the thread.
    ///
    /// # Errors
    /// Returns an error if the process does not end in time.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            self.terminate()?;
        }
        self.wait()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Returns an error if the process has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        Ok(kill(self.usage().pid, Signal::SIGTERM)?)
    }

    /// Waits for the end. Blocks the thread.
    ///
    /// # Errors
    /// Returns an error if the process does not end in time.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(STOP_POLL_INTERVAL);
        }
        bail!("it did not end within {STOP_TIMEOUT:?} of SIGTERM")
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// Returns an error if the process was waited for before.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

impl Usage {
    /// Returns the processor time of all threads so far, user and system. `clock_getcpuclockid(3)` counts nanoseconds,
    /// where `/proc/PID/stat` counts hundredths of a second.
    ///
    /// # Errors
    /// Returns an error if the process has ended.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let clock = clock_getcpuclockid(self.pid).context("the server is gone")?;
        Ok(clock_gettime(clock).context("the server is gone")?.into())
    }

    /// Returns the process's share of resident memory in bytes (PSS, `proc_pid_smaps(5)`). A shared page is divided by
    /// the number of its users, so this value grows when another process of the same program ends.
    ///
    /// # Errors
    /// Returns an error if the process has ended, or the kernel does not answer.
    pub fn memory_bytes(self) -> anyhow::Result<u64> {
        self.rolled_up("Pss:")
    }

    /// Returns the part of [`Usage::memory_bytes`] that is no file's, which is the allocated memory.
    ///
    /// # Errors
    /// Returns the errors of [`Usage::memory_bytes`].
    pub fn allocated_bytes(self) -> anyhow::Result<u64> {
        self.rolled_up("Pss_Anon:")
    }

    fn rolled_up(self, name: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let rollup = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .with_context(|| format!("no {name} in {path}"))?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }
}

/// Returns the number of running and waiting tasks over the last minute (`proc_loadavg(5)`).
///
/// # Errors
/// Returns an error if the kernel does not answer.
pub fn load_average() -> anyhow::Result<f64> {
    let averages = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    Ok(averages.split_whitespace().next().context("/proc/loadavg is empty")?.parse()?)
}

/// Raises the soft limit of open descriptors to the hard one.
///
/// # Errors
/// Returns the errors of setrlimit(2).
pub fn raise_descriptor_limit() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Reads to the end, so that the child never blocks on a full pipe. Drops lines beyond [`LINES_AHEAD`].
fn read_lines(stdout: ChildStdout, sender: &SyncSender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let _ = sender.try_send(line);
    }
}
