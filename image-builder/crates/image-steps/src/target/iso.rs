//! An ISO 9660 image.

use super::error::TargetError;
use crate::context::Context;
use crate::output::persist;
use crate::state::{BUILD_TIME, ImageState};
use iso_image::{Hybrid, IsoError, IsoImage, IsoOptions};
use std::io::BufWriter;
use std::path::Path;
use template::{Diagnostic, Iso, Template};

/// Writes the image to `path`.
pub(super) fn write(
    iso: &Iso,
    template: &Template,
    state: &ImageState,
    path: &Path,
    context: &Context<'_>,
) -> Result<(), TargetError> {
    let hybrid = iso.hybrid.as_ref();
    let options = IsoOptions {
        label: iso.volume_id.clone(),
        boot_bios: iso.boot_bios.clone(),
        boot_uefi: iso.boot_uefi.clone(),
        hybrid: hybrid.map(|hybrid| Hybrid { stage1: hybrid.stage1.clone(), stage2: hybrid.stage2.clone() }),
        time: BUILD_TIME,
        seed: context.seed,
    };
    let failed = |source| explain(source, iso, template, path);
    let image = IsoImage::new(&state.root, context.store, &options).map_err(failed)?;
    let unwritable = |source| TargetError::File { path: path.to_owned(), source };
    let file = tempfile::Builder::new().prefix(".writing-").tempfile_in(context.workspace.output());
    let mut writer = BufWriter::with_capacity(1 << 20, file.map_err(unwritable)?);
    let report = image.write(&mut writer).map_err(failed)?;
    let file = writer.into_inner().map_err(|error| unwritable(error.into_error()))?;
    persist(file, path).map_err(unwritable)?;
    let (files, directories, mib) = (report.files, report.directories, report.bytes >> 20);
    context.progress.message(&format!("ISO 9660: {files} contents in {directories} directories, {mib} MiB"));
    Ok(())
}

/// What is wrong with a boot image is said where the template names it.
fn explain(source: IsoError, iso: &Iso, template: &Template, path: &Path) -> TargetError {
    let named = |text: &str| {
        let hybrid = iso.hybrid.iter().any(|hybrid| hybrid.stage1 == text || hybrid.stage2 == text);
        if iso.boot_bios.as_deref() == Some(text) {
            "boot_bios"
        } else if hybrid {
            "hybrid"
        } else {
            "boot_uefi"
        }
    };
    let key = match &source {
        IsoError::BootPath { path, .. } | IsoError::BootMissing { path, .. } => named(path),
        IsoError::BootKind { path, .. } | IsoError::BootLength { path, .. } => {
            named(&String::from_utf8_lossy(path.relative_bytes()))
        }
        IsoError::Hybrid(_) | IsoError::Stage2Length { .. } => "hybrid",
        IsoError::Label { .. } => "volume_id",
        _ => return TargetError::Iso { path: path.to_owned(), source: Box::new(source) },
    };
    let cause = std::error::Error::source(&source).map(|cause| format!(": {cause}")).unwrap_or_default();
    let diagnostic = Diagnostic::error("target::iso", format!("{source}{cause}"));
    TargetError::Template(Box::new(diagnostic.at(&template.target_origin_of(key), "named here")))
}
