//! Seeding the service repository as the illumos image builder does it, with a `svccfg` that the user names (`-S`).
//!
//! It has to be one of an illumos system, and fit the image's definitions of services. What it reads is laid out in a
//! scratch directory: manifests, profiles and the DTD, every link already followed inside the image, so that nothing of
//! the host can be reached through one.
//!
//! Facts: svccfg(8), and the procedure of the illumos image builder.

use super::super::StepError;
use super::super::error::{path, store, tree};
use super::super::files::{put, tree_content};
use crate::context::Context;
use crate::state::{ImageState, written};
use image_tree::{Content, Follow, ImagePath, Node};
use process_runner::Command;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use template::SeedSmf;

/// Importing some three hundred manifests takes minutes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(1800);
const MANIFESTS: &str = "/lib/svc/manifest";
const DTD: &str = "/usr/share/lib/xml/dtd/service_bundle.dtd.1";
const REPOSITORY: &str = "/etc/svc/repository.db";

/// Makes the repository of the image with `program`.
pub(super) fn seed(
    step: &SeedSmf,
    program: &Path,
    state: &mut ImageState,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let directory = context.workspace.work();
    let scratch = tempfile::tempdir_in(directory).map_err(host("make", directory))?;
    let seeding = Seeding { program, root: scratch.path().join("root"), repository: scratch.path().join("repo.db") };
    seeding.lay_out(step, state, context)?;
    seeding.run(&["import", "-p", "/dev/stdout"], Some(MANIFESTS), context)?;
    if step.debug {
        let restarter = ["-s", "system/svc/restarter:default"];
        for words in
            [["addpg", "options", "application"].as_slice(), &["setprop", "options/logging", "=", "astring:", "debug"]]
        {
            seeding.run(&[&restarter, words].concat(), None, context)?;
        }
    }
    for profile in &step.profiles {
        seeding.run(&["apply"], Some(profile.path()), context)?;
    }
    let made = File::open(&seeding.repository).map_err(host("read", &seeding.repository))?;
    let content = context.store.put_reader(made).map_err(store("store", REPOSITORY))?;
    put(&mut state.root, REPOSITORY, Node::regular(content, written(0, 0, 0o600)))?;
    let program = program.display();
    context.progress.message(&format!("SMF: {program} has imported the manifests and applied the profiles"));
    Ok(())
}

/// A repository under construction.
struct Seeding<'a> {
    program: &'a Path,
    /// What the program sees of the image.
    root: PathBuf,
    repository: PathBuf,
}

impl Seeding<'_> {
    /// Puts in place what the program reads, and the repository that it starts from.
    fn lay_out(&self, step: &SeedSmf, state: &ImageState, context: &Context<'_>) -> Result<(), StepError> {
        for (at, content) in below(state, MANIFESTS)? {
            self.write(&at, &content, context)?;
        }
        let profiles = step.profiles.iter().map(|profile| profile.path());
        for text in profiles.chain([DTD]) {
            self.write(&path(text)?, &tree_content(&state.root, text)?, context)?;
        }
        let Some(seed) = &step.seed else { return Ok(()) };
        let content = tree_content(&state.root, &format!("/lib/svc/seed/{seed}.db"))?;
        copy(&content, &self.repository, context)
    }

    fn write(&self, at: &ImagePath, content: &Content, context: &Context<'_>) -> Result<(), StepError> {
        copy(content, &self.below_root(at), context)
    }

    fn below_root(&self, at: &ImagePath) -> PathBuf {
        self.root.join(OsStr::from_bytes(at.as_bytes().strip_prefix(b"/").unwrap_or_default()))
    }

    fn run(&self, words: &[&str], file: Option<&str>, context: &Context<'_>) -> Result<(), StepError> {
        let progress = Arc::clone(context.progress);
        let mut command = Command::new(self.program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("SVCCFG_DTD", self.below_root(&path(DTD)?))
            .env("SVCCFG_REPOSITORY", &self.repository)
            .env("SVCCFG_CHECKHASH", "1")
            .env("PKG_INSTALL_ROOT", &self.root)
            .deadline(DEADLINE)
            .on_line(move |_, line| progress.detail(line))
            .args(words);
        if let Some(file) = file {
            command = command.arg(self.below_root(&path(file)?));
        }
        command.run().map(drop).map_err(|source| StepError::Svccfg { source: Box::new(source) })
    }
}

/// Every regular file below a directory, links followed inside the image.
fn below(state: &ImageState, text: &str) -> Result<Vec<(ImagePath, Content)>, StepError> {
    let asked = path(text)?;
    let (at, _) = state.root.lookup(&asked, Follow::Yes).map_err(tree("read", text))?;
    let mut files = Vec::new();
    for entry in state.root.walk_from(&at) {
        let Ok((_, node)) = state.root.lookup(&entry.path, Follow::Yes) else { continue };
        let (Some(content), Some(inside)) = (node.content(), entry.path.strip_prefix(&at)) else { continue };
        let placed = asked.join_path(&inside).map_err(|source| StepError::Path { path: text.to_owned(), source })?;
        files.push((placed, content.clone()));
    }
    Ok(files)
}

fn copy(content: &Content, to: &Path, context: &Context<'_>) -> Result<(), StepError> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).map_err(host("make", parent))?;
    let mut reader = context.store.open_content(content).map_err(store("read", &to.display().to_string()))?;
    let mut file = File::create(to).map_err(host("write", to))?;
    io::copy(&mut reader, &mut file).map(drop).map_err(host("write", to))
}

fn host(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> StepError {
    let path = path.to_owned();
    move |source| StepError::Host { operation, path: path.clone(), source }
}
