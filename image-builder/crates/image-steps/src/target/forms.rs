//! An image in several forms: they get their names when all of them are complete.
//!
//! Readers take the forms for one image, so a set of which some are of an older build would be a trap. Until the last
//! one is on the disk, all of them are in a directory of their own beside the old set, which a failure or a kill leaves as it is.
//!
//! Then that directory gets another name, which says that all of it is complete, and the files get theirs: a run that
//! finds such a directory of a killed one goes on with that. The old forms beside the image go first, also those that are not
//! asked for any more, so that at no moment forms of two builds lie side by side. What says where the old image came from goes
//! before all of them: at no moment does it lie beside another image.

use super::error::TargetError;
use super::names::RAW;
use crate::evidence::files::checksum_of;
use crate::output::{remove_durably, set_mode, sync_parent};
use disk_image::Qcow2Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// How the directory is called in which forms are written.
pub(crate) const WRITING: &str = ".writing-";
/// How it is called when all of them are complete.
pub(crate) const COMPLETE: &str = ".complete-";

/// Of this process.
static PLACING: Placing = Placing { is_over: Mutex::new(false) };

/// Lets forms be put in place, one set at a time, until that is over.
///
/// The thread that ends the process removes directories of forms that are not complete. One of them must not become a complete
/// one while it is being emptied.
struct Placing {
    is_over: Mutex<bool>,
}

impl Placing {
    /// Allows a set to be put in place for as long as the answer is kept, unless that is over.
    fn begin(&self) -> io::Result<MutexGuard<'_, bool>> {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_over { Err(io::ErrorKind::Interrupted.into()) } else { Ok(is_over) }
    }

    /// Waits for a set that is being put in place, and lets none be from then on.
    fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Lets no forms be put in place by builds of this process any more; a set that is being is waited for.
pub(crate) fn end_placing() {
    PLACING.end();
}

/// The forms of an image that is being written.
pub(super) struct Forms<'a> {
    /// What they will be called, the image itself first.
    files: &'a [PathBuf],
    /// What goes before it comes.
    before: Before,
    /// Where they are until then; none for a single one with nothing before it, which its writer puts in place itself.
    directory: Option<TempDir>,
}

/// What there is of the image before, and does not belong to the new one.
#[derive(Default)]
pub(super) struct Before {
    /// Forms of it that the new one does not have.
    pub(super) dropped: Vec<PathBuf>,
    /// What says where it came from.
    pub(super) evidence: Vec<PathBuf>,
}

impl Before {
    fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.evidence.is_empty()
    }

    /// Removes all of it, durably: each form after its checksum, because without the form nobody would know that for ours.
    pub(super) fn remove(&self) -> Result<(), TargetError> {
        let forms = self.dropped.iter().flat_map(|form| [checksum_of(form), form.clone()]);
        let all: Vec<PathBuf> = self.evidence.iter().cloned().chain(forms).collect();
        remove_durably(&all).map_err(|(path, source)| TargetError::File { path, source })
    }
}

impl<'a> Forms<'a> {
    /// Begins with an image that is called `files` in its forms, all in one directory. What is of the one `before` is removed
    /// when it takes the place of that.
    pub(super) fn begin(files: &'a [PathBuf], before: Before) -> Result<Self, TargetError> {
        files.iter().try_for_each(|file| refuse_directory(file))?;
        let output = files[0].parent().filter(|_| files.len() > 1 || !before.is_empty());
        let begin = |output: &Path| tempfile::Builder::new().prefix(WRITING).tempdir_in(output);
        let failed = |source| TargetError::File { path: files[0].clone(), source };
        Ok(Self { files, before, directory: output.map(begin).transpose().map_err(failed)? })
    }

    /// Where the form is to be written that will be called `file`.
    pub(super) fn path(&self, file: &Path) -> PathBuf {
        match (&self.directory, file.file_name()) {
            (Some(directory), Some(name)) => directory.path().join(name),
            _ => file.to_owned(),
        }
    }

    /// Gives all of them their names and makes that durable. They are complete and on the disk.
    pub(super) fn put_in_place(self) -> Result<(), TargetError> {
        // An image holds /etc/shadow, and on a dataset the directory around it may be open to everybody.
        for file in self.files {
            set_mode(&self.path(file), 0o600).map_err(failed(file))?;
        }
        let Some(directory) = self.directory else { return Ok(()) };
        let image = &self.files[0];
        let _placing = PLACING.begin().map_err(failed(image))?;
        self.before.remove()?;
        put_in_place(&complete(&directory.keep()).map_err(failed(image))?)
    }

    /// What went wrong, by the names that people know.
    pub(super) fn explain(&self, mut error: TargetError) -> TargetError {
        use TargetError::{Convert, Disk, File, Illumos, Iso};
        let path = match &mut error {
            Disk { path, .. } | File { path, .. } | Illumos { path, .. } | Iso { path, .. } => path,
            Convert(Qcow2Error::Convert { path, .. } | Qcow2Error::Finish { path, .. }) => path,
            _ => return error,
        };
        if let Some(known) = self.files.iter().find(|file| self.path(file) == *path) {
            path.clone_from(known);
        }
        error
    }
}

/// Says that everything in a directory of forms is complete; answers what it is called now.
fn complete(writing: &Path) -> io::Result<PathBuf> {
    let name = writing.file_name().unwrap_or_default().to_string_lossy().replacen(WRITING, COMPLETE, 1);
    let complete = writing.with_file_name(name);
    fs::rename(writing, &complete)?;
    sync_parent(&complete)?;
    Ok(complete)
}

/// Moves complete forms to where they belong, beside their directory, or what a killed run has left of them there.
pub(crate) fn put_in_place(complete: &Path) -> Result<(), TargetError> {
    let place = |name: &Path| complete.with_file_name(name);
    let mut names = Vec::new();
    for entry in fs::read_dir(complete).map_err(failed(complete))? {
        names.push(PathBuf::from(entry.map_err(failed(complete))?.file_name()));
    }
    names.iter().try_for_each(|name| refuse_directory(&place(name)))?;
    let is_image = |name: &PathBuf| name.extension().is_some_and(|extension| extension == RAW);
    names.sort_by_key(|name| (!is_image(name), name.clone()));
    if names.first().is_some_and(is_image) {
        let others: Vec<PathBuf> = names[1..].iter().map(|name| place(name)).collect();
        remove_durably(&others).map_err(|(path, source)| TargetError::File { path, source })?;
    }
    for name in &names {
        fs::rename(complete.join(name), place(name)).map_err(failed(&place(name)))?;
    }
    sync_parent(complete).and_then(|()| fs::remove_dir(complete)).map_err(failed(complete))
}

/// No file can take the place of a directory, which somebody has made.
fn refuse_directory(place: &Path) -> Result<(), TargetError> {
    let is_directory = fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_dir());
    if is_directory { Err(TargetError::InTheWay { path: place.to_owned() }) } else { Ok(()) }
}

fn failed(file: &Path) -> impl FnOnce(std::io::Error) -> TargetError {
    let path = file.to_owned();
    move |source| TargetError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    const NAMES: [&str; 3] = ["g-n.raw", "g-n.partonly", "g-n.qcow2"];

    fn contents(directory: &Path) -> BTreeMap<String, String> {
        let text = |name: &&str| Some(((*name).to_owned(), fs::read_to_string(directory.join(name)).ok()?));
        NAMES.iter().filter_map(text).collect()
    }

    /// The thread of a signal emptied a directory of forms that another one made a complete set of.
    #[test]
    fn a_set_is_put_in_place_before_the_end_or_never() {
        let placing = Placing { is_over: Mutex::new(false) };
        let (begun, wait) = std::sync::mpsc::channel();
        let is_placed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let placed = scope.spawn(|| {
                let _placing = placing.begin().expect("it is not over");
                begun.send(()).expect("somebody waits");
                std::thread::sleep(Duration::from_millis(50));
                is_placed.store(true, Ordering::Release);
            });
            wait.recv().expect("it begins");
            placing.end();
            assert!(is_placed.load(Ordering::Acquire), "it was not waited for");
            placed.join().expect("it is placed");
        });
        let error = placing.begin().expect_err("it is over");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }

    /// A single form was written straight to its place, beside those of the image before it.
    #[test]
    fn forms_that_are_dropped_go_when_the_new_image_is_complete_and_not_before() {
        let output = tempfile::tempdir().expect("a directory");
        let path = |name: &str| output.path().join(name);
        let old = ["g-n.raw", "g-n.qcow2", "g-n.qcow2.sha256", "g-n.partonly", "g-n.evidence.json"];
        for name in old {
            fs::write(path(name), "old").expect("a file");
        }
        let files = [path("g-n.raw")];
        for is_complete in [false, true] {
            let before = Before { dropped: vec![path("g-n.qcow2")], evidence: vec![path("g-n.evidence.json")] };
            let forms = Forms::begin(&files, before).expect("it begins");
            fs::write(forms.path(&files[0]), "new").expect("a file");
            if is_complete {
                forms.put_in_place().expect("it is put in place");
            } else {
                drop(forms);
                assert_eq!(old.map(|name| fs::read_to_string(path(name)).expect(name)), ["old"; 5]);
            }
        }
        assert_eq!(old.map(|name| path(name).exists()), [true, false, false, true, false]);
        assert_eq!(fs::read_to_string(&files[0]).expect("the image"), "new");
        assert_eq!(fs::read_dir(output.path()).expect("the directory").count(), 2);
    }

    /// However far a killed run has come, the next one brings all of the new set into place.
    #[test]
    fn a_set_that_was_left_half_in_place_is_put_there() {
        for moved in 0..=NAMES.len() {
            let output = tempfile::tempdir().expect("a directory");
            let complete = output.path().join(".complete-a1B2c3");
            fs::create_dir(&complete).expect("a directory");
            for (index, name) in NAMES.iter().enumerate() {
                fs::write(output.path().join(name), "old").expect("a file");
                let directory = if index < moved { output.path() } else { &complete };
                fs::write(directory.join(name), "new").expect("a file");
            }
            put_in_place(&complete).expect("it goes on");
            assert_eq!(contents(output.path()), NAMES.map(|name| (name.to_owned(), "new".to_owned())).into());
            assert!(!complete.exists(), "{moved}");
        }
    }
}
