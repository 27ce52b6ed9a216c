//! One build: the template that was asked for, after those whose results it needs.

use crate::chain::{Link, enter};
use crate::context::Context;
use crate::engine::{self, EngineError, Ran, cache};
use crate::error::BuildError;
use crate::evidence::Subject;
use crate::history::{BuiltSize, History};
use crate::inputs::made_hash;
use crate::lineage::{Archives, remember_archive};
use crate::load::{load, refuse_unsupported};
use crate::lock::WorkspaceLock;
use crate::progress::Progress;
use crate::providers::Provider;
use crate::request::BuildRequest;
use crate::run::{PathSize, TemplateRun, path_sizes};
use crate::session::{Session, open_store, packages_client};
use crate::state::SavedState;
use crate::steps;
use crate::target::{self, Artifact};
use crate::wanted::Need;
use crate::workspace::Workspace;
use image_tree::{StoreError, Tree};
use std::collections::BTreeSet;
use std::sync::Arc;
use template::{Diagnostic, Features, Step, Template};

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
    pub sizes: Vec<PathSize>,
}

/// Builds a template, and first whatever other templates of the same roots make for it.
///
/// The workspace is locked meanwhile. What a killed run has left half made is removed first, and what it has done is
/// taken up.
///
/// # Errors
/// Static errors of the template before any work; [`crate::WorkspaceError::Busy`]; otherwise the first thing that fails.
pub fn build(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Built, BuildError> {
    let mut template = load(request, &request.group, &request.name)?;
    refuse_unsupported(request, &template)?;
    let workspace = Workspace::open(&request.location)?;
    let lock = match request.wait {
        false => WorkspaceLock::acquire(&workspace)?,
        true => WorkspaceLock::wait_for(&workspace, |holder| {
            let holder = holder.map_or("another process".to_owned(), ToString::to_string);
            progress.message(&format!("waiting for {holder}, which works in {}", workspace.root().display()));
        })?,
    };
    if let Some(holder) = lock.was_killed() {
        progress.message(&format!("going on where a run was ended ({holder})"));
    }
    let store = open_store(&workspace, progress)?;
    let packages = packages_client(request, &store, progress);
    let mut session = Session::new(request, &workspace, &store, &packages, progress);
    session.note_main(&template);
    let mut seen = BTreeSet::from([format!("{}/{}", request.group, request.name)]);
    session.survey(&template, &request.features, &mut vec![Link::first(request)], &mut seen)?;
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

impl Session<'_> {
    fn build(
        &self,
        group: &str,
        name: &str,
        template: &mut Template,
        features: &Features,
        chain: &mut Vec<Link>,
    ) -> Result<Option<Artifact>, BuildError> {
        enter(chain)?;
        let warnings = std::mem::take(&mut template.warnings);
        if self.told.borrow_mut().begun.insert(format!("{group}/{name}")) {
            self.told.borrow_mut().warnings.extend(warnings);
        }
        let mut needs = Vec::new();
        for mut provider in self.providers(template, features, chain)? {
            needs.push(provider.need());
            // Others may need it, too; it is built once in a run.
            if !self.is_built(&provider.group, &provider.name) {
                chain.push(provider.link());
                let Provider { group, name, template, features, .. } = &mut provider;
                self.build(group, name, template, features, chain)?;
            }
        }
        self.progress.template(group, name, template.steps.len());
        let artifact = self.make(group, name, template, features, needs)?;
        chain.pop();
        Ok(artifact)
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
        let beginning = self.beginning(group, template, &context)?;
        let chain = self.chain(template, group, name).map_err(cache("read"))?;
        let mut ran = engine::run(template, beginning, chain, &context, self.progress.as_ref())?;
        self.keep_snapshot(group, template, &ran, &context)?;
        self.remember_maker(template, group, name, features).map_err(cache("write"))?;
        self.remember_archives(template, &ran).map_err(cache("write"))?;
        self.remember_chain(template, group, name, &ran.history.keys()).map_err(cache("write"))?;
        let writing = self.clock.elapsed();
        let (artifact, tree) = target::finish(template, &ran.saved, ran.live.take(), &context)?;
        let written = self.clock.elapsed();
        let unchanged = artifact.as_ref().is_some_and(|artifact| artifact.unchanged);
        let is_written = artifact.is_some() && !unchanged;
        let mut run = TemplateRun {
            template: context.subject.clone(),
            target: template.target.name(),
            needs,
            began: began.as_secs_f64(),
            seconds: (written - began).as_secs_f64(),
            steps: ran.steps,
            target_seconds: if is_written { (written - writing).as_secs_f64() } else { 0.0 },
            image: artifact.as_ref().map(|artifact| artifact.path.clone()),
            unchanged,
            evidence_seconds: None,
        };
        let inputs = ran.history.inputs();
        self.remember_finished(template, ran.history, (&ran.saved, tree.as_ref()), artifact.as_ref(), &context)?;
        let archives = Archives::of(&ran.lineage, self.store).map_err(cache("read"))?;
        let (lineage, files) = (&ran.lineage[..], files(template, &context));
        let subject = Subject { template, lineage, archives: &archives, inputs: &inputs, run: &run, files };
        let telling = self.clock.elapsed();
        let is_told = self.tell_beside(&subject, &ran.saved, tree, &context)?;
        run.evidence_seconds = is_told.then(|| (self.clock.elapsed() - telling).as_secs_f64());
        self.runs.borrow_mut().push(run);
        Ok(artifact)
    }

    /// Remembers which steps led to the archives that a template has packed, for those that unpack them.
    fn remember_archives(&self, template: &Template, ran: &Ran) -> Result<(), StoreError> {
        let before = ran.lineage.len() - template.steps.len();
        for (index, located) in template.steps.iter().enumerate() {
            let Step::PackTar(pack) = &located.step else { continue };
            if let Some(hash) = made_hash(&pack.name, self.store)? {
                remember_archive(&hash, &ran.lineage[..=before + index], self.store)?;
            }
        }
        Ok(())
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
        let newest = History::read_finished(&context.output_key(), self.store);
        let known = newest.as_ref().and_then(History::size).filter(|size| size.is_of(saved));
        let files = match (tree, known) {
            (Some(tree), _) => Some(tree.statistics().data_bytes),
            (None, Some(known)) => Some(known.files),
            (None, None) => engine::bytes_of(saved, context),
        };
        let size = files.map(|files| BuiltSize {
            state: saved.hash(),
            files,
            inputs: engine::input_bytes(&template.steps, &|_| None, context),
            image: artifact.and_then(|artifact| Some(artifact.path.metadata().ok()?.len())),
        });
        Ok(history.write_finished(size, &context.output_key(), self.store).map_err(cache("write"))?)
    }

    /// Writes the evidence of the outputs, unless it is there; finds out the sizes if they are wanted. Answers whether evidence
    /// was written.
    fn tell_beside(
        &self,
        subject: &Subject<'_>,
        saved: &SavedState,
        tree: Option<Tree>,
        context: &Context<'_>,
    ) -> Result<bool, BuildError> {
        let wants_evidence = self.request.evidence && !subject.files.is_empty() && !subject.is_current(context);
        let wants_sizes = self.request.sizes && self.is_main(&context.subject);
        if !wants_evidence && !wants_sizes {
            return Ok(false);
        }
        let tree = match tree {
            Some(tree) => tree,
            None => target::content(subject.template, saved, context)?,
        };
        if wants_evidence {
            subject.write(&tree, context)?;
        }
        if wants_sizes {
            self.told.borrow_mut().sizes = path_sizes(&tree);
        }
        Ok(wants_evidence)
    }
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

/// Whether something is not in the store that should be: then it is there after a build that trusts nothing.
fn is_lost(error: &BuildError) -> bool {
    matches!(error, BuildError::Engine(EngineError::Lost(_))) || steps::lacks_content(error)
}
