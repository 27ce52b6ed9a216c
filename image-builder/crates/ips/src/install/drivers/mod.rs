//! Device drivers: the tables that `add_drv` and `rem_drv` keep below `/etc`.

mod keys;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::error::InstallError;
use super::execute::Run;
use super::indexed_table::IndexedTable;
use super::objects::Delivered;
use super::table::Table;
use crate::manifest::Action;
use keys::{
    ALIASES, ALL, CLASSES, DEVICE_POLICY, DEVLINK, EXTRA_PRIVS, MINOR_PERM, NAME_TO_MAJOR, REM_NAME_TO_MAJOR, by_alias,
    by_class, by_device, by_driver, keys_of, words,
};

/// Its presence makes the next boot look for devices.
const RECONFIGURE: &str = "reconfigure";

/// The tables, as far as they are there.
#[derive(Debug)]
pub(super) struct DriverTables {
    tables: BTreeMap<&'static str, IndexedTable>,
    /// The numbers that drivers have or had.
    majors: BTreeSet<u32>,
    /// Below it all numbers are taken.
    lowest_major: u32,
    needs_reconfigure: bool,
}

impl DriverTables {
    pub(super) fn load(run: &Run<'_>) -> Result<Self, InstallError> {
        let mut tables = BTreeMap::new();
        for path in ALL {
            if let Some(table) = run.read_table(path)? {
                tables.insert(path, table);
            }
        }
        Ok(Self::new(&tables))
    }

    fn new(tables: &BTreeMap<&'static str, Table>) -> Self {
        let tables: BTreeMap<_, _> =
            tables.iter().map(|(path, table)| (*path, IndexedTable::new(table, keys_of(path)))).collect();
        let numbered = [NAME_TO_MAJOR, REM_NAME_TO_MAJOR].into_iter().filter_map(|path| tables.get(path));
        let majors = numbered.flat_map(IndexedTable::lines).filter_map(|line| major(&words(line))).collect();
        Self { tables, majors, lowest_major: 0, needs_reconfigure: false }
    }

    pub(super) fn store(self, run: &mut Run<'_>) -> Result<(), InstallError> {
        for (path, table) in self.tables {
            run.write_table(path, Some(&table.into_table()))?;
        }
        if self.needs_reconfigure && !run.exists(RECONFIGURE) {
            run.add_file(RECONFIGURE, b"", 0o644)?;
        }
        Ok(())
    }

    /// The words of the lines with a key.
    fn lines(&self, path: &'static str, key: &str) -> impl Iterator<Item = Vec<&str>> {
        self.tables.get(path).into_iter().flat_map(move |table| table.with(key)).map(words)
    }

    /// The table, which is made if it is not there.
    fn table(&mut self, path: &'static str) -> &mut IndexedTable {
        self.tables.entry(path).or_insert_with(|| IndexedTable::new(&Table::default(), keys_of(path)))
    }

    fn is_known(&self, name: &str) -> bool {
        self.lines(NAME_TO_MAJOR, &by_driver(name)).next().is_some()
    }

    /// Adds a driver, or what a known one does not have yet. Nothing is changed if the driver is refused; the
    /// refusal is a sentence.
    pub(super) fn install(&mut self, action: &Action) -> Result<(), String> {
        let name = action.get("name").unwrap_or_default();
        self.check(name, action)?;
        if !self.is_known(name) {
            let major = self.free_major(name).ok_or_else(|| format!("there is no number left for driver {name}"))?;
            self.table(NAME_TO_MAJOR).push(format!("{name} {major}"));
            if self.tables.contains_key(REM_NAME_TO_MAJOR) {
                self.table(REM_NAME_TO_MAJOR).remove(&by_driver(name), |_| true);
            }
            self.needs_reconfigure = true;
        }
        for alias in action.values("alias") {
            if !self.lines(ALIASES, &by_alias(alias)).any(|words| words[..] == [name, alias]) {
                self.table(ALIASES).push(format!("{name} \"{alias}\""));
            }
        }
        for class in action.values("class") {
            if !self.lines(CLASSES, &by_class(name, class)).any(|words| words.len() == 2) {
                self.table(CLASSES).push(format!("{name}\t{class}"));
            }
        }
        for perms in action.values("perms") {
            self.set_perm(name, perms);
        }
        for perms in clone_perms(action) {
            self.set_perm("clone", &perms);
        }
        for privilege in action.values("privs") {
            let line = format!("{name}:{privilege}");
            self.table(EXTRA_PRIVS).push_new(&by_device(&line), line);
        }
        for policy in action.values("policy") {
            self.set_policy(name, policy);
        }
        for line in action.values("devlink") {
            let line = line.replace("\\t", "\t");
            self.table(DEVLINK).push_new(&line.clone(), line);
        }
        Ok(())
    }

    /// Whether the driver can be added, before anything is changed.
    fn check(&self, name: &str, action: &Action) -> Result<(), String> {
        if name.is_empty() || name.contains([':', '"', '#']) || name.contains(char::is_whitespace) {
            return Err(format!("`{}` cannot be the name of a driver", crate::text::shown(name)));
        }
        let mut needed = vec![NAME_TO_MAJOR];
        needed.extend(action.get("alias").map(|_| ALIASES));
        needed.extend(action.get("perms").or(action.get("clone_perms")).map(|_| MINOR_PERM));
        needed.extend(action.get("devlink").map(|_| DEVLINK));
        if let Some(missing) = needed.into_iter().find(|path| !self.tables.contains_key(path)) {
            return Err(format!("driver {name} is not added, because there is no /{missing}"));
        }
        if self.lines(ALIASES, &by_alias(name)).next().is_some() {
            return Err(format!("driver {name} is not added, because its name is an alias of another"));
        }
        for alias in action.values("alias") {
            if let Some(other) = self.lines(ALIASES, &by_alias(alias)).find(|words| words[0] != name) {
                return Err(format!("driver {name} is not added, because driver {} has its alias {alias}", other[0]));
            }
            if self.is_known(alias) || !is_word(alias) {
                return Err(format!("driver {name} is not added, because `{alias}` cannot be an alias"));
            }
        }
        for perms in action.values("perms") {
            if perms.contains(',') || perms.split_whitespace().count() != 4 {
                return Err(format!(
                    "driver {name} is not added: `{perms}` is not a minor name, mode, owner and group"
                ));
            }
        }
        if action.values("policy").any(|policy| policy.trim().is_empty()) {
            return Err(format!("driver {name} is not added: it has an empty policy"));
        }
        let is_clone = |perms: &str| !perms.contains(',') && matches!(perms.split_whitespace().count(), 3 | 4);
        for (attribute, wanted, is_right) in [
            ("class", "a class", &is_word as &dyn Fn(&str) -> bool),
            ("privs", "a privilege", &is_word),
            ("clone_perms", "a minor name, mode, owner and group", &is_clone),
            ("devlink", "a line of /etc/devlink.tab", &|line: &str| !line.trim().is_empty()),
        ] {
            if let Some(wrong) = action.values(attribute).find(|value| !is_right(value)) {
                return Err(format!("driver {name} is not added: `{}` is not {wanted}", crate::text::shown(wrong)));
            }
        }
        let values = action.attributes().map(|(_, value)| value);
        match values.flat_map(str::chars).find(|c| c.is_control() && *c != '\t') {
            Some(_) => Err(format!("driver {name} is not added: it has control characters")),
            None => Ok(()),
        }
    }

    /// The number that the driver had before it was removed, or the lowest that no driver has or had.
    fn free_major(&mut self, name: &str) -> Option<u32> {
        if let Some(words) = self.lines(REM_NAME_TO_MAJOR, &by_driver(name)).next() {
            return major(&words);
        }
        let free = (self.lowest_major..u32::MAX).find(|number| !self.majors.contains(number))?;
        // Numbers that were given once stay taken.
        self.lowest_major = free;
        self.majors.insert(free);
        Some(free)
    }

    /// Replaces the line for a minor name (`<minor> <mode> <owner> <group>`), or adds one.
    fn set_perm(&mut self, name: &str, perms: &str) {
        let minor = perms.split_whitespace().next().unwrap_or_default();
        let key = by_device(&format!("{name}:{minor}"));
        self.table(MINOR_PERM).replace_or_push(&key, &format!("{name}:{perms}"));
    }

    /// Replaces or adds a policy, `[<minor>] read_priv_set=… write_priv_set=…`.
    fn set_policy(&mut self, name: &str, policy: &str) {
        let line = policy_line(name, policy);
        let key = by_device(words(&line).first().copied().unwrap_or_default());
        self.table(DEVICE_POLICY).replace_or_push(&key, &line);
    }

    /// Removes what the package said of the driver before and does not say any more. It comes before any driver is added,
    /// for aliases move from one driver to another.
    pub(super) fn remove_outdated(&mut self, action: &Action, old: &Action) {
        let name = action.get("name").unwrap_or_default();
        let gone = |attribute: &'static str| {
            let kept: HashSet<&str> = action.values(attribute).collect();
            old.values(attribute).filter(move |value| !kept.contains(value))
        };
        for alias in gone("alias") {
            self.forget(ALIASES, &by_alias(alias), |line| words(line)[..] == [name, alias]);
        }
        for class in gone("class") {
            self.forget(CLASSES, &by_class(name, class), |line| words(line).len() == 2);
        }
        for perms in gone("perms") {
            self.forget_perm(&format!("{name}:{perms}"));
        }
        let kept: HashSet<String> = clone_perms(action).into_iter().collect();
        for perms in clone_perms(old).iter().filter(|perms| !kept.contains(*perms)) {
            self.forget_perm(&format!("clone:{perms}"));
        }
        for privilege in gone("privs") {
            let line = format!("{name}:{privilege}");
            self.forget(EXTRA_PRIVS, &by_device(&line), |old| old == line);
        }
        for policy in gone("policy") {
            let minor = policy.split_whitespace().next().filter(|token| !token.contains('=')).unwrap_or("*");
            self.forget(DEVICE_POLICY, &by_device(&format!("{name}:{minor}")), |_| true);
        }
        for line in gone("devlink") {
            self.forget(DEVLINK, &line.replace("\\t", "\t"), |_| true);
        }
    }

    /// Removes what the tables say of a driver that was added by other means before a package first delivers it, as
    /// far as the package does not say it. Aliases and links stay.
    pub(super) fn remove_unpackaged(&mut self, action: &Action) {
        let name = action.get("name").unwrap_or_default();
        if !self.is_known(name) {
            return;
        }
        let wanted = |attribute: &'static str| action.values(attribute).collect::<HashSet<&str>>();
        let (classes, privileges) = (wanted("class"), wanted("privs"));
        let mut perms: Vec<String> = action.values("perms").map(|perms| format!("{name}:{perms}")).collect();
        perms.extend(clone_perms(action).iter().map(|perms| format!("clone:{perms}")));
        let perms: HashSet<Vec<&str>> = perms.iter().map(|line| words(line)).collect();
        let (own, driver) = (format!("{name}:"), by_driver(name));
        self.forget(CLASSES, &driver, |line| match words(line)[..] {
            [_, class] => !classes.contains(class),
            _ => false,
        });
        let is_unwanted_perm = |line: &str| words(line).len() == 4 && !perms.contains(&words(line));
        // The permissions of `clone` belong to the drivers that they name.
        if name != "clone" {
            self.forget(MINOR_PERM, &driver, |line| words(line)[0].starts_with(&own) && is_unwanted_perm(line));
        }
        self.forget(MINOR_PERM, &by_device(&format!("clone:{name}")), is_unwanted_perm);
        self.forget(EXTRA_PRIVS, &driver, |line| {
            line.strip_prefix(&own).is_some_and(|privilege| !privileges.contains(privilege))
        });
        let policies: Vec<String> = action.values("policy").map(|policy| policy_line(name, policy)).collect();
        let policies: HashSet<Vec<&str>> = policies.iter().map(|line| words(line)).collect();
        self.forget(DEVICE_POLICY, &driver, |line| !policies.contains(&words(line)));
    }

    fn forget(&mut self, path: &'static str, key: &str, is_gone: impl Fn(&str) -> bool) {
        if let Some(table) = self.tables.get_mut(path) {
            table.remove(key, is_gone);
        }
    }

    /// Removes a permission, `<driver>:<minor> <mode> <owner> <group>`, however it is set in blanks.
    fn forget_perm(&mut self, line: &str) {
        let gone = words(line);
        let key = by_device(gone.first().copied().unwrap_or_default());
        self.forget(MINOR_PERM, &key, |old| words(old) == gone);
    }

    /// Takes a driver out of all tables, but remembers its number.
    pub(super) fn remove(&mut self, action: &Action) {
        let name = action.get("name").unwrap_or_default();
        let driver = by_driver(name);
        let major = self.lines(NAME_TO_MAJOR, &driver).next();
        let major = major.and_then(|words| words.get(1).map(|major| (*major).to_owned()));
        if let Some(major) = major {
            self.table(REM_NAME_TO_MAJOR).push_new(&driver, format!("{name} {major}"));
            self.needs_reconfigure = true;
        }
        for path in [NAME_TO_MAJOR, ALIASES, CLASSES] {
            self.forget(path, &driver, |_| true);
        }
        let device = format!("{name}:");
        for path in [MINOR_PERM, EXTRA_PRIVS, DEVICE_POLICY] {
            self.forget(path, &driver, |line| line.starts_with(&device));
        }
        for perms in clone_perms(action) {
            self.forget_perm(&format!("clone:{perms}"));
        }
        for line in action.values("devlink") {
            self.forget(DEVLINK, &line.replace("\\t", "\t"), |_| true);
        }
    }

    /// Comments out the lines of drivers that no package delivers for aliases that a package claims; the result
    /// says of which.
    pub(super) fn comment_out(&mut self, drivers: &BTreeMap<&str, Delivered<'_>>) -> Vec<String> {
        let mut claimed: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, delivered) in drivers {
            claimed.extend(delivered.action.values("alias").map(|alias| (alias, *name)));
        }
        let Some(table) = self.tables.get_mut(ALIASES) else { return Vec::new() };
        let is_foreign = |line: &str| match words(line)[..] {
            [name, alias] => claimed.get(alias).is_some_and(|owner| *owner != name) && !drivers.contains_key(name),
            _ => false,
        };
        let told = table.lines().filter(|line| is_foreign(line));
        let told = told.map(|line| format!("`{line}` in /{ALIASES} is commented out: a package claims the alias"));
        let told = told.collect();
        table.rewrite(|line| is_foreign(line).then(|| format!("# pkg(5): {line}")));
        told
    }
}

/// The number on a line `<name> <number>`.
fn major(words: &[&str]) -> Option<u32> {
    words.get(1).and_then(|number| number.parse().ok())
}

/// Whether a value is one word of a table.
fn is_word(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"')
}

/// The line for a policy, `[<minor>] read_priv_set=… write_priv_set=…`.
fn policy_line(name: &str, policy: &str) -> String {
    let mut tokens: Vec<&str> = policy.split_whitespace().collect();
    let has_minor = tokens.first().is_some_and(|token| !token.contains('='));
    let minor = if has_minor { tokens.remove(0) } else { "*" };
    format!("{name}:{minor}\t{}", tokens.join("\t"))
}

/// The permissions below `/devices/pseudo/clone`; with three words the minor name is the driver's.
fn clone_perms(action: &Action) -> Vec<String> {
    let name = action.get("name").unwrap_or_default();
    let with_minor = |perms: &str| match perms.split_whitespace().count() {
        3 => format!("{name} {perms}"),
        _ => perms.to_owned(),
    };
    action.values("clone_perms").map(with_minor).collect()
}
