//! The thread that polls, and waits for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::abi::System;
use super::finding::Finding;
use super::look::{Job, Looked, Looker, PAUSE_AFTER_FAILURE};
use super::scan::{Scanner, Search};
use super::store::CopyStore;
use crate::config::ConfigWatch;

/// What is looked at, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Where plugins are looked for.
    pub search: Search,
    /// Whether plugin files are looked at, after the first time.
    pub plugins: bool,
    /// Whether configuration files are looked at.
    pub configuration: bool,
    /// The time between two looks.
    pub interval: Duration,
    /// After which time without an answer a plugin directory is told to be silent.
    pub patience: Duration,
}

/// What came of the first look.
#[derive(Debug)]
pub enum FirstLook {
    /// What is there.
    Found(Vec<Finding>),
    /// Directories do not answer. What is there is told when they do, as [`Finding::Late`].
    Silent(BTreeMap<PathBuf, String>),
}

/// The running thread; it ends when this is dropped, or when nobody wants its findings any more.
#[derive(Debug)]
pub struct Watch {
    words: Sender<Word>,
    first: Receiver<FirstLook>,
}

impl Watch {
    /// Looks at something else from now on.
    pub fn attend(&self, attention: Attention) {
        // The thread lives as long as the daemon listens to it.
        drop(self.words.send(Word::Attend(attention)));
    }

    /// Looks at once at the file of one plugin that was refused, whatever was found before. What comes of it was delivered when
    /// the answer comes; none comes when the watch ends.
    pub fn look_again(&self, plugin: &str) -> Receiver<()> {
        let (asker, done) = channel();
        drop(self.words.send(Word::Again(plugin.to_owned(), asker)));
        done
    }

    /// What came of the first look; none when nothing has within a time.
    pub fn first_look(&self, wait: Duration) -> Option<FirstLook> {
        match self.first.recv_timeout(wait) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(FirstLook::Found(Vec::new())),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.words.send(Word::End));
    }
}

/// Starts the thread `watch`, which looks at the plugin directories once, then at them and at the configuration files from
/// time to time; while it is to look at neither, it sleeps. `deliver` answers whether there will be anybody for the next
/// finding.
///
/// The directories are asked by a thread of its own, `look`, because one whose server is gone never answers. While that waits,
/// the directory is told as missing, and everything else goes on.
///
/// # Errors
///
/// When the threads cannot be started.
pub fn watch(
    (system, store): (System, Arc<CopyStore>),
    config: ConfigWatch,
    attention: Attention,
    deliver: impl Fn(Finding) -> bool + Send + 'static,
) -> std::io::Result<Watch> {
    let (words, inbox) = channel();
    let (first_sender, first) = channel();
    let start_looker = looker_factory(system, store, words.clone());
    let watcher = Watcher {
        looker: start_looker(0, attention.search.clone())?,
        start_looker: Box::new(start_looker),
        under_way: None,
        first: Some(first_sender),
        config,
        attention,
        silent: BTreeSet::new(),
        missing: BTreeMap::new(),
        tries_again: false,
        askers: Askers::default(),
    };
    std::thread::Builder::new().name("watch".to_owned()).spawn(move || watcher.run_on(&inbox, &deliver))?;
    Ok(Watch { words, first })
}

type StartLooker = dyn Fn(u64, Search) -> std::io::Result<Looker> + Send;

fn looker_factory(
    system: System,
    store: Arc<CopyStore>,
    words: Sender<Word>,
) -> impl Fn(u64, Search) -> std::io::Result<Looker> + Send + 'static {
    move |number, search| {
        let words = words.clone();
        // After the watch has ended, nobody wants to know.
        let tell = move |looked| drop(words.send(Word::Looked(looked)));
        Looker::start(number, Scanner::new(search, system.clone(), store.clone()), tell)
    }
}

/// What the thread hears.
#[derive(Debug)]
enum Word {
    Attend(Attention),
    Again(String, Sender<()>),
    Looked(Looked),
    End,
}

/// Which look is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    Poll,
}

struct Watcher {
    looker: Looker,
    start_looker: Box<StartLooker>,
    under_way: Option<Look>,
    /// Whom to tell of the first look; none when that is done.
    first: Option<Sender<FirstLook>>,
    config: ConfigWatch,
    attention: Attention,
    /// The directories that were told to be silent.
    silent: BTreeSet<PathBuf>,
    /// What was missing after the last look.
    missing: BTreeMap<PathBuf, String>,
    /// Some files are to be looked at again in a while, whether or not changed ones are picked up.
    tries_again: bool,
    askers: Askers,
}

/// Who wants to know when a look is over that began after he asked for it.
#[derive(Debug, Default)]
struct Askers {
    /// The look has not begun; for which plugins.
    early: Vec<(String, Sender<()>)>,
    /// It is under way.
    waiting: Vec<Sender<()>>,
    /// It is over, and what was found is being delivered.
    answered: Vec<Sender<()>>,
}

impl Watcher {
    /// Goes on after a fault of its own, which is told: a daemon that sees no change any more says that all is well.
    fn run_on(mut self, words: &Receiver<Word>, deliver: &impl Fn(Finding) -> bool) {
        self.look(Look::First);
        while catch_unwind(AssertUnwindSafe(|| self.run(words, deliver))).is_err() {
            std::thread::sleep(PAUSE_AFTER_FAILURE);
            if catch_unwind(AssertUnwindSafe(|| deliver(Finding::Failed))).is_ok_and(|is_wanted| !is_wanted) {
                return;
            }
            // Whoever asked is told by their end that nothing comes.
            self.askers = Askers::default();
            match self.first {
                Some(_) => self.look(Look::First),
                // What was found and not delivered is found anew.
                None => {
                    self.looker.give(Job::Forget);
                    self.under_way = None;
                    self.tries_again = true;
                }
            }
        }
    }

    fn run(&mut self, words: &Receiver<Word>, deliver: &impl Fn(Finding) -> bool) {
        let mut next_look = Instant::now() + self.attention.interval;
        loop {
            let is_needed = self.looks_at_plugins() || self.attention.configuration || self.under_way.is_some();
            let word = match is_needed {
                true => words.recv_timeout(next_look.saturating_duration_since(Instant::now())),
                false => words.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let findings = match word {
                // Not at once: a file that is written meanwhile would look the same to two looks in a row.
                Ok(Word::Attend(attention)) => {
                    self.attend(attention);
                    next_look = next_look.min(Instant::now() + self.attention.interval);
                    continue;
                }
                Ok(Word::Again(plugin, asker)) => {
                    self.askers.early.push((plugin, asker));
                    self.look_for_askers();
                    continue;
                }
                Ok(Word::Looked(looked)) => self.looked(looked),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => return,
            };
            if !findings.into_iter().all(deliver) {
                return;
            }
            for asker in self.askers.answered.drain(..) {
                // He may not wait any more.
                let _ = asker.send(());
            }
            self.look_for_askers();
            next_look = Instant::now() + self.attention.interval;
        }
    }

    fn looks_at_plugins(&self) -> bool {
        self.attention.plugins || self.tries_again
    }

    /// Looks at what was refused, as soon as no other look is under way.
    fn look_for_askers(&mut self) {
        if self.under_way.is_none() && !self.askers.early.is_empty() {
            let (plugins, askers) = std::mem::take(&mut self.askers.early).into_iter().unzip();
            self.askers.waiting = askers;
            self.looker.give(Job::Again(plugins));
            self.under_way = Some(Look::Poll);
        }
    }

    fn look(&mut self, look: Look) {
        self.under_way = Some(look);
        self.looker.give(match look {
            Look::First => Job::First,
            Look::Poll => Job::Poll,
        });
    }

    fn attend(&mut self, attention: Attention) {
        if attention.search != self.attention.search && !self.look_elsewhere(&attention.search) {
            self.looker.give(Job::Search(attention.search.clone()));
        }
        if attention.plugins && !self.attention.plugins {
            // What was found last may have come when nobody wanted it any more.
            self.looker.give(Job::Forget);
        }
        self.attention = attention;
    }

    /// Leaves a look that does not end to itself, and starts anew elsewhere. Whether that was needed, and worked.
    fn look_elsewhere(&mut self, search: &Search) -> bool {
        if self.silent.is_empty() {
            return false;
        }
        let Ok(looker) = (self.start_looker)(self.looker.number + 1, search.clone()) else { return false };
        self.looker = looker;
        if self.under_way.take() == Some(Look::First) {
            self.look(Look::First);
        }
        true
    }

    /// It is time to look.
    fn tick(&mut self) -> Vec<Finding> {
        match self.under_way {
            // The configuration comes after it: a plugin and a key of its are mostly new together.
            None if self.looks_at_plugins() => {
                self.look(Look::Poll);
                Vec::new()
            }
            None => self.look_at_configuration().into_iter().collect(),
            Some(_) => {
                let silence = self.silence();
                let changed = if self.silent.is_empty() { None } else { self.look_at_configuration() };
                silence.into_iter().chain(changed).collect()
            }
        }
    }

    /// What to tell of directories that are waited for too long.
    fn silence(&mut self) -> Option<Finding> {
        let patience = self.attention.patience;
        let silent = self.looker.asking.silent_for(patience);
        if silent.is_empty() || silent == self.silent {
            return None;
        }
        let reason = format!("no answer within {} s", patience.as_secs_f64());
        let mut missing = self.missing.clone();
        missing.extend(silent.iter().map(|directory| (directory.clone(), reason.clone())));
        self.silent = silent;
        match self.first.take() {
            Some(first) => {
                drop(first.send(FirstLook::Silent(missing)));
                None
            }
            None => Some(Finding::Missing(missing)),
        }
    }

    fn looked(&mut self, looked: Looked) -> Vec<Finding> {
        if looked.by != self.looker.number {
            return Vec::new();
        }
        let Looked { mut findings, missing, tries_again, .. } = looked;
        self.tries_again = tries_again;
        self.askers.answered.append(&mut self.askers.waiting);
        if !std::mem::take(&mut self.silent).is_empty() {
            findings.retain(|finding| !matches!(finding, Finding::Missing(_)));
            findings.insert(0, Finding::Missing(missing.clone()));
        }
        self.missing = missing;
        if self.under_way.take() == Some(Look::First) {
            // Without looks that follow, nothing would ever be found.
            if findings.iter().any(|finding| matches!(finding, Finding::Failed)) {
                self.look(Look::First);
            }
            let Some(first) = self.first.take() else { return vec![Finding::Late(findings)] };
            drop(first.send(FirstLook::Found(findings)));
            return Vec::new();
        }
        findings.extend(self.look_at_configuration());
        findings
    }

    fn look_at_configuration(&mut self) -> Option<Finding> {
        if !self.attention.configuration {
            return None;
        }
        self.config.poll().map(|seen| Finding::ConfigChanged { seen })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Fingerprint, Sources};
    use crate::service::instance::prepare_directory;

    const SELDOM: Duration = Duration::from_secs(3600);
    const OFTEN: Duration = Duration::from_millis(20);

    /// A directory of plugins.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let bench = Self(tempfile::tempdir().unwrap());
            prepare_directory(&bench.path("state")).unwrap();
            std::fs::create_dir(bench.path("plugins")).unwrap();
            std::fs::set_permissions(bench.path("plugins"), std::fs::Permissions::from_mode(0o755)).unwrap();
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn install(&self, name: &str) {
            let file = self.path(&format!("plugins/sysconfig-plugin-{name}"));
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn attention(&self, interval: Duration) -> Attention {
            Attention {
                search: Search { path: vec![self.path("plugins")], allow_untrusted_owner: false },
                plugins: true,
                configuration: false,
                interval,
                patience: Duration::from_secs(60),
            }
        }

        /// A watch that has looked once, and found nothing.
        fn watch(&self, interval: Duration, deliver: impl Fn(Finding) -> bool + Send + 'static) -> Watch {
            let store = Arc::new(CopyStore::open(&self.path("state")).unwrap());
            let sources = Sources { file: self.path("main.toml"), directory: self.path("d") };
            let config = ConfigWatch::new(sources, Fingerprint::default());
            let watch = watch((System::detect(), store), config, self.attention(interval), deliver).unwrap();
            let first = watch.first_look(Duration::from_secs(60));
            assert!(matches!(&first, Some(FirstLook::Found(found)) if found.is_empty()), "{first:?}");
            watch
        }
    }

    fn is_a(found: &Finding) -> bool {
        matches!(found, Finding::Candidate(candidate) if candidate.name == "a")
    }

    /// Each reload told the watch what to look at, and it looked at once: two reloads, and a file that a linker was still
    /// writing had been seen the same twice.
    #[test]
    fn being_told_where_to_look_is_no_look() {
        let bench = Bench::new();
        let (sender, findings) = channel();
        let watch = bench.watch(SELDOM, move |finding| sender.send(finding).is_ok());
        bench.install("a");
        for _ in 0..3 {
            watch.attend(bench.attention(SELDOM));
        }
        assert!(findings.recv_timeout(Duration::from_millis(300)).is_err(), "nothing was looked at twice");
        watch.attend(bench.attention(OFTEN));
        let found = findings.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(is_a(&found), "{found:?}");
    }

    /// From then on no change was seen, and the status said that all was well.
    #[test]
    fn a_watch_that_panics_says_so_and_finds_what_it_had_found() {
        let bench = Bench::new();
        let (sender, findings) = channel();
        let has_panicked = std::sync::atomic::AtomicBool::new(false);
        let deliver = move |finding| {
            let is_first = !has_panicked.swap(true, std::sync::atomic::Ordering::Relaxed);
            assert!(!is_first, "a fault of the daemon, for the test");
            sender.send(finding).is_ok()
        };
        let _watch = bench.watch(OFTEN, deliver);
        bench.install("a");
        let next = || findings.recv_timeout(Duration::from_secs(60)).unwrap();
        let (told, found) = (next(), next());
        assert!(matches!(told, Finding::Failed), "{told:?}");
        assert!(is_a(&found), "{found:?}");
    }
}
