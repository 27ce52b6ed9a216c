//! Who hears of what the client does.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a count is told at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// Hears what the client does.
pub trait Listener: Send + Sync {
    /// Something worth a line in a log.
    fn message(&self, text: &str);
    /// Something that may replace the last detail.
    fn detail(&self, text: &str);
}

/// A listener that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Listener for Silent {
    fn message(&self, _text: &str) {}
    fn detail(&self, _text: &str) {}
}

/// How many bytes files have together, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// The bytes of those of which it is known.
    pub bytes: u64,
    /// Of how many it is not known.
    pub unknown: usize,
}

impl FromIterator<Option<u64>> for Amount {
    fn from_iter<I: IntoIterator<Item = Option<u64>>>(sizes: I) -> Self {
        let mut amount = Self::default();
        sizes.into_iter().for_each(|size| amount.add(size));
        amount
    }
}

impl Amount {
    pub(crate) fn add(&mut self, size: Option<u64>) {
        match size {
            // A size is only what a manifest says.
            Some(bytes) => self.bytes = self.bytes.saturating_add(bytes),
            None => self.unknown += 1,
        }
    }

    /// As people read it; `shown` is how they read bytes.
    pub fn text(&self, shown: impl Fn(u64) -> String) -> String {
        match (self.bytes, self.unknown) {
            (bytes, 0) => shown(bytes),
            (0, _) => "size unknown".to_owned(),
            (bytes, _) => format!("at least {}", shown(bytes)),
        }
    }
}

/// Counts files and bytes of several threads in one line.
pub(crate) struct Count<'l> {
    listener: &'l dyn Listener,
    what: &'static str,
    all: (usize, Amount),
    began: Instant,
    interval: Duration,
    done: Mutex<Done>,
}

/// What there is of all that is wanted.
#[derive(Debug, Default)]
struct Done {
    files: usize,
    /// Bytes of files that are there, and of those on their way.
    bytes: u64,
    told: Option<Instant>,
}

/// A file on its way. What came of it counts until it is given up.
pub(crate) struct Underway<'c, 'l> {
    count: &'c Count<'l>,
    /// How many bytes it has; none if that is not known.
    bytes: u64,
    came: Cell<u64>,
}

impl<'l> Count<'l> {
    /// `all` is how many files and bytes there will be; no bytes if that is not known.
    pub(crate) fn new(listener: &'l dyn Listener, what: &'static str, all: (usize, Amount)) -> Self {
        Self { listener, what, all, began: Instant::now(), interval: INTERVAL, done: Mutex::default() }
    }

    /// Begins with a file of so many bytes.
    pub(crate) fn begin(&self, bytes: u64) -> Underway<'_, 'l> {
        Underway { count: self, bytes, came: Cell::new(0) }
    }

    /// Told while nobody else counts: what is told later is never less, but for files that began anew.
    fn change(&self, change: impl FnOnce(&mut Done)) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut done);
        let is_end = done.files == self.all.0;
        if is_end || done.told.is_none_or(|told| told.elapsed() >= self.interval) {
            done.told = Some(Instant::now());
            self.listener.detail(&self.text(&done));
        }
    }

    fn text(&self, done: &Done) -> String {
        let (all_files, amount) = self.all;
        let files = done.files;
        if amount.bytes == 0 {
            return format!("{} {files} of {all_files}", self.what);
        }
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = shown_bytes(done.bytes.saturating_mul(1000) / milliseconds);
        let (bytes, all) = (shown_bytes(done.bytes), amount.text(shown_bytes));
        format!("{} {files} of {all_files}, {bytes} of {all}, {speed}/s", self.what)
    }
}

impl Underway<'_, '_> {
    /// So many bytes of it have come; fewer than before if it began anew.
    pub(crate) fn came(&self, bytes: u64) {
        let now = bytes.min(self.bytes);
        let before = self.came.replace(now);
        if now != before {
            self.count.change(|done| done.bytes = done.bytes - before + now);
        }
    }

    /// It is there.
    pub(crate) fn finish(self) {
        let before = self.came.replace(0);
        self.count.change(|done| {
            done.bytes = done.bytes - before + self.bytes;
            done.files += 1;
        });
    }
}

impl Drop for Underway<'_, '_> {
    fn drop(&mut self) {
        let mut done = self.count.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.bytes -= self.came.get();
    }
}

/// A number of bytes as people read it.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Listener for Heard {
        fn message(&self, _text: &str) {}
        fn detail(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    impl Heard {
        /// Files and bytes of each line, without the speed.
        fn numbers(&self) -> Vec<(usize, u64)> {
            let number = |text: &str| text.split_whitespace().next().unwrap().parse().unwrap();
            let lines = self.0.lock().unwrap();
            let parts =
                lines.iter().map(|line| line.strip_prefix("fetching: ").unwrap().split(", ").collect::<Vec<_>>());
            parts.map(|parts| (number(parts[0]) as usize, number(parts[1]))).collect()
        }
    }

    fn count(heard: &Heard, (files, bytes): (usize, u64), interval: Duration) -> Count<'_> {
        Count { interval, ..Count::new(heard, "fetching:", (files, Amount { bytes, unknown: 0 })) }
    }

    #[test]
    fn numbers_of_many_threads_add_up_and_never_fall() {
        const FILES: usize = 400;
        let heard = Heard::default();
        let sizes: Vec<u64> = (0..FILES as u64).map(|at| at % 20).collect();
        let all = sizes.iter().sum();
        let count = count(&heard, (FILES, all), Duration::ZERO);
        parallel::for_each(&sizes, 8, |size| {
            let file = count.begin(*size);
            (0..=*size).step_by(7).for_each(|came| file.came(came));
            file.finish();
            Ok::<_, ()>(())
        })
        .unwrap();
        let numbers = heard.numbers();
        assert!(numbers.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&(FILES, all)));
        // Files are in it before they are whole.
        assert!(numbers.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1), "{numbers:?}");
    }

    #[test]
    fn what_begins_anew_or_is_given_up_does_not_count_twice() {
        let heard = Heard::default();
        let count = count(&heard, (2, 150), Duration::ZERO);
        let file = count.begin(100);
        [30, 60, 60, 0, 50].into_iter().for_each(|came| file.came(came));
        drop(file);
        let file = count.begin(100);
        // More than it has is an answer that will not do.
        [100, 5000, 10].into_iter().for_each(|came| file.came(came));
        file.finish();
        count.begin(50).finish();
        let bytes = [(0, 30), (0, 60), (0, 0), (0, 50), (0, 100), (0, 10), (1, 100), (2, 150)];
        assert_eq!(heard.numbers(), bytes);
    }

    #[test]
    fn few_lines_are_told_and_the_last_one_always() {
        let heard = Heard::default();
        let count = count(&heard, (1000, 0), Duration::from_secs(3600));
        (0..1000).for_each(|_| count.begin(0).finish());
        assert_eq!(*heard.0.lock().unwrap(), ["fetching: 1 of 1000", "fetching: 1000 of 1000"]);
    }

    #[test]
    fn what_is_not_known_is_no_zero() {
        for (sizes, expected) in [
            (&[][..], "0 bytes"),
            (&[Some(0)], "0 bytes"),
            (&[Some(7), Some(8)], "15 bytes"),
            (&[None, None], "size unknown"),
            (&[Some(7), None], "at least 7 bytes"),
            (&[Some(u64::MAX), Some(1)], "17592186044415 MiB"),
        ] {
            assert_eq!(sizes.iter().copied().collect::<Amount>().text(shown_bytes), expected, "{sizes:?}");
        }
    }

    #[test]
    fn bytes_as_people_read_them() {
        for (bytes, expected) in [(0, "0 bytes"), (9_999, "9999 bytes"), (10_240, "10 KiB"), (10 << 20, "10 MiB")] {
            assert_eq!(shown_bytes(bytes), expected);
        }
    }
}
