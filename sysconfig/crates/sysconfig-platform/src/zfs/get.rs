//! What datasets have: their properties, as `zfs get` tells them.

use super::property::{self, Properties, Property};
use super::{GUID, invocation, is_without_zfs, run};
use crate::storage::StorageError;
use crate::{Host, System, gather};
use std::collections::BTreeMap;

/// All properties of some datasets, which must exist.
///
/// # Errors
/// [`StorageError::Command`].
pub fn properties(host: &Host, names: &[String]) -> Result<BTreeMap<String, Properties>, StorageError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let operation = format!("read the properties of {}", names.join(", "));
    let mut found = ask(host, "all", names, &operation)?;
    if found.values().any(|properties| !properties.contains_key(GUID)) {
        // Some versions do not count it among all.
        for (name, properties) in guids(host, names, &operation)? {
            found.entry(name).or_default().extend(properties);
        }
    }
    Ok(found)
}

/// A property of some datasets. A value of a user's own may look like rows of other datasets: where rows come twice, or are of one
/// that was not asked about, each is asked alone, and only what it says of itself counts.
fn ask(
    host: &Host,
    property: &str,
    names: &[String],
    operation: &str,
) -> Result<BTreeMap<String, Properties>, StorageError> {
    let rows = property::parse_rows(operation, &run(host, get(property, names), operation)?.stdout)?;
    if !rows.is_doubtful && rows.all.keys().all(|name| names.contains(name)) {
        return Ok(rows.all);
    }
    each(host, property, names.iter(), operation)
}

/// The same, each alone; one that is gone meanwhile is left out.
fn each<'a>(
    host: &Host,
    property: &str,
    names: impl Iterator<Item = &'a String>,
    operation: &str,
) -> Result<BTreeMap<String, Properties>, StorageError> {
    let mut found = BTreeMap::new();
    for name in names {
        let answer = match run(host, get(property, std::slice::from_ref(name)), operation) {
            Err(error) if error.said().contains("dataset does not exist") => continue,
            answer => answer?,
        };
        let own = property::parse(operation, &answer.stdout)?.remove(name);
        found.extend(own.map(|properties| (name.clone(), properties)));
    }
    Ok(found)
}

fn get<'a>(property: &'a str, names: &'a [String]) -> Vec<&'a str> {
    let args = ["get", "-Hp", "-o", "name,property,value,source", property];
    args.into_iter().chain(names.iter().map(String::as_str)).collect()
}

/// The guids of some datasets; nothing where ZFS is so old that it does not know them. Whatever else fails leaves open which
/// datasets these are, and so is no answer.
fn guids(host: &Host, names: &[String], operation: &str) -> Result<BTreeMap<String, Properties>, StorageError> {
    let invocation = invocation(host, "zfs", get(GUID, names));
    let answer = host.run_any(&invocation).map_err(StorageError::command(operation))?;
    // Behind these words comes the whole usage, so that they are not among the last ones.
    if answer.code != 0 && answer.stderr.contains("invalid property") {
        return Ok(BTreeMap::new());
    }
    property::parse(operation, &answer.success(&invocation).map_err(StorageError::command(operation))?.stdout)
}

/// All properties of one dataset; none when there is no such dataset, or no ZFS.
///
/// # Errors
/// [`StorageError`].
pub fn properties_of(host: &Host, name: &str) -> Result<Option<Properties>, StorageError> {
    match properties(host, &[name.to_owned()]) {
        Ok(mut all) => Ok(Some(all.remove(name).unwrap_or_default())),
        Err(error) if error.said().contains("dataset does not exist") => Ok(None),
        Err(error) if host.system() == System::Linux && is_without_zfs(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The datasets on which `property` is set itself, with its value.
///
/// # Errors
/// [`StorageError::Command`].
pub fn where_set(host: &Host, property: &str) -> Result<BTreeMap<String, String>, StorageError> {
    let operation = format!("look for {property}");
    let look = |columns: &str| {
        let args = ["get", "-Hp", "-s", "local", "-t", "filesystem,volume", "-o", columns, property];
        match run(host, args, &operation) {
            Err(error) if host.system() == System::Linux && is_without_zfs(&error) => Ok(String::new()),
            Err(error) if error.said().contains("no datasets available") => Ok(String::new()),
            answer => answer.map(|answer| answer.stdout),
        }
    };
    let rows = property::parse_rows(&operation, &look("name,property,value,source")?)?;
    let mut all = rows.all;
    // A value may look like the row of another dataset; a name cannot, and decides which are asked again.
    let names = if all.is_empty() { String::new() } else { look("name")? };
    let names: Vec<String> = names.lines().map(str::to_owned).collect();
    if rows.is_doubtful || all.len() != names.len() || !names.iter().all(|name| all.contains_key(name)) {
        all = each(host, property, names.iter(), &operation)?;
    }
    let value = |mut found: Properties| found.remove(property).filter(Property::is_local).map(|found| found.value);
    Ok(gather::map(all.into_iter().filter_map(|(name, found)| Some((name, value(found)?)))))
}

/// The mount points of a file system and of all below it, with where each has it from.
///
/// # Errors
/// [`StorageError`].
pub fn mount_points(host: &Host, name: &str) -> Result<BTreeMap<String, Property>, StorageError> {
    let operation = format!("read the mount points of {name}");
    let args = ["get", "-Hp", "-r", "-t", "filesystem", "-o", "name,property,value,source", "mountpoint", name];
    let rows = property::parse_rows(&operation, &run(host, args, &operation)?.stdout)?;
    let all = if rows.is_doubtful { each(host, "mountpoint", rows.all.keys(), &operation)? } else { rows.all };
    let found = all.into_iter();
    Ok(gather::map(found.filter_map(|(name, mut all)| Some((name, all.remove("mountpoint")?)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Machine;

    /// Whoever may set properties of a user's own on one dataset has no say about another one.
    #[test]
    fn a_value_that_looks_like_rows_of_another_dataset_says_nothing_of_that() {
        let (_root, host, machine) = Machine::start(System::Illumos);
        for command in ["zfs create rpool/a", "zfs create -o quota=1g rpool/b", "zfs create -o org:mark=x rpool/c"] {
            machine.type_in(command);
        }
        let forge = |property: &str, value: &str| {
            machine.storage(|storage| {
                let dataset = storage.datasets.get_mut("rpool/a").unwrap();
                dataset.properties.insert(property.to_owned(), value.to_owned());
            });
        };
        let names = ["rpool/a", "rpool/b"].map(str::to_owned);
        for value in [
            "v\tlocal\nrpool/b\tquota\t5\tlocal\nz",
            "v\tlocal\nrpool/b\tquota\t5\tlocal\nrpool/b\tnote:y\tz",
            "v\tlocal\nrpool/b\ttype\tvolume\t-\nrpool/b\tquota\t5",
            "v\tlocal\nrpool/d\tquota\t5",
        ] {
            forge("note:x", value);
            let all = properties(&host, &names).unwrap();
            assert_eq!(all.keys().cloned().collect::<Vec<_>>(), names, "{value:?}");
            assert_eq!(
                (all["rpool/b"]["quota"].value.as_str(), all["rpool/b"]["type"].value.as_str()),
                ("1073741824", "filesystem")
            );
            assert!(!all["rpool/b"].contains_key("note:y"));
        }
        for value in [
            "x\tlocal\nrpool/b\torg:mark\ty",
            "x\tlocal\nrpool/c\torg:mark\ty",
            "x\tlocal\nrpool/c\torg:mark\ty\tlocal\nz",
        ] {
            forge("org:mark", value);
            let marked = where_set(&host, "org:mark").unwrap();
            let shown: Vec<_> = marked.iter().map(|(name, value)| (name.as_str(), &value[..1])).collect();
            assert_eq!(shown, [("rpool/a", "x"), ("rpool/c", "x")], "{value:?}");
        }
    }
}
