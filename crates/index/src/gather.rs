//! Calls that come at the same time are answered together.
//!
//! Whoever comes while others are being served waits with everybody else who does, and the next run serves all of them:
//! one alone is served at once, and the more there are the less each costs. Runs are tasks of their own, so that a caller
//! who goes away takes nobody along.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A call that waits, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Waiting<T, A> {
    pub(crate) call: T,
    answer: oneshot::Sender<A>,
}

impl<T, A> Waiting<T, A> {
    /// Answers; whoever is gone needs none.
    pub(crate) fn answer(self, answer: A) {
        let _gone = self.answer.send(answer);
    }
}

/// Those who wait.
#[derive(Debug)]
pub(crate) struct Gather<T, A> {
    queue: Mutex<Queue<T, A>>,
    /// Runs at a time.
    runs: usize,
    /// How much one run takes, as `weight` counts it.
    capacity: usize,
    weight: fn(&T) -> usize,
}

#[derive(Debug)]
struct Queue<T, A> {
    waiting: VecDeque<Waiting<T, A>>,
    running: usize,
}

impl<T: Send + 'static, A: Send + 'static> Gather<T, A> {
    pub(crate) fn new(runs: usize, capacity: usize, weight: fn(&T) -> usize) -> Self {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), running: 0 });
        Self { queue, runs, capacity, weight }
    }

    /// The answer to a call, which `serve` gives to it and all that wait then; none if the runtime is going down.
    pub(crate) async fn call<S, F>(self: &Arc<Self>, call: T, serve: S) -> Option<A>
    where
        S: Fn(Vec<Waiting<T, A>>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.lock();
            queue.waiting.push_back(Waiting { call, answer });
            let is_first = queue.running < self.runs;
            queue.running += usize::from(is_first);
            is_first
        };
        if is_first {
            let run = Run { gather: Arc::clone(self), is_over: false };
            tokio::spawn(run.serve_all(serve));
        }
        answered.await.ok()
    }

    /// Who is served next; if that is nobody, this run is over.
    fn next(&self) -> Vec<Waiting<T, A>> {
        let mut queue = self.lock();
        let (mut taken, mut weight) = (Vec::new(), 0);
        while let Some(waiting) = queue.waiting.pop_front() {
            // Nobody waits for it any more, so it may as well never have come.
            if waiting.answer.is_closed() {
                continue;
            }
            weight += (self.weight)(&waiting.call);
            if weight > self.capacity && !taken.is_empty() {
                queue.waiting.push_front(waiting);
                break;
            }
            taken.push(waiting);
        }
        if taken.is_empty() {
            queue.running -= 1;
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T, A>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that serves until nobody waits.
struct Run<T: Send + 'static, A: Send + 'static> {
    gather: Arc<Gather<T, A>>,
    is_over: bool,
}

impl<T: Send + 'static, A: Send + 'static> Run<T, A> {
    async fn serve_all<S, F>(mut self, serve: S)
    where
        S: Fn(Vec<Waiting<T, A>>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let taken = self.gather.next();
            if taken.is_empty() {
                self.is_over = true;
                return;
            }
            serve(taken).await;
        }
    }
}

impl<T: Send + 'static, A: Send + 'static> Drop for Run<T, A> {
    /// A run that was ended before it was over: with it go those it would have served, so that nobody waits for ever.
    fn drop(&mut self) {
        if !self.is_over {
            let mut queue = self.gather.lock();
            queue.running -= 1;
            queue.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    type Numbers = Gather<usize, (usize, usize)>;

    /// Serves a run for each permit, and answers a call by itself and how many were served with it.
    async fn serve(gate: Arc<Semaphore>, taken: Vec<Waiting<usize, (usize, usize)>>) {
        gate.acquire().await.unwrap().forget();
        let number = taken.len();
        for waiting in taken {
            let call = waiting.call;
            assert!(call != 666, "a defect");
            waiting.answer((call, number));
        }
    }

    fn call(
        gather: &Arc<Numbers>,
        gate: &Arc<Semaphore>,
        number: usize,
    ) -> tokio::task::JoinHandle<Option<(usize, usize)>> {
        let (gather, gate) = (Arc::clone(gather), Arc::clone(gate));
        tokio::spawn(async move { gather.call(number, move |taken| serve(Arc::clone(&gate), taken)).await })
    }

    /// Waits until so many wait behind the run that is under way.
    async fn queued(gather: &Numbers, number: usize) {
        while gather.lock().waiting.len() != number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn gather(capacity: usize) -> (Arc<Numbers>, Arc<Semaphore>) {
        (Arc::new(Gather::new(1, capacity, |number| *number)), Arc::new(Semaphore::new(0)))
    }

    /// One call that is being served.
    async fn first(
        gather: &Arc<Numbers>,
        gate: &Arc<Semaphore>,
    ) -> tokio::task::JoinHandle<Option<(usize, usize)>> {
        let first = call(gather, gate, 1);
        while gather.lock().running == 0 || !gather.lock().waiting.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        first
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_are_served_together() {
        let (gather, gate) = gather(100);
        let first = first(&gather, &gate).await;
        let others: Vec<_> = (2..5).map(|number| call(&gather, &gate, number)).collect();
        queued(&gather, 3).await;
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some((1, 1)));
        for (number, other) in (2..5).zip(others) {
            assert_eq!(other.await.unwrap(), Some((number, 3)));
        }
        gate.add_permits(1);
        assert_eq!(call(&gather, &gate, 7).await.unwrap(), Some((7, 1)));
    }

    #[tokio::test]
    async fn a_run_takes_what_it_can_hold_and_at_least_one() {
        let (gather, gate) = gather(10);
        let first = first(&gather, &gate).await;
        let mut others = Vec::new();
        for number in [6, 4, 5, 40, 1] {
            others.push(call(&gather, &gate, number));
            queued(&gather, others.len()).await;
        }
        gate.add_permits(10);
        assert_eq!(first.await.unwrap(), Some((1, 1)));
        let mut sizes = Vec::new();
        for other in others {
            sizes.push(other.await.unwrap().unwrap().1);
        }
        assert_eq!(sizes, [2, 2, 1, 1, 1]);
    }

    #[tokio::test]
    async fn who_goes_away_takes_nobody_along() {
        let (gather, gate) = gather(100);
        let first = first(&gather, &gate).await;
        let (second, third) = (call(&gather, &gate, 2), call(&gather, &gate, 3));
        queued(&gather, 2).await;
        // One that is being served, and one that waits.
        first.abort();
        second.abort();
        assert!(first.await.unwrap_err().is_cancelled() && second.await.unwrap_err().is_cancelled());
        gate.add_permits(2);
        assert_eq!(third.await.unwrap(), Some((3, 1)));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_run_that_died() {
        let (gather, gate) = gather(1_000);
        let first = first(&gather, &gate).await;
        let (second, bad) = (call(&gather, &gate, 2), call(&gather, &gate, 666));
        queued(&gather, 2).await;
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some((1, 1)));
        assert_eq!(bad.await.unwrap(), None);
        assert!(second.await.unwrap().is_none_or(|answer| answer == (2, 2)));
        gate.add_permits(1);
        assert_eq!(call(&gather, &gate, 3).await.unwrap(), Some((3, 1)));
    }
}
