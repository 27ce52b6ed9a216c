//! Directories and files: what leads where, and how often.

use std::collections::{HashMap, HashSet};

use zfs_format::acl::{self, Ace};
use zfs_format::object::{ObjectType, ObjsetType};

use super::super::{Dataset, File, FileSystem, ReadError};
use super::{Place, Verifier};

/// The path of an object, kept as a chain so that a million files cost little.
#[derive(Debug, Clone)]
struct Found {
    parent: u64,
    name: Box<[u8]>,
    references: u64,
}

/// A file system while it is walked.
struct Walk<'p> {
    files: FileSystem<'p>,
    place: Place,
    /// Objects that names lead to.
    found: HashMap<u64, Found>,
    /// Directories that are yet to be read.
    open: Vec<u64>,
}

impl Verifier<'_> {
    pub(super) fn files(&mut self, dataset: &Dataset) {
        let place = Place { dataset: Some(dataset.name.as_str().into()), ..Place::default() };
        let pool = self.pool;
        let files = match pool.objset(dataset) {
            Ok(objset) if objset.phys().kind != ObjsetType::Zfs => return,
            Ok(_) => pool.file_system(dataset),
            Err(error) => Err(error),
        };
        let files = match files {
            Ok(files) => files,
            Err(error) => return self.unreadable(&place, &error),
        };
        let root = files.root();
        let mut walk = Walk { files, place, found: HashMap::new(), open: vec![root] };
        walk.found.insert(root, Found { parent: root, name: Box::default(), references: 1 });
        // No name leads to the root; a root that cannot be read is told below.
        if let Ok(file) = walk.files.file(root) {
            let place = walk.place.object(root);
            self.file(&mut walk, &place, &file);
        }
        while let Some(object) = walk.open.pop() {
            if self.is_full() {
                break;
            }
            if let Err(error) = self.directory(&mut walk, object) {
                self.unreadable(&walk.place.object(object), &error);
            }
        }
        if let Err(error) = self.objects(&mut walk) {
            self.unreadable(&walk.place, &error);
        }
        self.report.files += walk.found.len() as u64;
        self.name_problems(&walk);
    }

    fn directory(&mut self, walk: &mut Walk<'_>, object: u64) -> Result<(), ReadError> {
        let directory = walk.files.file(object)?;
        let place = walk.place.object(object);
        let is_attribute_directory = directory.znode.flags & acl::flag::XATTR != 0;
        let (mut entries, mut subdirectories) = (0_u64, 0_u64);
        let files = walk.files.clone();
        files.for_each_entry(&directory, |entry| {
            entries += 1;
            if entry.name == b"." || entry.name == b".." || entry.name.contains(&b'/') {
                self.structure(&place, format!("the impossible name {:?}", String::from_utf8_lossy(&entry.name)));
            }
            let file = match files.file(entry.object) {
                Ok(file) => file,
                Err(error) => {
                    let name = String::from_utf8_lossy(&entry.name).into_owned();
                    self.structure(&place, format!("the entry {name:?} leads nowhere: {}", error.chain()));
                    return self.go_on();
                }
            };
            let kind = (file.znode.mode >> 12) & 0xf;
            let entry_place = walk.place.object(entry.object);
            self.number(&entry_place, "the type in the directory", u64::from(entry.kind), kind);
            if file.is_directory() {
                subdirectories += 1;
            }
            self.reference(walk, &entry_place, object, &entry.name, &file);
            self.go_on()
        })?;
        self.number(&place, "the size of a directory", directory.znode.size, entries + 2);
        if !is_attribute_directory {
            self.number(&place, "the links of a directory", directory.znode.links, subdirectories + 2);
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), ReadError> {
        let limit = self.options.problems_max as u64;
        if self.is_full() { Err(ReadError::Limit { what: "problems", limit }) } else { Ok(()) }
    }

    /// Notes that a name in `parent` leads to a file, and looks at the file when the first does.
    fn reference(&mut self, walk: &mut Walk<'_>, place: &Place, parent: u64, name: &[u8], file: &File) {
        if let Some(found) = walk.found.get_mut(&file.object) {
            found.references += 1;
            if file.is_directory() {
                self.structure(place, "a directory with two names");
            }
            return;
        }
        walk.found.insert(file.object, Found { parent, name: name.into(), references: 1 });
        if file.is_directory() {
            self.number(place, "the parent of a directory", file.znode.parent, parent);
            walk.open.push(file.object);
        }
        self.file(walk, place, file);
    }

    fn file(&mut self, walk: &mut Walk<'_>, place: &Place, file: &File) {
        let znode = &file.znode;
        if file.is_symlink() {
            match walk.files.read_link(file) {
                Ok(target) => self.number(place, "the size of a symbolic link", znode.size, target.len() as u64),
                Err(error) => self.unreadable(place, &error),
            }
        }
        if file.dnode.bonus_kind == ObjectType::SA {
            match Ace::decode_all(&znode.aces) {
                None => self.structure(place, "the access control list ends inside an entry"),
                Some(aces) => {
                    self.number(place, "the number of access control entries", znode.ace_count, aces.len() as u64);
                }
            }
        }
        if let Some(object) = znode.xattr {
            self.attribute_directory(walk, place, file.object, object);
        }
    }

    fn attribute_directory(&mut self, walk: &mut Walk<'_>, place: &Place, file: u64, object: u64) {
        let directory = match walk.files.file(object) {
            Ok(directory) => directory,
            Err(error) => return self.unreadable(place, &error),
        };
        let own = walk.place.object(object);
        self.number(&own, "the parent of an attribute directory", directory.znode.parent, file);
        if directory.znode.flags & acl::flag::XATTR == 0 {
            self.structure(&own, "an attribute directory without its flag");
        }
        if walk.found.insert(object, Found { parent: file, name: (*b"@").into(), references: 1 }).is_some() {
            return self.structure(&own, "an attribute directory with two files");
        }
        walk.open.push(object);
    }

    /// Every file has as many names as it says, and every object that is a file has a name.
    fn objects(&mut self, walk: &mut Walk<'_>) -> Result<(), ReadError> {
        let files = walk.files.clone();
        let mut removed = HashSet::new();
        if let Some(queue) = files.delete_queue() {
            files.objset().for_each_zap_entry(queue, |entry| {
                removed.extend(entry.value.as_u64());
                Ok(())
            })?;
        }
        files.objset().for_each_dnode(|object, dnode| {
            if !matches!(dnode.bonus_kind, ObjectType::SA | ObjectType::ZNODE) {
                return self.go_on();
            }
            let place = walk.place.object(object);
            match walk.found.get(&object) {
                // The directory of shares is reached by the master node only.
                None if removed.contains(&object) || files.shares() == Some(object) => {}
                None => self.structure(&place, "a file without a name"),
                Some(_) if removed.contains(&object) => self.structure(&place, "a removed file with a name"),
                Some(found) => match files.znode(object, &dnode) {
                    Ok(znode) if znode.mode & 0o170_000 != 0o040_000 => {
                        self.number(&place, "the links of a file", znode.links, found.references);
                    }
                    Ok(_) => {}
                    Err(error) => self.unreadable(&place, &error),
                },
            }
            self.go_on()
        })
    }

    /// Gives the problems of this file system the paths of their objects.
    fn name_problems(&mut self, walk: &Walk<'_>) {
        for problem in &mut self.report.problems {
            let object = problem.object.filter(|_| problem.path.is_none() && problem.dataset == walk.place.dataset);
            problem.path = object.and_then(|object| path(walk, object)).or(problem.path.take());
        }
    }
}

fn path(walk: &Walk<'_>, mut object: u64) -> Option<String> {
    let mut names = Vec::new();
    let root = walk.files.root();
    walk.found.get(&object)?;
    // A path is not deeper than there are objects, so that this ends even if parents go round.
    for _ in 0..walk.found.len() {
        if object == root {
            break;
        }
        let found = walk.found.get(&object)?;
        names.push(String::from_utf8_lossy(&found.name).into_owned());
        object = found.parent;
    }
    names.push(String::new());
    names.reverse();
    Some(if names.len() == 1 { "/".to_owned() } else { names.join("/") })
}
