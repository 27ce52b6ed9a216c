//! Merging of several files into one tree.

use super::error::{ConfigError, ConfigErrors};
use super::tree::{Entry, Kind, Table, dotted};
use super::{SourceFile, collect};

/// Merges the files' tables key by key. Tables that occur in several files are joined; any other key that occurs
/// twice is an error, so that it never depends on the order of files what the machine looks like.
pub(super) fn merge(files: &[SourceFile], tables: Vec<Table>) -> Result<Table, ConfigErrors> {
    let mut errors = Vec::new();
    let mut merged = Table::new();
    for table in tables {
        merge_into(&mut merged, table, "", files, &mut errors);
    }
    collect(errors.into_iter().map(Err::<(), _>)).map(|_| merged)
}

fn merge_into(target: &mut Table, source: Table, prefix: &str, files: &[SourceFile], errors: &mut Vec<ConfigError>) {
    for (key, entry) in source {
        let dotted = dotted(prefix, &key);
        let Some(present) = target.get_mut(&key) else {
            target.insert(key, entry);
            continue;
        };
        let Entry { key: first, node: present } = present;
        match (&mut present.kind, entry.node.kind) {
            (Kind::Table(present), Kind::Table(more)) => merge_into(present, more, &dotted, files, errors),
            _ => {
                let place = files[first.file].place(first.span.start);
                let first = format!("{}:{}:{}", place.file, place.line, place.column);
                let again = entry.key;
                errors.push(ConfigError::set_twice(&files[again.file], again.span, dotted, &first));
            }
        }
    }
}
