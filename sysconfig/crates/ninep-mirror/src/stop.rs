//! Being asked to end.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the file at hand may still take after the request to end.
const GRACE: Duration = Duration::from_secs(5);

/// Shared by whoever may ask for the end and whoever has to see it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    stop_since: Option<Instant>,
    woken: bool,
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self) {
        self.change(|state| {
            state.stop_since.get_or_insert_with(Instant::now);
        });
    }

    /// Ends the wait that goes on or comes next, and nothing else.
    pub fn wake(&self) {
        self.change(|state| state.woken = true);
    }

    /// Whether the end was asked for: no new file is begun.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.state().stop_since.is_some()
    }

    /// Whether the end was asked for so long ago that the file at hand is given up, too.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.state().stop_since.is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// Waits for a time, less when the end is asked for or [`Stop::wake`] is called. Whether it was woken.
    pub fn wait(&self, time: Duration) -> bool {
        let idle = |state: &mut State| state.stop_since.is_none() && !state.woken;
        let guard = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.changed.wait_timeout_while(guard, time, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.woken)
    }

    fn state(&self) -> State {
        *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_woken_or_stopped() {
        let stop = Stop::default();
        stop.wake();
        assert!(stop.wait(Duration::from_secs(60)));
        assert!(!stop.wait(Duration::from_millis(1)), "a wake is used up");
        let other = stop.clone();
        let thread = std::thread::spawn(move || other.request());
        stop.wait(Duration::from_secs(60));
        thread.join().unwrap();
        assert!(stop.is_requested());
        assert!(!stop.is_overdue(), "there is time for the file at hand");
    }
}
