//! What a build would do.

use crate::chain::{Link, enter};
use crate::engine::{self, Basis, EstimatedSize, Others, PlannedStep};
use crate::error::BuildError;
use crate::history::History;
use crate::load::{impossible_here, load};
use crate::lock::WorkspaceLock;
use crate::progress::Progress;
use crate::providers::Provider;
use crate::request::BuildRequest;
use crate::session::{Session, open_store, packages_client};
use crate::state::SavedState;
use crate::steps::Forecast;
use crate::target::{self, PlannedImage};
use crate::wanted::{Need, Wanted, gives, wanted_snapshot};
use crate::workspace::Workspace;
use image_tree::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use template::{Diagnostic, Features, Template};

/// What `plan` tells about one template.
#[derive(Debug)]
pub struct PlannedTemplate {
    /// Group and name.
    pub subject: String,
    /// What it takes from others.
    pub needs: Vec<Need>,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
    /// The file that the target writes.
    pub image: Option<PlannedImage>,
    /// How large what it makes will be.
    pub size: EstimatedSize,
    /// Why `build` refuses it on this host, if it does.
    pub impossible: Vec<Diagnostic>,
}

/// Tells what `build` would do. Nothing is made, written or locked; a workspace that is not there is an empty one. What
/// packages it brings is told as far as catalogs and manifests are in the workspace.
///
/// # Errors
/// As for [`build`], as far as it goes.
pub fn plan(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Vec<PlannedTemplate>, BuildError> {
    let template = load(request, &request.group, &request.name)?;
    let workspace = Workspace::look(&request.location)?;
    let path = workspace.store();
    let store = Store::open_dry(&path).map_err(|source| BuildError::Store { path, source })?;
    let packages = packages_client(request, &store, progress).offline(true);
    plan_with(request, &template, &Session::new(request, &workspace, &store, &packages, progress))
}

/// The same, and publishers of IPS packages are asked: the catalogs that are not in the workspace yet are fetched, and
/// the manifests of the packages that are chosen from them, so that the plan names all packages and their bytes
/// before the first build, too. The workspace keeps them, and a build does not fetch them again.
///
/// # Errors
/// As for [`plan`]; and when the workspace is in use, or a publisher does not answer.
pub fn plan_asking(request: &BuildRequest, progress: &Arc<dyn Progress>) -> Result<Vec<PlannedTemplate>, BuildError> {
    let template = load(request, &request.group, &request.name)?;
    let workspace = Workspace::open(&request.location)?;
    let _lock = WorkspaceLock::acquire_in_between(&workspace)?;
    let store = open_store(&workspace, progress)?;
    let packages = packages_client(request, &store, progress);
    plan_with(request, &template, &Session::new(request, &workspace, &store, &packages, progress))
}

fn plan_with(
    request: &BuildRequest,
    template: &Template,
    session: &Session<'_>,
) -> Result<Vec<PlannedTemplate>, BuildError> {
    session.note_main(template);
    let mut planned = Plan::default();
    let mut chain = vec![Link::first(request)];
    session.plan(&request.group, &request.name, template, &request.features, &mut chain, &mut planned)?;
    Ok(planned.templates)
}

/// What has been planned.
#[derive(Default)]
struct Plan {
    templates: Vec<PlannedTemplate>,
    /// What will be made, so that nobody knows it yet; and the template that makes it, with what can be told of the
    /// package image in it.
    awaited: BTreeMap<Wanted, (String, Forecast)>,
    /// Snapshots whose states are known. What lies under their names may be of another variant that was built last.
    made: BTreeMap<Wanted, (SavedState, Option<u64>)>,
    /// How many bytes there will be in it.
    sizes: BTreeMap<Wanted, u64>,
}

impl Session<'_> {
    fn plan(
        &self,
        group: &str,
        name: &str,
        template: &Template,
        features: &Features,
        chain: &mut Vec<Link>,
        planned: &mut Plan,
    ) -> Result<(), BuildError> {
        enter(chain)?;
        self.claim_outputs(template)?;
        let mut needs = Vec::new();
        for provider in self.providers(template, features, chain)? {
            needs.push(provider.need());
            let is_planned = planned.templates.iter().any(|earlier| earlier.subject == needs[needs.len() - 1].template);
            if !is_planned {
                chain.push(provider.link());
                let Provider { group, name, template, features, .. } = &provider;
                self.plan(group, name, template, features, chain, planned)?;
            }
        }
        let context = self.context(group, name, template, true);
        let subject = format!("{group}/{name}");
        let waits_for = |wanted: &Wanted| planned.awaited.get(wanted).cloned();
        let snapshot = wanted_snapshot(template, group);
        let (start, files) = match snapshot.as_ref().and_then(&waits_for) {
            Some(awaited) => {
                (Err(awaited), snapshot.as_ref().and_then(|snapshot| planned.sizes.get(snapshot)).copied())
            }
            None => match snapshot.as_ref().and_then(|snapshot| planned.made.get(snapshot)) {
                Some((saved, files)) => (Ok(saved.clone()), *files),
                None => {
                    let beginning = self.beginning(group, template, &context)?;
                    (Ok(beginning.saved), beginning.files)
                }
            },
        };
        let is_of = |need: &&Need, output: &str| need.takes.iter().any(|taken| taken == output);
        let others = Others {
            maker: &|output| Some(needs.iter().find(|need| is_of(need, output))?.template.clone()),
            waits_for: &|output| waits_for(&Wanted::Output(output.to_owned())),
        };
        let told = engine::plan(template, (start, files), &context, &others)?;
        let newest = History::read_finished(&context.output_key(), self.store);
        let basis = Basis {
            told: &told,
            last: newest.as_ref().and_then(History::size),
            awaited: &|output| planned.sizes.get(&Wanted::Output(output.to_owned())).copied(),
        };
        let size = engine::estimate(template, &basis, &context);
        let unknown = || match told.steps.last().and_then(|step| step.awaits.as_ref()) {
            Some(provider) => format!("{provider} is built before it"),
            None => "a step before it will run".to_owned(),
        };
        let image = target::expected(template, told.saved.as_ref(), unknown, &context);
        let impossible = if self.is_main(&subject) { impossible_here(template, self.request) } else { Vec::new() };
        let (steps, given) = (told.steps, gives(template, group, name));
        if let Some(saved) = told.saved {
            let made = |given| (given, (saved.clone(), told.files));
            planned.made.extend(given.into_iter().filter(Wanted::is_snapshot).map(made));
        } else {
            planned.sizes.extend(given.iter().map(|given| (given.clone(), size.files)));
            let awaited = |given| (given, (subject.clone(), told.forecast.clone()));
            planned.awaited.extend(given.into_iter().map(awaited));
        }
        planned.templates.push(PlannedTemplate { subject, needs, steps, image, size, impossible });
        chain.pop();
        Ok(())
    }
}
