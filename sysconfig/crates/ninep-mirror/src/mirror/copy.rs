//! Bringing one file over.

use std::time::Instant;

use super::destination::Destination;
use super::error::{DestinationError, MirrorError};
use super::limits::Limits;
use super::version::{EntryKind, Version};
use crate::path::{SharePath, printable};
use crate::session::{Fid, Session, SessionError};
use crate::wire::Attributes;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// The version that was asked for is in place.
    Done,
    /// The file is another by now; nothing was changed.
    Changed(Option<Version>),
    /// The file is not copied, and will not be while it is as it is.
    Refused(String),
}

/// Asks what stands at a path of the share now; none for what is not mirrored or not there.
pub(super) fn look(session: &mut Session, path: &SharePath) -> Result<Option<Version>, SessionError> {
    Ok(attributes(session, path)?.and_then(|attributes| Version::of(&attributes)))
}

/// What the server says of a path; none when it says that there is nothing.
pub(super) fn attributes(session: &mut Session, path: &SharePath) -> Result<Option<Attributes>, SessionError> {
    let names: Vec<_> = path.names().collect();
    let fid = match session.walk(&names) {
        Err(error) if error.is_not_found() => return Ok(None),
        result => result?,
    };
    let attributes = session.attributes(&fid);
    match release(session, fid, attributes) {
        Err(error) if error.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}

/// The names in a directory of the share; none when there is no such directory.
pub(super) fn list(
    session: &mut Session,
    directory: Option<&SharePath>,
    limit: usize,
) -> Result<Option<Vec<Vec<u8>>>, SessionError> {
    let names: Vec<_> = directory.iter().flat_map(|path| path.names()).collect();
    let fid = match session.walk(&names) {
        Err(error) if error.is_not_found() => return Ok(None),
        result => result?,
    };
    let listing = match session.open_for_reading(&fid) {
        Ok(_) => session.read_directory(&fid, limit),
        Err(error) => Err(error),
    };
    match release(session, fid, listing) {
        Err(error) if error.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}

/// Copies a file or link, if it is in the expected version before and afterwards: this is the second look that what is
/// being written must pass, and it also notices what is written during the copying.
pub(super) fn copy(
    session: &mut Session,
    destination: &Destination,
    path: &SharePath,
    expected: &Version,
    limits: &Limits,
) -> Result<Copied, MirrorError> {
    let names: Vec<_> = path.names().collect();
    let fid = match session.walk(&names) {
        Err(error) if error.is_not_found() => return Ok(Copied::Changed(None)),
        result => result?,
    };
    let copied = copy_from(session, &fid, destination, path, expected, limits);
    match copied {
        // On servers that go by the path, a file can vanish under its fid.
        Err(MirrorError::Session(error)) if error.is_not_found() => {
            Ok(release(session, fid, Ok(Copied::Changed(None)))?)
        }
        Err(MirrorError::Session(error)) => release(session, fid, Err(error)).map_err(MirrorError::Session),
        Err(other) => {
            release(session, fid, Ok(()))?;
            Err(other)
        }
        Ok(copied) => Ok(release(session, fid, Ok(copied))?),
    }
}

/// Gives a fid back and hands on the result. A failure to do so matters only when there was none before.
pub(super) fn release<T>(session: &mut Session, fid: Fid, result: Result<T, SessionError>) -> Result<T, SessionError> {
    match result {
        Err(error) if !error.leaves_session_usable() => return Err(error),
        _ => {}
    }
    match session.clunk(fid) {
        Err(error) if !error.leaves_session_usable() => result.and(Err(error)),
        _ => result,
    }
}

fn copy_from(
    session: &mut Session,
    fid: &Fid,
    destination: &Destination,
    path: &SharePath,
    expected: &Version,
    limits: &Limits,
) -> Result<Copied, MirrorError> {
    let before = Version::of(&session.attributes(fid)?);
    if before != Some(*expected) {
        return Ok(Copied::Changed(before));
    }
    match expected.kind {
        EntryKind::File => copy_file(session, fid, destination, path, expected, limits),
        EntryKind::Link => copy_link(session, fid, destination, path, expected),
    }
}

fn copy_link(
    session: &mut Session,
    fid: &Fid,
    destination: &Destination,
    path: &SharePath,
    expected: &Version,
) -> Result<Copied, MirrorError> {
    let target = session.read_link(fid)?;
    if !path.link_stays_inside(&target) {
        let target = printable(&target[..target.len().min(200)]);
        return Ok(Copied::Refused(format!("the link leads to {target}, which may be outside the share")));
    }
    let after = Version::of(&session.attributes(fid)?);
    if after != Some(*expected) {
        return Ok(Copied::Changed(after));
    }
    destination.put_link(path, &target)?;
    Ok(Copied::Done)
}

fn copy_file(
    session: &mut Session,
    fid: &Fid,
    destination: &Destination,
    path: &SharePath,
    expected: &Version,
    limits: &Limits,
) -> Result<Copied, MirrorError> {
    let chunk_bytes = session.open_for_reading(fid)?;
    let mut incoming = destination.begin_file()?;
    let (started, time) = (Instant::now(), limits.copy_time(expected.size));
    let mut offset = 0;
    while offset < expected.size {
        if started.elapsed() > time {
            return Err(MirrorError::TooSlow { what: format!("copying {path}"), seconds: time.as_secs() });
        }
        let left = u32::try_from(expected.size - offset).unwrap_or(u32::MAX);
        let data = session.read(fid, offset, chunk_bytes.min(left))?;
        if data.is_empty() {
            break;
        }
        offset += u64::try_from(data.len()).unwrap_or(u64::MAX);
        incoming.write(data)?;
    }
    let after = Version::of(&session.attributes(fid)?);
    if after != Some(*expected) || offset != expected.size {
        return Ok(Copied::Changed(after));
    }
    incoming.commit(path, expected, expected.is_executable())?;
    Ok(Copied::Done)
}

/// What a failure means for one file: a reason to pass it over, or the end of the round.
pub(super) fn about_one_file(error: MirrorError) -> Result<String, MirrorError> {
    match error {
        MirrorError::Session(error) if error.leaves_session_usable() => Ok(error.to_string()),
        MirrorError::Destination(error @ DestinationError::Io { .. }) if error.is_about_one_file() => {
            Ok(crate::report::chain(&error))
        }
        MirrorError::Destination(error) if error.is_about_one_file() => Ok(error.to_string()),
        error => Err(error),
    }
}
