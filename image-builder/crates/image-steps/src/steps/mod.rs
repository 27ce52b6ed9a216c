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
mod inputs;
mod packages;

pub(crate) use boot::ROOT_ROLE;
pub(crate) use error::lacks_content;
pub use error::{StepError, help_of_cause};
pub(crate) use illumos::{CONTAINER, check_bootable, hidden_by, note_in_pool, update_boot_archive};
pub use illumos::{DISK_DRIVERS, REQUIRED as REQUIRED_FOR_BOOT, Wanted, missing_disk_modules};
pub use inputs::InputSource;
pub(crate) use inputs::{InputFile, files_to_tell, input_files, inputs};
pub(crate) use packages::Forecast;
pub use packages::{PackageError, PlannedPackages};

use crate::context::Context;
use crate::debian::{self, Bootstrap};
use crate::state::ImageState;
use crate::tools;
use image_tree::ImagePath;
use std::sync::Arc;
use template::{Diagnostic, FileSource, LocatedStep, Step, Template};

/// What a step did beside changing the state.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Names of the files that it wrote to the output directory.
    pub(crate) outputs: Vec<String>,
    /// What it has removed, if it does nothing else.
    pub(crate) removed: Vec<ImagePath>,
}

/// Does the step.
///
/// # Errors
/// Whatever stops it; the state is then of no use any more.
pub(crate) fn run(step: &Step, state: &mut ImageState, context: &Context<'_>) -> Result<Done, StepError> {
    let mut done = Done::default();
    match step {
        Step::EnsureFile(step) => files::ensure_file(step, state, context)?,
        Step::EnsureDir(step) => files::ensure_dir(step, state)?,
        Step::EnsureSymlink(step) => files::ensure_symlink(step, state)?,
        Step::EnsurePerms(step) => files::ensure_perms(step, state)?,
        Step::RemoveFiles(step) => done.removed = files::remove_files(step, state)?,
        Step::AssembleFiles(step) => files::assemble_files(step, state, context)?,
        Step::RequirePath(step) => files::require_path(step, state)?,
        Step::Shadow(step) => account::shadow(step, state, context)?,
        Step::Gzip(step) => archive::gzip(step, state, context)?,
        Step::Digest(step) => archive::digest(step, state, context)?,
        Step::PackTar(step) => done.outputs.push(archive::pack_tar(step, state, context)?),
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
    Ok(done)
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

/// Whether a step replaces the root by what was packed.
pub(crate) fn unpacks(step: &Step) -> bool {
    matches!(step, Step::UnpackTar(unpack) if !unpack.into_tmp)
}

/// Why a template cannot be built here, if one of its steps needs something that is not there.
pub(crate) fn unsupported(template: &Template, has_svccfg: bool) -> Option<String> {
    template.steps.iter().find_map(|located| Some(unsupported_reason(&located.step, has_svccfg)?.0))
}

/// The same, pointing at the step.
pub(crate) fn unsupported_step(located: &LocatedStep, has_svccfg: bool) -> Option<Diagnostic> {
    let (reason, help) = unsupported_reason(&located.step, has_svccfg)?;
    Some(Diagnostic::error("step::unsupported", reason).at(&located.origin, "this step").help(help))
}

/// Why a step cannot be done here, and how to go on.
fn unsupported_reason(step: &Step, has_svccfg: bool) -> Option<(String, String)> {
    match step {
        Step::DebBootstrap(wish) => {
            if let Some(missing) = tools::missing(&tools::BOOTSTRAP) {
                let reason = format!("deb_bootstrap needs {}, which is not installed", missing.program);
                return Some((reason, missing.help()));
            }
            let help = "build it on a host of that architecture and put what it packs into the output directory";
            Some((debian::unsupported(wish)?, help.to_owned()))
        }
        Step::SeedSmf(step) if !has_svccfg && (step.debug || step.seed.is_none()) => {
            let reason = "seed_smf with `debug` or `skip_seed` needs the svccfg of an illumos system";
            let help = "name one with `-S` on an illumos host, or run this template with the illumos image-builder and put \
                        what it packs into the output directory";
            Some((reason.to_owned(), help.to_owned()))
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

/// The step's word and what it acts on, for people.
pub(crate) fn title(located: &LocatedStep) -> String {
    match subject(&located.step) {
        Some(subject) => format!("{} {subject}", located.step.name()),
        None => located.step.name().to_owned(),
    }
}

/// Where it is written: file, line and column.
pub(crate) fn origin(located: &LocatedStep) -> String {
    let origin = &located.origin;
    format!("{}:{}:{}", origin.file().display(), origin.line(), origin.column())
}
