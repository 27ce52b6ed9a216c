//! One build: the template that was asked for, after those whose results it needs.

use crate::engine::{self, EngineError, PlannedStep};
use crate::lock::WorkspaceLock;
use crate::progress::Progress;
use crate::providers::{Wanted, gives, snapshot_name, wanted_snapshot};
use crate::state::{ImageState, SavedState};
use crate::steps::{self, Context};
use crate::target::{self, Artifact, TargetError};
use crate::workspace::{Location, Workspace, WorkspaceError};
use disk_image::DiskSeed;
use image_tree::{Store, StoreError};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use template::{Diagnostic, Diagnostics, Features, HostFiles, Request, Target, Template};

/// What is to be built, and of what.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The workspace.
    pub location: Location,
    /// Template roots, the first that has a file wins.
    pub roots: Vec<PathBuf>,
    /// Directories of `extsrc`.
    pub external: Vec<PathBuf>,
    /// Template group.
    pub group: String,
    /// Template name.
    pub name: String,
    /// Name of the output, when it is not the template's.
    pub output_name: Option<String>,
    /// Features of the command line.
    pub features: Features,
    /// Unknown keys are warnings.
    pub lenient: bool,
    /// What the template needs is taken as it is, not built first.
    pub no_deps: bool,
    /// Package locks are made anew.
    pub refresh: bool,
}

/// What a build left.
#[derive(Debug)]
pub struct Built {
    /// The image, unless the target is a dataset.
    pub artifact: Option<Artifact>,
    /// Warnings of the template and of those that were built for it, each once.
    pub warnings: Vec<Diagnostic>,
}

/// What `plan` tells about one template.
#[derive(Clone, Debug)]
pub struct PlannedTemplate {
    /// Group and name.
    pub subject: String,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
    /// The file that the target writes, and whether it is there and current.
    pub artifact: Option<(PathBuf, bool)>,
}

/// A build could not be done.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The template is wrong; nothing was done.
    #[error("template {} cannot be built", subject)]
    Template {
        /// Group and name.
        subject: String,
        /// Everything that is wrong with it.
        diagnostics: Diagnostics,
    },
    /// The workspace cannot be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The content store cannot be opened.
    #[error("cannot open the content store {path}")]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// A step failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The image could not be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Templates need each other in a circle.
    #[error("templates need each other in a circle: {}", chain.join(" needs "))]
    Circle {
        /// Group and name of each, the first one again at the end.
        chain: Vec<String>,
    },
}

/// Builds a template, and first whatever other templates of the same roots make for it.
///
/// The workspace is locked meanwhile. What a killed run has left half made is removed first, and what it has done is
/// taken up.
///
/// # Errors
/// Static errors of the template before any work; [`WorkspaceError::Busy`]; otherwise the first thing that fails.
pub fn build(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Built, BuildError> {
    let mut template = load(request, &request.group, &request.name)?;
    refuse_unsupported(&request.group, &request.name, &template)?;
    let workspace = Workspace::open(&request.location)?;
    let lock = WorkspaceLock::acquire(&workspace)?;
    if let Some(holder) = lock.was_killed() {
        progress.message(&format!("going on where a run was ended ({holder})"));
    }
    let store = open_store(&workspace, progress)?;
    let mut session = Session::new(request, &workspace, &store, progress);
    let mut main = |session: &Session<'_>| session.build(&request.group, &request.name, &mut template, &mut Vec::new());
    let artifact = match main(&session) {
        Err(error) if is_lost(&error) => {
            progress.message("the content store lacks something that an earlier build had made; making it again");
            session.distrust = true;
            main(&session)
        }
        done => done,
    }?;
    Ok(Built { artifact, warnings: session.told.into_inner().warnings })
}

/// Tells what `build` would do. Nothing is made, written, resolved or locked; a workspace that is not there is an
/// empty one.
///
/// # Errors
/// As for [`build`], as far as it goes.
pub fn plan(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Vec<PlannedTemplate>, BuildError> {
    let template = load(request, &request.group, &request.name)?;
    let workspace = Workspace::look(&request.location)?;
    let path = workspace.store();
    let store = Store::open_dry(&path).map_err(|source| BuildError::Store { path, source })?;
    let session = Session::new(request, &workspace, &store, progress);
    let mut planned = Plan::default();
    session.plan(&request.group, &request.name, &template, &mut Vec::new(), &mut planned)?;
    Ok(planned.templates)
}

/// One run: what it was asked for and what it works with.
pub(crate) struct Session<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) workspace: &'a Workspace,
    pub(crate) store: &'a Store,
    pub(crate) progress: &'a Arc<dyn Progress>,
    /// See [`Context`].
    distrust: bool,
    refreshed: Mutex<BTreeSet<PathBuf>>,
    pub(crate) told: RefCell<Told>,
}

/// The warnings of all templates that were begun. One may be begun more than once.
#[derive(Default)]
pub(crate) struct Told {
    begun: BTreeSet<String>,
    warnings: Vec<Diagnostic>,
    /// Templates that are wrong, and were looked at for what they make.
    pub(crate) passed_over: BTreeSet<String>,
}

/// What has been planned.
#[derive(Default)]
struct Plan {
    templates: Vec<PlannedTemplate>,
    /// What will be made, so that nobody knows it yet; and the template that makes it.
    awaited: BTreeMap<Wanted, String>,
}

impl<'a> Session<'a> {
    fn new(
        request: &'a BuildRequest,
        workspace: &'a Workspace,
        store: &'a Store,
        progress: &'a Arc<dyn Progress>,
    ) -> Self {
        let (refreshed, told) = Default::default();
        Self { request, workspace, store, progress, distrust: false, refreshed, told }
    }

    fn build(
        &self,
        group: &str,
        name: &str,
        template: &mut Template,
        chain: &mut Vec<String>,
    ) -> Result<Option<Artifact>, BuildError> {
        self.enter(group, name, chain)?;
        let warnings = std::mem::take(&mut template.warnings);
        if self.told.borrow_mut().begun.insert(format!("{group}/{name}")) {
            self.told.borrow_mut().warnings.extend(warnings);
        }
        for mut provider in self.providers(template, chain)? {
            self.build(&provider.group, &provider.name, &mut provider.template, chain)?;
        }
        self.progress.template(group, name, template.steps.len());
        let context = self.context(group, name, false);
        let start = self.start(group, template, &context)?;
        let saved = engine::run(template, start, &context, self.progress.as_ref())?;
        self.keep_snapshot(group, template, &saved)?;
        self.remember_maker(template, group, &format!("{group}/{name}")).map_err(cache("write"))?;
        let artifact = target::finish(template, &saved, &context)?;
        chain.pop();
        Ok(artifact)
    }

    fn plan(
        &self,
        group: &str,
        name: &str,
        template: &Template,
        chain: &mut Vec<String>,
        planned: &mut Plan,
    ) -> Result<(), BuildError> {
        self.enter(group, name, chain)?;
        for provider in self.providers(template, chain)? {
            self.plan(&provider.group, &provider.name, &provider.template, chain, planned)?;
        }
        let context = self.context(group, name, true);
        let subject = format!("{group}/{name}");
        let waits_for = |wanted: &Wanted| planned.awaited.get(wanted).cloned();
        let snapshot = wanted_snapshot(template, group);
        let start = match snapshot.as_ref().and_then(&waits_for) {
            Some(provider) => Err(provider),
            None => Ok(self.start(group, template, &context)?),
        };
        let (steps, saved) =
            engine::plan(template, start, &context, &|output| waits_for(&Wanted::Output(output.to_owned())))?;
        let artifact = target::expected(template, saved.as_ref(), &context);
        if steps.iter().any(|step| step.cached != Some(true)) {
            planned.awaited.extend(gives(template, group).into_iter().map(|given| (given, subject.clone())));
        }
        planned.templates.push(PlannedTemplate { subject, steps, artifact });
        chain.pop();
        Ok(())
    }

    fn enter(&self, group: &str, name: &str, chain: &mut Vec<String>) -> Result<(), BuildError> {
        let subject = format!("{group}/{name}");
        let begin = chain.iter().position(|earlier| *earlier == subject);
        chain.push(subject.clone());
        match begin {
            Some(begin) => Err(BuildError::Circle { chain: chain[begin..].to_vec() }),
            None => Ok(()),
        }
    }

    fn context(&self, group: &str, name: &str, dry: bool) -> Context<'_> {
        let output_name = output_name(self.request, group, name);
        Context {
            store: self.store,
            workspace: self.workspace,
            progress: self.progress,
            seed: DiskSeed::new(&output_name),
            output_name,
            refresh: self.request.refresh,
            refreshed: &self.refreshed,
            distrust: self.distrust,
            dry,
        }
    }

    /// The state that the steps begin with.
    fn start(&self, group: &str, template: &Template, context: &Context<'_>) -> Result<SavedState, BuildError> {
        if let Target::Dataset(dataset) = &template.target {
            if let Some(snapshot) = &dataset.input_snapshot {
                let key = snapshot_name(group, &dataset.name, snapshot);
                let bytes = self.store.record_get("snapshot", key.as_bytes()).map_err(cache("read"))?;
                if let Some(saved) = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                    return Ok(saved);
                }
            }
        }
        Ok(ImageState::empty().save(context.store).map_err(cache("write"))?)
    }

    fn keep_snapshot(&self, group: &str, template: &Template, saved: &SavedState) -> Result<(), BuildError> {
        if let Target::Dataset(dataset) = &template.target {
            if let Some(snapshot) = &dataset.output_snapshot {
                let key = snapshot_name(group, &dataset.name, snapshot);
                let value = serde_json::to_vec(saved).expect("hashes and names are JSON");
                self.store.record_put("snapshot", key.as_bytes(), &value).map_err(cache("write"))?;
            }
        }
        Ok(())
    }
}

/// Every main template below the roots, in order: `(group, name)`.
#[must_use]
pub fn template_names(roots: &[PathBuf]) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for root in roots {
        for group in directory_names(root) {
            if group == "include" || group == "files" {
                continue;
            }
            for file in directory_names(&root.join(&group)) {
                if let Some(name) = file.strip_suffix(".json") {
                    names.push((group.clone(), name.to_owned()));
                }
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

fn directory_names(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Loads a template with all its static checks.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(request: &BuildRequest, group: &str, name: &str) -> Result<Template, BuildError> {
    let wanted = Request {
        roots: request.roots.clone(),
        external: request.external.clone(),
        group: group.to_owned(),
        name: name.to_owned(),
        features: request.features.clone(),
        lenient: request.lenient,
    };
    let subject = format!("{group}/{name}");
    let failed = |diagnostics| BuildError::Template { subject: subject.clone(), diagnostics };
    let mut template = template::load(&wanted, &HostFiles).map_err(failed)?;
    let problems = target::problems(&template, &output_name(request, group, name));
    if problems.is_empty() {
        return Ok(template);
    }
    let list = template.warnings.drain(..).chain(problems).collect();
    Err(failed(Diagnostics::new(subject.clone(), list)))
}

/// Group and output name, joined: what files are called after, and identifiers derived from.
fn output_name(request: &BuildRequest, group: &str, name: &str) -> String {
    let is_main = group == request.group && name == request.name;
    let name = request.output_name.as_deref().filter(|_| is_main).unwrap_or(name);
    format!("{group}-{name}")
}

/// Says before any work that a step or target is not possible here.
fn refuse_unsupported(group: &str, name: &str, template: &Template) -> Result<(), BuildError> {
    let mut list: Vec<Diagnostic> = template.steps.iter().filter_map(steps::unsupported_step).collect();
    list.extend(target::unsupported(&template.target));
    if list.is_empty() {
        return Ok(());
    }
    let subject = format!("{group}/{name}");
    Err(BuildError::Template { diagnostics: Diagnostics::new(subject.clone(), list), subject })
}

fn open_store(workspace: &Workspace, progress: &Arc<dyn Progress>) -> Result<Store, BuildError> {
    let path = workspace.store();
    let store = Store::open(&path).map_err(|source| BuildError::Store { path, source })?;
    for recovered in store.recovered() {
        let (pack, kept, lost) = (recovered.pack.display(), recovered.kept_bytes >> 10, recovered.lost_bytes >> 10);
        let files = recovered.kept_blobs;
        progress.message(&format!("{pack} was not finished: kept {files} contents, {kept} KiB; cut off {lost} KiB"));
    }
    Ok(store)
}

/// Whether something is not in the store that should be: then it is there after a build that trusts nothing.
fn is_lost(error: &BuildError) -> bool {
    matches!(error, BuildError::Engine(EngineError::Lost(_))) || steps::lacks_content(error)
}

fn cache(operation: &'static str) -> impl Fn(StoreError) -> EngineError {
    move |source| EngineError::Cache { operation, source }
}
