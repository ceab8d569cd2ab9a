//! The limit on parallel starts of agents. A start counts until the agent is healthy or gone, or until it has taken
//! [`SPAWN_SHARE_MAX`].

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::limits::SPAWN_SHARE_MAX;

/// The starts of one hub.
pub(crate) struct Spawns {
    starts: Arc<Semaphore>,
    at_once: usize,
    waiting: AtomicUsize,
}

/// A permit to start one agent.
pub(crate) struct Start {
    permit: OwnedSemaphorePermit,
    until: Instant,
}

/// Counts one waiting start until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Spawns {
    /// Creates a limit of `at_once` parallel starts.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { starts: Arc::new(Semaphore::new(at_once)), at_once, waiting: AtomicUsize::new(0) }
    }

    /// Returns a permit, if one is free.
    pub(crate) fn try_begin(&self) -> Option<Start> {
        Arc::clone(&self.starts).try_acquire_owned().ok().map(Start::new)
    }

    /// Waits for a permit. Permits are given in the order of the calls.
    pub(crate) async fn begin(&self) -> Option<Start> {
        let _waits = Waits::new(&self.waiting);
        Arc::clone(&self.starts).acquire_owned().await.ok().map(Start::new)
    }

    /// Returns the number of starts under way, and of those that wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.at_once - self.starts.available_permits(), self.waiting.load(Ordering::Relaxed))
    }
}

impl Start {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { permit, until: Instant::now() + SPAWN_SHARE_MAX }
    }

    /// Holds the permit until the future resolves, or until the start no longer counts.
    pub(crate) async fn lasts<T>(self, until: impl Future<Output = T>) -> T {
        tokio::pin!(until);
        tokio::select! {
            biased;
            healthy = &mut until => return healthy,
            () = sleep_until(self.until) => drop(self.permit),
        }
        until.await
    }
}

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn permits_are_limited_and_given_in_order() {
        let spawns = Spawns::new(2);
        let (first, second) = (spawns.try_begin().unwrap(), spawns.try_begin().unwrap());
        assert!(spawns.try_begin().is_none());
        let (third, fourth) = (spawns.begin(), spawns.begin());
        tokio::pin!(third, fourth);
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        assert_eq!(spawns.counts(), (2, 2));
        drop(first);
        assert!(spawns.try_begin().is_none(), "the order holds");
        assert!(fourth.as_mut().now_or_never().is_none());
        let third = third.now_or_never().unwrap().unwrap();
        assert_eq!(second.lasts(ready(7)).await, 7);
        assert!(fourth.now_or_never().unwrap().is_some());
        drop(third);
        assert_eq!(spawns.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_start_no_longer_counts() {
        let spawns = Spawns::new(1);
        let hangs = spawns.try_begin().unwrap().lasts(pending::<()>());
        tokio::pin!(hangs);
        advance(SPAWN_SHARE_MAX - Duration::from_millis(1)).await;
        assert!(hangs.as_mut().now_or_never().is_none());
        assert_eq!(spawns.counts(), (1, 0));
        advance(Duration::from_millis(1)).await;
        assert!(hangs.as_mut().now_or_never().is_none());
        assert!(spawns.try_begin().is_some());
    }
}
