//! Device drivers: the tables that `add_drv` and `rem_drv` keep below `/etc`.

use std::collections::BTreeMap;

use super::error::InstallError;
use super::execute::Run;
use super::objects::Delivered;
use super::table::Table;
use crate::manifest::Action;

const NAME_TO_MAJOR: &str = "etc/name_to_major";
const REM_NAME_TO_MAJOR: &str = "etc/rem_name_to_major";
const ALIASES: &str = "etc/driver_aliases";
const CLASSES: &str = "etc/driver_classes";
const MINOR_PERM: &str = "etc/minor_perm";
const EXTRA_PRIVS: &str = "etc/security/extra_privs";
const DEVICE_POLICY: &str = "etc/security/device_policy";
const DEVLINK: &str = "etc/devlink.tab";
/// Its presence makes the next boot look for devices.
const RECONFIGURE: &str = "reconfigure";

const ALL: [&str; 8] =
    [NAME_TO_MAJOR, REM_NAME_TO_MAJOR, ALIASES, CLASSES, MINOR_PERM, EXTRA_PRIVS, DEVICE_POLICY, DEVLINK];

/// The tables, as far as they are there.
#[derive(Debug)]
pub(super) struct DriverTables {
    tables: BTreeMap<&'static str, Table>,
    needs_reconfigure: bool,
}

/// The words of a line, up to a comment, without quotes.
fn words(line: &str) -> Vec<&str> {
    let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
    words.map(|word| word.trim_matches('"')).collect()
}

impl DriverTables {
    pub(super) fn load(run: &Run<'_>) -> Result<Self, InstallError> {
        let mut tables = BTreeMap::new();
        for path in ALL {
            if let Some(table) = run.read_table(path)? {
                tables.insert(path, table);
            }
        }
        Ok(Self { tables, needs_reconfigure: false })
    }

    pub(super) fn store(self, run: &mut Run<'_>) -> Result<(), InstallError> {
        for (path, table) in &self.tables {
            run.write_table(path, Some(table))?;
        }
        if self.needs_reconfigure && !run.exists(RECONFIGURE) {
            run.add_file(RECONFIGURE, b"", 0o644)?;
        }
        Ok(())
    }

    fn lines(&self, path: &'static str) -> impl Iterator<Item = Vec<&str>> {
        self.tables.get(path).into_iter().flat_map(Table::lines).map(words).filter(|words| !words.is_empty())
    }

    /// The table, which is made if it is not there.
    fn table(&mut self, path: &'static str) -> &mut Table {
        self.tables.entry(path).or_default()
    }

    fn is_known(&self, name: &str) -> bool {
        self.lines(NAME_TO_MAJOR).any(|words| words[0] == name)
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
                self.table(REM_NAME_TO_MAJOR).remove(|line| words(line).first() == Some(&name));
            }
            self.needs_reconfigure = true;
        }
        for alias in action.values("alias") {
            if !self.lines(ALIASES).any(|words| words[..] == [name, alias]) {
                self.table(ALIASES).push(format!("{name} \"{alias}\""));
            }
        }
        for class in action.values("class") {
            if !self.lines(CLASSES).any(|words| words[..] == [name, class]) {
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
            self.table(EXTRA_PRIVS).push_new(format!("{name}:{privilege}"));
        }
        for policy in action.values("policy") {
            self.set_policy(name, policy);
        }
        for line in action.values("devlink") {
            self.table(DEVLINK).push_new(line.replace("\\t", "\t"));
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
        if self.lines(ALIASES).any(|words| words.get(1) == Some(&name)) {
            return Err(format!("driver {name} is not added, because its name is an alias of another"));
        }
        for alias in action.values("alias") {
            let of_other = |words: &Vec<&str>| words.get(1) == Some(&alias) && words[0] != name;
            if let Some(other) = self.lines(ALIASES).find(of_other) {
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
    fn free_major(&self, name: &str) -> Option<u32> {
        let number = |words: &Vec<&str>| words.get(1).and_then(|number| number.parse::<u32>().ok());
        if let Some(words) = self.lines(REM_NAME_TO_MAJOR).find(|words| words[0] == name) {
            return number(&words);
        }
        let all = self.lines(NAME_TO_MAJOR).chain(self.lines(REM_NAME_TO_MAJOR));
        let taken: std::collections::BTreeSet<u32> = all.filter_map(|words| number(&words)).collect();
        (0..u32::MAX).find(|number| !taken.contains(number))
    }

    /// Replaces the line for a minor name (`<minor> <mode> <owner> <group>`), or adds one.
    fn set_perm(&mut self, name: &str, perms: &str) {
        let minor = perms.split_whitespace().next().unwrap_or_default();
        let begin = format!("{name}:{minor}");
        let line = format!("{name}:{perms}");
        let is_same = |old: &str| words(old).first() == Some(&begin.as_str());
        let table = self.table(MINOR_PERM);
        if table.lines().any(is_same) {
            table.rewrite(|old| is_same(old).then(|| line.clone()));
        } else {
            table.push(line);
        }
    }

    /// Replaces or adds a policy, `[<minor>] read_priv_set=… write_priv_set=…`.
    fn set_policy(&mut self, name: &str, policy: &str) {
        let line = policy_line(name, policy);
        let table = self.table(DEVICE_POLICY);
        let is_same = |old: &str| words(old).first() == words(&line).first();
        if table.lines().any(is_same) {
            table.rewrite(|old| is_same(old).then(|| line.clone()));
        } else {
            table.push(line);
        }
    }

    /// Removes what the package said of the driver before and does not say any more. It comes before any driver is added,
    /// for aliases move from one driver to another.
    pub(super) fn remove_outdated(&mut self, action: &Action, old: &Action) {
        let name = action.get("name").unwrap_or_default();
        let gone = |attribute: &'static str| {
            let kept: Vec<String> = action.values(attribute).map(str::to_owned).collect();
            let gone = old.values(attribute).filter(move |value| !kept.iter().any(|kept| kept == value));
            gone.map(str::to_owned).collect::<Vec<String>>()
        };
        for alias in gone("alias") {
            self.forget(ALIASES, |line| words(line)[..] == [name, alias.as_str()]);
        }
        for class in gone("class") {
            self.forget(CLASSES, |line| words(line)[..] == [name, class.as_str()]);
        }
        for perms in gone("perms") {
            let line = format!("{name}:{perms}");
            self.forget(MINOR_PERM, |old| words(old) == words(&line));
        }
        for perms in clone_perms(old).into_iter().filter(|perms| !clone_perms(action).contains(perms)) {
            let line = format!("clone:{perms}");
            self.forget(MINOR_PERM, |old| words(old) == words(&line));
        }
        for privilege in gone("privs") {
            let line = format!("{name}:{privilege}");
            self.forget(EXTRA_PRIVS, |old| old == line);
        }
        for policy in gone("policy") {
            let minor = policy.split_whitespace().next().filter(|token| !token.contains('=')).unwrap_or("*");
            let device = format!("{name}:{minor}");
            self.forget(DEVICE_POLICY, |old| words(old).first() == Some(&device.as_str()));
        }
        for line in gone("devlink") {
            let line = line.replace("\\t", "\t");
            self.forget(DEVLINK, |old| old == line);
        }
    }

    /// Removes what the tables say of a driver that was added by other means before a package first delivers it, as
    /// far as the package does not say it. Aliases and links stay.
    pub(super) fn remove_unpackaged(&mut self, action: &Action) {
        let name = action.get("name").unwrap_or_default().to_owned();
        if !self.is_known(&name) {
            return;
        }
        let wanted = |attribute: &'static str| action.values(attribute).map(str::to_owned).collect::<Vec<String>>();
        let (classes, privileges) = (wanted("class"), wanted("privs"));
        let mut perms: Vec<String> = wanted("perms").iter().map(|perms| format!("{name}:{perms}")).collect();
        perms.extend(clone_perms(action).iter().map(|perms| format!("clone:{perms}")));
        let (own, clone) = (format!("{name}:"), format!("clone:{name}"));
        self.forget(CLASSES, |line| match words(line)[..] {
            [driver, class] => driver == name && !classes.iter().any(|wanted| wanted == class),
            _ => false,
        });
        self.forget(MINOR_PERM, |line| {
            let words = words(line);
            // The permissions of `clone` belong to the drivers that they name.
            let is_own =
                words.first().is_some_and(|device| (device.starts_with(&own) && name != "clone") || *device == clone);
            words.len() == 4 && is_own && !perms.iter().any(|wanted| self::words(wanted) == words)
        });
        self.forget(EXTRA_PRIVS, |line| {
            line.strip_prefix(&own).is_some_and(|privilege| !privileges.iter().any(|wanted| wanted == privilege))
        });
        let policies: Vec<String> = action.values("policy").map(|policy| policy_line(&name, policy)).collect();
        self.forget(DEVICE_POLICY, |line| {
            let is_own = words(line).first().is_some_and(|device| device.starts_with(&own) || *device == name);
            is_own && !policies.iter().any(|wanted| words(wanted) == words(line))
        });
    }

    fn forget(&mut self, path: &'static str, is_gone: impl Fn(&str) -> bool) {
        if let Some(table) = self.tables.get_mut(path) {
            table.remove(is_gone);
        }
    }

    /// Takes a driver out of all tables, but remembers its number.
    pub(super) fn remove(&mut self, action: &Action) {
        let name = action.get("name").unwrap_or_default();
        let major = self.lines(NAME_TO_MAJOR).find(|words| words[0] == name);
        let major = major.and_then(|words| words.get(1).map(|major| (*major).to_owned()));
        if let Some(major) = major {
            self.table(REM_NAME_TO_MAJOR).push_new(format!("{name} {major}"));
            self.needs_reconfigure = true;
        }
        for path in [NAME_TO_MAJOR, ALIASES, CLASSES] {
            self.forget(path, |line| words(line).first() == Some(&name));
        }
        let device = format!("{name}:");
        for path in [MINOR_PERM, EXTRA_PRIVS, DEVICE_POLICY] {
            self.forget(path, |line| line.starts_with(&device));
        }
        for perms in clone_perms(action) {
            let line = format!("clone:{perms}");
            self.forget(MINOR_PERM, |old| words(old) == words(&line));
        }
        for line in action.values("devlink") {
            let line = line.replace("\\t", "\t");
            self.forget(DEVLINK, |old| old == line);
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
