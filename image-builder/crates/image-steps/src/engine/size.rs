//! How large an image will be, as far as that can be told without making it.

use super::plan::{Planned, PlannedStep};
use crate::context::Context;
use crate::history::BuiltSize;
use crate::state::{ImageState, SavedState};
use crate::steps::{PlannedPackages, input_files};
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use template::{FileSource, ImageSize, LocatedStep, Step, Target, Template};

const MIB: u64 = 1 << 20;

/// How large an image will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EstimatedSize {
    /// Bytes in its files.
    pub files: u64,
    /// Bytes of the image with all that is free in it; none if the target is no image.
    pub image: Option<u64>,
    /// How that is known.
    pub basis: SizeBasis,
}

/// How a size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeBasis {
    /// All steps are done: it is so.
    Known,
    /// It is what the last build came to, and what its inputs have grown by since.
    LastBuild,
    /// It is what there is, and the sum of all that the other steps read and install.
    Inputs,
    /// The same; but a step brings more, and nobody knows yet how much.
    AtLeast,
}

/// What there is to go by.
pub(crate) struct Basis<'a> {
    /// What is told of the steps.
    pub(crate) told: &'a Planned,
    /// What the newest build came to that came to its end.
    pub(crate) last: Option<&'a BuiltSize>,
    /// What another template will put into a file of the output directory.
    pub(crate) awaited: &'a dyn Fn(&str) -> Option<u64>,
}

/// Estimates the size of what a template makes.
pub(crate) fn estimate(template: &Template, basis: &Basis<'_>, context: &Context<'_>) -> EstimatedSize {
    let (told, last) = (basis.told, basis.last);
    let known = told.saved.as_ref().and_then(|saved| {
        // The target may have added to the state, which only the build knows.
        let built = last.filter(|last| last.is_of(saved)).map(|last| last.files);
        built.or(told.files).or_else(|| bytes_of(saved, context))
    });
    let (files, basis) = match (known, last) {
        (Some(files), _) => (files, SizeBasis::Known),
        (None, Some(last)) => {
            let inputs = input_bytes(&template.steps, basis.awaited, context);
            ((last.files + inputs).saturating_sub(last.inputs), SizeBasis::LastBuild)
        }
        (None, None) => {
            let (rest, planned) = (&template.steps[told.known_steps..], &told.steps[told.known_steps..]);
            let packages: u64 =
                planned.iter().filter_map(|step| step.packages.as_ref()).map(|one| one.size_bytes).sum();
            let is_all = told.files.is_some() && rest.iter().zip(planned).all(|(step, planned)| is_told(step, planned));
            let basis_of = if is_all { SizeBasis::Inputs } else { SizeBasis::AtLeast };
            let inputs = input_bytes(rest, basis.awaited, context);
            (told.files.unwrap_or_default() + inputs + packages, basis_of)
        }
    };
    EstimatedSize { files, image: image_bytes(&template.target, files, last), basis }
}

/// Bytes in the files of a state.
pub(crate) fn bytes_of(saved: &SavedState, context: &Context<'_>) -> Option<u64> {
    Some(ImageState::load(context.store, saved).ok()?.root.statistics().data_bytes)
}

/// Bytes of all that steps put into an image, as far as they read it.
pub(crate) fn input_bytes(steps: &[LocatedStep], awaited: &dyn Fn(&str) -> Option<u64>, context: &Context<'_>) -> u64 {
    let of_step = |located: &LocatedStep| match &located.step {
        Step::UnpackTar(step) if step.into_tmp => 0,
        Step::Digest(_) | Step::DebBootstrap(_) | Step::SeedSmf(_) => 0,
        Step::UnpackTar(step) => awaited(&step.name)
            .unwrap_or_else(|| unpacked_bytes(&context.workspace.output().join(&step.name)).unwrap_or_default()),
        step => {
            let files = input_files(step, None, context);
            let read: u64 = files.iter().filter_map(|file| file.path.metadata().ok()).map(|file| file.len()).sum();
            read + written_bytes(step)
        }
    };
    steps.iter().map(of_step).sum()
}

/// Bytes that stand in the template itself.
fn written_bytes(step: &Step) -> u64 {
    match step {
        Step::EnsureFile(template::EnsureFile { source: FileSource::Contents(text), .. }) => text.len() as u64,
        _ => 0,
    }
}

/// Bytes of an archive without its compression: gzip says at its end how many there were, modulo 2^32 (RFC 1952, 2.3.1).
fn unpacked_bytes(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    let mut magic = [0; 2];
    file.read_exact(&mut magic).ok()?;
    if magic != [0x1f, 0x8b] {
        return Some(len);
    }
    file.seek(SeekFrom::End(-4)).ok()?;
    let mut unpacked = [0; 4];
    file.read_exact(&mut unpacked).ok()?;
    Some(u64::from(u32::from_le_bytes(unpacked)).max(len))
}

/// Whether what a step brings is what it reads, or packages of known size.
fn is_told(located: &LocatedStep, planned: &PlannedStep) -> bool {
    match located.step {
        Step::DebBootstrap(_) => false,
        Step::PkgInstall(_) | Step::Onu(_) => {
            let is_told = |it: &PlannedPackages| it.is_known && it.unknown == 0 && it.size_unknown == 0;
            planned.packages.as_ref().is_some_and(is_told)
        }
        _ => true,
    }
}

/// Bytes of the image: those that the template says, or about as many as the files need.
fn image_bytes(target: &Target, files: u64, last: Option<&BuiltSize>) -> Option<u64> {
    // Names, metadata and what a file leaves free of its last block come to about as much.
    let needed = files + files / 20 + 16 * MIB;
    let auto = |free: u64, esp: u64| match last.and_then(|last| Some((last.image?, last.files))) {
        Some((image, before)) => (image + files).saturating_sub(before),
        None => needed + (free + esp) * MIB,
    };
    let bytes = match target {
        Target::Dataset(_) => return None,
        Target::Ufs(ufs) => ufs.size * MIB,
        Target::Pcfs(pcfs) => pcfs.size * MIB,
        Target::Iso(_) => match last.and_then(|last| Some((last.image?, last.files))) {
            Some((image, before)) => (image + files).saturating_sub(before),
            None => files + files / 50 + MIB,
        },
        Target::Pool(pool) => match pool.size {
            ImageSize::Mib(size) => size * MIB,
            ImageSize::Auto => auto(pool.free, if pool.uefi { 256 } else { 0 }),
        },
        Target::Disk(disk) => match disk.size {
            ImageSize::Mib(size) => size * MIB,
            ImageSize::Auto => auto(disk.root_free, disk.esp_size),
        },
    };
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn gzip_says_how_much_there_was() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("a.tar.gz");
        let mut packer = GzEncoder::new(File::create(&path).expect("a file"), Compression::best());
        packer.write_all(&[0; 100_000]).expect("packed");
        packer.finish().expect("written");
        assert!(path.metadata().expect("it is there").len() < 1000);
        assert_eq!(unpacked_bytes(&path), Some(100_000));
        std::fs::write(&path, [7; 500]).expect("written");
        assert_eq!(unpacked_bytes(&path), Some(500));
        assert_eq!(unpacked_bytes(directory.path()), None);
    }

    #[test]
    fn an_image_that_fits_its_content_grows_with_it() {
        let iso = Target::Iso(template::Iso { boot_bios: None, boot_uefi: None, volume_id: None, hybrid: None });
        let last = BuiltSize { state: String::new(), files: 100 * MIB, inputs: 0, image: Some(110 * MIB) };
        assert_eq!(image_bytes(&iso, 130 * MIB, Some(&last)), Some(140 * MIB));
        assert_eq!(image_bytes(&iso, 100 * MIB, None), Some(103 * MIB));
        let fat = Target::Pcfs(template::Pcfs { label: "X".to_owned(), size: 2 });
        assert_eq!(image_bytes(&fat, 1, None), Some(2 * MIB));
    }
}
