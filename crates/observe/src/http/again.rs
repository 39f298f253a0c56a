//! A task that wakes itself and does not have to wait in line for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// How often a future is polled in a row.
const IN_A_ROW: usize = 4;

/// The future is being polled; if not, who wakes it wakes the task.
const POLLED: u8 = 1;
/// It was woken since it was polled last.
const WOKEN: u8 = 2;

/// A future that is polled again at once if it was woken while it was polled, as HTTP connections are by the bodies of
/// their requests. The runtime would put the task at the end of a queue, and wake a second thread to look at that queue:
/// just when the first one has sent the answer and the client wants to run.
pub(super) struct Again<F> {
    future: Pin<Box<F>>,
    bell: Option<Arc<Bell>>,
}

/// What wakes the future.
struct Bell {
    state: AtomicU8,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake_by_ref();
        }
    }
}

impl<F> Again<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future: Box::pin(future), bell: None }
    }
}

impl<F: Future> Future for Again<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, bell } = &mut *self;
        let known = bell.take().filter(|bell| bell.task.will_wake(context.waker()));
        let bell = bell
            .insert(known.unwrap_or_else(|| {
                Arc::new(Bell { state: AtomicU8::new(0), task: context.waker().clone() })
            }));
        let waker = Waker::from(Arc::clone(bell));
        for _ in 0..IN_A_ROW {
            bell.state.swap(POLLED, Ordering::AcqRel);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                return polled;
            }
            if bell.state.compare_exchange(POLLED, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Poll::Pending;
            }
        }
        bell.state.fetch_and(!POLLED, Ordering::AcqRel);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll::{Pending, Ready};

    use super::*;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// The waker that a future was polled with, and whether the future is to end.
    type Shared = Arc<Mutex<(Option<Waker>, bool)>>;

    /// A future that wakes itself the first `times` that it is polled. Its output is how often it was.
    fn restless(times: usize) -> (impl Future<Output = usize>, Shared) {
        let shared = Shared::default();
        let (inner, mut polls) = (Arc::clone(&shared), 0);
        let future = std::future::poll_fn(move |context| {
            polls += 1;
            if polls <= times {
                context.waker().wake_by_ref();
            }
            let mut shared = inner.lock().unwrap();
            shared.0 = Some(context.waker().clone());
            if shared.1 { Ready(polls) } else { Pending }
        });
        (future, shared)
    }

    #[test]
    fn what_wakes_itself_is_polled_again_without_waking_the_task() {
        let task = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&task));
        let (future, shared) = restless(2);
        let mut again = Again::new(future);
        assert_eq!(Pin::new(&mut again).poll(&mut Context::from_waker(&waker)), Pending);
        assert_eq!(task.get(), 0);

        // Woken from elsewhere, it wakes the task, which may have moved meanwhile.
        let kept = shared.lock().unwrap().0.take().unwrap();
        kept.wake();
        assert_eq!(task.get(), 1);
        let moved = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&moved));
        assert_eq!(Pin::new(&mut again).poll(&mut Context::from_waker(&waker)), Pending);
        shared.lock().unwrap().1 = true;
        shared.lock().unwrap().0.take().unwrap().wake();
        assert_eq!((task.get(), moved.get()), (1, 1));
        assert_eq!(Pin::new(&mut again).poll(&mut Context::from_waker(&waker)), Ready(5));
    }

    #[test]
    fn what_never_rests_lets_others_run() {
        let task = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&task));
        let (future, _shared) = restless(usize::MAX);
        let mut again = Again::new(future);
        for turn in 1..4 {
            assert_eq!(Pin::new(&mut again).poll(&mut Context::from_waker(&waker)), Pending);
            assert_eq!(task.get(), turn);
        }
    }
}
