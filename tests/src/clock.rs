//! The clock that simulated agent and driver share: `CLOCK_MONOTONIC` is the same in all processes of a machine.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds since an arbitrary point, which is the same in every process.
pub fn monotonic_ns() -> u64 {
    // The clock always exists on Linux (clock_gettime(2)).
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| nanoseconds(Duration::from(now)))
}

/// Returns a duration in nanoseconds.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
