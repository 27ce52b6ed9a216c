//! A bare FAT image, as `mkfs -F pcfs -o nofdisk` makes it: what El Torito starts UEFI with.

use super::error::TargetError;
use crate::context::Context;
use crate::state::ImageState;
use disk_image::esp::{EspError, EspFile, EspVolume};
use disk_image::gpt::SectorSize;
use disk_image::{DiskError, VolumeError, write_bare};
use image_tree::{ImagePath, Node};
use std::path::Path;
use template::{Diagnostic, Pcfs, Template};

const MIB: u64 = 1 << 20;
/// The code of what FAT does not take.
pub(crate) const NOT_ON_FAT: &str = "target::not-on-fat";
/// What to do about what is neither a file nor a directory.
pub(crate) const FILES_ON_FAT: &str =
    "FAT has files and directories only: leave it out, or remove it in the template's last step with `remove_files`";
/// What to do about a name that FAT does not take.
pub(crate) const NAMES_ON_FAT: &str = "names on FAT have no control characters and none of `\" * : < > ? \\ |`, do not begin with a space or \
    end with a space or point, have at most 255 characters, and are not told apart by case: rename it, or leave it out";

const LENGTHS_ON_FAT: &str = "files on FAT are smaller than 4 GiB: leave it out, divide it, or remove it in the template's last \
    step with `remove_files`";

/// Writes the image to `path`. Owners, modes and times are lost: FAT has none.
pub(super) fn write(
    pcfs: &Pcfs,
    template: &Template,
    state: &ImageState,
    path: &Path,
    context: &Context<'_>,
) -> Result<(), TargetError> {
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    for entry in state.root.walk().filter(|entry| !entry.path.is_root()) {
        let name = name(&entry.path, entry.node, template)?;
        match entry.node.content() {
            Some(content) => {
                let reader = context.store.open_content(content).map_err(TargetError::Content)?;
                files.push(EspFile::from_reader(name, content.len(), reader));
            }
            None => directories.push(name),
        }
    }
    let volume = EspVolume::medium(&context.seed, &pcfs.label, &directories, files);
    let mut volume = volume.map_err(|error| explain(error, template))?;
    let written = write_bare(&mut volume, SectorSize::B512, pcfs.size * MIB, path, context.workspace.work());
    written.map(drop).map_err(|source| at_its_size(source, pcfs, template, path))
}

/// The path as FAT has it, without the `/` in front.
fn name(path: &ImagePath, node: &Node, template: &Template) -> Result<String, TargetError> {
    if node.content().is_none() && !node.is_directory() {
        let message = format!("{path} cannot be on a FAT image: it is a {}", node.kind.name());
        return Err(refused(message, FILES_ON_FAT, template));
    }
    String::from_utf8(path.relative_bytes().to_vec()).map_err(|_| {
        let message = format!("{path} cannot be on a FAT image: its name is not UTF-8");
        refused(message, "rename it where it comes from, or remove it with `remove_files`", template)
    })
}

fn refused(message: String, help: &str, template: &Template) -> TargetError {
    let diagnostic = Diagnostic::error(NOT_ON_FAT, message).at(&template.target_origin, "this image");
    TargetError::Template(Box::new(diagnostic.help(help)))
}

/// What FAT does not take, in words of this image.
fn explain(error: EspError, template: &Template) -> TargetError {
    let (message, help) = match &error {
        EspError::Path { path, problem } => (format!("/{path} cannot be on a FAT image: {problem}"), NAMES_ON_FAT),
        EspError::TooLong { path } => {
            (format!("/{path} cannot be on a FAT image: it has 4 GiB or more"), LENGTHS_ON_FAT)
        }
        EspError::Clash { path, other } => (format!("FAT does not tell /{path} from /{other}"), NAMES_ON_FAT),
        _ => return TargetError::Volume(error.into()),
    };
    refused(message, help, template)
}

/// What did not fit is the template's `size`.
fn at_its_size(source: DiskError, pcfs: &Pcfs, template: &Template, path: &Path) -> TargetError {
    if let DiskError::Bare { source: VolumeError::Esp(EspError::Size { needed, .. }), .. } = &source {
        let message = format!("a FAT image of {} MiB is too small for what is in it", pcfs.size);
        let help = format!("give it a `size` of at least {}", needed.div_ceil(MIB).max(pcfs.size + 1));
        let origin = template.target_origin_of("size");
        let diagnostic = Diagnostic::error("target::too-small", message).at(&origin, "needs more").help(help);
        return TargetError::Template(Box::new(diagnostic));
    }
    TargetError::Disk { path: path.to_owned(), source: Box::new(source) }
}
