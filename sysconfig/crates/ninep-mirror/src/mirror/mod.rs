//! Policy: what is looked at, when a change is believed, what is done about it.
//!
//! A *pass* looks at everything that is wanted, a portion at a time, so that executables can be looked at in between:
//! [`Mirror::begin_pass`], [`Mirror::look_at_some`] until it answers that all is seen, [`Mirror::settle`] while changes
//! wait, [`Mirror::finish_pass`]. A change is done only after a second look, [`Limits::settle`] after the first, has
//! found the same. Nothing is removed on the evidence of an error, and only what the mirror made itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

mod copy;
mod destination;
mod error;
mod everything;
mod executables;
mod limits;
mod listing;
mod pending;
mod problems;
mod records;
mod settle;
mod stamp;
mod version;

pub use destination::{Destination, Incoming};
pub use error::{DestinationError, MirrorError};
pub use limits::Limits;
pub use records::Records;
pub use stamp::STAMP_FILE;
pub use version::{EntryKind, Version};

use crate::path::SharePath;
use crate::report::{Event, Report, Round};
use crate::selection::Rules;
use crate::session::Session;
use crate::stop::Stop;
use listing::{Listing, Refreshed, Source};
use pending::PendingChanges;
use problems::Problems;

/// How often the records are stored while much is copied.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// What to mirror.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which files.
    pub rules: Rules,
    /// Only what git tracks, where there is an index; otherwise all files.
    pub tracked_only: bool,
    /// What the share must hold; otherwise it is another one and nothing is touched.
    pub expected: Option<SharePath>,
    /// What the server is believed at most.
    pub limits: Limits,
}

/// A destination that is kept in step with a share. Sessions come and go.
pub struct Mirror {
    plan: Plan,
    destination: Destination,
    records: Records,
    records_changed: bool,
    records_saved: Instant,
    listing: Option<Listing>,
    directories: BTreeSet<Option<SharePath>>,
    pending: PendingChanges,
    problems: Problems,
    pass: Option<Pass>,
    rounds: u64,
    changes: u64,
    report: Box<dyn Report>,
    stop: Stop,
}

/// A pass that goes on.
#[derive(Debug, Clone, Copy)]
struct Pass {
    started: Instant,
    /// The next file of the listing to be looked at.
    next: usize,
    /// When the last one was; none before.
    all_seen: Option<Instant>,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Opens a destination.
    ///
    /// Records that make no sense are told as a problem and count as none: everything is copied again, and what
    /// vanished from the share in the meantime stays.
    ///
    /// # Errors
    ///
    /// When the destination cannot be used, or another mirror uses it.
    pub fn open(
        path: &std::path::Path,
        plan: Plan,
        mut report: Box<dyn Report>,
        stop: Stop,
    ) -> Result<Self, DestinationError> {
        let destination = Destination::open(path)?;
        let records = match Records::load(&destination) {
            Err(error @ DestinationError::Damaged { .. }) => {
                let what = format!("{error}: everything is copied again");
                report.event(&Event::Problem { path: None, what: &what });
                Records::default()
            }
            result => result?,
        };
        Ok(Self {
            plan,
            destination,
            records,
            records_changed: false,
            records_saved: Instant::now(),
            listing: None,
            directories: BTreeSet::new(),
            pending: PendingChanges::default(),
            problems: Problems::default(),
            pass: None,
            rounds: 0,
            changes: 0,
            report,
            stop,
        })
    }

    /// Tells something that happened outside.
    pub fn tell(&mut self, event: &Event<'_>) {
        self.report.event(event);
    }

    /// Whether the destination was taken away.
    #[must_use]
    pub fn is_destination_gone(&self) -> bool {
        self.destination.is_gone()
    }

    /// Whether the share holds what it must hold.
    ///
    /// # Errors
    ///
    /// [`MirrorError::WrongShare`], and when the server fails.
    pub fn check_share(session: &mut Session, expected: Option<&SharePath>) -> Result<(), MirrorError> {
        let Some(expected) = expected else { return Ok(()) };
        match copy::attributes(session, expected)? {
            Some(_) => Ok(()),
            None => Err(MirrorError::WrongShare { expected: expected.clone() }),
        }
    }

    /// Begins a pass: finds out what is wanted.
    ///
    /// # Errors
    ///
    /// When the server fails, this is not the share that is expected, or the destination is not there any more.
    pub fn begin_pass(&mut self, session: &mut Session) -> Result<(), MirrorError> {
        let started = Instant::now();
        if self.destination.is_gone() {
            return Err(DestinationError::Gone { path: self.destination.path().to_owned() }.into());
        }
        Self::check_share(session, self.plan.expected.as_ref())?;
        let Plan { rules, limits, tracked_only, .. } = &self.plan;
        let fresh = listing::refresh(session, rules, limits, *tracked_only, self.listing.as_ref())?;
        self.directories = executables::directories(session, &rules.executables, limits)?;
        match fresh {
            Refreshed::Fresh(listing) => self.take_listing(listing),
            Refreshed::AsKnown => {}
            Refreshed::Unknown(reason) => {
                self.problem(
                    None,
                    &format!("{reason}: new files are not seen, and those tracked before are kept in step"),
                );
            }
        }
        self.pass = Some(Pass { started, next: 0, all_seen: None });
        self.see_unwanted();
        Ok(())
    }

    /// Puts a new listing in force, and tells it when it is of another size or kind.
    fn take_listing(&mut self, fresh: Listing) {
        let all_because = match &fresh.source {
            Source::Index(_) => None,
            Source::Everything(reason) => Some(reason.as_str()),
        };
        let files = fresh.paths.len();
        let same = self.listing.as_ref().is_some_and(|before| {
            let same_kind = match (&before.source, &fresh.source) {
                (Source::Everything(before), Source::Everything(now)) => before == now,
                (Source::Index(_), Source::Index(_)) => true,
                _ => false,
            };
            same_kind && before.paths.len() == files
        });
        if !same {
            self.report.event(&Event::Selected { files, all_because });
        }
        for (directory, what) in fresh.unlisted.iter().chain(&fresh.refused) {
            self.problems.note(&mut *self.report, directory.as_ref(), what);
        }
        self.listing = Some(fresh);
    }

    /// Sees as gone what is recorded and not wanted any more.
    fn see_unwanted(&mut self) {
        let unknown = |path: &SharePath| self.listing.as_ref().is_some_and(|listing| listing.is_unknown(path));
        let unwanted = |path: &&SharePath| !(self.is_wanted(path) || unknown(path));
        let unwanted: Vec<_> = self.records.paths().filter(unwanted).cloned().collect();
        for path in unwanted {
            self.see(&path, None);
        }
    }

    /// Looks at the next `count` files of the listing. Whether all have been looked at, executables included.
    ///
    /// # Errors
    ///
    /// When the server fails, or the pass takes too long.
    pub fn look_at_some(&mut self, session: &mut Session, count: usize) -> Result<bool, MirrorError> {
        let Some(mut pass) = self.pass else { return Ok(true) };
        if pass.all_seen.is_some() {
            return Ok(true);
        }
        let time = self.plan.limits.pass_time;
        if pass.started.elapsed() > time {
            return Err(MirrorError::TooSlow { what: "looking at the share".to_owned(), seconds: time.as_secs() });
        }
        let paths = self.listing.as_ref().map_or(&[][..], |listing| &listing.paths);
        let end = paths.len().min(pass.next.saturating_add(count));
        let portion: Vec<_> = paths[pass.next.min(end)..end].to_vec();
        let complete = end == paths.len();
        for path in portion {
            self.look_at(session, &path)?;
        }
        pass.next = end;
        if complete {
            self.look_at_executables(session)?;
            pass.all_seen = Some(Instant::now());
        }
        self.pass = Some(pass);
        Ok(complete)
    }

    /// Looks at the executables that nobody tracks.
    ///
    /// # Errors
    ///
    /// When the server fails.
    pub fn look_at_executables(&mut self, session: &mut Session) -> Result<(), MirrorError> {
        let Plan { rules, limits, .. } = &self.plan;
        let found = executables::find(session, &self.directories, |path| rules.wants_executable(path), limits)?;
        for (directory, what) in &found.unlisted {
            self.problems.note(&mut *self.report, directory.as_ref(), what);
        }
        let unlisted: BTreeSet<_> = found.unlisted.iter().map(|(directory, _)| directory).collect();
        let mut gone = Vec::new();
        for directory in self.directories.iter().filter(|directory| !unlisted.contains(directory)) {
            let recorded = self.records.inside(directory.as_ref()).filter(|path| path.parent() == *directory);
            let vanished = recorded.filter(|path| !found.candidates.contains(*path) && !self.is_listed(path));
            gone.extend(vanished.cloned());
        }
        for path in gone {
            self.see(&path, None);
        }
        for path in found.candidates {
            if !self.is_listed(&path) {
                self.look_at(session, &path)?;
            }
        }
        Ok(())
    }

    /// Whether a pass is under way.
    #[must_use]
    pub fn is_in_pass(&self) -> bool {
        self.pass.is_some()
    }

    /// Whether all that there was to look at in this pass was, and no change waits that waiting will help.
    #[must_use]
    pub fn is_pass_complete(&self) -> bool {
        let all_seen = self.pass.and_then(|pass| pass.all_seen);
        all_seen.is_some_and(|at| self.pending.is_empty() || at.elapsed() >= self.plan.limits.patience)
    }

    /// When the next change has waited long enough for [`Mirror::settle`]; none when none waits.
    #[must_use]
    pub fn next_settle(&self) -> Option<Instant> {
        self.pending.next_due(self.plan.limits.settle)
    }

    /// Ends a pass: stores the records and the stamp.
    ///
    /// # Errors
    ///
    /// When they cannot be stored.
    pub fn finish_pass(&mut self) -> Result<Round, MirrorError> {
        let restless: Vec<_> = self.pending.paths().cloned().collect();
        for path in restless {
            self.problem(Some(&path), "it keeps changing");
        }
        self.problems.end_pass(&mut *self.report);
        self.save_records()?;
        let took = self.pass.take().map_or(Duration::ZERO, |pass| pass.started.elapsed());
        self.rounds += 1;
        let round = Round {
            number: self.rounds,
            generation: self.records.generation,
            files: self.records.count(),
            bytes: self.records.total_bytes(),
            problems: self.problems.count(),
            changes: std::mem::take(&mut self.changes),
            took,
        };
        stamp::write(&self.destination, &round)?;
        self.report.event(&Event::Round(round));
        Ok(round)
    }

    /// Forgets what belongs to a session that failed. Looks begin anew; records and copies stay.
    pub fn session_ended(&mut self) {
        self.pass = None;
        self.pending = PendingChanges::default();
    }

    /// Stores the records if they changed.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn save_records(&mut self) -> Result<(), MirrorError> {
        if std::mem::take(&mut self.records_changed) {
            self.records.save(&self.destination)?;
        }
        self.records_saved = Instant::now();
        Ok(())
    }

    /// Whether a file at this path is wanted, if there is one; of some only those that are executable.
    fn is_wanted(&self, path: &SharePath) -> bool {
        self.is_listed(path) || self.is_executables_place(path)
    }

    /// Whether this is where executables are that nobody tracks.
    fn is_executables_place(&self, path: &SharePath) -> bool {
        self.plan.rules.wants_executable(path) && self.directories.contains(&path.parent())
    }

    fn is_listed(&self, path: &SharePath) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.has(path))
    }

    fn problem(&mut self, path: Option<&SharePath>, what: &str) {
        self.problems.note(&mut *self.report, path, what);
    }

    fn solved(&mut self, path: &SharePath) {
        self.problems.solve(&mut *self.report, path);
    }
}
