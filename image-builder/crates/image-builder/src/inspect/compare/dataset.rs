//! The same dataset in two pools, file by file.

use super::links::Links;
use crate::inspect::difference::Difference;
use crate::inspect::long::{mode_text, shown, time_text};
use crate::inspect::walk::{Entered, Found, join, sorted_entries};
use std::collections::{BTreeMap, BTreeSet};
use zfs_image::reader::{File, FileSystem, ReadError, same_content};

/// The same dataset in both images.
pub(super) struct Comparison<'a, 'p> {
    pub(super) sides: [&'a FileSystem<'p>; 2],
    pub(super) dataset: &'a str,
    /// Where it is in the running system, without a slash at the end.
    pub(super) mountpoint: Option<String>,
}

/// Which side could not be read, and why.
pub(super) type SideError = (usize, ReadError);

impl Comparison<'_, '_> {
    pub(super) fn run(&self, found: &mut Vec<Difference>) -> Result<(), SideError> {
        let root = |side: usize| self.sides[side].file(self.sides[side].root()).map_err(|error| (side, error));
        let mut open = vec![(b"/".to_vec(), root(0)?, root(1)?)];
        let mut entered = [Entered::default(), Entered::default()];
        let mut links = Links::default();
        found.push(self.compare(b"/", &open[0].1, &open[0].2)?);
        while let Some((path, first, second)) = open.pop() {
            entered[0].enter(&first).map_err(|error| (0, error))?;
            entered[1].enter(&second).map_err(|error| (1, error))?;
            let entries = |side: usize, directory: &File| {
                let entries = sorted_entries(self.sides[side], directory).map_err(|error| (side, error))?;
                Ok::<_, SideError>(entries.into_iter().collect::<BTreeMap<_, _>>())
            };
            let (before, after) = (entries(0, &first)?, entries(1, &second)?);
            let names: BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
            let mut below = Vec::new();
            for name in names {
                let at = join(&path, name);
                let file = |side: usize, object: u64| self.sides[side].file(object).map_err(|error| (side, error));
                match (before.get(name), after.get(name)) {
                    (Some(old), Some(new)) => {
                        let (old, new) = (file(0, *old)?, file(1, *new)?);
                        let difference = self.compare(&at, &old, &new)?;
                        // Which other names a file has is known at the end only.
                        if links.note(found.len(), [&old, &new]) || !difference.is_none() {
                            found.push(difference);
                        }
                        if old.is_directory() && new.is_directory() {
                            below.push((at, old, new));
                        }
                    }
                    (Some(old), None) => self.alone(0, &Found { path: at, file: file(0, *old)? }, found),
                    (None, Some(new)) => self.alone(1, &Found { path: at, file: file(1, *new)? }, found),
                    (None, None) => {}
                }
            }
            open.extend(below.into_iter().rev());
        }
        for place in links.regrouped() {
            found[place].add("other names of it");
        }
        found.retain(|difference| !difference.is_none());
        Ok(())
    }

    fn what(&self, path: &[u8]) -> String {
        format!("{} {}", self.dataset, shown(path))
    }

    /// Manifests have the paths of the running system.
    fn at_path(&self, mut difference: Difference, path: &[u8]) -> Difference {
        let at = |mountpoint: &String| match [mountpoint.as_bytes(), path].concat() {
            // The root of a dataset that is mounted somewhere.
            mut whole if whole.len() > 1 && whole.ends_with(b"/") => {
                whole.pop();
                whole
            }
            whole => whole,
        };
        difference.path = self.mountpoint.as_ref().map(at);
        difference
    }

    /// Something that one side does not have; what is below it goes without saying.
    fn alone(&self, side: usize, one: &Found, found: &mut Vec<Difference>) {
        let sign = if side == 0 { '-' } else { '+' };
        let how =
            if one.file.is_directory() { vec!["a directory with all that is in it".to_owned()] } else { Vec::new() };
        found.push(self.at_path(Difference::new(sign, self.what(&one.path), how), &one.path));
    }

    fn compare(&self, path: &[u8], old: &File, new: &File) -> Result<Difference, SideError> {
        let mut how = Vec::new();
        let (before, after) = (&old.znode, &new.znode);
        if before.mode != after.mode {
            how.push(format!("mode {} → {}", mode_text(before.mode), mode_text(after.mode)));
        }
        let acl = |side: usize, file: &File| file.acl().map_err(|error| (side, error));
        if acl(0, old)? != acl(1, new)? {
            how.push("access control list".to_owned());
        }
        if (before.uid, before.gid) != (after.uid, after.gid) {
            how.push(format!("owner {}:{} → {}:{}", before.uid, before.gid, after.uid, after.gid));
        }
        if before.rdev != after.rdev {
            how.push("device number".to_owned());
        }
        // The link count of a directory is that of its entries, which are told themselves.
        if !old.is_directory() && before.links != after.links {
            how.push(format!("{} → {} names", before.links, after.links));
        }
        if before.mtime.secs != after.mtime.secs {
            how.push(format!("time {} → {}", time_text(before.mtime.secs), time_text(after.mtime.secs)));
        } else if before.mtime.nanos != after.mtime.nanos {
            how.push("time, by less than a second".to_owned());
        }
        if old.kind() == new.kind() && !self.same_content(old, new)? {
            how.push("content".to_owned());
        }
        let xattrs = |side: usize, file: &File| self.sides[side].xattrs(file).map_err(|error| (side, error));
        if xattrs(0, old)? != xattrs(1, new)? {
            how.push("extended attributes".to_owned());
        }
        Ok(self.at_path(Difference::new('~', self.what(path), how), path))
    }

    fn same_content(&self, old: &File, new: &File) -> Result<bool, SideError> {
        if old.is_symlink() {
            let target = |side: usize, file: &File| self.sides[side].read_link(file).map_err(|error| (side, error));
            return Ok(target(0, old)? == target(1, new)?);
        }
        if !old.is_regular() {
            return Ok(true);
        }
        same_content([(self.sides[0], old), (self.sides[1], new)])
    }
}
