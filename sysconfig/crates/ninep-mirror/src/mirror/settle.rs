//! First looks, second looks, and what is done after them.

use super::copy::{self, Copied};
use super::error::{DestinationError, MirrorError};
use super::pending::Pending;
use super::version::{EntryKind, Version};
use super::{Mirror, SAVE_INTERVAL};
use crate::path::SharePath;
use crate::report::Event;
use crate::session::{Session, SessionError};

impl Mirror {
    /// Looks at one wanted path.
    pub(super) fn look_at(&mut self, session: &mut Session, path: &SharePath) -> Result<(), MirrorError> {
        match self.wanted_version(session, path) {
            Ok(seen) => self.see(path, seen),
            Err(error) if error.leaves_session_usable() => {
                self.pending.drop(path);
                self.problem(Some(path), &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// What stands at a path, if that is wanted.
    fn wanted_version(&self, session: &mut Session, path: &SharePath) -> Result<Option<Version>, SessionError> {
        if self.is_listed(path) {
            return copy::look(session, path);
        }
        if self.is_executables_place(path) {
            return Ok(copy::look(session, path)?.filter(Version::is_executable));
        }
        Ok(None)
    }

    /// A look found this at a path.
    pub(super) fn see(&mut self, path: &SharePath, seen: Option<Version>) {
        let in_step = match (&seen, self.records.get(path)) {
            (None, None) => true,
            (Some(seen), Some(Some(recorded))) => seen == recorded && self.destination.holds(path, seen),
            _ => false,
        };
        if in_step {
            self.pending.drop(path);
            self.solved(path);
        } else if let Some(what) = seen.and_then(|seen| self.too_much(path, &seen)) {
            self.pending.drop(path);
            self.problem(Some(path), &what);
        } else {
            self.pending.see(path, seen);
        }
    }

    /// Why a file is more than is believed.
    fn too_much(&self, path: &SharePath, seen: &Version) -> Option<String> {
        let limits = &self.plan.limits;
        if seen.kind == EntryKind::File && seen.size > limits.file_bytes {
            return Some(format!("it has {} bytes, more than {}", seen.size, limits.file_bytes));
        }
        let known = self.records.get(path).is_some();
        (!known && self.records.count() + self.pending.count() >= 2 * limits.entries)
            .then(|| format!("there are more than {} files", limits.entries))
    }

    /// Does what is due. Ends early when the program is to end.
    ///
    /// # Errors
    ///
    /// When the server or the destination fails. What was done so far is recorded.
    pub fn settle(&mut self, session: &mut Session) -> Result<(), MirrorError> {
        let due = self.pending.due(self.plan.limits.settle);
        if due.is_empty() {
            return Ok(());
        }
        self.claim(&due)?;
        for (path, pending) in due {
            if self.stop.is_requested() {
                break;
            }
            let done = match pending.seen {
                None => self.remove_after_second_look(session, &path),
                Some(version) => self.copy_after_second_look(session, &path, &version),
            };
            if let Err(error) = done {
                let what = copy::about_one_file(error)?;
                self.pending.drop(&path);
                // What was only going to be made there belongs to somebody else.
                if self.records.get(&path) == Some(None) {
                    self.records.forget(&path);
                }
                self.problem(Some(&path), &what);
            }
            if self.records_saved.elapsed() >= SAVE_INTERVAL {
                self.save_records()?;
            }
        }
        // In a pass, the end of it stores them.
        if self.pass.is_none() { self.save_records() } else { Ok(()) }
    }

    /// Records what is about to be made, so that it is known after a crash.
    fn claim(&mut self, due: &[(SharePath, Pending)]) -> Result<(), MirrorError> {
        let mut new = false;
        for (path, _) in due.iter().filter(|(_, pending)| pending.seen.is_some()) {
            new |= self.records.claim(path);
            let above: Vec<_> = path.ancestors().filter(|it| !self.destination.is_directory(it)).collect();
            for directory in above {
                new |= self.records.add_directory(&directory);
            }
        }
        self.records_changed |= new;
        if new { self.save_records() } else { Ok(()) }
    }

    fn copy_after_second_look(
        &mut self,
        session: &mut Session,
        path: &SharePath,
        version: &Version,
    ) -> Result<(), MirrorError> {
        let old_bytes = self.records.get(path).flatten().map_or(0, |version| version.size);
        let total = (self.records.total_bytes() - old_bytes).saturating_add(version.size);
        if version.kind == EntryKind::File && total > self.plan.limits.total_bytes {
            self.pending.drop(path);
            self.problem(
                Some(path),
                &format!("all files together have more than {} bytes", self.plan.limits.total_bytes),
            );
            return Ok(());
        }
        self.make_way(path)?;
        let executable = !self.is_listed(path);
        match copy::copy(session, &self.destination, path, version, &self.plan.limits)? {
            Copied::Changed(None) => self.pending.retry(path, None),
            Copied::Changed(seen) if executable && !seen.is_some_and(|seen| seen.is_executable()) => {
                self.pending.retry(path, None);
            }
            Copied::Changed(seen) => self.pending.retry(path, seen),
            Copied::Refused(what) => {
                self.pending.drop(path);
                self.problem(Some(path), &what);
                // What the mirror put there before is not what the share has.
                if self.records.get(path) == Some(None) {
                    self.records.forget(path);
                }
                self.remove(path)?;
            }
            Copied::Done => self.copied(path, version, executable),
        }
        Ok(())
    }

    fn copied(&mut self, path: &SharePath, version: &Version, executable: bool) {
        self.records.set(path, *version);
        self.content_changed();
        let pending = self.pending.drop(path);
        self.solved(path);
        let delay = pending.map(|pending| pending.first.elapsed()).unwrap_or_default();
        self.report.event(&Event::Copied { path, bytes: version.size, executable, delay });
    }

    /// Makes the directories above a path. A file of the mirror's own is no obstacle: the share has a directory there
    /// by now.
    fn make_way(&mut self, path: &SharePath) -> Result<(), MirrorError> {
        let missing: Vec<_> = path.ancestors().filter(|it| !self.destination.is_directory(it)).collect();
        for directory in missing {
            if self.records.get(&directory).is_some() {
                self.remove(&directory)?;
            }
            self.destination.make_directory(&directory)?;
            self.records_changed |= self.records.add_directory(&directory);
        }
        // The other way about: a directory of which nothing is left gives way to a file.
        if self.records.has_directory(path) && self.destination.remove_empty_directory(path) {
            self.records.forget_directory(path);
        }
        Ok(())
    }

    fn remove_after_second_look(&mut self, session: &mut Session, path: &SharePath) -> Result<(), MirrorError> {
        match self.wanted_version(session, path)? {
            Some(seen) => self.pending.retry(path, Some(seen)),
            None => {
                // It may be gone because the whole share is.
                Self::check_share(session, self.plan.expected.as_ref())?;
                self.pending.drop(path);
                self.remove(path)?;
                self.solved(path);
            }
        }
        Ok(())
    }

    /// Removes a file of the mirror's own, and the directories that this leaves empty.
    fn remove(&mut self, path: &SharePath) -> Result<(), DestinationError> {
        let known = self.records.get(path).is_some();
        if !known {
            return Ok(());
        }
        let removed = self.destination.remove(path)?;
        self.records.forget(path);
        self.records_changed = true;
        if removed {
            self.content_changed();
            self.report.event(&Event::Removed { path });
        }
        let mut above = path.parent();
        while let Some(directory) = above {
            if !self.records.has_directory(&directory) || !self.destination.remove_empty_directory(&directory) {
                break;
            }
            self.records.forget_directory(&directory);
            above = directory.parent();
        }
        Ok(())
    }

    fn content_changed(&mut self) {
        self.records.generation += 1;
        self.records_changed = true;
        self.changes += 1;
    }
}
