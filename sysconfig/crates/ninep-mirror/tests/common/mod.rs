//! An imagined host with a share, a server for it, and a destination.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod device;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod share;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ninep_mirror::mirror::{Limits, Mirror, MirrorError, Plan};
use ninep_mirror::path::SharePath;
use ninep_mirror::report::{Event, Report, Round};
use ninep_mirror::selection::{DEFAULT_EXCLUDES, DEFAULT_EXECUTABLES, Rules};
use ninep_mirror::session::{MessageSize, Session, SessionError, SessionOptions};
use ninep_mirror::stop::Stop;
use ninep_mirror::transport::Stream;

pub(crate) use share::Share;

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where executables are.
pub(crate) const RELEASE: &str = "sysconfig/target/release";

/// What was told, as short words.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// What was told since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Report for Log {
    fn event(&mut self, event: &Event<'_>) {
        let line = match event {
            Event::Copied { path, .. } => format!("copied {path}"),
            Event::Removed { path } => format!("removed {path}"),
            Event::Problem { path: Some(path), what } => format!("problem {path}: {what}"),
            Event::Problem { path: None, what } => format!("problem: {what}"),
            Event::Solved { path: Some(path) } => format!("solved {path}"),
            Event::Connected { msize, .. } => format!("connected {msize}"),
            Event::Lost { .. } => "lost".to_owned(),
            Event::Selected { .. } | Event::Round(_) | Event::Solved { path: None } => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

/// A share and a mirror of it.
pub(crate) struct Bench {
    pub(crate) share: Share,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) plan: Plan,
    pub(crate) log: Log,
    pub(crate) stop: Stop,
}

pub(crate) fn rules() -> Rules {
    let globs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Rules { include: Vec::new(), exclude: globs(&DEFAULT_EXCLUDES), executables: globs(&DEFAULT_EXECUTABLES) }
}

pub(crate) fn session_options(stop: &Stop) -> SessionOptions {
    SessionOptions {
        message_size: MessageSize::Automatic,
        user_id: 0,
        tree: Vec::new(),
        request_timeout: Duration::from_secs(10),
        stop: stop.clone(),
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let limits = Limits { settle: Duration::from_millis(20), ..Limits::default() };
        let plan = Plan { rules: rules(), tracked_only: true, expected: None, limits };
        let directory = tempfile::tempdir().unwrap();
        Self { share: Share::default(), directory, plan, log: Log::default(), stop: Stop::default() }
    }

    /// A share with some files of each kind.
    pub(crate) fn with_files() -> Self {
        let bench = Self::new();
        bench.share.file("README.md", "read me");
        bench.share.file("docs/guide.md", "guide");
        bench.share.link("docs/link", "../README.md");
        bench.share.executable("sysconfig/target/release/plugin-a", b"\x7fELF a");
        bench.share.track(&["README.md", "docs/guide.md", "docs/link"]);
        bench
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    pub(crate) fn mirror(&self) -> Mirror {
        let report = Box::new(self.log.clone());
        Mirror::open(&self.destination(), self.plan.clone(), report, self.stop.clone()).unwrap()
    }

    pub(crate) fn session(&self) -> Session {
        self.try_session().unwrap()
    }

    pub(crate) fn try_session(&self) -> Result<Session, SessionError> {
        let transport = Box::new(Stream::new(server::connect(&self.share)));
        Session::open(transport, &session_options(&self.stop))
    }

    /// One round with a mirror and a session of its own.
    pub(crate) fn round(&self) -> Round {
        round(&mut self.mirror(), &mut self.session()).unwrap()
    }

    /// What is in the destination, without the mirror's own files.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        tree(&self.destination())
    }
}

/// One complete round.
pub(crate) fn round(mirror: &mut Mirror, session: &mut Session) -> Result<Round, MirrorError> {
    mirror.begin_pass(session)?;
    while !mirror.look_at_some(session, 7)? {}
    let give_up = Instant::now() + PATIENCE;
    while !mirror.is_pass_complete() {
        assert!(Instant::now() < give_up, "the round does not end");
        mirror.settle(session)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    mirror.finish_pass()
}

/// A directory's files by their path, links with an arrow, and empty directories.
pub(crate) fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(current) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&current) else { continue };
        let mut is_empty = true;
        for entry in entries {
            let path = entry.unwrap().path();
            is_empty = false;
            let name = path.strip_prefix(directory).unwrap().to_string_lossy().into_owned();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_symlink() {
                files.insert(name, format!("-> {}", std::fs::read_link(&path).unwrap().display()));
            } else if metadata.is_dir() && name != ".ninep-mirror" {
                directories.push(path);
            } else if metadata.is_file() {
                files.insert(name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
            }
        }
        if is_empty {
            files.insert(format!("{}/", current.strip_prefix(directory).unwrap().display()), String::new());
        }
    }
    files
}

pub(crate) fn path(text: &str) -> SharePath {
    SharePath::parse(text.as_bytes()).unwrap()
}
