//! What a step reads beside the state before it.

use super::{StepError, boot, packages};
use crate::context::Context;
use crate::debian::Bootstrap;
use crate::inputs::{Input, hash_file};
use crate::state::SavedState;
use crate::tools;
use image_tree::BlobHash;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use template::{DebBootstrap, FileSource, Step};

/// Where a file that a step reads comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSource {
    /// It was found below a template root.
    Templates,
    /// It was found in a directory of `-E`.
    External,
    /// It is in the workspace's output directory.
    Output,
    /// It says which packages are meant; the workspace keeps it.
    Lock,
    /// It is an archive of packages, from which later steps install.
    Packages,
    /// It is somewhere else on the host.
    Host,
}

/// A file that a step reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    pub(crate) source: InputSource,
}

/// The files that a step reads, and those that it makes others read; without the state before it those whose place that
/// decides are left out.
pub(crate) fn files_to_tell(step: &Step, saved: Option<&SavedState>, context: &Context<'_>) -> Vec<InputFile> {
    let archives = packages::archives(step).into_iter();
    let archives = archives.map(|path| InputFile { path, source: InputSource::Packages });
    archives.chain(input_files(step, saved, context)).collect()
}

/// The files that a step reads; without the state before it those whose place that decides are left out.
pub(crate) fn input_files(step: &Step, saved: Option<&SavedState>, context: &Context<'_>) -> Vec<InputFile> {
    let file = |path: PathBuf, source| Some(InputFile { path, source });
    let output = |name: &str| file(context.workspace.output().join(name), InputSource::Output);
    let found = match step {
        Step::EnsureFile(step) => match &step.source {
            FileSource::Template { path, .. } => file(path.clone(), InputSource::Templates),
            FileSource::External { path, .. } => file(path.clone(), InputSource::External),
            FileSource::Output { name } => output(name),
            FileSource::Image { .. } | FileSource::Tar { .. } | FileSource::Contents(_) => None,
        },
        Step::UnpackTar(unpack) => output(&unpack.name),
        Step::Gzip(gzip) => output(&gzip.src),
        Step::Digest(digest) => output(&digest.src),
        Step::DebBootstrap(wish) => {
            let bootstrap = Bootstrap::new(wish, &context.workspace.debian(), Arc::clone(context.progress));
            bootstrap.ok().and_then(|bootstrap| file(bootstrap.lock_path(), InputSource::Lock))
        }
        Step::PkgApproveCaCert(step) => file(step.path.clone(), InputSource::Templates),
        Step::SeedSmf(_) => context.svccfg.and_then(|path| file(path.to_owned(), InputSource::Host)),
        step => saved
            .and_then(|saved| packages::lock_path(step, saved, context))
            .and_then(|path| file(path, InputSource::Lock)),
    };
    found.into_iter().collect()
}

/// Everything that a step reads beside the state before it, `saved`, for the key of its result.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn inputs(step: &Step, saved: &SavedState, context: &Context<'_>) -> Result<Vec<Input>, StepError> {
    let lock = |hash| Input { what: "the lock of the packages".to_owned(), hash };
    Ok(match step {
        Step::DebBootstrap(wish) => {
            let tools = tools::versions(&tools::BOOTSTRAP, context.store).into_iter();
            let tool = |version: String| {
                let name = version.split(':').next().unwrap_or_default();
                Input { what: format!("the version of {name}"), hash: version }
            };
            tools.map(tool).chain([lock(debian_lock_hash(wish, context)?)]).collect()
        }
        // What it writes names the root partition, whose identifier comes from the seed.
        Step::SystemdBoot(_) => {
            let hash = boot::root_partition(context).to_string();
            vec![Input { what: "the name of the output".to_owned(), hash }]
        }
        step => match packages::lock_hash(step, saved, context)? {
            Some(hash) => vec![lock(hash)],
            None => {
                let files = input_files(step, Some(saved), context).into_iter();
                let input = |file: InputFile| {
                    let (what, hash) = (file.path.display().to_string(), hash_of(&file.path, context)?);
                    Ok(Input { what, hash })
                };
                files.map(input).collect::<Result<_, StepError>>()?
            }
        },
    })
}

fn hash_of(path: &Path, context: &Context<'_>) -> Result<String, StepError> {
    if context.dry && !path.exists() {
        return Ok("not there yet".to_owned());
    }
    Ok(hash_file(path, context.store)?.to_string())
}

fn debian_lock_hash(wish: &DebBootstrap, context: &Context<'_>) -> Result<String, StepError> {
    let bootstrap = Bootstrap::new(wish, &context.workspace.debian(), Arc::clone(context.progress))?;
    let text = if context.dry {
        fs::read_to_string(bootstrap.lock_path()).unwrap_or_default()
    } else {
        let mut refreshed = context.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh = context.refresh && refreshed.insert(bootstrap.lock_path());
        bootstrap.lock(refresh)?.to_json()
    };
    Ok(BlobHash::of(text.as_bytes()).to_string())
}
