//! Users and groups: `/etc/passwd`, `/etc/shadow`, `/etc/group` and `/etc/ftpd/ftpusers`.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::error::InstallError;
use super::execute::Run;
use super::group_table::GroupTable;
use super::indexed_table::IndexedTable;
use super::objects::Delivered;
use super::table::{Table, lowest_free};
use crate::manifest::Action;
use crate::time::OperationTime;

const PASSWD: &str = "etc/passwd";
const SHADOW: &str = "etc/shadow";
const GROUP: &str = "etc/group";
const FTPUSERS: &str = "etc/ftpd/ftpusers";
/// Left behind by whoever locks the tables.
const LOCK: &str = "etc/.pwd.lock";

/// How many fields the lines of the tables have.
const PASSWD_FIELDS: usize = 7;
const SHADOW_FIELDS: usize = 9;

/// The fields of `/etc/shadow` after name and password, as attributes are called.
const AGING: [&str; 7] = ["lastchg", "min", "max", "warn", "inactive", "expire", "flag"];

/// The tables, as far as they are there.
#[derive(Debug)]
pub(super) struct Accounts {
    passwd: Option<IndexedTable>,
    shadow: Option<IndexedTable>,
    group: Option<GroupTable>,
    ftpusers: Option<IndexedTable>,
    time: OperationTime,
    warnings: Vec<String>,
    is_locked: bool,
}

impl Accounts {
    pub(super) fn load(run: &Run<'_>) -> Result<Self, InstallError> {
        let tables = [PASSWD, SHADOW, GROUP, FTPUSERS].map(|path| run.read_table(path));
        let [passwd, shadow, group, ftpusers] = tables;
        Ok(Self::new([passwd?, shadow?, group?, ftpusers?], run.time()))
    }

    /// Of the tables of users, of passwords, of groups, and of those who may not use FTP.
    fn new([passwd, shadow, group, ftpusers]: [Option<Table>; 4], time: OperationTime) -> Self {
        Self {
            passwd: passwd.map(|table| IndexedTable::new(&table, passwd_keys)),
            shadow: shadow.map(|table| IndexedTable::new(&table, shadow_keys)),
            group: group.map(|table| GroupTable::new(&table)),
            ftpusers: ftpusers.map(|table| IndexedTable::new(&table, |line| vec![line.to_owned()])),
            time,
            warnings: Vec::new(),
            is_locked: false,
        }
    }

    /// The tables without which users and groups cannot be added, or else the one of those who may not use FTP.
    pub(super) fn missing(&self) -> Vec<String> {
        let needed = [(PASSWD, self.passwd.is_some()), (SHADOW, self.shadow.is_some()), (GROUP, self.group.is_some())];
        let missing = needed.into_iter().filter(|(_, is_there)| !is_there).map(|(path, _)| path);
        let paths: Vec<&str> = missing.collect();
        let paths = if paths.is_empty() { vec![FTPUSERS] } else { paths };
        paths.into_iter().map(|path| format!("/{path}")).collect()
    }

    pub(super) fn store(self, run: &mut Run<'_>) -> Result<(), InstallError> {
        let group = self.group.map(GroupTable::into_table);
        let [passwd, shadow, ftpusers] =
            [self.passwd, self.shadow, self.ftpusers].map(|table| table.map(IndexedTable::into_table));
        for (path, table) in [(PASSWD, passwd), (SHADOW, shadow), (GROUP, group), (FTPUSERS, ftpusers)] {
            run.write_table(path, table.as_ref())?;
        }
        if self.is_locked && !run.exists(LOCK) {
            run.add_file(LOCK, b"", 0o644)?;
        }
        run.warnings.extend(self.warnings);
        Ok(())
    }

    /// Adds a group, or gives it another number; false if the table is not there yet.
    pub(super) fn install_group(&mut self, delivered: Delivered<'_>) -> Result<bool, InstallError> {
        let Some(table) = &mut self.group else { return Ok(false) };
        self.is_locked = true;
        let (name, gid) = (name_of(delivered, "group", "groupname")?, number(delivered, "gid")?);
        let known = table.gid(name).map(str::to_owned);
        let gid = match (gid, &known) {
            (Some(gid), _) => gid,
            (None, Some(known)) if !known.is_empty() => return Ok(true),
            // One that stands there without a number, because a user is in it, gets one now.
            (None, _) => {
                let gids = table.gids();
                let free = lowest_free(gids.iter().map(String::as_str));
                free.ok_or_else(|| account_error(delivered, "group", name, "no number below 100 is free"))?.to_string()
            }
        };
        table.set(name, &gid, "");
        if let Some((passwd, known)) = self.passwd.as_mut().zip(known.filter(|known| !known.is_empty())) {
            renumber_group(passwd, &known, &gid);
        }
        Ok(true)
    }

    /// Adds a user or sets it up anew; false if the tables are not there yet.
    pub(super) fn install_user(
        &mut self,
        delivered: Delivered<'_>,
        old: Option<Delivered<'_>>,
    ) -> Result<bool, InstallError> {
        let action = delivered.action;
        let name = name_of(delivered, "user", "username")?;
        let may_ftp = self.may_ftp(name, action, old.map(|old| old.action));
        let (Some(passwd), Some(shadow), Some(group)) = (&mut self.passwd, &mut self.shadow, &mut self.group) else {
            return Ok(false);
        };
        if !may_ftp && self.ftpusers.is_none() {
            return Ok(false);
        }
        self.is_locked = true;
        let main_group = action.required("group").map_err(|source| delivered.unusable(source))?;
        let gid = group.gid(main_group).map(str::to_owned);
        let gid =
            gid.ok_or_else(|| account_error(delivered, "user", name, &format!("there is no group `{main_group}`")))?;
        let uid = uid_of(delivered, name, passwd)?;
        let field = |attribute, default| safe(delivered, name, attribute, action.get(attribute).unwrap_or(default));
        let (gcos, home, shell) = (field("gcos-field", "& User")?, field("home-dir", "/")?, field("login-shell", "")?);
        passwd.replace_first_or_push(&by_name(name), [name, "x", &uid, &gid, gcos, home, shell].join(":"));
        let on_disk = shadow.with(&by_name(name)).next().map(fields);
        let entry = shadow_entry(delivered, name, old.map(|old| old.action), on_disk.as_deref(), self.time)?;
        shadow.replace_first_or_push(&by_name(name), entry.join(":"));
        let wanted: BTreeSet<&str> = action.values("group-list").collect();
        group.set_groups(name, &wanted);
        // A group that is not there gets an entry without a number, which is of no effect until it has one.
        for missing in wanted.iter().filter(|wanted| !wanted.is_empty()) {
            if !is_name(missing) {
                let reason = format!("`{}` in `group-list` cannot be the name of a group", crate::text::shown(missing));
                return Err(account_error(delivered, "user", name, &reason));
            }
            if group.gid(missing).is_none() {
                self.warnings.push(format!("user {name} is to be in group {missing}, which is not there"));
                group.set(missing, "", name);
            }
        }
        if let Some(ftpusers) = &mut self.ftpusers {
            set_ftp(ftpusers, name, may_ftp);
        }
        Ok(true)
    }

    /// Whether a user may use FTP: what the package says; if that is nothing, an update leaves it as somebody
    /// changed it who has a password of their own.
    fn may_ftp(&self, name: &str, action: &Action, old: Option<&Action>) -> bool {
        let says = |action: &Action| action.get("ftpuser").map(|value| value == "true");
        says(action).unwrap_or_else(|| {
            let is_listed = self.ftpusers.as_ref().is_some_and(|table| table.with(name).next().is_some());
            let old = old.filter(|_| has_own_password(action));
            match old.map(|old| says(old).unwrap_or(true)) {
                Some(may_before) if may_before == is_listed => !is_listed,
                _ => true,
            }
        })
    }

    pub(super) fn remove_user(&mut self, name: &str) {
        self.is_locked = true;
        for table in [&mut self.passwd, &mut self.shadow].into_iter().flatten() {
            table.remove(&by_name(name), |_| true);
        }
        if let Some(group) = &mut self.group {
            group.set_groups(name, &BTreeSet::new());
        }
        if let Some(ftpusers) = &mut self.ftpusers {
            set_ftp(ftpusers, name, true);
        }
    }

    pub(super) fn remove_group(&mut self, name: &str) {
        if let Some(group) = &mut self.group {
            group.remove(name);
        }
    }
}

fn by_name(name: &str) -> String {
    format!("name {name}")
}

fn by_gid(gid: &str) -> String {
    format!("gid {gid}")
}

/// Lines with another number of fields, and those that refer to a name service, are found by nothing.
fn passwd_keys(line: &str) -> Vec<String> {
    let fields: Vec<&str> = line.split(':').collect();
    if fields.len() != PASSWD_FIELDS || line.starts_with(['+', '-']) {
        return Vec::new();
    }
    vec![by_name(fields[0]), by_gid(fields[3])]
}

fn shadow_keys(line: &str) -> Vec<String> {
    let is_entry = line.split(':').count() == SHADOW_FIELDS && !line.starts_with(['+', '-']);
    line.split(':').next().filter(|_| is_entry).map(by_name).into_iter().collect()
}

fn fields(line: &str) -> Vec<String> {
    line.split(':').map(str::to_owned).collect()
}

/// Users whose main group gets another number stay in it.
fn renumber_group(passwd: &mut IndexedTable, old: &str, new: &str) {
    passwd.rewrite_with(&by_gid(old), |line| {
        let mut fields = fields(line);
        new.clone_into(&mut fields[3]);
        Some(fields.join(":"))
    });
}

fn account_error(delivered: Delivered<'_>, what: &'static str, name: &str, reason: &str) -> InstallError {
    let (name, reason) = (crate::text::shown(name), reason.to_owned());
    InstallError::Account { package: delivered.package_name(), what, name, reason }
}

fn name_of<'d>(delivered: Delivered<'d>, what: &'static str, key: &'static str) -> Result<&'d str, InstallError> {
    let name = delivered.action.required(key).map_err(|source| delivered.unusable(source))?;
    if is_name(name) { Ok(name) } else { Err(account_error(delivered, what, name, "the name cannot stand in a table")) }
}

/// Whether a line of a table can be for this name.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | ',');
    !name.is_empty() && name.chars().all(is_plain) && !name.starts_with(['+', '-', '#'])
}

/// The number that the manifest says, else the one that the user has, else the lowest that is free.
fn uid_of(delivered: Delivered<'_>, name: &str, passwd: &IndexedTable) -> Result<String, InstallError> {
    let known = passwd.with(&by_name(name)).next().map(|line| fields(line).swap_remove(2));
    if let Some(uid) = number(delivered, "uid")?.or(known) {
        return Ok(uid);
    }
    let entries = passwd.lines().filter(|line| !passwd_keys(line).is_empty());
    let free = lowest_free(entries.filter_map(|line| line.split(':').nth(2)));
    let free = free.ok_or_else(|| account_error(delivered, "user", name, "no number below 100 is free"))?;
    Ok(free.to_string())
}

/// A number as the text that stands in the tables.
fn number(delivered: Delivered<'_>, attribute: &'static str) -> Result<Option<String>, InstallError> {
    let number = delivered.action.number::<u32>(attribute).map_err(|source| delivered.unusable(source))?;
    Ok(number.map(|number| number.to_string()))
}

/// A value that would add fields or lines to a table is refused.
fn safe<'v>(delivered: Delivered<'_>, name: &str, attribute: &str, value: &'v str) -> Result<&'v str, InstallError> {
    if value.contains(|c: char| c == ':' || c.is_control()) {
        let reason = format!("`{attribute}` has a colon or a control character");
        return Err(account_error(delivered, "user", name, &reason));
    }
    Ok(value)
}

/// Whether the package leaves it to the user to have a password.
fn has_own_password(action: &Action) -> bool {
    matches!(action.get("password"), Some("" | "UP"))
}

/// The line for `/etc/shadow`. The manifest wins and what it does not say gets its default, also on an update. The
/// exception is a password of `""` or `UP`: then password and aging stay as they are, on an update as far as
/// somebody changed them since the package set them.
fn shadow_entry(
    delivered: Delivered<'_>,
    name: &str,
    old: Option<&Action>,
    on_disk: Option<&[String]>,
    time: OperationTime,
) -> Result<Vec<String>, InstallError> {
    let action = delivered.action;
    let mut entry = vec![name.to_owned()];
    for (at, attribute) in std::iter::once("password").chain(AGING).enumerate() {
        let default = match attribute {
            "password" => "*LK*".to_owned(),
            "lastchg" => time.days().to_string(),
            _ => String::new(),
        };
        let wanted = safe(delivered, name, attribute, action.get(attribute).unwrap_or(&default))?.to_owned();
        let found = on_disk.map(|fields| &fields[at + 1]);
        let was_changed = |old: &Action| {
            let set_before = old.get(attribute).map_or_else(|| default.clone(), str::to_owned);
            let is_unset_time = attribute == "lastchg" && old.get(attribute).is_none();
            is_unset_time || found.is_some_and(|found| *found != set_before)
        };
        let keeps = has_own_password(action) && old.is_none_or(was_changed);
        entry.push(match found {
            Some(found) if keeps => found.clone(),
            _ => wanted,
        });
    }
    Ok(entry)
}

/// The table has the names of those who may not use FTP.
fn set_ftp(ftpusers: &mut IndexedTable, name: &str, may: bool) {
    if may {
        ftpusers.remove(name, |_| true);
    } else {
        ftpusers.push_new(name, name.to_owned());
    }
}
