//! Steps about IPS packages.
//!
//! A step changes the configuration of the image (`configure`), and maybe its packages. Which packages that are is
//! settled by a lock (`locks`), which is known by the state before the step and the step itself: so it is made once, and
//! again only when somebody asks for news.

mod configure;
mod error;
mod forecast;
mod locks;
mod plan;

use crate::context::Context;
use crate::state::{BUILD_TIME, ImageState};
use image_tree::ImagePath;
use ips::image::Image;
use ips::time::OperationTime;
use ips_client::Address;
use ips_client::repository::Payloads;
use std::path::PathBuf;
use template::Step;

pub use error::PackageError;
pub(crate) use forecast::Forecast;
pub(crate) use locks::{lock_hash, lock_path};
pub use plan::PlannedPackages;

/// Where histories of package operations are.
const HISTORY: &str = "/var/pkg/history";

/// The time of everything that packages leave in an image.
fn time() -> OperationTime {
    OperationTime::from_unix_seconds(BUILD_TIME.secs)
}

/// Whether a step can take long.
pub(crate) fn is_expensive(step: &Step) -> bool {
    matches!(step, Step::PkgInstall(_) | Step::Onu(_))
}

/// What a step acts on, for people.
pub(crate) fn subject(step: &Step) -> Option<String> {
    let text = match step {
        Step::PkgImageCreate(step) => {
            let first = step.publisher.as_ref();
            return first.map(|first| from(&first.publisher, std::slice::from_ref(&first.uri)));
        }
        Step::PkgSetPublisher(step) => return Some(from(&step.publisher, &step.origins)),
        Step::PkgApproveCaCert(step) => &step.publisher,
        Step::PkgSetProperty(step) => &step.name,
        Step::PkgInstall(step) => return Some(listed(&step.pkgs)),
        Step::PkgUninstall(step) => return Some(listed(&step.pkgs)),
        Step::PkgChangeVariant(step) => return Some(format!("{}={}", step.variant, step.value)),
        Step::PkgChangeFacet(step) => return Some(format!("{}={}", step.facet, step.value)),
        Step::Onu(step) => &step.repo,
        _ => return None,
    };
    Some(text.clone())
}

/// The archives of packages, of this host, that a step makes origins or mirrors. What is in them enters the image by the locks of
/// later steps, so that an archive that changes is as little a reason to build anew as a depot that does.
pub(crate) fn archives(step: &Step) -> Vec<PathBuf> {
    let first = |step: &template::PkgImageCreate| step.publisher.iter().map(|first| first.uri.clone()).collect();
    let addresses: Vec<String> = match step {
        Step::PkgImageCreate(step) => first(step),
        Step::PkgSetPublisher(step) => step.origins.iter().chain(&step.mirrors).cloned().collect(),
        Step::Onu(step) => vec![step.repo.clone()],
        _ => Vec::new(),
    };
    let local = addresses.iter().filter_map(|address| match address.parse() {
        Ok(Address::Local(path)) => Some(path),
        _ => None,
    });
    local.filter(|path| path.is_file() || path.extension().is_some_and(|end| end == "p5p")).collect()
}

/// A publisher and where its packages are, without what only the server may know.
fn from(publisher: &str, uris: &[String]) -> String {
    [publisher.to_owned()].into_iter().chain(uris.iter().map(|uri| shown(uri))).collect::<Vec<_>>().join(" ")
}

fn shown(uri: &str) -> String {
    uri.parse().map_or_else(|_| uri.to_owned(), |address: Address| address.shown())
}

fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    let shown = names.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(" ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Does the step.
pub(crate) fn run(step: &Step, state: &mut ImageState, context: &Context<'_>) -> Result<(), PackageError> {
    let payloads = Payloads::new(context.store);
    let known = Image::load(&state.root, &payloads).map_err(PackageError::Image)?;
    if let Step::PkgImageCreate(step) = step {
        if known.is_some() {
            return Err(PackageError::Exists);
        }
        let image = configure::create(step)?;
        state.root = image.save(&state.root, &payloads, time()).map_err(PackageError::Image)?;
        return Ok(());
    }
    let mut image = known.ok_or(PackageError::NoImage)?;
    if let Step::PkgPurgeHistory(_) = step {
        return purge_history(state);
    }
    if let Step::PkgApproveCaCert(step) = step {
        state.root = configure::approve(step, &mut image, &state.root, &payloads)?;
    }
    let saved = state.save(context.store).map_err(PackageError::state)?;
    let wish = configure::configure(step, &mut image)?;
    state.root = match wish {
        None => image.save(&state.root, &payloads, time()).map_err(PackageError::Image)?,
        Some(_) => {
            let lock = locks::of_step(step, &saved, context)?;
            let lock = lock.ok_or(PackageError::NoLock)?;
            context.packages.install(&state.root, &mut image, &lock, time())?
        }
    };
    if let Step::Onu(_) = step {
        purge_history(state)?;
    }
    Ok(())
}

/// We write no history; one may have come with an archive.
fn purge_history(state: &mut ImageState) -> Result<(), PackageError> {
    let path = ImagePath::new(HISTORY).expect("a plain path");
    if state.root.get(&path).is_some_and(image_tree::Node::is_directory) {
        let failed = |source| PackageError::Tree { path: HISTORY.to_owned(), source: Box::new(source) };
        let names: Vec<ImagePath> =
            state.root.read_dir(&path).into_iter().flatten().filter_map(|(name, _)| path.join(name).ok()).collect();
        for name in names {
            state.root.remove_subtree(&name).map(drop).map_err(failed)?;
        }
    }
    Ok(())
}
