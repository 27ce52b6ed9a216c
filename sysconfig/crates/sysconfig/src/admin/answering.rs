//! Answers that are on their way. The process ends when they have gone out: whoever asked for what a daemon has done while it
//! was told to end is told, too.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts the requests that were read and whose answers are not written yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Answering(Arc<(Mutex<usize>, Condvar)>);

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Answering);

impl Answering {
    /// Begins to answer a request.
    pub(super) fn begin(&self) -> UnderWay {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        UnderWay(self.clone())
    }

    /// Waits until all answers are written, `patience` at most: a client may be slow to read.
    pub(super) fn wait(&self, patience: Duration) {
        let (count, ended) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(ended.wait_timeout_while(count, patience, |count| *count > 0));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (count, ended) = &*self.0.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_the_last_answer_and_not_for_ever() {
        let answering = Answering::default();
        answering.wait(Duration::from_secs(600));
        let (first, second) = (answering.begin(), answering.begin());
        answering.wait(Duration::from_millis(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| answering.wait(Duration::from_secs(600)));
            drop(first);
            assert_eq!(*answering.0.0.lock().unwrap(), 1);
            drop(second);
            waiting.join().unwrap();
        });
    }
}
