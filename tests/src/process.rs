//! A server as a child process: where it listens, what it uses, its end.

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

/// For a server to say where it listens.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(15);
/// For a server to end when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// What a server may print before it is read.
const LINES_AHEAD: usize = 64;

/// A child process that ends with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Receiver<String>,
}

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pid: Pid,
}

impl Server {
    /// Starts it. Its standard output is read for announcements.
    ///
    /// # Errors
    /// When the command cannot be run.
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

    /// What follows `marker` on the next line that has it, up to a blank.
    ///
    /// # Errors
    /// When it ends without, or does not say it in time.
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

    /// How often it has said the marker since it was last looked at.
    pub fn said(&self, marker: &str) -> usize {
        self.lines.try_iter().filter(|line| line.contains(marker)).count()
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it uses.
    pub fn usage(&self) -> Usage {
        Usage { pid: Pid::from_raw(self.child.id().cast_signed()) }
    }

    /// Asks it to end (SIGTERM) and waits until it has. Blocks the thread.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            self.terminate()?;
        }
        self.wait()
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it is gone.
    pub fn terminate(&self) -> anyhow::Result<()> {
        Ok(kill(self.usage().pid, Signal::SIGTERM)?)
    }

    /// Waits until it has ended. Blocks the thread.
    ///
    /// # Errors
    /// When it does not in time.
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

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// When there is nothing to wait for.
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
    /// Processor time of all its threads, user and system, so far: `clock_getcpuclockid(3)`, in nanoseconds, where
    /// `/proc/PID/stat` has hundredths of a second.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let clock = clock_getcpuclockid(self.pid).context("the server is gone")?;
        Ok(clock_gettime(clock).context("the server is gone")?.into())
    }

    /// Its share of resident memory (PSS: `proc_pid_smaps(5)`), in bytes. What it shares is divided by how many have it
    /// now: it grows when another process of the same program ends.
    ///
    /// # Errors
    /// When the process is gone, or the kernel does not tell.
    pub fn memory_bytes(self) -> anyhow::Result<u64> {
        self.rolled_up("Pss:")
    }

    /// What of that is no file's: what it has allocated, in bytes.
    ///
    /// # Errors
    /// As [`Usage::memory_bytes`].
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

/// Tasks that ran or waited to run over the last minute (`proc_loadavg(5)`): whether the machine is idle.
///
/// # Errors
/// When the kernel does not tell.
pub fn load_average() -> anyhow::Result<f64> {
    let averages = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    Ok(averages.split_whitespace().next().context("/proc/loadavg is empty")?.parse()?)
}

/// Raises the soft limit of open descriptors to the hard one.
///
/// # Errors
/// As setrlimit(2).
pub fn raise_descriptor_limit() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Reads to the end, so that the child never blocks on a full pipe; lines nobody waits for are dropped.
fn read_lines(stdout: ChildStdout, sender: &SyncSender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let _ = sender.try_send(line);
    }
}
