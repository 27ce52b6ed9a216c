//! The order in which everything is done, and what all parts of it need.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use image_tree::{Content, Follow, ImagePath, Metadata, Node, Timestamp, Tree, TreeError};

use super::accounts::Accounts;
use super::drivers::DriverTables;
use super::error::InstallError;
use super::ids::Owners;
use super::objects::{Delivered, Objects};
use super::reserved::IMAGE_DIRECTORY;
use super::table::Table;
use super::{ContentSource, Operation, Package, sundry};
use crate::fmri::Stem;
use crate::manifest::ActionKind;
use crate::time::OperationTime;

/// An operation on its way: the tree as it is by now.
pub(super) struct Run<'a> {
    pub(super) tree: Tree,
    pub(super) warnings: Vec<String>,
    pub(super) content: &'a dyn ContentSource,
    pub(super) ids: Owners,
    /// Directories that are known to be there, so that they are not looked for again for every file.
    pub(super) known_directories: HashSet<ImagePath>,
    /// What was moved away, and where it is now.
    pub(super) salvaged: Vec<(ImagePath, ImagePath)>,
    operation: &'a Operation<'a>,
    /// The packages before, and the names of those after.
    packages_before: HashMap<&'a Stem, &'a Package>,
    stems_after: HashSet<&'a Stem>,
}

/// Users and groups that have to wait until the tables are there.
#[derive(Default)]
struct Waiting<'p> {
    groups: Vec<Delivered<'p>>,
    users: Vec<(Delivered<'p>, Option<Delivered<'p>>)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(tree: &Tree, operation: &'a Operation<'a>, content: &'a dyn ContentSource) -> Self {
        Self {
            tree: tree.clone(),
            warnings: Vec::new(),
            content,
            ids: Owners::default(),
            known_directories: HashSet::new(),
            salvaged: Vec::new(),
            operation,
            packages_before: operation.before.packages.iter().map(|package| (&package.id.stem, package)).collect(),
            stems_after: operation.after.packages.iter().map(|package| &package.id.stem).collect(),
        }
    }

    /// The package as it was before, in whatever version.
    pub(super) fn package_before(&self, delivered: Delivered<'_>) -> Option<&'a Package> {
        self.packages_before.get(&delivered.package.id.stem).copied()
    }

    /// Whether the package, in whatever version, is in the image afterwards.
    pub(super) fn stays_installed(&self, delivered: Delivered<'_>) -> bool {
        self.stems_after.contains(&delivered.package.id.stem)
    }

    pub(super) fn time(&self) -> OperationTime {
        self.operation.time
    }

    pub(super) fn execute(&mut self, before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
        self.remove_sundry(before, after)?;
        let moved = self.save_moved(before, after);
        self.remove_paths(before, after)?;
        let mut waiting = self.change_accounts(before, after)?;
        self.load_ids(before, after)?;
        self.install_paths(before, after, &moved)?;
        self.change_drivers(before, after)?;
        self.install_sundry(before, after)?;
        self.retry_accounts(&mut waiting)?;
        let salvaged = std::mem::take(&mut self.salvaged).into_iter();
        self.warnings.extend(salvaged.map(|(path, to)| format!("what was at {path} before is kept as {to}")));
        Ok(())
    }

    // ---- users and groups

    fn change_accounts<'p>(&mut self, before: &Objects<'p>, after: &Objects<'p>) -> Result<Waiting<'p>, InstallError> {
        let mut accounts = Accounts::load(self)?;
        for name in before.users.keys().filter(|name| !after.users.contains_key(*name)) {
            accounts.remove_user(name);
        }
        for name in before.groups.keys().filter(|name| !after.groups.contains_key(*name)) {
            accounts.remove_group(name);
        }
        let mut waiting = Waiting::default();
        for (delivered, _) in in_order(&before.groups, &after.groups) {
            if !accounts.install_group(delivered)? {
                waiting.groups.push(delivered);
            }
        }
        for (delivered, old) in in_order(&before.users, &after.users) {
            // While a group waits, a user that is in it has to wait, too.
            if !waiting.groups.is_empty() || !accounts.install_user(delivered, old)? {
                waiting.users.push((delivered, old));
            }
        }
        accounts.store(self)?;
        Ok(waiting)
    }

    fn retry_accounts(&mut self, waiting: &mut Waiting<'_>) -> Result<(), InstallError> {
        let mut accounts = Accounts::load(self)?;
        let missing = |accounts: &Accounts, delivered: Delivered<'_>, what: &'static str, key| InstallError::Account {
            package: delivered.package_name(),
            what,
            name: delivered.action.get(key).unwrap_or_default().to_owned(),
            reason: format!("there is no {}", accounts.missing().join(" and no ")),
        };
        for delivered in waiting.groups.drain(..) {
            if !accounts.install_group(delivered)? {
                return Err(missing(&accounts, delivered, "group", "groupname"));
            }
        }
        for (delivered, old) in waiting.users.drain(..) {
            if !accounts.install_user(delivered, old)? {
                return Err(missing(&accounts, delivered, "user", "username"));
            }
        }
        accounts.store(self)
    }

    /// Learns the numbers of owners: from the actions, from the tables, and from tables that are only about to be
    /// installed.
    fn load_ids(&mut self, before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
        let mut ids = Owners::default();
        let with_number = |things: &BTreeMap<&str, Delivered<'_>>, key| -> BTreeMap<String, u32> {
            let numbers = things.iter().filter_map(|(name, delivered)| Some((name, delivered.action.get(key)?)));
            numbers.filter_map(|(name, number)| Some(((*name).to_owned(), number.parse().ok()?))).collect()
        };
        ids.users = with_number(&after.users, "uid");
        ids.groups = with_number(&after.groups, "gid");
        ids.add_files(self.read_table("etc/passwd")?.as_ref(), self.read_table("etc/group")?.as_ref());
        let delivered = |path: &str| -> Result<Option<Table>, InstallError> {
            let path = image_path(path)?;
            let Some(delivered) = after.paths.get(&path).filter(|d| d.action.kind() == ActionKind::File) else {
                return Ok(None);
            };
            if before.paths.get(&path).is_some_and(|old| old.action.hash() == delivered.action.hash()) {
                return Ok(None);
            }
            let content = self.payload(*delivered, &path.to_string())?;
            let bytes = self.read(*delivered, &path, &content)?;
            Ok(Some(Table::new(&String::from_utf8_lossy(&bytes))))
        };
        ids.add_files(delivered("etc/passwd")?.as_ref(), delivered("etc/group")?.as_ref());
        self.ids = ids;
        Ok(())
    }

    // ---- drivers

    fn change_drivers(&mut self, before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
        let is_known = |set: &super::PackageSet<'_>| set.variants.is_global_zone();
        let nothing = BTreeMap::new();
        let old = if is_known(&self.operation.before) { &before.drivers } else { &nothing };
        let new = if is_known(&self.operation.after) { &after.drivers } else { &nothing };
        let changed: Vec<_> = in_order(old, new).collect();
        let removed: Vec<_> = old.iter().filter(|(name, _)| !new.contains_key(*name)).map(|(_, old)| *old).collect();
        if changed.is_empty() && removed.is_empty() {
            return Ok(());
        }
        check_aliases(new)?;
        let mut tables = DriverTables::load(self)?;
        removed.iter().for_each(|delivered| tables.remove(delivered.action));
        for (delivered, old) in &changed {
            if let Some(old) = old {
                tables.remove_outdated(delivered.action, old.action);
            } else {
                tables.remove_unpackaged(delivered.action);
            }
        }
        let commented = tables.comment_out(new);
        self.warnings.extend(commented);
        for (delivered, _) in changed {
            if let Err(refusal) = tables.install(delivered.action) {
                self.warnings.push(refusal);
            }
        }
        tables.store(self)
    }

    // ---- licences and SVR4 packages

    fn remove_sundry(&mut self, before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
        let licenses = before.licenses.keys().filter(|path| !after.licenses.contains_key(*path)).cloned();
        let mut gone: Vec<ImagePath> = licenses.collect();
        for name in before.legacy.keys().filter(|name| !after.legacy.contains_key(*name)) {
            gone.push(image_path(&format!("{}/pkginfo", sundry::legacy_dir(name)))?);
        }
        for path in gone {
            self.remove_if_there(&path)?;
            if let Some(directory) = path.parent() {
                self.remove_if_empty(&directory)?;
            }
        }
        Ok(())
    }

    fn install_sundry(&mut self, before: &Objects<'_>, after: &Objects<'_>) -> Result<(), InstallError> {
        for (path, delivered) in &after.licenses {
            let old = before.licenses.get(path);
            if old.is_some_and(|old| old.action.hash() == delivered.action.hash()) && self.tree.get(path).is_some() {
                continue;
            }
            let content = self.payload(*delivered, &path.to_string())?;
            self.refuse_links_above(path, *delivered)?;
            self.make_parents(path, &self.root_metadata(0o755))?;
            self.insert(path, Node::regular(content, self.root_metadata(0o444)))?;
        }
        let arch = self.operation.after.variants.get("arch").unwrap_or_default();
        for (name, delivered) in &after.legacy {
            let old = before.legacy.get(name);
            if old.is_some_and(|old| old.action == delivered.action && old.package.id == delivered.package.id) {
                continue;
            }
            let text = sundry::pkginfo(*delivered, self, arch);
            let path = format!("{}/pkginfo", sundry::legacy_dir(name));
            self.refuse_links_above(&image_path(&path)?, *delivered)?;
            self.add_file(&path, text.as_bytes(), 0o644)?;
            let contents = "var/sadm/install/contents";
            let is_possible = self.tree.read_dir(&image_path("var/sadm/install")?).is_some();
            if is_possible && !self.exists(contents) {
                self.add_file(contents, b"", 0o644)?;
            }
        }
        Ok(())
    }

    // ---- what the parts need

    /// Metadata of what belongs to root, at the time of the operation.
    pub(super) fn root_metadata(&self, mode: u16) -> Metadata {
        self.metadata(0, 0, mode)
    }

    pub(super) fn metadata(&self, uid: u32, gid: u32, mode: u16) -> Metadata {
        let mtime = Timestamp { secs: self.time().unix_seconds(), nanos: 0 };
        Metadata { mtime, ..Metadata::new(uid, gid, mode) }
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        image_path(path).is_ok_and(|path| self.tree.get(&path).is_some())
    }

    pub(super) fn insert(&mut self, path: &ImagePath, node: Node) -> Result<(), InstallError> {
        self.tree.insert(path, node).map(drop).map_err(|source| tree_error(path, source))
    }

    pub(super) fn make_parents(&mut self, path: &ImagePath, metadata: &Metadata) -> Result<(), InstallError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        let made = self.tree.create_dir(&parent, metadata.clone(), metadata);
        made.map(drop).map_err(|source| tree_error(path, source))
    }

    /// Adds a small file of root's with its parents.
    pub(super) fn add_file(&mut self, path: &str, bytes: &[u8], mode: u16) -> Result<(), InstallError> {
        let path = image_path(path)?;
        let content = self.keep(&path, bytes)?;
        self.make_parents(&path, &self.root_metadata(0o755))?;
        self.insert(&path, Node::regular(content, self.root_metadata(mode)))
    }

    pub(super) fn remove_if_there(&mut self, path: &ImagePath) -> Result<(), InstallError> {
        if self.tree.get(path).is_some_and(|node| !node.is_directory()) {
            self.tree.remove(path).map_err(|source| tree_error(path, source))?;
        }
        Ok(())
    }

    pub(super) fn remove_if_empty(&mut self, path: &ImagePath) -> Result<bool, InstallError> {
        let is_empty = self.tree.read_dir(path).is_some_and(|mut entries| entries.next().is_none());
        if is_empty && !path.is_root() {
            self.tree.remove(path).map_err(|source| tree_error(path, source))?;
            self.known_directories.remove(path);
        }
        Ok(is_empty)
    }

    fn keep(&self, path: &ImagePath, bytes: &[u8]) -> Result<Content, InstallError> {
        self.content.keep(bytes).map_err(|source| InstallError::Content {
            package: "the image itself".to_owned(),
            path: path.to_string(),
            source: Box::new(source),
        })
    }

    pub(super) fn payload(&self, delivered: Delivered<'_>, path: &str) -> Result<Content, InstallError> {
        let (package, path) = (delivered.package_name(), path.to_owned());
        let Some(payload) = delivered.action.payload() else { return Err(InstallError::NoPayload { package, path }) };
        self.content.payload(&payload).map_err(|source| InstallError::Content {
            package,
            path,
            source: Box::new(source),
        })
    }

    pub(super) fn read(
        &self,
        delivered: Delivered<'_>,
        path: &ImagePath,
        content: &Content,
    ) -> Result<Vec<u8>, InstallError> {
        let (package, path) = (delivered.package_name(), path.to_string());
        self.content.read(content).map_err(|source| InstallError::Content { package, path, source: Box::new(source) })
    }

    /// A table of the image; none if there is no such file.
    pub(super) fn read_table(&self, path: &str) -> Result<Option<Table>, InstallError> {
        let path = image_path(path)?;
        let Ok((path, node)) = self.tree.lookup(&path, Follow::Yes) else { return Ok(None) };
        let Some(content) = node.content() else { return Ok(None) };
        if path.starts_with(&image_path(IMAGE_DIRECTORY)?) {
            let reason = "a link in the place of a table leads there, where the image keeps what it knows of itself";
            return Err(InstallError::Edit { path, reason: reason.to_owned() });
        }
        let bytes = self.content.read(content).map_err(|source| InstallError::Content {
            package: "the image itself".to_owned(),
            path: path.to_string(),
            source: Box::new(source),
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Table::new(&text))),
            Err(_) => Err(InstallError::Edit { path, reason: "it is not UTF-8".to_owned() }),
        }
    }

    /// Writes a table that was changed; owner and mode stay, and a new one gets 0644 of root and sys.
    pub(super) fn write_table(&mut self, path: &str, table: Option<&Table>) -> Result<(), InstallError> {
        const SYS: u32 = 3;
        let Some(table) = table.filter(|table| table.is_changed()) else { return Ok(()) };
        let wanted = image_path(path)?;
        let found = self.tree.lookup(&wanted, Follow::Yes).ok().map(|(path, node)| (path, node.metadata.clone()));
        let (path, mut metadata) = found.unwrap_or_else(|| (wanted, self.metadata(0, SYS, 0o644)));
        metadata.mtime = Timestamp { secs: self.time().unix_seconds(), nanos: 0 };
        let content = self.keep(&path, table.text().as_bytes())?;
        self.make_parents(&path, &self.metadata(0, SYS, 0o755))?;
        self.insert(&path, Node::regular(content, metadata))
    }
}

/// What is new or different, in the order of execution, with what it replaces.
fn in_order<'p, 'm>(
    before: &'m BTreeMap<&'p str, Delivered<'p>>,
    after: &'m BTreeMap<&'p str, Delivered<'p>>,
) -> impl Iterator<Item = (Delivered<'p>, Option<Delivered<'p>>)> + use<'p, 'm> {
    let mut changed: Vec<_> = after.iter().map(|(name, new)| (*new, before.get(name).copied())).collect();
    changed.retain(|(new, old)| old.is_none_or(|old| old.action != new.action));
    changed.sort_by(|(a, _), (b, _)| a.action.cmp_execution(b.action));
    changed.into_iter()
}

/// Two packaged drivers cannot have the same alias.
fn check_aliases(drivers: &BTreeMap<&str, Delivered<'_>>) -> Result<(), InstallError> {
    let mut owners: BTreeMap<&str, Delivered<'_>> = BTreeMap::new();
    for delivered in drivers.values() {
        for alias in delivered.action.values("alias").collect::<BTreeSet<_>>() {
            if let Some(other) = owners.insert(alias, *delivered) {
                return Err(InstallError::Conflict {
                    what: format!("the driver alias {alias}"),
                    packages: vec![other.package_name(), delivered.package_name()],
                    reason: "it can belong to one driver only".to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// A path that is not from outside, or made of checked names.
pub(super) fn image_path(path: &str) -> Result<ImagePath, InstallError> {
    let parsed = ImagePath::from_relative(path);
    parsed.map_err(|source| tree_error_at(path, TreeError::Path { path: ImagePath::root(), source }))
}

pub(super) fn tree_error(path: &ImagePath, source: TreeError) -> InstallError {
    tree_error_at(&path.to_string(), source)
}

fn tree_error_at(path: &str, source: TreeError) -> InstallError {
    InstallError::Tree { package: None, path: path.to_owned(), source: Box::new(source) }
}
