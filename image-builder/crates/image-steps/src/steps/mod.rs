//! What each step type does to an image.
//!
//! A step sees the state, the store, and the files of the host that it names; it starts no
//! process but `deb_bootstrap`, and writes nothing on the host but `pack_tar`'s archive.

mod account;
mod archive;
mod boot;
mod error;
mod files;
mod illumos;
mod packages;

pub(crate) use boot::ROOT_ROLE;
pub use error::StepError;
pub(crate) use error::lacks_content;
pub(crate) use illumos::{CONTAINER, check_bootable, hidden_by, note_in_pool, update_boot_archive};
pub use illumos::{DISK_DRIVERS, REQUIRED as REQUIRED_FOR_BOOT, Wanted, missing_disk_modules};
pub(crate) use packages::planned as planned_packages;
pub use packages::{PackageError, PlannedPackages};

use crate::debian::{self, Bootstrap};
use crate::inputs::hash_file;
use crate::progress::Progress;
use crate::state::{ImageState, SavedState};
use crate::tools;
use crate::workspace::Workspace;
use disk_image::DiskSeed;
use image_tree::{BlobHash, Store};
use ips_client::Client;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use template::{Diagnostic, FileSource, LocatedStep, Step, Template};

/// What steps are run with.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Where content goes.
    pub(crate) store: &'a Store,
    /// Where files of the host are.
    pub(crate) workspace: &'a Workspace,
    /// Who hears of it.
    pub(crate) progress: &'a Arc<dyn Progress>,
    /// What identifiers inside the image are derived from.
    pub(crate) seed: DiskSeed,
    /// Group and output name, joined: the stem of the output's file name.
    pub(crate) output_name: String,
    /// Package locks are made anew.
    pub(crate) refresh: bool,
    /// Those that were made anew already: once in a run is enough, however often a key is made of them.
    pub(crate) refreshed: &'a Mutex<BTreeSet<PathBuf>>,
    /// The store lacks something that it should have: a known result counts only if it is whole.
    pub(crate) distrust: bool,
    /// What brings packages of IPS.
    pub(crate) packages: &'a Client<'a>,
    /// The program that seeds service repositories, where there is one.
    pub(crate) svccfg: Option<&'a Path>,
    /// Nothing may be fetched or written: this is a plan.
    pub(crate) dry: bool,
    /// Known results of this template do not count.
    pub(crate) redo: bool,
    /// Group and name of the template.
    pub(crate) subject: String,
    /// Began with the run.
    pub(crate) clock: Instant,
}

/// Something that a step reads beside the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// What it is, for people.
    pub(crate) what: String,
    /// What it is, for keys.
    pub(crate) hash: String,
}

/// Everything that a step reads beside the state before it, `saved`.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn inputs(step: &Step, saved: &SavedState, context: &Context<'_>) -> Result<Vec<Input>, StepError> {
    let file = |path: &Path| {
        Ok::<_, StepError>(vec![Input { what: path.display().to_string(), hash: hash_of(path, context)? }])
    };
    let output = |name: &str| file(&context.workspace.output().join(name));
    Ok(match step {
        Step::EnsureFile(step) => match &step.source {
            FileSource::Template { path, .. } | FileSource::External { path, .. } => file(path)?,
            FileSource::Output { name } => output(name)?,
            FileSource::Image { .. } | FileSource::Tar { .. } | FileSource::Contents(_) => Vec::new(),
        },
        Step::UnpackTar(unpack) => output(&unpack.name)?,
        Step::Gzip(gzip) => output(&gzip.src)?,
        Step::Digest(digest) => output(&digest.src)?,
        Step::DebBootstrap(wish) => {
            let tools = tools::versions(&tools::BOOTSTRAP, context.store).into_iter();
            let tool = |version: String| {
                let name = version.split(':').next().unwrap_or_default();
                Input { what: format!("the version of {name}"), hash: version }
            };
            let mut inputs: Vec<Input> = tools.map(tool).collect();
            inputs.push(Input { what: "the lock of the packages".to_owned(), hash: package_lock(wish, context)? });
            inputs
        }
        Step::PkgApproveCaCert(step) => file(&step.path)?,
        Step::SeedSmf(_) => context.svccfg.map_or_else(|| Ok(Vec::new()), file)?,
        step if packages::is_package_step(step) => {
            let hash = packages::lock_hash(step, saved, context)?;
            hash.map(|hash| Input { what: "the lock of the packages".to_owned(), hash }).into_iter().collect()
        }
        // What it writes names the root partition, whose identifier comes from the seed.
        Step::SystemdBoot(_) => {
            let hash = boot::root_partition(context).to_string();
            vec![Input { what: "the name of the output".to_owned(), hash }]
        }
        _ => Vec::new(),
    })
}

fn hash_of(path: &Path, context: &Context<'_>) -> Result<String, StepError> {
    if context.dry && !path.exists() {
        return Ok("not there yet".to_owned());
    }
    Ok(hash_file(path, context.store)?.to_string())
}

fn package_lock(wish: &template::DebBootstrap, context: &Context<'_>) -> Result<String, StepError> {
    let bootstrap = Bootstrap::new(wish, &context.workspace.debian(), Arc::clone(context.progress))?;
    let text = if context.dry {
        std::fs::read_to_string(bootstrap.lock_path()).unwrap_or_default()
    } else {
        let mut refreshed = context.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh = context.refresh && refreshed.insert(bootstrap.lock_path());
        bootstrap.lock(refresh)?.to_json()
    };
    Ok(BlobHash::of(text.as_bytes()).to_string())
}

/// Does the step. Answers the names of the files that it wrote to the output directory.
///
/// # Errors
/// Whatever stops it; the state is then of no use any more.
pub(crate) fn run(step: &Step, state: &mut ImageState, context: &Context<'_>) -> Result<Vec<String>, StepError> {
    match step {
        Step::EnsureFile(step) => files::ensure_file(step, state, context)?,
        Step::EnsureDir(step) => files::ensure_dir(step, state)?,
        Step::EnsureSymlink(step) => files::ensure_symlink(step, state)?,
        Step::EnsurePerms(step) => files::ensure_perms(step, state)?,
        Step::RemoveFiles(step) => files::remove_files(step, state)?,
        Step::AssembleFiles(step) => files::assemble_files(step, state, context)?,
        Step::RequirePath(step) => files::require_path(step, state)?,
        Step::Shadow(step) => account::shadow(step, state, context)?,
        Step::Gzip(step) => archive::gzip(step, state, context)?,
        Step::Digest(step) => archive::digest(step, state, context)?,
        Step::PackTar(step) => return archive::pack_tar(step, state, context).map(|name| vec![name]),
        Step::UnpackTar(step) => archive::unpack_tar(step, state, context)?,
        Step::DebBootstrap(wish) => {
            let bootstrap = Bootstrap::new(wish, &context.workspace.debian(), Arc::clone(context.progress))?;
            let lock = bootstrap.lock(false)?;
            state.root = bootstrap.build(&lock, context.store)?;
        }
        Step::SystemdBoot(step) => boot::systemd_boot(step, state, context)?,
        Step::CreateBe(_) | Step::CreateDataset(_) => illumos::note_in_pool(step, &mut state.pool)?,
        Step::MakeBootable(_) => illumos::make_bootable(state, context)?,
        Step::Devfsadm(_) => illumos::devfsadm(state)?,
        Step::SeedSmf(step) => illumos::seed_smf(step, state, context)?,
        step => packages::run(step, state, context)?,
    }
    Ok(Vec::new())
}

/// Whether a step takes so long that its result is made durable at once.
pub(crate) fn is_expensive(step: &Step) -> bool {
    matches!(step, Step::DebBootstrap(_) | Step::UnpackTar(_) | Step::PackTar(_)) || packages::is_expensive(step)
}

/// Whether a step takes something out of the root and does nothing else.
pub(crate) fn only_removes(step: &Step) -> bool {
    matches!(step, Step::RemoveFiles(_))
}

/// The file of the output directory that a step reads.
pub(crate) fn takes_output(step: &Step) -> Option<&str> {
    match step {
        Step::UnpackTar(step) => Some(&step.name),
        Step::Gzip(step) => Some(&step.src),
        Step::Digest(step) => Some(&step.src),
        Step::EnsureFile(step) => match &step.source {
            FileSource::Output { name } => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Why a template cannot be built by this program, if one of its steps needs something that is not there yet.
pub(crate) fn unsupported(template: &Template, has_svccfg: bool) -> Option<String> {
    template.steps.iter().find_map(|located| unsupported_reason(&located.step, has_svccfg))
}

/// The same, pointing at the step.
pub(crate) fn unsupported_step(located: &LocatedStep, has_svccfg: bool) -> Option<Diagnostic> {
    let reason = unsupported_reason(&located.step, has_svccfg)?;
    let diagnostic = Diagnostic::error("step::unsupported", reason).at(&located.origin, "this step");
    let help = match located.step {
        Step::DebBootstrap(_) => {
            "build it on a host of that architecture and put what it packs into the output directory"
        }
        _ => {
            "name one with `-S` on an illumos host, or run this template with the illumos image-builder and put what it \
             packs into the output directory"
        }
    };
    Some(diagnostic.help(help))
}

fn unsupported_reason(step: &Step, has_svccfg: bool) -> Option<String> {
    match step {
        Step::DebBootstrap(wish) => debian::unsupported(wish),
        Step::SeedSmf(step) if !has_svccfg && (step.debug || step.seed.is_none()) => {
            Some("seed_smf with `debug` or `skip_seed` needs the svccfg of an illumos system".to_owned())
        }
        _ => None,
    }
}

/// What a step acts on, for people.
pub(crate) fn subject(step: &Step) -> Option<String> {
    let text = match step {
        Step::EnsureFile(step) => &step.file,
        Step::EnsureDir(step) => &step.dir,
        Step::EnsureSymlink(step) => &step.link,
        Step::EnsurePerms(step) => &step.path,
        Step::AssembleFiles(step) => &step.output,
        Step::RequirePath(step) => &step.path,
        Step::Shadow(step) => &step.username,
        Step::Gzip(step) => &step.target,
        Step::Digest(step) => &step.target,
        Step::PackTar(step) => &step.name,
        Step::UnpackTar(step) => &step.name,
        Step::CreateDataset(step) => &step.name,
        Step::DebBootstrap(step) => &step.suite,
        Step::RemoveFiles(step) => return Some(files::removal_subject(step)),
        step => return packages::subject(step),
    };
    Some(text.clone())
}
