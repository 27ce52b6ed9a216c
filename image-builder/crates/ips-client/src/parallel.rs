//! What several threads do at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Does `work` for every item on up to `workers` threads. The results are in the order of the items. After a failure
/// no item is begun any more; the failure that counts is the one of the first item that has one.
pub(crate) fn for_each<I: Sync, T: Send, E: Send>(
    items: &[I],
    workers: usize,
    work: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let (next, is_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, Result<T, E>)>> = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while !is_failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            is_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            lock(&done).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What a thread that panicked has left of it is as good as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_the_first_failure_counts() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = for_each(&items, 7, |item| Ok::<_, ()>(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let failed = for_each(&items, 1, |item| if *item % 10 == 9 { Err(*item) } else { Ok(()) });
        assert_eq!(failed, Err(9));
        assert_eq!(for_each(&[], 7, |_: &u32| Err::<(), ()>(())), Ok(Vec::new()));
    }
}
