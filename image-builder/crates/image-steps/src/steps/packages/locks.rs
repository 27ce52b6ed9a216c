//! Locks: which packages a step leads to, as files that can be read, compared and carried to another workspace.

use super::{PackageError, configure};
use crate::context::Context;
use crate::output::write_atomically;
use crate::state::{ImageState, SavedState};
use image_tree::BlobHash;
use ips::image::Image;
use ips::lock::Lock;
use ips_client::repository::Payloads;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use template::Step;

/// Whether the packages after a step have to be locked.
fn is_locked(step: &Step) -> bool {
    match step {
        Step::PkgInstall(step) => !step.pkgs.is_empty(),
        Step::PkgUninstall(step) => !step.pkgs.is_empty(),
        Step::PkgChangeVariant(_) | Step::PkgChangeFacet(_) | Step::Onu(_) => true,
        _ => false,
    }
}

/// Where the lock of a step is that follows a state.
fn path(step: &Step, saved: &SavedState, context: &Context<'_>) -> PathBuf {
    let material = serde_json::to_vec(&(saved, step)).expect("hashes, names and numbers are JSON");
    let hash = blake3::hash(&material).to_hex();
    context.workspace.packages().join(format!("{}-{}.lock", step.name(), &hash[..16]))
}

/// Where the lock of a step is that follows a state; none for steps that have no lock.
pub(crate) fn lock_path(step: &Step, saved: &SavedState, context: &Context<'_>) -> Option<PathBuf> {
    is_locked(step).then(|| path(step, saved, context))
}

/// The hash of the lock of a step; none for steps that have no lock.
pub(crate) fn lock_hash(
    step: &Step,
    saved: &SavedState,
    context: &Context<'_>,
) -> Result<Option<String>, PackageError> {
    if !is_locked(step) {
        return Ok(None);
    }
    let text = of_step(step, saved, context)?.map_or_else(|| "not locked yet".to_owned(), |lock| lock.to_string());
    Ok(Some(BlobHash::of(text.as_bytes()).to_string()))
}

/// The lock of a step: the one that is there; or a new one if there is none or news are asked for. A plan writes
/// nothing and asks nobody: what it cannot know is none.
pub(super) fn of_step(step: &Step, saved: &SavedState, context: &Context<'_>) -> Result<Option<Lock>, PackageError> {
    let path = path(step, saved, context);
    let mut before = None;
    let mut refreshed = context.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
    let is_refreshed = !context.refresh || context.dry || refreshed.contains(&path);
    match fs::read_to_string(&path) {
        Ok(text) if is_refreshed => {
            return text.parse().map(Some).map_err(|source| PackageError::Lock { path, source });
        }
        // One that cannot be read is as good as none where a new one is made.
        Ok(text) => before = text.parse::<Lock>().ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(PackageError::LockFile { operation: "read", path, source }),
    }
    if context.dry {
        return Ok(None);
    }
    let lock = choose(step, saved, context)?;
    let failed = |source| PackageError::LockFile { operation: "write", path: path.clone(), source };
    let (header, rest) =
        lock.to_string().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
    let about = super::subject(step).unwrap_or_default();
    let text = format!("{header}\n# {}: {} {about}\n{rest}", context.output_name, step.name());
    fs::create_dir_all(context.workspace.packages()).map_err(failed)?;
    write_atomically(&path, text.as_bytes()).map_err(failed)?;
    if let Some(before) = before {
        tell_changes(&lock.changes_since(&before), context);
    }
    refreshed.insert(path);
    Ok(Some(lock))
}

/// Says what a new lock has that the old one did not.
fn tell_changes(changes: &[String], context: &Context<'_>) {
    const SHOWN_MAX: usize = 12;
    let shown = changes.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match changes.len().saturating_sub(SHOWN_MAX) {
        _ if changes.is_empty() => {}
        0 => context.progress.message(&format!("packages change: {shown}")),
        more => context.progress.message(&format!("packages change: {shown}, and {more} more")),
    }
}

fn choose(step: &Step, saved: &SavedState, context: &Context<'_>) -> Result<Lock, PackageError> {
    let state = ImageState::load(context.store, saved).map_err(|error| PackageError::State(error.into()))?;
    let image = Image::load(&state.root, &Payloads::new(context.store)).map_err(PackageError::Image)?;
    let mut image = image.ok_or(PackageError::NoImage)?;
    let wish = configure::configure(step, &mut image)?.unwrap_or_default();
    Ok(context.packages.choose(&image, &wish)?)
}
