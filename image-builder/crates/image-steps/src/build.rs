//! One build: the template that was asked for, after those whose results it needs.

use crate::engine::{self, EngineError, Ran};
use crate::evidence::{EvidenceError, Subject};
use crate::history::{BuiltSize, History};
use crate::lineage::Lineage;
use crate::lock::WorkspaceLock;
use crate::progress::Progress;
use crate::providers::{Candidate, Link, Need, Provider, Wanted, circle, gives, snapshot_name};
use crate::run::{DirectorySize, TemplateRun, directory_sizes};
use crate::state::{ImageState, SavedState};
use crate::steps::{self, Context};
use crate::target::{self, Artifact, TargetError};
use crate::workspace::{Location, Workspace, WorkspaceError};
use disk_image::DiskSeed;
use image_tree::{Store, StoreError, Tree};
use ips_client::{Client, ClientKey, Listener, Network};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use template::{Diagnostic, Diagnostics, Features, HostFiles, Request, Step, Target, Template};

/// What is to be built, and of what.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The workspace.
    pub location: Location,
    /// The `svccfg` of an illumos system that service repositories are seeded with; without one the first boot does that.
    pub svccfg: Option<PathBuf>,
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
    /// What servers of packages are shown that want to know who asks.
    pub client_keys: Vec<ClientKey>,
    /// What is done again although its result is known.
    pub redo: Redo,
    /// Checksums, manifest and the like are written beside each output.
    pub evidence: bool,
    /// The sizes of directories are found out, too.
    pub sizes: bool,
}

/// What is done again although its result is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redo {
    /// Nothing.
    #[default]
    Nothing,
    /// The steps of the template itself (`-r`).
    Template,
    /// The template, and before it all others that work on the same dataset (`-x`).
    Dataset,
}

/// What a build left.
#[derive(Debug)]
pub struct Built {
    /// The image, unless the target is a dataset.
    pub artifact: Option<Artifact>,
    /// Warnings of the template and of those that were built for it, each once.
    pub warnings: Vec<Diagnostic>,
    /// What was done, template by template.
    pub runs: Vec<TemplateRun>,
    /// The sizes of the image's directories, if they were asked for.
    pub sizes: Vec<DirectorySize>,
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
    /// What lies beside an output could not be written.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
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
    refuse_unsupported(request, &template)?;
    let workspace = Workspace::open(&request.location)?;
    let lock = WorkspaceLock::acquire(&workspace)?;
    if let Some(holder) = lock.was_killed() {
        progress.message(&format!("going on where a run was ended ({holder})"));
    }
    let store = open_store(&workspace, progress)?;
    let packages = packages_client(request, &store, progress);
    let mut session = Session::new(request, &workspace, &store, &packages, progress);
    session.note_main(&template);
    let mut main = |session: &Session<'_>| {
        session.build(&request.group, &request.name, &mut template, &request.features, &mut vec![Link::first(request)])
    };
    let artifact = match main(&session) {
        Err(error) if is_lost(&error) => {
            progress.message("the content store lacks something that an earlier build had made; making it again");
            session.distrust = true;
            session.runs.borrow_mut().clear();
            main(&session)
        }
        done => done,
    }?;
    let (told, runs) = (session.told.into_inner(), session.runs.into_inner());
    Ok(Built { artifact, warnings: told.warnings, runs, sizes: told.sizes })
}

/// What is wrong with building a loaded template here, though the template itself is right: steps and targets that
/// are not possible on this host, or not yet.
#[must_use]
pub fn impossible_here(template: &Template, request: &BuildRequest) -> Vec<Diagnostic> {
    let has_svccfg = request.svccfg.is_some();
    let unsupported = |located| steps::unsupported_step(located, has_svccfg);
    let mut list: Vec<Diagnostic> = template.steps.iter().filter_map(unsupported).collect();
    let target = target::unsupported(&template.target);
    list.extend(target.map(|diagnostic| diagnostic.at(&template.target_origin, "this target")));
    list
}

/// One run: what it was asked for and what it works with.
pub(crate) struct Session<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) workspace: &'a Workspace,
    pub(crate) store: &'a Store,
    packages: &'a Client<'a>,
    pub(crate) progress: &'a Arc<dyn Progress>,
    /// See [`Context`].
    distrust: bool,
    refreshed: Mutex<BTreeSet<PathBuf>>,
    pub(crate) told: RefCell<Told>,
    /// What each template of the roots gives with which features, once it was asked for.
    pub(crate) candidates: RefCell<Vec<(Features, Rc<[Candidate]>)>>,
    clock: Instant,
    runs: RefCell<Vec<TemplateRun>>,
    /// The dataset of the template that was asked for.
    dataset: RefCell<Option<String>>,
    /// What that template gives to others.
    pub(crate) main_gives: RefCell<Vec<Wanted>>,
}

/// The warnings of all templates that were begun. One may be begun more than once.
#[derive(Default)]
pub(crate) struct Told {
    begun: BTreeSet<String>,
    warnings: Vec<Diagnostic>,
    /// Templates that are wrong, and were looked at for what they make.
    pub(crate) passed_over: BTreeSet<String>,
    /// Templates of which it was said that they keep features.
    pub(crate) kept_features: BTreeSet<String>,
    sizes: Vec<DirectorySize>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        request: &'a BuildRequest,
        workspace: &'a Workspace,
        store: &'a Store,
        packages: &'a Client<'a>,
        progress: &'a Arc<dyn Progress>,
    ) -> Self {
        let (refreshed, told, candidates, runs, dataset, main_gives) = Default::default();
        let (distrust, clock) = (false, Instant::now());
        Self {
            request,
            workspace,
            store,
            packages,
            progress,
            distrust,
            refreshed,
            told,
            candidates,
            clock,
            runs,
            dataset,
            main_gives,
        }
    }

    /// Remembers what is needed of the template that was asked for.
    pub(crate) fn note_main(&self, main: &Template) {
        *self.main_gives.borrow_mut() = gives(main, &self.request.group, &self.request.name);
        if let Target::Dataset(dataset) = &main.target {
            *self.dataset.borrow_mut() = Some(dataset.name.clone());
        }
    }

    fn build(
        &self,
        group: &str,
        name: &str,
        template: &mut Template,
        features: &Features,
        chain: &mut Vec<Link>,
    ) -> Result<Option<Artifact>, BuildError> {
        Self::enter(chain)?;
        let warnings = std::mem::take(&mut template.warnings);
        if self.told.borrow_mut().begun.insert(format!("{group}/{name}")) {
            self.told.borrow_mut().warnings.extend(warnings);
        }
        let mut needs = Vec::new();
        for mut provider in self.providers(template, features, chain)? {
            needs.push(provider.need());
            // Others may need it, too; it is built once in a run.
            if !self.is_built(&provider.group, &provider.name) {
                chain.push(Link::to(&provider));
                let Provider { group, name, template, features, .. } = &mut provider;
                self.build(group, name, template, features, chain)?;
            }
        }
        self.progress.template(group, name, template.steps.len());
        let artifact = self.make(group, name, template, features, needs)?;
        chain.pop();
        Ok(artifact)
    }

    fn is_built(&self, group: &str, name: &str) -> bool {
        let subject = format!("{group}/{name}");
        self.runs.borrow().iter().any(|run| run.template == subject)
    }

    /// Builds one template, when everything that it needs is there.
    fn make(
        &self,
        group: &str,
        name: &str,
        template: &Template,
        features: &Features,
        needs: Vec<Need>,
    ) -> Result<Option<Artifact>, BuildError> {
        let context = self.context(group, name, template, false);
        let began = self.clock.elapsed();
        let (start, lineage) = self.start(group, template, &context)?;
        let mut ran = engine::run(template, start, lineage, &context, self.progress.as_ref())?;
        self.keep_snapshot(group, template, &ran)?;
        self.remember_maker(template, group, name, features).map_err(cache("write"))?;
        let writing = self.clock.elapsed();
        let (artifact, tree) = target::finish(template, &ran.saved, ran.live.take(), &context)?;
        let written = self.clock.elapsed();
        let unchanged = artifact.as_ref().is_some_and(|artifact| artifact.unchanged);
        let is_written = artifact.is_some() && !unchanged;
        let run = TemplateRun {
            template: context.subject.clone(),
            target: template.target.name(),
            needs,
            began: began.as_secs_f64(),
            seconds: (written - began).as_secs_f64(),
            steps: ran.steps,
            target_seconds: if is_written { (written - writing).as_secs_f64() } else { 0.0 },
            image: artifact.as_ref().map(|artifact| artifact.path.clone()),
            unchanged,
        };
        let inputs = ran.history.inputs();
        self.remember_finished(template, ran.history, (&ran.saved, tree.as_ref()), artifact.as_ref(), &context)?;
        let subject =
            Subject { template, lineage: &ran.lineage, inputs: &inputs, run: &run, files: files(template, &context) };
        self.tell_beside(&subject, &ran.saved, tree, &context)?;
        self.runs.borrow_mut().push(run);
        Ok(artifact)
    }

    /// Remembers what a finished build was made of, and how large it is: what `gc` keeps, and `plan` goes by.
    fn remember_finished(
        &self,
        template: &Template,
        history: History,
        (saved, tree): (&SavedState, Option<&Tree>),
        artifact: Option<&Artifact>,
        context: &Context<'_>,
    ) -> Result<(), BuildError> {
        let newest = History::read_finished(&context.output_name, self.store);
        let known = newest.as_ref().and_then(History::size).filter(|size| size.is_of(saved));
        let files = match (tree, known) {
            (Some(tree), _) => Some(tree.statistics().data_bytes),
            (None, Some(known)) => Some(known.files),
            (None, None) => engine::bytes_of(saved, context),
        };
        let size = files.map(|files| BuiltSize {
            state: saved.hash(),
            files,
            inputs: engine::input_bytes(template, &|_| None, context),
            image: artifact.and_then(|artifact| Some(artifact.path.metadata().ok()?.len())),
        });
        Ok(history.write_finished(size, &context.output_name, self.store).map_err(cache("write"))?)
    }

    /// Writes the evidence of the outputs, unless it is there; finds out the sizes if they are wanted.
    fn tell_beside(
        &self,
        subject: &Subject<'_>,
        saved: &SavedState,
        tree: Option<Tree>,
        context: &Context<'_>,
    ) -> Result<(), BuildError> {
        let wants_evidence = self.request.evidence && !subject.files.is_empty() && !subject.is_current(context);
        let wants_sizes = self.request.sizes && self.is_main(&context.subject);
        if !wants_evidence && !wants_sizes {
            return Ok(());
        }
        let tree = match tree {
            Some(tree) => tree,
            None => ImageState::load(self.store, saved).map_err(EngineError::Load)?.root,
        };
        if wants_evidence {
            subject.write(&tree, context)?;
        }
        if wants_sizes {
            self.told.borrow_mut().sizes = directory_sizes(&tree);
        }
        Ok(())
    }

    pub(crate) fn is_main(&self, subject: &str) -> bool {
        subject == format!("{}/{}", self.request.group, self.request.name)
    }

    /// The last link of the chain is the template that is begun.
    pub(crate) fn enter(chain: &[Link]) -> Result<(), BuildError> {
        let Some((last, before)) = chain.split_last() else { return Ok(()) };
        let begin = before.iter().position(|earlier| earlier.subject == last.subject);
        begin.map_or(Ok(()), |begin| Err(circle(&chain[begin..]).into()))
    }

    pub(crate) fn context(&self, group: &str, name: &str, template: &Template, dry: bool) -> Context<'_> {
        let subject = format!("{group}/{name}");
        let is_main = self.is_main(&subject);
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
            packages: self.packages,
            svccfg: self.request.svccfg.as_deref(),
            dry,
            redo: self.redoes(is_main, group, template),
            subject,
            clock: self.clock,
        }
    }

    /// Whether known results of a template do not count.
    fn redoes(&self, is_main: bool, group: &str, template: &Template) -> bool {
        match (self.request.redo, &template.target) {
            (Redo::Nothing, _) => false,
            (Redo::Template, _) => is_main,
            (Redo::Dataset, Target::Dataset(dataset)) => {
                is_main || (group == self.request.group && self.dataset.borrow().as_ref() == Some(&dataset.name))
            }
            (Redo::Dataset, _) => is_main,
        }
    }

    /// The state that the steps begin with, and the steps that led to it.
    pub(crate) fn start(
        &self,
        group: &str,
        template: &Template,
        context: &Context<'_>,
    ) -> Result<(SavedState, Lineage), BuildError> {
        if let Some(key) = input_snapshot(group, template) {
            let read = |namespace| self.store.record_get(namespace, key.as_bytes()).map_err(cache("read"));
            if let Some(saved) = read("snapshot")?.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                let lineage = read("lineage")?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                return Ok((saved, lineage.unwrap_or_default()));
            }
        }
        let saved = ImageState::empty().save(context.store).map_err(cache("write"))?;
        Ok((saved, Lineage::new()))
    }

    fn keep_snapshot(&self, group: &str, template: &Template, ran: &Ran) -> Result<(), BuildError> {
        let Target::Dataset(dataset) = &template.target else { return Ok(()) };
        let Some(snapshot) = &dataset.output_snapshot else { return Ok(()) };
        let key = snapshot_name(group, &dataset.name, snapshot);
        let lineage = serde_json::to_vec(&ran.lineage).expect("hashes and names are JSON");
        let saved = serde_json::to_vec(&ran.saved).expect("hashes and names are JSON");
        for (namespace, value) in [("lineage", lineage), ("snapshot", saved)] {
            self.store.record_put(namespace, key.as_bytes(), &value).map_err(cache("write"))?;
        }
        Ok(())
    }
}

fn input_snapshot(group: &str, template: &Template) -> Option<String> {
    let Target::Dataset(dataset) = &template.target else { return None };
    dataset.input_snapshot.as_ref().map(|snapshot| snapshot_name(group, &dataset.name, snapshot))
}

/// The files that a template leaves in the output directory: its image in all forms, and the archives that it packs.
fn files(template: &Template, context: &Context<'_>) -> Vec<String> {
    let mut files = target::file_names(&template.target, &context.output_name);
    for located in &template.steps {
        if let Step::PackTar(pack) = &located.step {
            if !files.contains(&pack.name) {
                files.push(pack.name.clone());
            }
        }
    }
    files
}

/// What is wrong with an include by itself, without a template that has it.
#[must_use]
pub fn check_include(request: &BuildRequest, path: &std::path::Path) -> Vec<Diagnostic> {
    let wanted = Request { features: request.features.clone(), lenient: request.lenient, ..Request::default() };
    template::check_include(&wanted, path, &HostFiles)
}

/// Loads a template with all its static checks.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(request: &BuildRequest, group: &str, name: &str) -> Result<Template, BuildError> {
    load_with(request, group, name, &request.features)
}

/// As [`load`], with other features.
pub(crate) fn load_with(
    request: &BuildRequest,
    group: &str,
    name: &str,
    features: &Features,
) -> Result<Template, BuildError> {
    let wanted = Request {
        roots: request.roots.clone(),
        external: request.external.clone(),
        group: group.to_owned(),
        name: name.to_owned(),
        features: features.clone(),
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
fn refuse_unsupported(request: &BuildRequest, template: &Template) -> Result<(), BuildError> {
    let list = impossible_here(template, request);
    if list.is_empty() {
        return Ok(());
    }
    let subject = format!("{}/{}", request.group, request.name);
    Err(BuildError::Template { diagnostics: Diagnostics::new(subject.clone(), list), subject })
}

/// Tells a build's listener what the client of packages does.
struct PackageProgress(Arc<dyn Progress>);

impl Listener for PackageProgress {
    fn message(&self, text: &str) {
        self.0.message(text);
    }

    fn detail(&self, text: &str) {
        self.0.detail(text);
    }
}

pub(crate) fn packages_client<'a>(
    request: &BuildRequest,
    store: &'a Store,
    progress: &Arc<dyn Progress>,
) -> Client<'a> {
    let listener = Arc::new(PackageProgress(Arc::clone(progress)));
    let network = Network { client_keys: request.client_keys.clone(), ..Network::default() };
    Client::new(store, network, listener).with_refresh(request.refresh)
}

pub(crate) fn open_store(workspace: &Workspace, progress: &Arc<dyn Progress>) -> Result<Store, BuildError> {
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
