//! The executables that nobody tracks: what cargo leaves in its output directories.

use std::collections::BTreeSet;

use super::copy::{attributes, list};
use super::error::MirrorError;
use super::limits::Limits;
use crate::path::SharePath;
use crate::selection::{Glob, is_literal, name_matches};
use crate::session::Session;
use crate::wire::FileKind;

/// What a look into the directories found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What may be an executable, by its name.
    pub(super) candidates: BTreeSet<SharePath>,
    /// Directories that could not be listed, with the reason. What is in them is unknown, not gone.
    pub(super) unlisted: Vec<(Option<SharePath>, String)>,
}

/// The directories that the patterns mean. Those that a pattern spells out are named whether they exist or not.
pub(super) fn directories(
    session: &mut Session,
    patterns: &[Glob],
    limits: &Limits,
) -> Result<BTreeSet<Option<SharePath>>, MirrorError> {
    let mut all = BTreeSet::new();
    for pattern in patterns {
        let Some((_, parts)) = pattern.parts().split_last() else { continue };
        let mut reached = vec![None];
        for part in parts {
            let mut next = Vec::new();
            for directory in &reached {
                next.extend(step(session, directory.as_ref(), part, limits)?.into_iter().map(Some));
            }
            reached = next;
        }
        if !parts.iter().all(|part| is_literal(part)) {
            reached = existing(session, reached)?;
        }
        all.extend(reached);
    }
    Ok(all)
}

/// Those of the directories that there are. Most of what fits a pattern leads nowhere, and looking there several times a
/// second would be for nothing.
fn existing(session: &mut Session, reached: Vec<Option<SharePath>>) -> Result<Vec<Option<SharePath>>, MirrorError> {
    let mut existing = Vec::new();
    for directory in reached {
        let Some(path) = &directory else { continue };
        match attributes(session, path) {
            Ok(Some(attributes)) if attributes.file_kind() == FileKind::Directory => existing.push(directory),
            Ok(None) if link_on_the_way(session, path)?.is_some() => existing.push(directory),
            Ok(_) => {}
            // Nobody knows. The look into it will find the same and tell it.
            Err(error) if error.leaves_session_usable() => existing.push(directory),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(existing)
}

/// Where one part of a pattern leads from a directory.
fn step(
    session: &mut Session,
    directory: Option<&SharePath>,
    part: &[u8],
    limits: &Limits,
) -> Result<Vec<SharePath>, MirrorError> {
    if is_literal(part) {
        return Ok(SharePath::entry(directory, part).into_iter().collect());
    }
    let names = match list(session, directory, limits.entries) {
        Ok(names) => names.unwrap_or_default(),
        // The look into the directories will find the same and tell it.
        Err(error) if error.leaves_session_usable() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    // Names that begin with a dot are cargo's own.
    let fits = |name: &&Vec<u8>| name.first() != Some(&b'.') && name_matches(part, name);
    Ok(names.iter().filter(fits).filter_map(|name| SharePath::entry(directory, name).ok()).collect())
}

/// The first link among the directories on the way to a path.
///
/// Servers differ in what they say of a walk through one: bhyve's and diod follow it, QEMU's answers `ELOOP`, others
/// `ENOTDIR`, which is what they say where nothing is, too. But what is behind a link is not gone.
fn link_on_the_way(session: &mut Session, path: &SharePath) -> Result<Option<SharePath>, MirrorError> {
    let mut way = None;
    for name in path.names() {
        let Ok(here) = SharePath::entry(way.as_ref(), name) else { return Ok(None) };
        match attributes(session, &here) {
            Ok(Some(attributes)) if attributes.file_kind() == FileKind::Link => return Ok(Some(here)),
            Ok(Some(_)) => way = Some(here),
            Ok(None) => return Ok(None),
            Err(error) if error.leaves_session_usable() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Lists the directories.
pub(super) fn find(
    session: &mut Session,
    directories: &BTreeSet<Option<SharePath>>,
    wants: impl Fn(&SharePath) -> bool,
    limits: &Limits,
) -> Result<Found, MirrorError> {
    let told = |link: &SharePath| {
        format!("{link} is a link, which is not followed; cargo has to build in the checkout itself")
    };
    let mut found = Found::default();
    for directory in directories {
        let reason = match (list(session, directory.as_ref(), limits.entries), directory) {
            (Ok(Some(names)), _) => {
                let paths = names.into_iter().filter_map(|name| SharePath::entry(directory.as_ref(), &name).ok());
                found.candidates.extend(paths.filter(&wants));
                None
            }
            (Ok(None), None) => None,
            (Ok(None), Some(path)) => link_on_the_way(session, path)?.map(|link| told(&link)),
            (Err(error), _) if !error.leaves_session_usable() => return Err(error.into()),
            (Err(error), None) => Some(error.to_string()),
            (Err(error), Some(path)) => {
                Some(link_on_the_way(session, path)?.map_or_else(|| error.to_string(), |link| told(&link)))
            }
        };
        found.unlisted.extend(reason.map(|reason| (directory.clone(), reason)));
        if found.candidates.len() > limits.entries {
            return Err(MirrorError::Limit { what: "executables", limit: limits.entries });
        }
    }
    Ok(found)
}
