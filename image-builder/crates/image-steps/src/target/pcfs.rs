//! A bare FAT image, as `mkfs -F pcfs -o nofdisk` makes it: what El Torito starts UEFI with.

use super::TargetError;
use crate::state::ImageState;
use crate::steps::Context;
use disk_image::esp::{EspError, EspFile, EspVolume};
use disk_image::gpt::SectorSize;
use disk_image::{DiskError, VolumeError, write_bare};
use image_tree::{ImagePath, Node};
use std::path::Path;
use template::{Diagnostic, Pcfs, Template};

const MIB: u64 = 1 << 20;

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
    let mut volume = volume.map_err(|error| TargetError::Volume(error.into()))?;
    let written = write_bare(&mut volume, SectorSize::B512, pcfs.size * MIB, path, context.workspace.work());
    written.map(drop).map_err(|source| at_its_size(source, pcfs, template, path))
}

/// The path as FAT has it, without the `/` in front.
fn name(path: &ImagePath, node: &Node, template: &Template) -> Result<String, TargetError> {
    let refused = |problem: &str, help: &str| {
        let message = format!("{path} cannot be on a FAT image: {problem}");
        let diagnostic = Diagnostic::error("target::not-on-fat", message).at(&template.target_origin, "this image");
        TargetError::Template(Box::new(diagnostic.help(help)))
    };
    if node.content().is_none() && !node.is_directory() {
        let problem = format!("it is a {}", node.kind.name());
        let help = "FAT has files and directories only: leave it out, or remove it in the template's last step with `remove_files`";
        return Err(refused(&problem, help));
    }
    String::from_utf8(path.relative_bytes().to_vec()).map_err(|_| {
        refused("its name is not UTF-8", "rename it where it comes from, or remove it with `remove_files`")
    })
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
