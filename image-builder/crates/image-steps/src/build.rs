//! One build: the template that was asked for, after those whose results it needs.

use crate::engine::{self, EngineError, PlannedStep};
use crate::progress::Progress;
use crate::state::{ImageState, SavedState};
use crate::steps::{self, Context};
use crate::target::{self, Artifact, TargetError};
use crate::workspace::{Location, Workspace, WorkspaceError};
use disk_image::DiskSeed;
use image_tree::{Store, StoreError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use template::{Diagnostic, Diagnostics, Features, HostFiles, LocatedStep, Request, Step, Target, Template};

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
    /// Warnings of the template.
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
/// # Errors
/// Static errors of the template before any work; otherwise the first thing that fails.
pub fn build(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Built, BuildError> {
    let template = load(request, &request.group, &request.name)?;
    refuse_unsupported(&request.group, &request.name, &template)?;
    let workspace = Workspace::open(&request.location)?;
    let store = open_store(&workspace, progress)?;
    let session = Session { request, workspace: &workspace, store: &store, progress };
    session.build(&request.group, &request.name, template, &mut Vec::new())
}

/// Tells what `build` would do. Nothing is written, nothing is resolved.
///
/// # Errors
/// As for [`build`], as far as it goes.
pub fn plan(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Vec<PlannedTemplate>, BuildError> {
    let template = load(request, &request.group, &request.name)?;
    let workspace = Workspace::open(&request.location)?;
    let store = open_store(&workspace, progress)?;
    let session = Session { request, workspace: &workspace, store: &store, progress };
    let mut planned = Vec::new();
    session.plan(&request.group, &request.name, &template, &mut Vec::new(), &mut planned)?;
    Ok(planned)
}

struct Session<'a> {
    request: &'a BuildRequest,
    workspace: &'a Workspace,
    store: &'a Store,
    progress: &'a Arc<dyn Progress>,
}

/// A template that makes something that another one takes.
struct Provider {
    group: String,
    name: String,
    template: Template,
}

impl Session<'_> {
    fn build(&self, group: &str, name: &str, template: Template, chain: &mut Vec<String>) -> Result<Built, BuildError> {
        self.enter(group, name, chain)?;
        for provider in self.providers(&template, chain)? {
            self.build(&provider.group, &provider.name, provider.template, chain)?;
        }
        self.progress.template(group, name, template.steps.len());
        let context = self.context(group, name, false);
        let start = self.start(group, &template, &context)?;
        let saved = engine::run(&template, start, &context, self.progress.as_ref())?;
        self.keep_snapshot(group, &template, &saved)?;
        let artifact = target::finish(&template, &saved, &context)?;
        chain.pop();
        Ok(Built { artifact, warnings: template.warnings })
    }

    fn plan(
        &self,
        group: &str,
        name: &str,
        template: &Template,
        chain: &mut Vec<String>,
        planned: &mut Vec<PlannedTemplate>,
    ) -> Result<(), BuildError> {
        self.enter(group, name, chain)?;
        for provider in self.providers(template, chain)? {
            self.plan(&provider.group, &provider.name, &provider.template, chain, planned)?;
        }
        let context = self.context(group, name, true);
        let start = self.start(group, template, &context)?;
        let (steps, saved) = engine::plan(template, &start, &context)?;
        let artifact = target::expected(template, saved.as_ref(), &context);
        planned.push(PlannedTemplate { subject: format!("{group}/{name}"), steps, artifact });
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
        let is_main = group == self.request.group && name == self.request.name;
        let output_name = self.request.output_name.as_deref().filter(|_| is_main).unwrap_or(name);
        let output_name = format!("{group}-{output_name}");
        Context {
            store: self.store,
            workspace: self.workspace,
            progress: self.progress,
            seed: DiskSeed::new(&output_name),
            output_name,
            refresh: self.request.refresh,
            dry,
        }
    }

    /// The templates that make what `template` takes from the output directory or from a snapshot.
    fn providers(&self, template: &Template, chain: &[String]) -> Result<Vec<Provider>, BuildError> {
        if self.request.no_deps {
            return Ok(Vec::new());
        }
        let mut providers: BTreeMap<(String, String), Provider> = BTreeMap::new();
        let group = chain.last().and_then(|subject| subject.split('/').next()).unwrap_or_default();
        for (wanted, located) in wants(template, group) {
            let Some(provider) = self.find_provider(&wanted)? else {
                self.require_present(&wanted, located, None)?;
                continue;
            };
            if let Some(reason) = steps::unsupported(&provider.template) {
                // It cannot run here, so what is there counts, wherever it came from.
                self.require_present(&wanted, located, Some((&provider, &reason)))?;
                continue;
            }
            providers.insert((provider.group.clone(), provider.name.clone()), provider);
        }
        Ok(providers.into_values().collect())
    }

    /// The template that makes what is wanted. When none does and one cannot be read, that one may be it.
    fn find_provider(&self, wanted: &Wanted) -> Result<Option<Provider>, BuildError> {
        let mut unreadable = None;
        for (group, name) in template_names(&self.request.roots) {
            match load(self.request, &group, &name) {
                Ok(template) if gives(&template, &group).contains(wanted) => {
                    return Ok(Some(Provider { group, name, template }));
                }
                Ok(_) => {}
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        unreadable.map_or(Ok(None), Err)
    }

    fn require_present(
        &self,
        wanted: &Wanted,
        located: Option<&LocatedStep>,
        provider: Option<(&Provider, &str)>,
    ) -> Result<(), BuildError> {
        let (what, is_there) = match wanted {
            Wanted::Output(name) => {
                let path = self.workspace.output().join(name);
                (path.display().to_string(), path.is_file())
            }
            Wanted::Snapshot(name) => {
                let known = self.store.record_get("snapshot", name.as_bytes()).ok().flatten();
                (format!("snapshot {name}"), known.is_some())
            }
        };
        if is_there {
            return Ok(());
        }
        let mut diagnostic = Diagnostic::error("build::missing-input", format!("{what} does not exist"));
        if let Some(located) = located {
            diagnostic = diagnostic.at(&located.origin, "needed by this step");
        }
        let help = match provider {
            Some((provider, reason)) => format!(
                "{}/{} makes it, which is not possible here ({reason}); build it where it is, or put one there",
                provider.group, provider.name
            ),
            None => "no template under the template roots makes it; put one there".to_owned(),
        };
        Err(EngineError::Step(Box::new(diagnostic.help(help))).into())
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

/// What one template takes from another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A file in the output directory.
    Output(String),
    /// `GROUP/DATASET@SNAPSHOT`.
    Snapshot(String),
}

fn snapshot_name(group: &str, dataset: &str, snapshot: &str) -> String {
    format!("{group}/{dataset}@{snapshot}")
}

fn wants<'t>(template: &'t Template, group: &str) -> Vec<(Wanted, Option<&'t LocatedStep>)> {
    let mut wanted = Vec::new();
    if let Target::Dataset(dataset) = &template.target {
        if let Some(snapshot) = &dataset.input_snapshot {
            wanted.push((Wanted::Snapshot(snapshot_name(group, &dataset.name, snapshot)), None));
        }
    }
    let own = gives(template, group);
    for located in &template.steps {
        if let Some(name) = steps::takes_output(&located.step) {
            let output = Wanted::Output(name.to_owned());
            if !own.contains(&output) {
                wanted.push((output, Some(located)));
            }
        }
    }
    wanted
}

fn gives(template: &Template, group: &str) -> Vec<Wanted> {
    let packed = template.steps.iter().filter_map(|located| match &located.step {
        Step::PackTar(pack) => Some(Wanted::Output(pack.name.clone())),
        _ => None,
    });
    let mut given: Vec<Wanted> = packed.collect();
    if let Target::Dataset(dataset) = &template.target {
        let snapshot = dataset.output_snapshot.iter();
        given.extend(snapshot.map(|snapshot| Wanted::Snapshot(snapshot_name(group, &dataset.name, snapshot))));
    }
    given
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
    let request = Request {
        roots: request.roots.clone(),
        external: request.external.clone(),
        group: group.to_owned(),
        name: name.to_owned(),
        features: request.features.clone(),
        lenient: request.lenient,
    };
    let failed = |diagnostics| BuildError::Template { subject: format!("{group}/{name}"), diagnostics };
    template::load(&request, &HostFiles).map_err(failed)
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
        progress.message(&format!("recovered after an interrupted build: {recovered:?}"));
    }
    Ok(store)
}

fn cache(operation: &'static str) -> impl Fn(StoreError) -> EngineError {
    move |source| EngineError::Cache { operation, source }
}
