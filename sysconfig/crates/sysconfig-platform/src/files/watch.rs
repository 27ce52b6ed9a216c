//! For tests: who is told of each change of a file, before it and after it.

#[cfg(any(test, feature = "fake"))]
use std::cell::RefCell;

#[cfg(any(test, feature = "fake"))]
thread_local! {
    static WATCH: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Tells `watch` of the changes that this thread makes from now on. It may not come back from there.
#[cfg(any(test, feature = "fake"))]
pub fn watch_this_thread(watch: impl Fn() + 'static) {
    WATCH.set(Some(Box::new(watch)));
}

/// Makes a change that may be watched.
pub(super) fn changing<T>(change: impl FnOnce() -> T) -> T {
    tell();
    let result = change();
    tell();
    result
}

fn tell() {
    #[cfg(any(test, feature = "fake"))]
    WATCH.with_borrow(|watch| watch.iter().for_each(|watch| watch()));
}
