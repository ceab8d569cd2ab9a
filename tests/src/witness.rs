//! When the machine itself stood still: a host that gives its processors to others (steal) delays everything on it.
//!
//! A witness on each processor wakes at short intervals, in a real-time class, so that nothing of this machine but its
//! kernel keeps it waiting. When it is late all the same, the processor was away, or the kernel busy for long without a
//! break. So what is measured with their help must not make pauses more frequent, or they hide it.

use std::ops::Range;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

use crate::clock::{monotonic_ns, nanoseconds};

const INTERVAL: Duration = Duration::from_micros(250);
/// What waking up takes, at most, on a processor that is there.
const WAKE_MAX: Duration = Duration::from_micros(200);
/// Above everything but the kernel's own threads of that class (sched(7)).
const PRIORITY: &str = "49";
const THIS_THREAD: Pid = Pid::from_raw(0);

/// When each processor was away, on the clock of [`monotonic_ns`].
type Pauses = Mutex<Vec<Range<u64>>>;

/// Those who watch, one on each processor.
pub struct Witnesses {
    pauses: Arc<Pauses>,
}

impl Witnesses {
    /// Sends them to their processors.
    ///
    /// # Errors
    /// When one may not go there, or not into the real-time class (`CAP_SYS_NICE`).
    pub fn start() -> Result<Self> {
        let pauses = Arc::default();
        let allowed = sched_getaffinity(THIS_THREAD)?;
        let is_allowed = |processor: &usize| allowed.is_set(*processor).unwrap_or_default();
        for processor in (0..CpuSet::count()).filter(is_allowed) {
            let (tell, told) = sync_channel(1);
            let pauses = Arc::downgrade(&pauses);
            thread::spawn(move || {
                let placed = place(processor);
                let is_there = placed.is_ok();
                let _ = tell.send(placed);
                if is_there {
                    watch(&pauses);
                }
            });
            told.recv()?.with_context(|| format!("a witness on processor {processor}"))?;
        }
        Ok(Self { pauses })
    }

    /// The pauses since they were last asked for.
    pub fn pauses(&self) -> Vec<Range<u64>> {
        self.pauses.lock().map(|mut pauses| std::mem::take(&mut *pauses)).unwrap_or_default()
    }
}

/// Until nobody asks any more.
fn watch(pauses: &Weak<Pauses>) {
    let mut before = monotonic_ns();
    while let Some(pauses) = pauses.upgrade() {
        thread::sleep(INTERVAL);
        let now = monotonic_ns();
        if now - before > nanoseconds(INTERVAL + WAKE_MAX)
            && let Ok(mut pauses) = pauses.lock()
        {
            pauses.push(before..now);
        }
        before = now;
    }
}

/// Puts this thread on a processor and above the others there.
fn place(processor: usize) -> Result<()> {
    let mut own = CpuSet::new();
    own.set(processor)?;
    sched_setaffinity(THIS_THREAD, &own)?;
    let mut command = Command::new("chrt");
    let output = command.args(["--fifo", "--pid", PRIORITY, &gettid().to_string()]).output()?;
    ensure!(output.status.success(), "chrt: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
