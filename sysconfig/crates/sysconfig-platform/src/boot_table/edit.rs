//! Changing the table, row by row.

use super::{BootRow, Subject, mentions, parse, path, told, unreadable};
use crate::mount_table::{self, is_below};
use crate::places::Places;
use crate::{Host, Rows, StorageError, System, files};

/// The table with one row about `subject` instead of those that are there; without a new one they are taken out. A
/// row that is new goes before the first whose mount point lies below its own: boot goes from top to bottom. One that was read
/// comes back as it was written, where it stood, as far as the lines around it tell.
#[must_use]
pub fn edit(system: System, content: &[u8], subject: Subject<'_>, row: Option<&BootRow>) -> Vec<u8> {
    edit_as_seen(system, content, subject, row, &str::to_owned)
}

/// As [`edit`]; `place` tells where a mount point is when its links are followed.
fn edit_as_seen(
    system: System,
    content: &[u8],
    subject: Subject<'_>,
    row: Option<&BootRow>,
    place: &dyn Fn(&str) -> String,
) -> Vec<u8> {
    let parse = |line: &str| BootRow::parse(system, line);
    let mut rows = Rows::parse(content);
    let new: Vec<String> = row.map(|row| row.as_written(system)).into_iter().collect();
    let stood = row.and_then(|row| row.line.place(&rows.texts().collect::<Vec<_>>()));
    let below = |line: &str| match (subject, parse(line).and_then(|row| row.mount_point)) {
        (Subject::Mount(above), Some(point)) => is_below(&place(&point), &place(above)),
        _ => false,
    };
    let comes_later = |at: usize, line: &str| stood.map_or_else(|| below(line), |stood| at == stood);
    rows.replace_before(|line| parse(line).is_some_and(|row| row.is_about(subject, place)), &new, comes_later);
    rows.into_bytes()
}

/// Edits the machine's table as [`edit`] does, and keeps a copy of what it was at first. `previous` is the row that was there
/// when this was planned, and nothing else is changed or taken out. A mount point counts as the same wherever links lead
/// there. systemd has to be told by [`super::tell`] afterwards.
///
/// # Errors
/// [`StorageError::NotSo`] when another row is there now, or several are, or one that cannot be read and may be about the same;
/// [`StorageError::File`].
pub fn set_row(
    host: &Host,
    subject: Subject<'_>,
    previous: Option<&BootRow>,
    row: Option<&BootRow>,
) -> Result<files::Written, StorageError> {
    let path = path(host.system());
    let operation = format!("write the row of {subject} in {path}");
    let failed = |source| StorageError::File { operation: operation.clone(), source };
    let content = files::read(&host.root, path).map_err(failed)?.unwrap_or_default();
    let mounts = mount_table::mounts(host).map_err(failed)?;
    let places = Places::local(host, &mounts);
    let place = |path: &str| places.resolve(path);
    let present = parse(host.system(), &content);
    let mut present = present.iter().filter(|row| row.is_about(subject, &place));
    let (first, second) = (present.next(), present.next());
    if first == row && second.is_none() {
        return Ok(files::Written::AlreadySo);
    }
    if first != previous || second.is_some() {
        let said = "it is not as it was when this was planned".to_owned();
        return Err(StorageError::NotSo { operation, said });
    }
    if let Some(new) = row.filter(|_| previous.is_none()) {
        let odd = unreadable(host.system(), &content).into_iter().find(|line| mentions(line, subject, &new.device));
        if let Some(odd) = odd {
            let said = format!("a row that cannot be read may be about the same: {}", odd.trim());
            return Err(StorageError::NotSo { operation, said });
        }
    }
    files::back_up_once(&host.root, path).map_err(failed)?;
    told::begin(host)?;
    let edited = edit_as_seen(host.system(), &content, subject, row, &place);
    files::replace(&host.root, path, &edited).map_err(failed)
}
