//! From the finished state to the image file.

mod check;
mod datasets;
mod disk;
mod error;
mod finished;
mod forms;
mod iso;
mod names;
mod pcfs;
mod places;
mod pool;
mod spec;

use crate::context::Context;
use crate::evidence::files::beside;
use crate::inputs::{claim_output, remember_image};
use crate::state::{ImageState, SavedState};
use crate::tools;
pub(crate) use check::problems;
pub use datasets::DatasetError;
use disk_image::convert_qcow2;
pub(crate) use error::DAMAGED_CACHE;
pub use error::TargetError;
pub(crate) use finished::TARGET;
use finished::{Finished, Name, Recipe};
use forms::{Before, Forms};
pub(crate) use forms::{COMPLETE, WRITING, end_placing, put_in_place};
use image_tree::Tree;
use names::QCOW2;
pub(crate) use names::{EXTENSIONS, file_names};
pub(crate) use pcfs::{FILES_ON_FAT, NAMES_ON_FAT, NOT_ON_FAT};
use serde::Serialize;
use std::path::{Path, PathBuf};
use template::{Diagnostic, Target, Template};

/// Changes when the same state would become other bytes.
const TARGET_VERSION: &str = "target 2";

/// A finished image.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Where it is.
    pub path: PathBuf,
    /// The same image in other forms: the pool's partition alone, other formats.
    pub also: Vec<PathBuf>,
    /// All of it was there already, made of the same state.
    pub unchanged: bool,
}

/// Writes the image, unless it is there and made of this very state; `live` is that state where it is in memory. Answers
/// also what is in the image, as far as that is known: the target may have made the boot archive anew.
pub(crate) fn finish(
    template: &Template,
    saved: &SavedState,
    live: Option<ImageState>,
    context: &Context<'_>,
) -> Result<(Option<Artifact>, Option<Tree>), TargetError> {
    let Some(files) = files(&template.target, context) else {
        drop_image(context)?;
        return Ok((None, live.map(|state| state.root)));
    };
    let (name, (recipe, key)) = (Name::of(context), recipe(&template.target, saved, context));
    let artifact = |unchanged| Artifact { path: files[0].clone(), also: files[1..].to_vec(), unchanged };
    let before = Finished::read(&name, context.store);
    if before.is_current(&files, &key) {
        return Ok((Some(artifact(true)), None));
    }
    let mut state = match live {
        Some(state) => state,
        None => ImageState::load(context.store, saved).map_err(TargetError::State)?,
    };
    let remember = |source| TargetError::Remember { path: files[0].clone(), source };
    for file in &files {
        claim_output(&output_file(file), context.store).map_err(remember)?;
    }
    let old = Before { dropped: before.dropped_by(&files, &name, context.store), evidence: beside(&files, context) };
    let forms = Forms::begin(&files, old)?;
    write(template, &mut state, &files, &forms, context).map_err(|error| forms.explain(error))?;
    before.or(&files, |file| forms.path(file))?.write(&name, context.store)?;
    forms.put_in_place()?;
    let finished = Finished::new(key, recipe, &files)?;
    for (file, identity) in files.iter().zip(finished.files()) {
        remember_image(&output_file(file), identity, context.store).map_err(remember)?;
    }
    finished.write(&name, context.store)?;
    Ok((Some(artifact(false)), Some(state.root)))
}

/// What is in the image that is made of a state.
pub(crate) fn content(template: &Template, saved: &SavedState, context: &Context<'_>) -> Result<Tree, TargetError> {
    let mut state = ImageState::load(context.store, saved).map_err(TargetError::State)?;
    if let Target::Pool(_) = &template.target {
        pool::complete(&mut state, context)?;
    }
    Ok(state.root)
}

/// Removes the image of a template that makes none any more.
fn drop_image(context: &Context<'_>) -> Result<(), TargetError> {
    let name = Name::of(context);
    let dropped = Finished::read(&name, context.store).dropped(&[], &name);
    if dropped.is_empty() {
        return Ok(());
    }
    Before { dropped, evidence: beside(&[], context) }.remove()?;
    Finished::default().write(&name, context.store)
}

/// Writes all forms of the image to where they are until they are put in place.
fn write(
    template: &Template,
    state: &mut ImageState,
    files: &[PathBuf],
    forms: &Forms<'_>,
    context: &Context<'_>,
) -> Result<(), TargetError> {
    let image = forms.path(&files[0]);
    match &template.target {
        Target::Disk(disk) => disk::write(disk, state, &image, context)?,
        Target::Pool(pool) => pool::write(pool, template, state, &image, context)?,
        Target::Pcfs(pcfs) => pcfs::write(pcfs, template, state, &image, context)?,
        Target::Iso(iso) => iso::write(iso, template, state, &image, context)?,
        Target::Ufs(_) | Target::Dataset(_) => {
            return Err(TargetError::Unsupported { target: template.target.name() });
        }
    }
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == QCOW2)) {
        convert_qcow2(&image, &forms.path(file)).map_err(TargetError::Convert)?;
    }
    Ok(())
}

/// What a file of the output directory is called there.
fn output_file(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The image of a template, for `plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedImage {
    /// Where it is, or will be.
    pub path: PathBuf,
    /// It is there, made of what the steps come to, and nobody has touched it since.
    pub current: bool,
    /// Why it is written otherwise.
    pub why: Option<String>,
}

/// The image that a template makes after `saved`, if that state is known; else `unknown` says why it is not.
pub(crate) fn expected(
    template: &Template,
    saved: Option<&SavedState>,
    unknown: impl FnOnce() -> String,
    context: &Context<'_>,
) -> Option<PlannedImage> {
    let files = files(&template.target, context)?;
    let why = match saved {
        Some(saved) => {
            let (recipe, key) = recipe(&template.target, saved, context);
            Finished::read(&Name::of(context), context.store).why(&files, &key, &recipe)
        }
        None => Some(unknown()),
    };
    Some(PlannedImage { path: files[0].clone(), current: why.is_none(), why })
}

/// What is wrong with building this kind of image here.
pub(crate) fn unsupported(target: &Target) -> Option<Diagnostic> {
    let (message, help) = match target {
        Target::Ufs(_) => (
            "a target of type `ufs` cannot be written yet".to_owned(),
            "build this template with the illumos image-builder and put the image into the output directory; \
             a boot archive as a ZFS pool is a target `pool` with `\"label\": false`"
                .to_owned(),
        ),
        Target::Disk(_) => {
            let missing = tools::missing(&tools::EXT4)?;
            (format!("a target of type `disk` needs {}, which is not installed", missing.program), missing.help())
        }
        _ => return None,
    };
    Some(Diagnostic::error("target::unsupported", message).help(help))
}

/// The files that a target becomes in the output directory, the image itself first; none for a dataset.
fn files(target: &Target, context: &Context<'_>) -> Option<Vec<PathBuf>> {
    let names = file_names(target, &context.output_name);
    let files: Vec<PathBuf> = names.into_iter().map(|name| context.workspace.output().join(name)).collect();
    (!files.is_empty()).then_some(files)
}

/// What decides the bytes of an image, in parts and as a key.
fn recipe(target: &Target, saved: &SavedState, context: &Context<'_>) -> (Recipe, String) {
    // What decides the bytes beside the inputs: our own writers, the programs that make an ext4 root.
    let disk = || format!("disk-image {}", disk_image::LAYOUT_VERSION);
    let mut writers = match target {
        Target::Pool(_) => vec![format!("zfs-image {}", zfs_image::writer::LAYOUT_VERSION), disk()],
        Target::Disk(_) => [tools::versions(&tools::EXT4, context.store), vec![disk()]].concat(),
        _ => Vec::new(),
    };
    let material = serde_json::to_vec(&(TARGET_VERSION, &writers, target, saved, &context.output_name));
    let hash = |material: Vec<u8>| blake3::hash(&material).to_hex().to_string();
    let key = hash(material.expect("hashes, names and numbers are JSON"));
    writers.push(TARGET_VERSION.to_owned());
    let target = hash(serde_json::to_vec(target).expect("names and numbers are JSON"));
    (Recipe { writers, target, state: saved.hash() }, key)
}
