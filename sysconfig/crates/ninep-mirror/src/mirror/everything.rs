//! All files of a share, for want of a list of the tracked ones.

use std::time::Instant;

use super::copy::{attributes, list};
use super::error::MirrorError;
use super::limits::Limits;
use super::listing::{Listing, Source};
use crate::path::{SharePath, printable};
use crate::selection::Rules;
use crate::session::Session;
use crate::wire::FileKind;

/// The way through all directories that may hold something wanted.
pub(super) struct Walk<'a> {
    rules: &'a Rules,
    limits: &'a Limits,
    started: Instant,
    entries: usize,
    directories: Vec<Option<SharePath>>,
    listing: Listing,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rules: &'a Rules, limits: &'a Limits, source: Source) -> Self {
        let (started, directories) = (Instant::now(), vec![None]);
        Self { rules, limits, started, entries: 0, directories, listing: Listing::new(source) }
    }

    pub(super) fn run(&mut self, session: &mut Session) -> Result<(), MirrorError> {
        while let Some(directory) = self.directories.pop() {
            self.enter(session, directory)?;
        }
        Ok(())
    }

    pub(super) fn into_listing(self) -> Listing {
        self.listing.sorted()
    }

    fn enter(&mut self, session: &mut Session, directory: Option<SharePath>) -> Result<(), MirrorError> {
        let time = self.limits.pass_time;
        if self.started.elapsed() > time {
            return Err(MirrorError::TooSlow { what: "listing the share".to_owned(), seconds: time.as_secs() });
        }
        let names = match list(session, directory.as_ref(), self.limits.entries) {
            Ok(names) => names.unwrap_or_default(),
            Err(error) if error.leaves_session_usable() => {
                self.listing.unlisted.push((directory, error.to_string()));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.entries += names.len();
        if self.entries > self.limits.entries {
            return Err(MirrorError::Limit { what: "files", limit: self.limits.entries });
        }
        let mut refusal = None;
        for name in names {
            match SharePath::entry(directory.as_ref(), &name) {
                Ok(path) => self.take(session, path)?,
                Err(error) => refusal = Some(format!("{}: {error}", printable(&name))),
            }
        }
        self.listing.refused.extend(refusal.map(|what| (directory, what)));
        Ok(())
    }

    /// Takes an entry. What it is has to be asked: directory entries do not say it reliably.
    fn take(&mut self, session: &mut Session, path: SharePath) -> Result<(), MirrorError> {
        if !self.rules.enters(&path) {
            return Ok(());
        }
        match attributes(session, &path) {
            Ok(Some(attributes)) => match attributes.file_kind() {
                FileKind::Directory => self.directories.push(Some(path)),
                FileKind::Regular | FileKind::Link if self.rules.wants(&path) => self.listing.paths.push(path),
                _ => {}
            },
            Ok(None) => {}
            Err(error) if error.leaves_session_usable() => {
                self.listing.unlisted.push((Some(path), error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
