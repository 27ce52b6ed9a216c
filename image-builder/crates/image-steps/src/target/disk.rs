//! The disk of a Linux guest: an EFI system partition and an ext4 root.

use super::error::TargetError;
use crate::context::Context;
use crate::state::ImageState;
use crate::steps::ROOT_ROLE;
use disk_image::esp::{EspFile, EspVolume};
use disk_image::gpt::types;
use disk_image::root_ext4::RootExt4;
use disk_image::{DiskLayout, Guid, PartitionSize, PartitionSpec, Volume, write_disk};
use image_tree::{Store, StoreError, Tree};
use std::path::Path;
use template::{Disk, ImageSize};

/// Writes the disk to `path`.
pub(super) fn write(disk: &Disk, state: &ImageState, path: &Path, context: &Context<'_>) -> Result<(), TargetError> {
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
