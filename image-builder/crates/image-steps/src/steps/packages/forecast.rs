//! The package image as steps will leave it, as far as that can be told without doing them.
//!
//! What a plan knows of a workspace ends with the first step that has to be done. Packages are chosen from
//! catalogs alone, so what later steps bring of them can be told all the same, from one template to the next.

use super::{PackageError, PlannedPackages, configure, locks};
use crate::context::Context;
use crate::state::{ImageState, SavedState};
use crate::steps::unpacks;
use ips::fmri::PackageId;
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::install::Package;
use ips::lock::Lock;
use ips::resolve::Solution;
use ips_client::repository::Payloads;
use ips_client::{Amount, ClientError, Wish};
use template::Step;

/// What is known of the image at a place in a template.
#[derive(Clone, Debug, Default)]
pub(crate) enum Forecast {
    /// Nothing: it depends on what nobody can tell before it is made.
    #[default]
    Unknown,
    /// The state is there, and nobody has looked into it for an image yet.
    State(SavedState),
    /// There is no image.
    NoImage,
    /// There is one, set up like this; its packages may be unknown.
    Image { image: Box<Image>, has_packages: bool },
}

impl Forecast {
    /// What the step brings of packages; the forecast is then that of the state after it. `before` is the state before
    /// the step, if it is known: then there may be a lock.
    ///
    /// # Errors
    /// The step cannot be done; or a publisher does not answer who may be asked.
    pub(crate) fn advance(
        &mut self,
        step: &Step,
        before: Option<&SavedState>,
        context: &Context<'_>,
    ) -> Result<Option<PlannedPackages>, PackageError> {
        match step {
            Step::DebBootstrap(_) => *self = Self::Unknown,
            step if unpacks(step) => *self = Self::Unknown,
            _ => {}
        }
        if !is_package_step(step) {
            return Ok(None);
        }
        self.look(context)?;
        if let Step::PkgImageCreate(step) = step {
            *self = Self::Image { image: Box::new(configure::create(step)?), has_packages: true };
            return Ok(None);
        }
        match self {
            Self::Image { image, has_packages } => advance_image(image, has_packages, step, before, context),
            Self::NoImage => Err(PackageError::NoImage),
            Self::Unknown | Self::State(_) => Ok(is_told(step).then(PlannedPackages::default)),
        }
    }

    /// Reads the image of a state.
    fn look(&mut self, context: &Context<'_>) -> Result<(), PackageError> {
        let Self::State(saved) = self else { return Ok(()) };
        let state = match ImageState::load(context.store, saved) {
            Ok(state) => state,
            // A store that is only looked at does not even keep the empty state that a template begins with.
            Err(error) if error.is_missing() => {
                *self = Self::Unknown;
                return Ok(());
            }
            Err(error) => return Err(PackageError::State(error.into())),
        };
        let image = Image::load(&state.root, &Payloads::new(context.store)).map_err(PackageError::Image)?;
        *self = match image {
            Some(image) => Self::Image { image: Box::new(image), has_packages: true },
            None => Self::NoImage,
        };
        Ok(())
    }
}

fn advance_image(
    image: &mut Image,
    has_packages: &mut bool,
    step: &Step,
    before: Option<&SavedState>,
    context: &Context<'_>,
) -> Result<Option<PlannedPackages>, PackageError> {
    let Some(wish) = configure::configure(step, image)? else { return Ok(None) };
    let origins = |known: &PublisherConfig| known.origins.iter().map(|origin| super::shown(origin)).collect();
    let publishers = image.config.publishers.iter();
    let mut planned = PlannedPackages {
        publishers: publishers.map(|known| (known.name.to_string(), origins(known))).collect(),
        ..PlannedPackages::default()
    };
    let chosen = if *has_packages { choose(image, &wish, step, before, context)? } else { Choice::Unknown };
    let Solution { packages, avoided } = match chosen {
        Choice::Made(solution) => solution,
        Choice::Unknown => {
            *has_packages = false;
            return Ok(is_told(step).then_some(planned));
        }
        Choice::Impossible(problem) => {
            *has_packages = false;
            planned.problem = Some(problem);
            return Ok(Some(planned));
        }
    };
    let is_new = |id: &&PackageId| image.package(&id.stem).is_none_or(|known| known.id != **id);
    let new: Vec<&PackageId> = packages.iter().filter(is_new).collect();
    let kept = context.packages.kept_packages(&new);
    tell(&mut planned, &new, &kept, &image.config, context);
    let stays = image.packages().filter(|known| packages.contains(&known.id)).cloned();
    let others = context.packages.outlines(&image.config, &without(&new, &kept))?;
    let after: Vec<Package> = stays.chain(kept).chain(others).collect();
    image.assume(after, avoided);
    Ok(Some(planned).filter(|_| is_told(step)))
}

/// Whether a step looks at the package image or changes it.
fn is_package_step(step: &Step) -> bool {
    matches!(
        step,
        Step::PkgImageCreate(_)
            | Step::PkgSetPublisher(_)
            | Step::PkgApproveCaCert(_)
            | Step::PkgSetProperty(_)
            | Step::PkgInstall(_)
            | Step::PkgUninstall(_)
            | Step::PkgChangeVariant(_)
            | Step::PkgChangeFacet(_)
            | Step::PkgPurgeHistory(_)
            | Step::Onu(_)
    )
}

/// Whether a plan tells of the packages of the step.
fn is_told(step: &Step) -> bool {
    matches!(step, Step::PkgInstall(_) | Step::Onu(_))
}

enum Choice {
    /// What is in the image afterwards.
    Made(Solution),
    /// The catalogs are not here.
    Unknown,
    /// They are here, and there is no such set of packages.
    Impossible(String),
}

fn choose(
    image: &Image,
    wish: &Wish,
    step: &Step,
    before: Option<&SavedState>,
    context: &Context<'_>,
) -> Result<Choice, PackageError> {
    if let Some(saved) = before {
        if let Some(lock) = locks::of_step(step, saved, context)? {
            return Ok(Choice::Made(of_lock(&lock)));
        }
    }
    if !context.packages.is_offline() {
        // The manifests come with it, which say how large everything is.
        let lock = context.packages.choose(image, wish)?;
        return Ok(Choice::Made(of_lock(&lock)));
    }
    match context.packages.preview(image, wish) {
        Ok(solution) => Ok(Choice::Made(solution)),
        Err(error @ ClientError::Resolve(_)) => Ok(Choice::Impossible(error.to_string())),
        Err(_) => Ok(Choice::Unknown),
    }
}

fn of_lock(lock: &Lock) -> Solution {
    Solution { packages: lock.packages().cloned().collect(), avoided: lock.avoided.clone() }
}

fn without<'i>(ids: &[&'i PackageId], kept: &[Package]) -> Vec<&'i PackageId> {
    ids.iter().copied().filter(|id| kept.iter().all(|package| package.id != **id)).collect()
}

fn tell(
    planned: &mut PlannedPackages,
    new: &[&PackageId],
    kept: &[Package],
    config: &ImageConfig,
    context: &Context<'_>,
) {
    let missing = context.packages.missing(config, &kept.iter().collect::<Vec<_>>());
    let delivered = kept.iter().flat_map(|package| &package.manifest.actions);
    let delivered = delivered.filter(|action| config.variants.allow(action) && config.facets.allow(action));
    let size: Amount = delivered.filter_map(|action| Some(action.payload()?.size().ok().flatten())).collect();
    planned.is_known = true;
    planned.new = new.iter().map(|id| id.short()).collect();
    (planned.size_bytes, planned.size_unknown) = (size.bytes, size.unknown);
    planned.fetch_files = missing.files;
    (planned.fetch_bytes, planned.fetch_unknown) = (missing.amount.bytes, missing.amount.unknown);
    planned.unknown = new.len() - kept.len();
}
