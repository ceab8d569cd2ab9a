//! The clock that agent and driver share: `CLOCK_MONOTONIC` is one for all processes of a machine.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since an arbitrary point, the same point in every process.
pub fn monotonic_ns() -> u64 {
    // The clock always exists on Linux (clock_gettime(2)).
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| nanoseconds(Duration::from(now)))
}

/// A duration on that clock.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
