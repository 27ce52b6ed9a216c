//! Work on several things at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// What comes of the work on each, in their order; none where it failed. Each has a thread of its own as far as the system gives
/// some; the others are worked on in this one. The library's own way to start a thread in a scope ends this one instead.
pub(crate) fn side_by_side<T: Send, R: Send>(inputs: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<Option<R>> {
    let slots: Vec<_> = inputs.into_iter().map(|input| Mutex::new(Some(input))).collect();
    let run = |slot: &Mutex<Option<T>>| {
        let input = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        input.map(&work)
    };
    scope(|scope| {
        let start = |slot| Builder::new().spawn_scoped(scope, move || run(slot)).ok();
        let jobs: Vec<_> = slots.iter().map(start).collect();
        let finish = |(job, slot): (Option<std::thread::ScopedJoinHandle<'_, Option<R>>>, _)| match job {
            Some(job) => job.join().ok().flatten(),
            None => catch_unwind(AssertUnwindSafe(|| run(slot))).ok().flatten(),
        };
        jobs.into_iter().zip(&slots).map(finish).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_one_that_fails_is_none() {
        let together = std::sync::Barrier::new(3);
        let work = |number: u32| {
            // One after another, none of them would get past this.
            together.wait();
            assert!(number != 2, "the second one fails");
            number * 10
        };
        assert_eq!(side_by_side(vec![1, 2, 3], work), [Some(10), None, Some(30)]);
    }
}
