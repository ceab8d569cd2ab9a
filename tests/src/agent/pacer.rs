//! The timer of all answers.
//!
//! tokio's timer counts in milliseconds, which is more than a server adds to a token. `timerfd_create(2)` counts in
//! nanoseconds.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use crate::clock::monotonic_ns;

/// Wakes tasks at given times.
pub struct Pacer {
    timer: AsyncFd<Timer>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    heap: BinaryHeap<Reverse<Alarm>>,
    /// The time of the next alarm, if there is one.
    armed_ns: Option<u64>,
}

struct Alarm {
    due_ns: u64,
    waker: Waker,
}

struct Timer(TimerFd);

impl Pacer {
    /// Creates a pacer without alarms. [`Pacer::run`] must be polled.
    ///
    /// # Errors
    /// Returns an error if the timer cannot be created.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, as a type could lie about its descriptor; a Timer owns the one it names"
    )]
    pub fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let waiting = Waiting { heap: BinaryHeap::new(), armed_ns: None };
        Ok(Self { timer: AsyncFd::new(Timer(timer))?, waiting: Mutex::new(waiting) })
    }

    /// Wakes the task at `due_ns` on [`crate::clock`], or at once if that time has passed.
    pub fn wake_at(&self, due_ns: u64, waker: Waker) {
        let mut waiting = self.waiting();
        waiting.heap.push(Reverse(Alarm { due_ns, waker }));
        if waiting.armed_ns.is_none_or(|armed_ns| due_ns < armed_ns) && self.arm(due_ns).is_ok() {
            waiting.armed_ns = Some(due_ns);
        }
    }

    /// Wakes tasks at their times while it is polled.
    ///
    /// # Errors
    /// Returns an error if the timer fails.
    pub async fn run(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            match ready.get_inner().0.wait() {
                Ok(()) | Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
            self.wake_due()?;
        }
    }

    fn wake_due(&self) -> io::Result<()> {
        let now = monotonic_ns();
        let mut waiting = self.waiting();
        waiting.armed_ns = None;
        while let Some(Reverse(alarm)) = waiting.heap.peek() {
            if alarm.due_ns > now {
                self.arm(alarm.due_ns)?;
                waiting.armed_ns = Some(alarm.due_ns);
                return Ok(());
            }
            if let Some(Reverse(alarm)) = waiting.heap.pop() {
                alarm.waker.wake();
            }
        }
        Ok(())
    }

    fn arm(&self, due_ns: u64) -> io::Result<()> {
        let due = Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(due_ns.max(1))));
        Ok(self.timer.get_ref().0.set(due, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due_ns.cmp(&other.due_ns)
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.due_ns == other.due_ns
    }
}

impl Eq for Alarm {}
