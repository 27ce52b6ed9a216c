//! What a plan tells about packages.

use super::{PackageError, configure, locks};
use crate::state::{ImageState, SavedState};
use crate::steps::Context;
use ips::fmri::PackageId;
use ips::image::Image;
use ips_client::repository::Payloads;
use serde::Serialize;
use template::Step;

/// Which packages a step brings, as far as that is known without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlannedPackages {
    /// Whether the packages are chosen; if not, the catalogs of the publishers are fetched first.
    pub is_known: bool,
    /// The packages that the image does not have yet: name and version.
    pub new: Vec<String>,
    /// How many files have to be fetched for them.
    pub fetch_files: usize,
    /// How many bytes these files have, packed.
    pub fetch_bytes: u64,
    /// How many new packages are of unknown size, because not even their manifests are here.
    pub unknown: usize,
    /// The publishers, and where each is asked.
    pub publishers: Vec<(String, Vec<String>)>,
}

/// What the step would bring; none for a step that changes no packages, or where that cannot be told.
pub(crate) fn planned(step: &Step, saved: &SavedState, context: &Context<'_>) -> Option<PlannedPackages> {
    if !matches!(step, Step::PkgInstall(_) | Step::Onu(_)) {
        return None;
    }
    look(step, saved, context).ok()
}

fn look(step: &Step, saved: &SavedState, context: &Context<'_>) -> Result<PlannedPackages, PackageError> {
    let state = ImageState::load(context.store, saved).map_err(|error| PackageError::State(error.into()))?;
    let image = Image::load(&state.root, &Payloads::new(context.store)).map_err(PackageError::Image)?;
    let mut image = image.ok_or(PackageError::NoImage)?;
    let wish = configure::configure(step, &mut image)?.unwrap_or_default();
    let publishers = &image.config.publishers;
    let mut planned = PlannedPackages {
        publishers: publishers.iter().map(|known| (known.name.to_string(), known.origins.clone())).collect(),
        ..PlannedPackages::default()
    };
    let packages: Vec<PackageId> = match locks::of_step(step, saved, context)? {
        Some(lock) => lock.packages().cloned().collect(),
        None => match context.packages.preview(&image, &wish) {
            Ok(packages) => packages,
            // The catalogs are not here.
            Err(_) => return Ok(planned),
        },
    };
    let is_new = |id: &&PackageId| image.package(&id.stem).is_none_or(|known| known.id != **id);
    let new: Vec<&PackageId> = packages.iter().filter(is_new).collect();
    let kept = context.packages.kept_packages(&new);
    let missing = context.packages.missing(&image.config, &kept.iter().collect::<Vec<_>>());
    planned.is_known = true;
    planned.new = new.iter().map(|id| id.short()).collect();
    (planned.fetch_files, planned.fetch_bytes) = (missing.files, missing.bytes);
    planned.unknown = new.len() - kept.len();
    Ok(planned)
}
