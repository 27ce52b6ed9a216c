//! One run: what it works with, and what it remembers on the way.

use crate::checks::OutputFiles;
use crate::context::Context;
use crate::error::BuildError;
use crate::progress::Progress;
use crate::request::{BuildRequest, Redo, output_name};
use crate::run::{PathSize, TemplateRun};
use crate::wanted::{Candidate, Wanted, gives};
use crate::workspace::Workspace;
use disk_image::DiskSeed;
use image_tree::Store;
use ips_client::{Client, Listener, Network};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use template::{Diagnostic, Features, Target, Template};

/// One run: what it was asked for and what it works with.
pub(crate) struct Session<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) workspace: &'a Workspace,
    pub(crate) store: &'a Store,
    packages: &'a Client<'a>,
    pub(crate) progress: &'a Arc<dyn Progress>,
    /// See [`Context`].
    pub(crate) distrust: bool,
    refreshed: Mutex<BTreeSet<PathBuf>>,
    pub(crate) told: RefCell<Told>,
    /// What each template of the roots gives with which features, once it was asked for.
    pub(crate) candidates: RefCell<Vec<(Features, Rc<[Candidate]>)>>,
    pub(crate) clock: Instant,
    pub(crate) runs: RefCell<Vec<TemplateRun>>,
    /// The dataset of the template that was asked for.
    dataset: RefCell<Option<String>>,
    /// What that template gives to others.
    pub(crate) main_gives: RefCell<Vec<Wanted>>,
    /// Why templates cannot be built here, by name and features; none if they can.
    pub(crate) impossible: RefCell<BTreeMap<NameAndFeatures, Option<String>>>,
    /// What the templates of this run write into the output directory.
    pub(crate) outputs: RefCell<Vec<OutputFiles>>,
}

/// Group and name of a template, and the features that it is loaded with, as directives.
pub(crate) type NameAndFeatures = (String, Vec<String>);

/// The warnings of all templates that were begun. One may be begun more than once.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) begun: BTreeSet<String>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// Templates that are wrong, and were looked at for what they make.
    pub(crate) passed_over: BTreeSet<String>,
    /// Files of which it was said that they are taken as they are.
    pub(crate) given: BTreeSet<PathBuf>,
    /// Templates of which it was said that they keep features.
    pub(crate) kept_features: BTreeSet<String>,
    pub(crate) sizes: Vec<PathSize>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        request: &'a BuildRequest,
        workspace: &'a Workspace,
        store: &'a Store,
        packages: &'a Client<'a>,
        progress: &'a Arc<dyn Progress>,
    ) -> Self {
        let (refreshed, told, candidates, runs, dataset, main_gives, outputs, impossible) = Default::default();
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
            outputs,
            impossible,
        }
    }

    /// Remembers what is needed of the template that was asked for.
    pub(crate) fn note_main(&self, main: &Template) {
        *self.main_gives.borrow_mut() = gives(main, &self.request.group, &self.request.name);
        if let Target::Dataset(dataset) = &main.target {
            *self.dataset.borrow_mut() = Some(dataset.name.clone());
        }
    }

    pub(crate) fn is_built(&self, group: &str, name: &str) -> bool {
        let subject = format!("{group}/{name}");
        self.runs.borrow().iter().any(|run| run.template == subject)
    }

    pub(crate) fn is_main(&self, subject: &str) -> bool {
        subject == format!("{}/{}", self.request.group, self.request.name)
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
