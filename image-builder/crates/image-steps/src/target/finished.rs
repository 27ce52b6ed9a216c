//! What is remembered of an image that was written: what it was made of, and which files it is.

use super::error::TargetError;
use super::names::EXTENSIONS;
use crate::context::Context;
use crate::inputs::FileIdentity;
use image_tree::{Record, Store};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The namespace of these records in the store.
pub(crate) const TARGET: &str = "target";

/// Whose image it is: the template that makes it, and what it is called without an extension, which is what its kind decides.
pub(super) struct Name {
    template: String,
    stem: PathBuf,
}

impl Name {
    pub(super) fn of(context: &Context<'_>) -> Self {
        Self { template: context.subject.clone(), stem: context.workspace.output().join(&context.output_name) }
    }

    fn key(&self) -> Vec<u8> {
        [self.template.as_bytes(), &[0], self.stem.as_os_str().as_encoded_bytes()].concat()
    }

    /// Those of other templates whose images were called so: `-N` gives any name.
    fn others(&self, store: &Store) -> Vec<(Self, Finished)> {
        let other = |record: Record| {
            let at = record.key.iter().position(|byte| *byte == 0)?;
            let template = String::from_utf8(record.key[..at].to_vec()).ok()?;
            let name = Self { template, stem: self.stem.clone() };
            let is_other = name.template != self.template && name.key() == record.key;
            Some((name, is_other.then(|| serde_json::from_slice(&record.value).ok())??))
        };
        store.records(TARGET).unwrap_or_default().into_iter().filter_map(other).collect()
    }

    /// What it is called with an extension; the stem may have dots.
    fn with(&self, extension: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(format!(".{extension}"));
        path.into()
    }
}

/// What decides the bytes of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recipe {
    /// Our own writers and the programs that take part, with their versions.
    pub(super) writers: Vec<String>,
    /// Hash of the target.
    pub(super) target: String,
    /// Hash of the state after the last step.
    pub(super) state: String,
}

impl Recipe {
    /// How it differs from that of the image that is there.
    fn difference(&self, old: &Self) -> String {
        let writer = self.writers.iter().find(|writer| !old.writers.contains(writer));
        let reasons = [
            (self.state != old.state).then(|| "it was made of another state".to_owned()),
            (self.target != old.target).then(|| "the target was changed".to_owned()),
            writer.map(|writer| format!("it is written in another way since: {writer}")),
        ];
        let reasons: Vec<String> = reasons.into_iter().flatten().collect();
        if reasons.is_empty() { "it was made in another way".to_owned() } else { reasons.join(", and ") }
    }
}

/// An image and all of its forms.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Finished {
    /// What it was made of; empty while another one is being put in its place.
    key: String,
    /// The same in parts; none in records of versions that did not keep it.
    #[serde(default)]
    recipe: Option<Recipe>,
    /// Its files; those of both while another one is being put in its place.
    files: Vec<FileIdentity>,
}

impl Finished {
    /// The image of that name, as it was when it was written last; nothing when none was.
    pub(super) fn read(name: &Name, store: &Store) -> Self {
        let bytes = store.record_get(TARGET, &name.key()).ok().flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// One that was made of what `key` names, by this recipe, and has its names.
    pub(super) fn new(key: String, recipe: Recipe, files: &[PathBuf]) -> Result<Self, TargetError> {
        Ok(Self { key, recipe: Some(recipe), files: identities(files, Path::to_owned)? })
    }

    /// This one and the one that is about to take its place, whose forms are still where `place` says: a build that is killed
    /// meanwhile leaves files of either, and the next one has to know all of them for ours.
    pub(super) fn or(mut self, files: &[PathBuf], place: impl Fn(&Path) -> PathBuf) -> Result<Self, TargetError> {
        self.key.clear();
        self.files.extend(identities(files, place)?);
        Ok(self)
    }

    pub(super) fn write(&self, name: &Name, store: &Store) -> Result<(), TargetError> {
        let value = serde_json::to_vec(self).expect("text and numbers are JSON");
        let remember = |source| TargetError::Remember { path: name.stem.clone(), source };
        store.record_put(TARGET, &name.key(), &value).map_err(remember)
    }

    /// What tells its files from others, in their order.
    pub(super) fn files(&self) -> &[FileIdentity] {
        &self.files
    }

    /// Whether these are its files, untouched, and it was made of what `key` names.
    pub(super) fn is_current(&self, files: &[PathBuf], key: &str) -> bool {
        self.key == key && identities(files, Path::to_owned).is_ok_and(|identities| identities == self.files)
    }

    /// Why these files, made of what `key` names by this recipe, have to be written; none if they are there.
    pub(super) fn why(&self, files: &[PathBuf], key: &str, recipe: &Recipe) -> Option<String> {
        if self.is_current(files, key) {
            return None;
        }
        if self.files.is_empty() {
            let is_there = files.iter().any(|file| file.exists());
            let reason =
                if is_there { "nothing is known of the one that is there" } else { "it was never written here" };
            return Some(reason.to_owned());
        }
        if self.key.is_empty() {
            return Some("a build was ended while it put another one there".to_owned());
        }
        let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(missing) = files.iter().find(|file| !file.exists()) {
            return Some(format!("{} is not there", name(missing)));
        }
        if self.key != key {
            let recipe = self.recipe.as_ref().map(|old| recipe.difference(old));
            return Some(recipe.unwrap_or_else(|| "it was made of another state or in another way".to_owned()));
        }
        let is_known = |file: &&PathBuf| FileIdentity::of(file).is_ok_and(|found| self.files.contains(&found));
        let changed = files.iter().find(|file| !is_known(file)).unwrap_or(&files[0]);
        Some(format!("{} was changed or replaced since it was written", name(changed)))
    }

    /// As [`dropped`](Self::dropped), also of other templates' images of that name of which one of the `files` takes the place.
    pub(super) fn dropped_by(&self, files: &[PathBuf], name: &Name, store: &Store) -> Vec<PathBuf> {
        let mut dropped = self.dropped(files, name);
        for (name, other) in name.others(store) {
            if files.iter().any(|file| other.has_made(file)) {
                dropped.extend(other.dropped(files, &name));
            }
        }
        dropped
    }

    /// The forms that were made of the image and that are not among its `files` now: it may be of another kind. What somebody
    /// has changed since, or put there, is none of them.
    pub(super) fn dropped(&self, files: &[PathBuf], name: &Name) -> Vec<PathBuf> {
        let named = EXTENSIONS.iter().map(|extension| name.with(extension));
        named.filter(|path| !files.contains(path) && !path.is_symlink() && self.has_made(path)).collect()
    }

    /// Whether a file is one of its forms, as it was written.
    fn has_made(&self, path: &Path) -> bool {
        let is_known = |found: FileIdentity| self.files.iter().any(|known| known.is_same_content(&found));
        FileIdentity::of(path).is_ok_and(is_known)
    }
}

/// What tells files from others; each is where `place` says.
fn identities(files: &[PathBuf], place: impl Fn(&Path) -> PathBuf) -> Result<Vec<FileIdentity>, TargetError> {
    let identity = |file: &PathBuf| {
        FileIdentity::of(&place(file)).map_err(|source| TargetError::File { path: file.clone(), source })
    };
    files.iter().map(identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A build that was killed while it put its forms in place left some that no later one knew.
    #[test]
    fn forms_of_an_earlier_image_and_of_one_that_was_being_put_in_its_place_are_known() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let files = |extensions: &[&str]| -> Vec<PathBuf> {
            extensions.iter().map(|extension| path(&format!("g-n.v2.{extension}"))).collect()
        };
        for file in files(&["raw", "partonly", "iso"]) {
            fs::write(file, "old").expect("a file");
        }
        std::os::unix::fs::symlink("g-n.v2.raw", path("g-n.v2.ufs")).expect("a link");
        let name = Name { template: "g/n".to_owned(), stem: path("g-n.v2") };
        let old =
            Finished::new("key".to_owned(), Recipe::default(), &files(&["raw", "partonly"])).expect("they are there");
        let only = files(&["raw"]);
        assert!(!old.is_current(&only, "key") && old.is_current(&files(&["raw", "partonly"]), "key"));
        assert_eq!(old.dropped(&only, &name), files(&["partonly"]), "the disc and the link are somebody's");
        assert!(old.dropped(&files(&["raw", "partonly"]), &name).is_empty());

        let writing = |file: &Path| file.with_extension("tmp");
        fs::write(path("g-n.v2.tmp"), "new").expect("a file");
        let either = old.or(&files(&["qcow2"]), writing).expect("they are there");
        fs::rename(path("g-n.v2.tmp"), path("g-n.v2.qcow2")).expect("it gets its name");
        assert_eq!(either.dropped(&only, &name), files(&["qcow2", "partonly"]));
        assert!(!either.is_current(&files(&["raw", "partonly"]), "key"));

        // The same template makes a disc of it now, and then no image at all.
        assert_eq!(either.dropped(&files(&["iso"]), &name), files(&["raw", "qcow2", "partonly"]));
        assert_eq!(either.dropped(&[], &name), files(&["raw", "qcow2", "partonly"]));

        fs::write(path("g-n.v2.partonly"), "somebody's").expect("a file");
        assert_eq!(either.dropped(&only, &name), files(&["qcow2"]), "somebody has changed the partition");
    }
    /// The plan said that it writes the image, and not why.
    #[test]
    fn why_an_image_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("g-t.raw");
        let files = [file.clone()];
        let recipe = Recipe { writers: vec!["w 1".to_owned()], target: "t".to_owned(), state: "s".to_owned() };
        let why =
            |finished: &Finished, key: &str, recipe: &Recipe| finished.why(&files, key, recipe).unwrap_or_default();
        let none = Finished::default();
        assert_eq!(why(&none, "key", &recipe), "it was never written here");
        fs::write(&file, "image").expect("a file");
        assert_eq!(why(&none, "key", &recipe), "nothing is known of the one that is there");
        let finished = Finished::new("key".to_owned(), recipe.clone(), &files).expect("it is there");
        assert_eq!(why(&finished, "key", &recipe), "");
        let other = |change: fn(&mut Recipe)| {
            let mut other = recipe.clone();
            change(&mut other);
            why(&finished, "other", &other)
        };
        assert_eq!(other(|recipe| recipe.state.push('2')), "it was made of another state");
        assert_eq!(other(|recipe| recipe.target.push('2')), "the target was changed");
        let writer = other(|recipe| recipe.writers = vec!["w 2".to_owned()]);
        assert_eq!(writer, "it is written in another way since: w 2");
        fs::write(&file, "somebody's").expect("a file");
        assert_eq!(why(&finished, "key", &recipe), "g-t.raw was changed or replaced since it was written");
        fs::remove_file(&file).expect("it was there");
        assert_eq!(why(&finished, "key", &recipe), "g-t.raw is not there");
        fs::write(&file, "new").expect("a file");
        let either = finished.or(&files, Path::to_owned).expect("it is there");
        assert_eq!(why(&either, "key", &recipe), "a build was ended while it put another one there");
    }
}
