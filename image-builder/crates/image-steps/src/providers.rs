//! Which templates make what another one takes.

use crate::chain::{Link, too_long};
use crate::engine::EngineError;
use crate::error::BuildError;
use crate::inputs::{MadeBy, made_by};
use crate::load::load_with;
use crate::roots::template_names;
use crate::session::Session;
use crate::snapshot::SNAPSHOT;
use crate::steps;
use crate::target;
use crate::wanted::{CHAIN_MAX, Candidate, Need, Wanted, gives, wants};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use template::{Diagnostic, Features, Origin, Template};

/// A template that makes something that another one takes.
pub(crate) struct Provider {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) template: Template,
    /// What it was loaded with.
    pub(crate) features: Features,
    /// What is taken of it.
    pub(crate) takes: Vec<String>,
    /// Where the first of these is named.
    pub(crate) place: Origin,
}

/// Who makes something.
enum Found {
    Nobody,
    One(Box<Provider>),
    /// Several templates would, and none of them has yet.
    Several(Vec<String>),
}

impl Provider {
    pub(crate) fn need(&self) -> Need {
        Need { template: format!("{}/{}", self.group, self.name), takes: self.takes.clone() }
    }

    /// The way on to it.
    pub(crate) fn link(&self) -> Link {
        let taken = Some((self.takes.clone(), self.place.clone()));
        Link { subject: format!("{}/{}", self.group, self.name), taken }
    }
}

impl Session<'_> {
    /// The templates that make what `template`, which was loaded with `features`, takes from the output directory or from
    /// a snapshot.
    ///
    /// # Errors
    /// When something is not there and cannot be made here, several templates would make it, or the one that has made
    /// it cannot be read any more.
    pub(crate) fn providers(
        &self,
        template: &Template,
        features: &Features,
        chain: &[Link],
    ) -> Result<Vec<Provider>, BuildError> {
        let mut providers: BTreeMap<(String, String), Provider> = BTreeMap::new();
        let (group, name) = chain.last().and_then(|link| link.subject.split_once('/')).unwrap_or_default();
        for (wanted, place) in wants(template, group, name) {
            let Some(provider) = self.provider(&wanted, &place, features, chain.len())? else { continue };
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

    /// The template that has to be built for what is wanted, after so many on the way to it; none if what is there is taken
    /// as it is.
    fn provider(
        &self,
        wanted: &Wanted,
        place: &Origin,
        features: &Features,
        depth: usize,
    ) -> Result<Option<Provider>, BuildError> {
        if self.request.no_deps {
            return self.require_present(wanted, place, None).map(|()| None);
        }
        if let Some((path, made_by)) = self.given(wanted, place)? {
            self.tell_given(&path, made_by, wanted, place, features);
            return Ok(None);
        }
        let provider = match self.find_provider(wanted, place, features)? {
            Found::Nobody => return self.require_present(wanted, place, None).map(|()| None),
            Found::Several(names) => return Err(self.ambiguous(wanted, place, &names)),
            Found::One(provider) => *provider,
        };
        if let Some(reason) = self.impossible(&provider, depth)? {
            // It cannot run here, so what is there counts, wherever it came from.
            return self.require_present(wanted, place, Some((&provider, &reason))).map(|()| None);
        }
        self.tell_kept_features(&provider, features);
        Ok(Some(provider))
    }

    /// The template that makes what is wanted: the one that has made it last, whoever else could; else the only one
    /// that does. One that has errors is it, too, as far as it can be read. Of the others that are wrong nobody
    /// knows what they make, which does not stop those who may need nothing of them.
    fn find_provider(&self, wanted: &Wanted, place: &Origin, features: &Features) -> Result<Found, BuildError> {
        let candidates = self.candidates(features);
        if let Some(provider) = self.last_maker(wanted, place, features, &candidates)? {
            return Ok(Found::One(Box::new(provider)));
        }
        let mut makers = candidates.iter().filter(|candidate| candidate.gives.contains(wanted));
        match (makers.next(), makers.next()) {
            (None, _) => {
                let wrong = candidates.iter().filter(|candidate| candidate.is_wrong).map(Candidate::subject);
                self.told.borrow_mut().passed_over.extend(wrong);
                Ok(Found::Nobody)
            }
            (Some(Candidate { group, name, .. }), None) => {
                let template = load_with(self.request, group, name, features)?;
                let (group, name, features, takes) = (group.clone(), name.clone(), features.clone(), Vec::new());
                Ok(Found::One(Box::new(Provider { group, name, template, features, takes, place: place.clone() })))
            }
            (Some(first), Some(second)) => {
                Ok(Found::Several([first, second].into_iter().chain(makers).map(Candidate::subject).collect()))
            }
        }
    }

    /// The template that has made what is wanted last, if it still does.
    fn last_maker(
        &self,
        wanted: &Wanted,
        place: &Origin,
        features: &Features,
        candidates: &[Candidate],
    ) -> Result<Option<Provider>, BuildError> {
        let Some(maker) = self.maker(wanted) else { return Ok(None) };
        let Some(Candidate { group, name, .. }) = candidates.iter().find(|known| known.subject() == maker.template)
        else {
            return Ok(None);
        };
        let kept = features.completed_by(&maker.features());
        let own = if maker.by_name { &kept } else { features };
        let loaded = load_with(self.request, group, name, own).map(|template| (template, own.clone()));
        // What a run does not say, because it asks for nothing that needs it, is as it was.
        let loaded = loaded.or_else(|error| match load_with(self.request, group, name, &kept) {
            Ok(template) => Ok((template, kept.clone())),
            Err(_) => Err(error),
        });
        let (template, features) = loaded?;
        let makes_it = gives(&template, group, name).contains(wanted);
        let (group, name, takes) = (group.clone(), name.clone(), Vec::new());
        Ok(makes_it.then_some(Provider { group, name, template, features, takes, place: place.clone() }))
    }

    /// Every template below the roots with what it gives, found out once in a run for each set of features.
    fn candidates(&self, features: &Features) -> Rc<[Candidate]> {
        if let Some((_, known)) = self.candidates.borrow().iter().find(|(of, _)| of == features) {
            return Rc::clone(known);
        }
        let candidate = |(group, name): (String, String)| {
            if self.is_main(&format!("{group}/{name}")) && *features == self.request.features {
                // It was read already.
                return Candidate { gives: self.main_gives.borrow().clone(), group, name, is_wrong: false };
            }
            let loaded = load_with(self.request, &group, &name, features);
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
        let all: Rc<[Candidate]> = template_names(&self.request.roots).into_iter().map(candidate).collect();
        self.candidates.borrow_mut().push((features.clone(), Rc::clone(&all)));
        all
    }

    /// Says once in a run that a file is taken as it is, though a template would make it.
    fn tell_given(&self, path: &Path, made_by: MadeBy, wanted: &Wanted, place: &Origin, features: &Features) {
        let by = match self.find_provider(wanted, place, features) {
            Ok(Found::One(provider)) => format!("{}/{}", provider.group, provider.name),
            Ok(Found::Several(names)) => format!("one of {}", names.join(", ")),
            Err(_) => "the template that is wrong".to_owned(),
            Ok(Found::Nobody) => return,
        };
        if !self.told.borrow_mut().given.insert(path.to_owned()) {
            return;
        }
        let reason = match made_by {
            MadeBy::Changed => "it was changed or replaced after a build here had made it",
            _ => "no build here has made it",
        };
        let path = path.display();
        self.progress.message(&format!("taking {path} as it is, because {reason}; remove it to have {by} make it"));
    }

    fn tell_kept_features(&self, provider: &Provider, features: &Features) {
        let given = features.to_directives();
        let kept: Vec<String> =
            provider.features.to_directives().into_iter().filter(|directive| !given.contains(directive)).collect();
        let subject = format!("{}/{}", provider.group, provider.name);
        if !kept.is_empty() && self.told.borrow_mut().kept_features.insert(subject.clone()) {
            let kept = kept.iter().map(|directive| format!("-F {directive}")).collect::<Vec<_>>().join(" ");
            self.progress.message(&format!(
                "{subject} keeps the features of its own build where this one says nothing of them: {kept}"
            ));
        }
    }

    fn ambiguous(&self, wanted: &Wanted, place: &Origin, names: &[String]) -> BuildError {
        let (what, _) = self.is_present(wanted);
        let message = format!("{what} is made by several templates: {}", names.join(", "));
        let diagnostic = Diagnostic::error("build::ambiguous-input", message).at(place, "needed here");
        let help = "build the one that is meant by its name first: whichever has made it last is taken from then on";
        EngineError::Step(Box::new(diagnostic.help(help))).into()
    }

    /// A file of the output directory that somebody has put there or changed: it is wanted as it is.
    fn given(&self, wanted: &Wanted, place: &Origin) -> Result<Option<(PathBuf, MadeBy)>, BuildError> {
        let Wanted::Output(name) = wanted else { return Ok(None) };
        let path = self.workspace.output().join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let made_by = made_by(name, &path, self.store).map_err(|error| {
            let diagnostic = Diagnostic::error("build::input", error.to_string());
            EngineError::Step(Box::new(diagnostic.at(place, "needed here")))
        })?;
        Ok((made_by != MadeBy::Build).then_some((path, made_by)))
    }

    /// Why a template cannot be built here: because of one of its own steps, or because it takes something that is not
    /// there from a template that cannot. Found out once in a run for each. There are `depth` templates on the way to it.
    fn impossible(&self, provider: &Provider, depth: usize) -> Result<Option<String>, BuildError> {
        let key = (format!("{}/{}", provider.group, provider.name), provider.features.to_directives());
        if let Some(known) = self.impossible.borrow().get(&key) {
            return Ok(known.clone());
        }
        if depth >= CHAIN_MAX {
            return Err(too_long(&key.0, Some(&provider.place)));
        }
        // In a circle nothing is; building it tells of that.
        self.impossible.borrow_mut().insert(key.clone(), None);
        let reason = self.why_impossible(provider, depth)?;
        self.impossible.borrow_mut().insert(key, reason.clone());
        Ok(reason)
    }

    fn why_impossible(&self, provider: &Provider, depth: usize) -> Result<Option<String>, BuildError> {
        let target = target::unsupported(&provider.template.target).map(|diagnostic| diagnostic.message().to_owned());
        if let Some(reason) = steps::unsupported(&provider.template, self.request.svccfg.is_some()).or(target) {
            return Ok(Some(reason));
        }
        for (wanted, place) in wants(&provider.template, &provider.group, &provider.name) {
            if self.is_present(&wanted).1 {
                continue;
            }
            let Found::One(before) = self.find_provider(&wanted, &place, &provider.features)? else { continue };
            if let Some(reason) = self.impossible(&before, depth + 1)? {
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
                let known = self.store.record_get(SNAPSHOT, name.as_bytes()).ok().flatten();
                (format!("snapshot {name}"), known.is_some())
            }
        }
    }

    fn require_present(
        &self,
        wanted: &Wanted,
        place: &Origin,
        provider: Option<(&Provider, &str)>,
    ) -> Result<(), BuildError> {
        let (what, is_there) = self.is_present(wanted);
        if is_there {
            return Ok(());
        }
        let is_something_else = matches!(wanted, Wanted::Output(name) if self.workspace.output().join(name).exists());
        let problem = if is_something_else { "is there, and is no regular file" } else { "does not exist" };
        let diagnostic = Diagnostic::error("build::missing-input", format!("{what} {problem}"));
        let diagnostic = diagnostic.at(place, "needed here");
        let help = match provider {
            Some((provider, reason)) => format!(
                "{}/{} makes it, which is not possible here ({reason}); build it where it is, or put one there",
                provider.group, provider.name
            ),
            None if self.request.no_deps => "build it first, or leave --no-deps out".to_owned(),
            None => self.help_without_maker(wanted),
        };
        Err(EngineError::Step(Box::new(diagnostic.help(help))).into())
    }

    fn help_without_maker(&self, wanted: &Wanted) -> String {
        let way_out = match wanted {
            Wanted::Output(_) => "put one there",
            Wanted::Snapshot(_) => "the one before this has to name it as its `output_snapshot`",
        };
        const SHOWN_MAX: usize = 5;
        let told = self.told.borrow();
        let wrong: Vec<&str> = told.passed_over.iter().take(SHOWN_MAX).map(String::as_str).collect();
        let more = told.passed_over.len() - wrong.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        if wrong.is_empty() {
            return format!("no template under the template roots makes it; {way_out}");
        }
        format!(
            "no template that can be read makes it; {way_out}, or see with `check` and the features of this build \
             whether it is one of those that are wrong: {}{more}",
            wrong.join(", ")
        )
    }
}
