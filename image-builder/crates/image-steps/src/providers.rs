//! Which templates make what another one takes.

use crate::build::{BuildError, Session, load, template_names};
use crate::engine::EngineError;
use crate::inputs::is_made_here;
use crate::steps;
use crate::target;
use image_tree::StoreError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use template::{Diagnostic, LocatedStep, Step, Target, Template};

/// A template that makes something that another one takes.
pub(crate) struct Provider {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) template: Template,
    /// What is taken of it.
    pub(crate) takes: Vec<String>,
}

/// Something that a template takes from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Group and name of the template that makes it.
    pub template: String,
    /// Files of the output directory, and snapshots.
    pub takes: Vec<String>,
}

impl Provider {
    pub(crate) fn need(&self) -> Need {
        Need { template: format!("{}/{}", self.group, self.name), takes: self.takes.clone() }
    }
}

impl Session<'_> {
    /// The templates that make what `template` takes from the output directory or from a snapshot.
    ///
    /// # Errors
    /// When something is not there and cannot be made here, or the template that has made it cannot be read any more.
    pub(crate) fn providers(&self, template: &Template, chain: &[String]) -> Result<Vec<Provider>, BuildError> {
        let mut providers: BTreeMap<(String, String), Provider> = BTreeMap::new();
        let group = chain.last().and_then(|subject| subject.split('/').next()).unwrap_or_default();
        let name = chain.last().and_then(|subject| subject.split('/').nth(1)).unwrap_or_default();
        for (wanted, located) in wants(template, group, name) {
            if self.request.no_deps {
                self.require_present(&wanted, located, None)?;
                continue;
            }
            let Some(provider) = self.find_provider(&wanted)? else {
                self.require_present(&wanted, located, None)?;
                continue;
            };
            if let Some(path) = self.given(&wanted, located)? {
                let (path, by) = (path.display(), format!("{}/{}", provider.group, provider.name));
                self.progress.message(&format!(
                    "taking {path} as it is, because no build here has made it; remove it to have {by} make it"
                ));
                continue;
            }
            if let Some(reason) = self.impossible(&provider, &mut Vec::new())? {
                // It cannot run here, so what is there counts, wherever it came from.
                self.require_present(&wanted, located, Some((&provider, &reason)))?;
                continue;
            }
            let key = (provider.group.clone(), provider.name.clone());
            let takes = &mut providers.entry(key).or_insert(provider).takes;
            let name = match wanted {
                Wanted::Output(name) => name,
                Wanted::Snapshot(name) => format!("snapshot {name}"),
            };
            if !takes.contains(&name) {
                takes.push(name);
            }
        }
        Ok(providers.into_values().collect())
    }

    /// The template that makes what is wanted; one that has errors is it, too, as far as it can be read. Of the others
    /// that are wrong nobody knows what they make: unless one has made just this before, it does not stop those who may
    /// need nothing of it, but they are told.
    fn find_provider(&self, wanted: &Wanted) -> Result<Option<Provider>, BuildError> {
        for Candidate { group, name, gives, is_wrong } in self.candidates() {
            if gives.contains(wanted) {
                let template = load(self.request, group, name)?;
                let (group, name, takes) = (group.clone(), name.clone(), Vec::new());
                return Ok(Some(Provider { group, name, template, takes }));
            }
            if !is_wrong {
                continue;
            }
            if self.maker(wanted).as_deref() == Some(&format!("{group}/{name}")) {
                load(self.request, group, name)?;
            }
            self.pass_over(group, name);
        }
        Ok(None)
    }

    /// Every template below the roots with what it gives, found out once in a run.
    fn candidates(&self) -> &[Candidate] {
        self.candidates.get_or_init(|| {
            let candidate = |(group, name): (String, String)| {
                let loaded = load(self.request, &group, &name);
                let is_wrong = loaded.is_err();
                let gives = match &loaded {
                    Ok(template) => gives(template, &group, &name),
                    Err(BuildError::Template { diagnostics, .. }) => {
                        diagnostics.partial().map_or_else(Vec::new, |template| gives(template, &group, &name))
                    }
                    Err(_) => Vec::new(),
                };
                Candidate { group, name, gives, is_wrong }
            };
            template_names(&self.request.roots).into_iter().map(candidate).collect()
        })
    }

    /// The template that has made something last, if one of this workspace has.
    fn maker(&self, wanted: &Wanted) -> Option<String> {
        let bytes = self.store.record_get("maker", wanted.key().as_bytes()).ok().flatten()?;
        String::from_utf8(bytes).ok()
    }

    /// Remembers who made what a template gives.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn remember_maker(&self, template: &Template, group: &str, subject: &str) -> Result<(), StoreError> {
        let name = subject.rsplit('/').next().unwrap_or_default();
        for given in gives(template, group, name) {
            if self.maker(&given).as_deref() != Some(subject) {
                self.store.record_put("maker", given.key().as_bytes(), subject.as_bytes())?;
            }
        }
        Ok(())
    }

    fn pass_over(&self, group: &str, name: &str) {
        let subject = format!("{group}/{name}");
        if self.told.borrow_mut().passed_over.insert(subject.clone()) {
            self.progress.message(&format!(
                "template {subject} is wrong and was passed over, whatever it makes; \
                 `image-builder check -g {group} -n {name}` tells why"
            ));
        }
    }

    /// A file of the output directory that somebody has put there: it is wanted as it is.
    fn given(&self, wanted: &Wanted, located: Option<&LocatedStep>) -> Result<Option<PathBuf>, BuildError> {
        let Wanted::Output(name) = wanted else { return Ok(None) };
        let path = self.workspace.output().join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let is_made_here = is_made_here(name, &path, self.store).map_err(|error| {
            let diagnostic = Diagnostic::error("build::input", error.to_string());
            EngineError::Step(Box::new(match located {
                Some(located) => diagnostic.at(&located.origin, "needed by this step"),
                None => diagnostic,
            }))
        })?;
        Ok((!is_made_here).then_some(path))
    }

    /// Why a template cannot be built here: because of one of its own steps, or because it takes something that is not
    /// there from a template that cannot.
    fn impossible(&self, provider: &Provider, seen: &mut Vec<String>) -> Result<Option<String>, BuildError> {
        let target = target::unsupported(&provider.template.target).map(|diagnostic| diagnostic.message().to_owned());
        if let Some(reason) = steps::unsupported(&provider.template).or(target) {
            return Ok(Some(reason));
        }
        let subject = format!("{}/{}", provider.group, provider.name);
        if seen.contains(&subject) {
            // Building them tells of the circle.
            return Ok(None);
        }
        seen.push(subject);
        for (wanted, _) in wants(&provider.template, &provider.group, &provider.name) {
            if self.is_present(&wanted).1 {
                continue;
            }
            let Some(before) = self.find_provider(&wanted)? else { continue };
            if let Some(reason) = self.impossible(&before, seen)? {
                return Ok(Some(format!("it needs {}/{}, and {reason}", before.group, before.name)));
            }
        }
        Ok(None)
    }

    /// What is wanted, in words, and whether it is there.
    fn is_present(&self, wanted: &Wanted) -> (String, bool) {
        match wanted {
            Wanted::Output(name) => {
                let path = self.workspace.output().join(name);
                (path.display().to_string(), path.is_file())
            }
            Wanted::Snapshot(name) => {
                let known = self.store.record_get("snapshot", name.as_bytes()).ok().flatten();
                (format!("snapshot {name}"), known.is_some())
            }
        }
    }

    fn require_present(
        &self,
        wanted: &Wanted,
        located: Option<&LocatedStep>,
        provider: Option<(&Provider, &str)>,
    ) -> Result<(), BuildError> {
        let (what, is_there) = self.is_present(wanted);
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
            None if self.request.no_deps => "build it first, or leave --no-deps out".to_owned(),
            None => self.help_without_maker(),
        };
        Err(EngineError::Step(Box::new(diagnostic.help(help))).into())
    }

    fn help_without_maker(&self) -> String {
        let told = self.told.borrow();
        let wrong: Vec<&str> = told.passed_over.iter().map(String::as_str).collect();
        if wrong.is_empty() {
            return "no template under the template roots makes it; put one there".to_owned();
        }
        format!(
            "put one there, or correct the template that makes it, if it is one that is wrong: {}",
            wrong.join(", ")
        )
    }
}

/// A template that may make what another one takes.
pub(crate) struct Candidate {
    group: String,
    name: String,
    /// As far as it can be read.
    gives: Vec<Wanted>,
    /// It has errors.
    is_wrong: bool,
}

/// What one template takes from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// A file in the output directory.
    Output(String),
    /// `GROUP/DATASET@SNAPSHOT`.
    Snapshot(String),
}

impl Wanted {
    /// What it is remembered by.
    fn key(&self) -> String {
        match self {
            Self::Output(name) => format!("output {name}"),
            Self::Snapshot(name) => format!("snapshot {name}"),
        }
    }
}

/// What a snapshot is called between templates.
pub(crate) fn snapshot_name(group: &str, dataset: &str, snapshot: &str) -> String {
    format!("{group}/{dataset}@{snapshot}")
}

fn wants<'t>(template: &'t Template, group: &str, name: &str) -> Vec<(Wanted, Option<&'t LocatedStep>)> {
    let mut wanted: Vec<_> = wanted_snapshot(template, group).into_iter().map(|snapshot| (snapshot, None)).collect();
    let own = gives(template, group, name);
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

/// The snapshot that a template begins with.
pub(crate) fn wanted_snapshot(template: &Template, group: &str) -> Option<Wanted> {
    let Target::Dataset(dataset) = &template.target else { return None };
    let snapshot = dataset.input_snapshot.as_ref()?;
    Some(Wanted::Snapshot(snapshot_name(group, &dataset.name, snapshot)))
}

/// What a template makes for others.
pub(crate) fn gives(template: &Template, group: &str, name: &str) -> Vec<Wanted> {
    let packed = template.steps.iter().filter_map(|located| match &located.step {
        Step::PackTar(pack) => Some(Wanted::Output(pack.name.clone())),
        _ => None,
    });
    let mut given: Vec<Wanted> = packed.collect();
    let files = target::file_names(&template.target, &format!("{group}-{name}"));
    given.extend(files.into_iter().map(Wanted::Output));
    if let Target::Dataset(dataset) = &template.target {
        let snapshot = dataset.output_snapshot.iter();
        given.extend(snapshot.map(|snapshot| Wanted::Snapshot(snapshot_name(group, &dataset.name, snapshot))));
    }
    given
}
