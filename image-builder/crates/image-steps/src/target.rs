//! From the finished state to the image file.

use crate::inputs::FileIdentity;
use crate::output::set_mode;
use crate::state::{ImageState, SavedState};
use crate::steps::{Context, ROOT_ROLE};
use disk_image::esp::{EspFile, EspVolume};
use disk_image::gpt::types;
use disk_image::root_ext4::RootExt4;
use disk_image::{DiskError, DiskLayout, Guid, PartitionSize, PartitionSpec, Volume, VolumeError, write_disk};
use image_tree::{LoadError, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use template::{Diagnostic, Disk, ImageSize, Target, Template};

/// Changes when the same state would become other bytes.
const TARGET_VERSION: &str = "target 1";

/// A finished image.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Where it is.
    pub path: PathBuf,
    /// It was there already, made of the same state.
    pub unchanged: bool,
}

/// The image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The state cannot be read back.
    #[error("cannot read the finished state from the content store")]
    State(#[source] LoadError),
    /// A file of the EFI system partition cannot be read back.
    #[error("cannot read a file of the EFI system partition from the content store")]
    Content(#[source] StoreError),
    /// What was done cannot be remembered.
    #[error("cannot remember the finished image {path}")]
    Remember {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The disk could not be written; an older image is as it was.
    #[error("cannot write image {path}")]
    Disk {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<DiskError>,
    },
    /// The content of a partition cannot be put together.
    #[error("cannot put a partition together")]
    Volume(#[source] VolumeError),
    /// The finished file cannot be looked at.
    #[error("cannot finish image {path}")]
    File {
        /// The image.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// This kind of image is not written yet.
    #[error("{target} images cannot be written yet")]
    Unsupported {
        /// The target's word.
        target: &'static str,
    },
}

impl TargetError {
    /// How to go on.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Disk { source, .. } => source.help(),
            Self::Volume(source) => source.help(),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Finished {
    key: String,
    identity: FileIdentity,
}

/// Writes the image, unless it is there and made of this very state.
pub(crate) fn finish(
    template: &Template,
    saved: &SavedState,
    context: &Context<'_>,
) -> Result<Option<Artifact>, TargetError> {
    let disk = match &template.target {
        Target::Dataset(_) => return Ok(None),
        Target::Disk(disk) => disk,
        other => return Err(TargetError::Unsupported { target: other.name() }),
    };
    let path = artifact_path(context);
    let key = key(&template.target, saved, context);
    if is_current(&path, &key, context.store) {
        return Ok(Some(Artifact { path, unchanged: true }));
    }
    let state = ImageState::load(context.store, saved).map_err(TargetError::State)?;
    write(disk, &state, &path, context)?;
    let failed = |source| TargetError::File { path: path.clone(), source };
    set_mode(&path, 0o644).map_err(failed)?;
    let finished = Finished { key, identity: FileIdentity::of(&path).map_err(failed)? };
    let value = serde_json::to_vec(&finished).expect("text and numbers are JSON");
    let remember = |source| TargetError::Remember { path: path.clone(), source };
    context.store.record_put("target", path_key(&path), &value).map_err(remember)?;
    Ok(Some(Artifact { path, unchanged: false }))
}

/// The image that a template makes, and whether one is there that nobody has touched since it was made.
pub(crate) fn expected(
    template: &Template,
    saved: Option<&SavedState>,
    context: &Context<'_>,
) -> Option<(PathBuf, bool)> {
    if matches!(template.target, Target::Dataset(_)) {
        return None;
    }
    let path = artifact_path(context);
    let current = saved.is_some_and(|saved| is_current(&path, &key(&template.target, saved, context), context.store));
    Some((path, current))
}

/// What is wrong with building this kind of image here.
pub(crate) fn unsupported(target: &Target) -> Option<Diagnostic> {
    if matches!(target, Target::Dataset(_) | Target::Disk(_)) {
        return None;
    }
    let message = format!("a target of type `{}` cannot be written yet", target.name());
    let help = "`check` and `plan` work; use the illumos image-builder to build this template";
    Some(Diagnostic::error("target::unsupported", message).help(help))
}

fn artifact_path(context: &Context<'_>) -> PathBuf {
    context.workspace.output().join(format!("{}.raw", context.output_name))
}

fn path_key(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn key(target: &Target, saved: &SavedState, context: &Context<'_>) -> String {
    let material = serde_json::to_vec(&(TARGET_VERSION, target, saved, &context.output_name));
    blake3::hash(&material.expect("hashes, names and numbers are JSON")).to_hex().to_string()
}

fn is_current(path: &Path, key: &str, store: &Store) -> bool {
    let bytes = store.record_get("target", path_key(path)).ok().flatten();
    let finished = bytes.and_then(|bytes| serde_json::from_slice::<Finished>(&bytes).ok());
    let identity = FileIdentity::of(path).ok();
    finished.is_some_and(|finished| finished.key == key && Some(finished.identity) == identity)
}

fn write(disk: &Disk, state: &ImageState, path: &Path, context: &Context<'_>) -> Result<(), TargetError> {
    const MIB: u64 = 1 << 20;
    let files = esp_files(&state.esp, context.store).map_err(TargetError::Content)?;
    let esp = EspVolume::new(&context.seed, "ESP", files).map_err(|error| TargetError::Volume(error.into()))?;
    let root = RootExt4::new(&context.seed, &disk.root_label, &state.root, context.store);
    let root = root.map_err(|error| TargetError::Volume(error.into()))?;
    let mut layout = DiskLayout::new(context.seed);
    let root_size = match disk.size {
        ImageSize::Auto => PartitionSize::Auto { free: disk.root_free * MIB },
        ImageSize::Mib(size) => {
            layout.disk_bytes = Some(size * MIB);
            PartitionSize::Fill { free: 0 }
        }
    };
    let esp_size = PartitionSize::Exact(disk.esp_size * MIB);
    layout.partitions.push(partition(types::EFI_SYSTEM, "esp", "esp", esp_size, esp));
    layout.partitions.push(partition(types::LINUX_ROOT_X86_64, &disk.root_label, ROOT_ROLE, root_size, root));
    let progress = context.progress;
    write_disk(layout, path, context.workspace.work(), &mut |stage| progress.message(stage))
        .map_err(|source| TargetError::Disk { path: path.to_owned(), source: Box::new(source) })?;
    Ok(())
}

fn partition<'a>(
    type_guid: Guid,
    name: &str,
    role: &str,
    size: PartitionSize,
    content: impl Volume + 'a,
) -> PartitionSpec<'a> {
    PartitionSpec {
        type_guid,
        name: name.to_owned(),
        role: role.to_owned(),
        slot: None,
        attributes: 0,
        size,
        content: Some(Box::new(content)),
    }
}

fn esp_files<'a>(esp: &Tree, store: &'a Store) -> Result<Vec<EspFile<'a>>, StoreError> {
    let mut files = Vec::new();
    for entry in esp.walk() {
        if let Some(content) = entry.node.content() {
            let path = String::from_utf8_lossy(entry.path.relative_bytes()).into_owned();
            let reader = store.open_content(content)?;
            files.push(EspFile::from_reader(path, content.len(), reader));
        }
    }
    Ok(files)
}
