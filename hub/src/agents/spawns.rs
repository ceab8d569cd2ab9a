//! How many agents are being started at once. A start is over when the agent is healthy, or gone, or takes so long that
//! it no longer keeps others waiting.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::limits::SPAWN_SHARE_MAX;

/// All starts of one hub.
pub(crate) struct Spawns {
    starts: Arc<Semaphore>,
    at_once: usize,
    waiting: AtomicUsize,
}

/// One start.
pub(crate) struct Start {
    permit: OwnedSemaphorePermit,
    until: Instant,
}

/// One more waits as long as this is there.
struct Waits<'a>(&'a AtomicUsize);

impl Spawns {
    /// So many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { starts: Arc::new(Semaphore::new(at_once)), at_once, waiting: AtomicUsize::new(0) }
    }

    /// Begins one, if it may begin now.
    pub(crate) fn try_begin(&self) -> Option<Start> {
        Arc::clone(&self.starts).try_acquire_owned().ok().map(Start::new)
    }

    /// Begins one when it is its turn; those who came before come first.
    pub(crate) async fn begin(&self) -> Option<Start> {
        let _waits = Waits::new(&self.waiting);
        Arc::clone(&self.starts).acquire_owned().await.ok().map(Start::new)
    }

    /// How many are under way, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.at_once - self.starts.available_permits(), self.waiting.load(Ordering::Relaxed))
    }
}

impl Start {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { permit, until: Instant::now() + SPAWN_SHARE_MAX }
    }

    /// Lasts until the agent is healthy, but lets others begin when that takes too long.
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
    async fn so_many_begin_and_the_rest_in_the_order_of_coming() {
        let spawns = Spawns::new(2);
        let (first, second) = (spawns.try_begin().unwrap(), spawns.try_begin().unwrap());
        assert!(spawns.try_begin().is_none());
        let (third, fourth) = (spawns.begin(), spawns.begin());
        tokio::pin!(third, fourth);
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        assert_eq!(spawns.counts(), (2, 2));
        drop(first);
        assert!(spawns.try_begin().is_none(), "nobody overtakes");
        assert!(fourth.as_mut().now_or_never().is_none());
        let third = third.now_or_never().unwrap().unwrap();
        assert_eq!(second.lasts(ready(7)).await, 7);
        assert!(fourth.now_or_never().unwrap().is_some());
        drop(third);
        assert_eq!(spawns.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_takes_too_long_lets_others_begin() {
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
