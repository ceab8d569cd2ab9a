//! Detects pauses of the machine itself: a host that gives its processors to others (steal) delays everything on them.
//!
//! A monitor thread on each processor wakes at short intervals, in a real-time class, so that nothing on this machine
//! but its kernel can delay the thread. A late wake-up means that the processor was away, or that the kernel was busy
//! for long without a break. A workload that makes pauses more frequent must not be measured with this monitor: the
//! pauses would hide its cost.

use std::ops::Range;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

use mayfly_tests::clock::{monotonic_ns, nanoseconds};

const INTERVAL: Duration = Duration::from_micros(250);
/// Longest wake-up time on a processor that is present.
const WAKE_MAX: Duration = Duration::from_micros(200);
/// Real-time priority of the monitor threads, below the kernel's own threads of that class (sched(7)).
const PRIORITY: &str = "49";
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Pauses of all processors, on the clock of [`monotonic_ns`].
type Pauses = Mutex<Vec<Range<u64>>>;

/// One monitor thread for each processor. The threads end when this value is dropped.
pub struct StallMonitor {
    pauses: Arc<Pauses>,
}

impl StallMonitor {
    /// Starts a thread on each processor that this process may use.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be bound to its processor or enter the real-time class (`CAP_SYS_NICE`).
    pub fn start() -> Result<Self> {
        let pauses = Arc::default();
        let allowed = sched_getaffinity(THIS_THREAD)?;
        let is_allowed = |processor: &usize| allowed.is_set(*processor).unwrap_or_default();
        for processor in (0..CpuSet::count()).filter(is_allowed) {
            let (tell, told) = sync_channel(1);
            let pauses = Arc::downgrade(&pauses);
            thread::spawn(move || {
                let placed = place(processor);
                let is_placed = placed.is_ok();
                let _ = tell.send(placed);
                if is_placed {
                    watch(&pauses);
                }
            });
            told.recv()?.with_context(|| format!("the stall monitor on processor {processor}"))?;
        }
        Ok(Self { pauses })
    }

    /// Returns the pauses since the last call.
    pub fn pauses(&self) -> Vec<Range<u64>> {
        self.pauses.lock().map(|mut pauses| std::mem::take(&mut *pauses)).unwrap_or_default()
    }
}

/// Records pauses until the monitor is dropped.
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

/// Binds this thread to a processor and raises its priority there.
fn place(processor: usize) -> Result<()> {
    let mut own = CpuSet::new();
    own.set(processor)?;
    sched_setaffinity(THIS_THREAD, &own)?;
    let mut command = Command::new("chrt");
    let output = command.args(["--fifo", "--pid", PRIORITY, &gettid().to_string()]).output()?;
    ensure!(output.status.success(), "chrt: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
