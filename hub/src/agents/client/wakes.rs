//! Keeps wake-ups that a poll causes to itself from the scheduler.
//!
//! The two halves of an HTTP answer, its connection and its body, wake each other while both are polled by the same
//! task. Passed on, each such wake-up would run the whole task once more and rouse another worker thread for it: two
//! system calls a token. Here they only cause another look at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Looks in one poll. Whatever still asks to be polled then (the runtime's budget, say) gets a wake-up of the task.
const LOOKS_MAX: usize = 3;

/// What stands between a polled thing and the task that polls it.
#[derive(Debug)]
pub(super) struct Wakes {
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

impl Wakes {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// Polls, and again while the poll itself asks for it.
    pub(super) fn poll<T>(
        &self,
        task: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(task.waker());
        self.shared.is_polling.store(true, Ordering::SeqCst);
        let mut result = Poll::Pending;
        for _ in 0..LOOKS_MAX {
            self.shared.is_due.store(false, Ordering::SeqCst);
            result = poll(&mut Context::from_waker(&self.waker));
            if result.is_ready() || !self.shared.is_due.load(Ordering::SeqCst) {
                break;
            }
        }
        self.shared.is_polling.store(false, Ordering::SeqCst);
        // What came since the last look was not passed on.
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
    fn a_poll_that_wakes_itself_is_looked_at_again_without_the_task() {
        let (count, wakes) = (Arc::new(Count::default()), Wakes::new());
        let task = Waker::from(Arc::clone(&count));
        let mut looks = 0;
        let result = wakes.poll(&Context::from_waker(&task), |cx| {
            looks += 1;
            if looks == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(looks)
        });
        assert_eq!((result, count.get()), (Poll::Ready(2), 0));
    }

    #[test]
    fn a_wake_up_from_elsewhere_reaches_the_task() {
        let (count, wakes) = (Arc::new(Count::default()), Wakes::new());
        let task = Waker::from(Arc::clone(&count));
        let mut inner = None;
        let result = wakes.poll(&Context::from_waker(&task), |cx| {
            inner = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert_eq!((result, count.get()), (Poll::Pending, 0));
        inner.unwrap().wake();
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn what_never_rests_goes_back_to_the_task() {
        let (count, wakes) = (Arc::new(Count::default()), Wakes::new());
        let task = Waker::from(Arc::clone(&count));
        let mut looks = 0;
        let result = wakes.poll(&Context::from_waker(&task), |cx| {
            looks += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((result, looks, count.get()), (Poll::Pending, LOOKS_MAX, 1));
    }
}
