//! A disk with a ZFS pool, as illumos boots it.
//!
//! The datasets and their properties are those that `create_be` and libbe make, the disk is the one that
//! `zpool create -B` and `installboot` make. Nothing is random: guids and identifiers come from the image's name,
//! and what must differ between machines is changed by each of them (`zpool reguid`).

use super::datasets::{DatasetError, divide};
use super::error::TargetError;
use super::names::PARTITION_EXTENSION;
use super::places::Places;
use super::spec::{SECTOR, dataset_plan, environment_name, pool_spec};
use crate::context::Context;
use crate::state::{ImageState, written};
use crate::steps::{check_bootable, update_boot_archive};
use disk_image::illumos::{BiosLoaders, EfiLoaders, IllumosDisk, POOL_PARTITION, pool_bytes, smallest_disk};
use disk_image::{DiskError, DiskReport, PoolVolume, VolumeError, extract_partition, write_bare, write_disk};
use image_tree::{Follow, ImagePath, Node, Tree};
use std::io;
use std::path::Path;
use template::{Diagnostic, ImageSize, Pool, Template};
use zfs_image::writer::{self, PoolReport, PoolSpec, SpecError, WriteError, WriteOptions, minimum_bytes};

const MIB: u64 = 1 << 20;

/// Brings to the state what the image has beside it: steps after make_bootable may have changed what it archived.
pub(super) fn complete(state: &mut ImageState, context: &Context<'_>) -> Result<(), TargetError> {
    if state.pool.bootable {
        update_boot_archive(state, context).map_err(TargetError::BootArchive)?;
    }
    Ok(())
}

/// Writes the pool's disk to `path`, and its partition alone beside it if that is asked for.
pub(super) fn write(
    pool: &Pool,
    template: &Template,
    state: &mut ImageState,
    path: &Path,
    context: &Context<'_>,
) -> Result<(), TargetError> {
    complete(state, context)?;
    let spec = spec(pool, template, state, context)?;
    let disk_bytes = disk_bytes(pool, &spec)?;
    check_size(pool, template, &spec, disk_bytes, context)?;
    let mut report = None;
    let options = WriteOptions { size_is_checked: true, ..WriteOptions::default() };
    let mut volume = PoolVolume::new(&spec, context.store, options, &mut report);
    let written = match pool.label {
        true => write_labelled(pool, state, volume, disk_bytes, path, context).map(Some),
        false => write_bare(&mut volume, SECTOR, disk_bytes, path, context.workspace.work())
            .map(|_| None)
            .map_err(|source| disk_error(path, source)),
    };
    let disk = written.map_err(|error| at_its_place(error, template))?;
    if let Some(disk) = disk.filter(|_| pool.partition_only) {
        write_partition(&disk, path)?;
    }
    tell(&spec, report.as_ref(), context);
    Ok(())
}

/// Bytes of the image: what the template says, or what certainly holds the content.
fn disk_bytes(pool: &Pool, spec: &PoolSpec) -> Result<u64, TargetError> {
    match pool.size {
        ImageSize::Mib(size) => Ok(size * MIB),
        ImageSize::Auto => {
            let needed = minimum_bytes(spec).map_err(|error| TargetError::Pool(Box::new(error)))?;
            Ok(image_bytes(pool, needed.saturating_add(pool.free * MIB)))
        }
    }
}

/// Bytes of the image whose pool has so many.
fn image_bytes(pool: &Pool, pool_bytes: u64) -> u64 {
    if pool.label {
        return smallest_disk(SECTOR, pool.uefi, pool_bytes);
    }
    pool_bytes.saturating_add(MIB - 1) / MIB * MIB
}

/// Whether what is in the pool has room in the image. If not, that is the template's `size`.
fn check_size(
    pool: &Pool,
    template: &Template,
    spec: &PoolSpec,
    disk_bytes: u64,
    context: &Context<'_>,
) -> Result<(), TargetError> {
    let bytes = if pool.label { pool_bytes(SECTOR, pool.uefi, disk_bytes) } else { disk_bytes };
    let needed = match writer::check_size(spec, context.store, bytes, &WriteOptions::default()) {
        Ok(()) => return Ok(()),
        Err(WriteError::TooSmall { needed, .. }) => needed,
        Err(WriteError::Spec(problem)) => return Err(limit(&problem, template)),
        Err(error) => return Err(TargetError::Pool(Box::new(error))),
    };
    let least = image_bytes(pool, needed) / MIB;
    let message = format!("an image of {} MiB is too small for what is in it", disk_bytes / MIB);
    let help = format!("give it a `size` of at least {least}, or \"auto\"; it includes what ZFS keeps for itself");
    let origin = template.target_origin_of("size");
    let diagnostic = Diagnostic::error("target::too-small", message).at(&origin, "needs more").help(help);
    Err(TargetError::Template(Box::new(diagnostic)))
}

/// An image that the host cannot hold is the template's `size`; a limit that does not fit its content is a property.
fn at_its_place(error: TargetError, template: &Template) -> TargetError {
    let TargetError::Disk { source, .. } = &error else { return error };
    if let DiskError::File { source, .. } = source.as_ref() {
        return if is_too_large(source) { too_large(template) } else { error };
    }
    let (DiskError::Volume { source, .. } | DiskError::Bare { source, .. }) = source.as_ref() else { return error };
    let VolumeError::Pool(source) = source else { return error };
    match source.as_ref() {
        WriteError::Spec(problem) => limit(problem, template),
        _ => error,
    }
}

fn limit(problem: &SpecError, template: &Template) -> TargetError {
    TargetError::Template(Box::new(Places::new(template).point_at_spec(problem)))
}

/// What systems say when a file is made longer than the file system, or any, can hold.
fn is_too_large(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput)
}

fn too_large(template: &Template) -> TargetError {
    let message = "the file system of the output directory cannot hold so large a file, even a sparse one";
    let help =
        "make `size` smaller, or with \"auto\" `free` and what datasets reserve; `autoexpand` lets the pool grow later";
    let origin = template.target_origin_of("size");
    TargetError::Template(Box::new(Diagnostic::error("target::too-large", message).at(&origin, "").help(help)))
}

fn write_labelled(
    pool: &Pool,
    state: &ImageState,
    volume: PoolVolume<'_>,
    disk_bytes: u64,
    path: &Path,
    context: &Context<'_>,
) -> Result<DiskReport, TargetError> {
    let disk = IllumosDisk {
        seed: context.seed,
        sector_size: SECTOR,
        disk_bytes,
        loaders: efi_loaders(pool, state, context)?,
        bios: bios_loaders(state, context)?,
        pool: Box::new(volume),
    };
    if state.pool.bootable && !pool.uefi && disk.bios.is_none() {
        return Err(cannot_boot("/boot/pmbr and /boot/gptzfsboot, and the template does not say `uefi`"));
    }
    let layout = disk.layout().map_err(|source| TargetError::Illumos { path: path.to_owned(), source })?;
    let progress = context.progress;
    write_disk(layout, path, context.workspace.work(), &mut |stage| progress.message(stage))
        .map_err(|source| disk_error(path, source))
}

fn write_partition(disk: &DiskReport, path: &Path) -> Result<(), TargetError> {
    let output = path.with_extension(PARTITION_EXTENSION);
    match disk.partitions.iter().find(|partition| partition.name == POOL_PARTITION) {
        Some(partition) => extract_partition(path, partition, &output).map_err(|source| disk_error(&output, source)),
        None => Ok(()),
    }
}

fn disk_error(path: &Path, source: DiskError) -> TargetError {
    TargetError::Disk { path: path.to_owned(), source: Box::new(source) }
}

fn cannot_boot(missing: &str) -> TargetError {
    let message = format!("the image cannot boot: it has no {missing}");
    let help = "add the package system/boot/loader to the base";
    TargetError::Template(Box::new(Diagnostic::error("target::not-bootable", message).help(help)))
}

/// The image's own loaders for the EFI system partition; an image that does not boot gets an empty one.
fn efi_loaders(pool: &Pool, state: &ImageState, context: &Context<'_>) -> Result<Option<EfiLoaders>, TargetError> {
    if !pool.uefi {
        return Ok(None);
    }
    let mut loaders = EfiLoaders::default();
    if state.pool.bootable {
        loaders.loader64 = file(state, "/boot/loader64.efi", context)?;
        loaders.loader32 = file(state, "/boot/loader32.efi", context)?;
        if loaders.loader64.is_none() {
            return Err(cannot_boot("/boot/loader64.efi"));
        }
    }
    Ok(Some(loaders))
}

/// Stage 1 and stage 2 for a BIOS, where the image has them.
fn bios_loaders(state: &ImageState, context: &Context<'_>) -> Result<Option<BiosLoaders>, TargetError> {
    if !state.pool.bootable {
        return Ok(None);
    }
    let stage1 = file(state, "/boot/pmbr", context)?;
    let stage2 = file(state, "/boot/gptzfsboot", context)?;
    Ok(stage1.zip(stage2).map(|(stage1, stage2)| BiosLoaders { stage1, stage2 }))
}

/// The content of a regular file of the image, if there is one.
fn file(state: &ImageState, path: &str, context: &Context<'_>) -> Result<Option<Vec<u8>>, TargetError> {
    let at = ImagePath::new(path).expect("a constant path");
    let found = state.root.lookup(&at, Follow::Yes).ok();
    let content = found.and_then(|(_, node)| node.content());
    content.map(|content| context.store.read_blob(content.blob()).map_err(TargetError::Content)).transpose()
}

/// Everything about the pool but its size.
fn spec(pool: &Pool, template: &Template, state: &ImageState, context: &Context<'_>) -> Result<PoolSpec, TargetError> {
    let bename = environment_name(pool, context.seed);
    let plan = dataset_plan(pool, &bename, &state.pool, context.seed);
    let places = Places::new(template);
    let mut datasets = divide(&plan, &state.root).map_err(|error| places.point_at_dataset(&error))?;
    let bootfs = plan.environment_name().filter(|_| state.pool.bootable);
    if let Some(bootfs) = &bootfs {
        for dataset in datasets.iter().filter(|dataset| dataset.name == *bootfs) {
            check_bootable(&dataset.tree).map_err(|error| places.point_at_bootable(&error))?;
        }
        add_menu(&mut datasets[0].tree, &bename, bootfs, context)?;
    }
    let spec = pool_spec(pool, datasets, bootfs, context.seed);
    match spec.problems().first() {
        None => Ok(spec),
        Some(problem) => Err(TargetError::Template(Box::new(places.point_at_spec(problem)))),
    }
}

/// The loader's list of boot environments; one that the template brings stays.
fn add_menu(tree: &mut Tree, bename: &str, bootfs: &str, context: &Context<'_>) -> Result<(), TargetError> {
    let path = ImagePath::new("/boot/menu.lst").expect("a constant path");
    if tree.get(&path).is_some() {
        return Ok(());
    }
    let text = format!("title {bename}\nbootfs {bootfs}\n");
    let content = context.store.put_bytes(text.as_bytes()).map_err(TargetError::Content)?;
    let metadata = written(0, 0, 0o755);
    let directory = path.parent().expect("a constant path below a directory");
    tree.create_dir(&directory, metadata.clone(), &metadata)
        .and_then(|_| tree.insert(&path, Node::regular(content, written(0, 0, 0o644))))
        .map(drop)
        .map_err(|source| DatasetError::Tree { name: "of the pool itself".to_owned(), source }.into())
}

/// What was written, and what two machines of one image share.
fn tell(spec: &PoolSpec, report: Option<&PoolReport>, context: &Context<'_>) {
    if let Some(report) = report {
        context.progress.message(&format!("pool {}: {} MiB used", spec.name, report.allocated_bytes / MIB));
    }
    context.progress.message(&format!(
        "every machine that starts from this image has pool guid {}; where pools of two of them meet, \
         run `zpool reguid {}` in each at its first boot",
        report.map_or(0, |report| report.pool_guid),
        spec.name
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use template::{MemoryFiles, Request, load};

    /// Which sizes a file system takes differs, so that the answer of one is put in.
    #[test]
    fn an_image_that_no_file_system_holds_is_the_templates_size() {
        let text = "{\n  \"pool\": { \"name\": \"rpool\", \"size\": 4294967295 },\n  \"steps\": []\n}";
        let request = Request { roots: vec!["t".into()], group: "g".into(), name: "huge".into(), ..Request::default() };
        let template = load(&request, &MemoryFiles::new().file("t/g/huge.json", text)).expect("a template");
        let told = |kind: io::ErrorKind| {
            let source = DiskError::File { action: "set the size of", path: "image".into(), source: kind.into() };
            at_its_place(disk_error(Path::new("image"), source), &template)
        };
        let TargetError::Template(diagnostic) = told(io::ErrorKind::FileTooLarge) else { panic!("at its place") };
        let origin = diagnostic.origin().expect("a place");
        assert_eq!((origin.line(), origin.column()), (2, 38));
        assert!(diagnostic.help_text().is_some_and(|help| help.contains("make `size` smaller")));
        assert!(matches!(told(io::ErrorKind::PermissionDenied), TargetError::Disk { .. }));
    }
}
