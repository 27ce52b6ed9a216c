//! The thread that looks at the plugin directories, apart from whoever waits for it: where a file system does not answer, a
//! look never ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::finding::Finding;
use super::scan::{Scanner, Search};

/// Which directories are waited for at this moment, and since when.
#[derive(Debug, Clone, Default)]
pub(super) struct Asking(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    questions: BTreeMap<u64, (PathBuf, Instant)>,
}

impl Asking {
    /// Notes that a directory, or a file in it, is asked for something; dropping the answer means that it came.
    pub(super) fn about(&self, directory: &Path) -> Question {
        let number = self.with(|open| {
            open.next += 1;
            open.questions.insert(open.next, (directory.to_owned(), Instant::now()));
            open.next
        });
        Question { asking: self.clone(), number }
    }

    /// The directories that have been waited for as long as this.
    pub(super) fn silent_for(&self, patience: Duration) -> BTreeSet<PathBuf> {
        let is_silent = |(_, since): &&(PathBuf, Instant)| since.elapsed() >= patience;
        self.with(|open| open.questions.values().filter(is_silent).map(|(directory, _)| directory.clone()).collect())
    }

    fn with<T>(&self, action: impl FnOnce(&mut Open) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A directory that is waited for.
#[derive(Debug)]
pub(super) struct Question {
    asking: Asking,
    number: u64,
}

impl Question {
    /// A reader of a file there. However large it is, it is not silent while something comes of it.
    pub(super) fn reading<R: Read>(&self, file: R) -> Reading<'_, R> {
        Reading { question: self, file }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.asking.with(|open| open.questions.remove(&self.number));
    }
}

/// See [`Question::reading`].
pub(super) struct Reading<'a, R> {
    question: &'a Question,
    file: R,
}

impl<R: Read> Read for Reading<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let now = Instant::now();
        self.question.asking.with(|open| {
            if let Some((_, since)) = open.questions.get_mut(&self.question.number) {
                *since = now;
            }
        });
        Ok(count)
    }
}

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Look as a daemon does that starts.
    First,
    /// Look once.
    Poll,
    /// See [`Scanner::set_search`].
    Search(Search),
    /// See [`Scanner::forget_findings`].
    Forget,
    /// Look again at the files of these plugins, if they were refused.
    Again(BTreeSet<String>),
}

/// What came of a look.
#[derive(Debug)]
pub(super) struct Looked {
    /// The number of the thread.
    pub(super) by: u64,
    pub(super) findings: Vec<Finding>,
    /// As in [`Finding::Missing`], whether or not that is news.
    pub(super) missing: BTreeMap<PathBuf, String>,
    /// Some files are to be looked at again in a while.
    pub(super) tries_again: bool,
}

/// Before the next look after one that failed: what it says of that goes into the log each time.
pub(super) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// One look; none where it came to a fault of the daemon itself. What it has found by then is found anew by the next one.
fn look(scanner: &mut Scanner, look: impl FnOnce(&mut Scanner) -> Vec<Finding>) -> Option<Vec<Finding>> {
    let found = catch_unwind(AssertUnwindSafe(|| look(scanner))).ok();
    if found.is_none() {
        scanner.forget_findings();
    }
    found
}

/// The running thread, which does its jobs in turn; it ends after the one that it is at when this is dropped.
#[derive(Debug)]
pub(super) struct Looker {
    pub(super) number: u64,
    jobs: Sender<Job>,
    pub(super) asking: Asking,
}

impl Looker {
    /// Starts the thread `look`. What comes of its looks goes to `tell`.
    pub(super) fn start(number: u64, mut scanner: Scanner, tell: impl Fn(Looked) + Send + 'static) -> io::Result<Self> {
        let (jobs, requests) = channel();
        let asking = scanner.asking.clone();
        let run = move || {
            for job in requests {
                let looked = match job {
                    Job::First => look(&mut scanner, Scanner::first_look),
                    Job::Poll => look(&mut scanner, Scanner::poll),
                    Job::Again(plugins) => look(&mut scanner, |scanner| scanner.look_again(&plugins)),
                    Job::Search(search) => {
                        scanner.set_search(search);
                        continue;
                    }
                    Job::Forget => {
                        scanner.forget_findings();
                        continue;
                    }
                };
                let has_failed = looked.is_none();
                let findings = looked.unwrap_or_else(|| vec![Finding::Failed]);
                let (missing, tries_again) = (scanner.missing.clone(), scanner.tries_again() || has_failed);
                tell(Looked { by: number, findings, missing, tries_again });
                if has_failed {
                    std::thread::sleep(PAUSE_AFTER_FAILURE);
                }
            }
        };
        std::thread::Builder::new().name("look".to_owned()).spawn(run)?;
        Ok(Self { number, jobs, asking })
    }

    pub(super) fn give(&self, job: Job) {
        // The thread lives as long as this.
        drop(self.jobs.send(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{CopyStore, System};

    /// The thread ended, and nothing was found any more.
    #[test]
    fn a_look_that_panics_loses_nothing_that_it_had_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        std::os::unix::fs::symlink("/nowhere/at/all", path.join("sysconfig-plugin-a")).unwrap();
        let store = Arc::new(CopyStore::open(&path.join("state")).unwrap());
        let search = Search { path: vec![path], allow_untrusted_owner: false };
        let mut scanner = Scanner::new(search, System::detect(), store);
        let lost = look(&mut scanner, |scanner| {
            let found = scanner.first_look();
            assert!(found.is_empty(), "a fault of the daemon, for the test");
            found
        });
        assert!(lost.is_none());
        let found = look(&mut scanner, Scanner::poll).unwrap();
        assert!(matches!(&*found, [Finding::Refused { name, .. }] if name == "a"), "{found:?}");
    }

    #[test]
    fn silent_is_who_gives_neither_an_answer_nor_a_part_of_one() {
        let asking = Asking::default();
        let (slow, dead) = (asking.about(Path::new("/slow")), asking.about(Path::new("/dead")));
        let answered = asking.about(Path::new("/fast"));
        drop(answered);
        std::thread::sleep(Duration::from_millis(50));
        let silent = |milliseconds| {
            let silent = asking.silent_for(Duration::from_millis(milliseconds));
            silent.iter().map(|directory| directory.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(silent(50), ["/dead", "/slow"]);
        assert_eq!(silent(600_000), [""; 0]);
        let began = Instant::now();
        slow.reading(&b"part"[..]).read_exact(&mut [0; 4]).unwrap();
        let since = || asking.with(|open| open.questions[&slow.number].1);
        assert!(since() >= began);
        drop((slow, dead));
        assert_eq!(silent(0), [""; 0]);
    }
}
