//! A filter that hides from the scheduler the wake-ups that a poll causes itself.
//!
//! The connection and the body of an HTTP answer wake each other while the same task polls both. Each of these wake-ups
//! would run the whole task again and wake another worker thread: two system calls for each token. The filter repeats
//! the poll instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Highest number of inner polls in one poll. A wake-up after the last one goes to the task: the runtime's cooperative
/// budget, for example, requires that.
const POLLS_MAX: usize = 3;

/// The filter between a poll function and the task that calls it.
#[derive(Debug)]
pub(super) struct WakeFilter {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Shared {
    task: AtomicWaker,
    is_polling: AtomicBool,
    is_due: AtomicBool,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::SeqCst);
        if !self.is_polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl WakeFilter {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// Calls `poll`, and repeats the call while `poll` wakes itself, at most `POLLS_MAX` times.
    pub(super) fn poll<T>(
        &self,
        task: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(task.waker());
        self.shared.is_polling.store(true, Ordering::SeqCst);
        let mut result = Poll::Pending;
        for _ in 0..POLLS_MAX {
            self.shared.is_due.store(false, Ordering::SeqCst);
            result = poll(&mut Context::from_waker(&self.waker));
            if result.is_ready() || !self.shared.is_due.load(Ordering::SeqCst) {
                break;
            }
        }
        self.shared.is_polling.store(false, Ordering::SeqCst);
        // The filter has not passed on a wake-up that came since the last inner poll.
        if result.is_pending() && self.shared.is_due.load(Ordering::SeqCst) {
            task.waker().wake_by_ref();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn self_wake_repeats_the_poll_without_the_task() {
        let (count, filter) = (Arc::new(Count::default()), WakeFilter::new());
        let task = Waker::from(Arc::clone(&count));
        let mut polls = 0;
        let result = filter.poll(&Context::from_waker(&task), |cx| {
            polls += 1;
            if polls == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(polls)
        });
        assert_eq!((result, count.get()), (Poll::Ready(2), 0));
    }

    #[test]
    fn external_wake_reaches_the_task() {
        let (count, filter) = (Arc::new(Count::default()), WakeFilter::new());
        let task = Waker::from(Arc::clone(&count));
        let mut inner = None;
        let result = filter.poll(&Context::from_waker(&task), |cx| {
            inner = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert_eq!((result, count.get()), (Poll::Pending, 0));
        inner.unwrap().wake();
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn endless_self_wake_returns_to_the_task() {
        let (count, filter) = (Arc::new(Count::default()), WakeFilter::new());
        let task = Waker::from(Arc::clone(&count));
        let mut polls = 0;
        let result = filter.poll(&Context::from_waker(&task), |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((result, polls, count.get()), (Poll::Pending, POLLS_MAX, 1));
    }
}
