//! Loads a template: includes, guards, target and steps, and all that is wrong with them.

mod document;
mod features;
mod steps;
pub(crate) mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Origin, Span};
use crate::features::{DeclaredFeature, Features};
use crate::field::{Env, Fields};
use crate::json::{Member, Node, Value};
use crate::lookup::{Lookup, NotFound, Searched};
use crate::source::{FileKind, TemplateSource};
use crate::step::Step;
use crate::suggest::quoted_list;
use crate::target::{TARGETS, Target};

use document::Documents;
use steps::StepLoader;
use values::ValuePlaces;

/// What to load, and by which rules.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Template roots in order of precedence.
    pub roots: Vec<PathBuf>,
    /// Directories for `extsrc`, in order; one that does not exist is a warning.
    pub external: Vec<PathBuf>,
    /// The template's group: a directory below a root.
    pub group: String,
    /// The template's name, without `.json`.
    pub name: String,
    /// The features given on the command line.
    pub features: Features,
    /// Unknown and repeated keys are warnings, for old files that carry stray ones.
    pub lenient: bool,
}

/// A template that is ready to be built.
#[derive(Debug)]
pub struct Template {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// What it builds.
    pub target: Target,
    /// Where the target stands.
    pub target_origin: Origin,
    target_values: ValuePlaces,
    /// The features in force: those of the request, and declared defaults.
    pub features: Features,
    /// The features that the template declares; `None` when it declares nothing, and so allows any.
    pub declared: Option<Vec<DeclaredFeature>>,
    /// The steps in order, includes spliced in and guards decided.
    pub steps: Vec<LocatedStep>,
    /// The steps and includes that a guard left out.
    pub skipped: Vec<SkippedStep>,
    /// Every template file that was read, the main one first, each once.
    pub files_read: Vec<PathBuf>,
    /// What is suspicious but does not stop a build.
    pub warnings: Vec<Diagnostic>,
}

impl Template {
    /// The place of one of the target's values, or of the whole target when it has no such field.
    #[must_use]
    pub fn target_origin_of(&self, key: &str) -> Origin {
        self.target_values
            .value(key)
            .map_or_else(|| self.target_origin.clone(), |span| self.target_origin.with_span(span))
    }

    /// The place of the element called `name` in a list of the target: `name` itself, or `name=value`. Where expansion
    /// made it, that of the list.
    #[must_use]
    pub fn target_origin_of_element(&self, key: &str, name: &str) -> Origin {
        let found = self.target_values.element(key, name);
        found.map_or_else(|| self.target_origin.clone(), |span| self.target_origin.with_span(span))
    }
}

/// A step and where it stands.
#[derive(Debug, Clone)]
pub struct LocatedStep {
    /// What to do.
    pub step: Step,
    /// The whole step object.
    pub origin: Origin,
    values: ValuePlaces,
}

impl LocatedStep {
    /// The place of one argument's value, or of the whole step when it has no such argument.
    #[must_use]
    pub fn origin_of(&self, key: &str) -> Origin {
        self.values.value(key).map_or_else(|| self.origin.clone(), |span| self.origin.with_span(span))
    }

    /// The place of the element called `name` in one of its lists: `name` itself, or `name=value`. Where expansion made
    /// it, that of the list.
    #[must_use]
    pub fn origin_of_element(&self, key: &str, name: &str) -> Origin {
        self.values.element(key, name).map_or_else(|| self.origin.clone(), |span| self.origin.with_span(span))
    }
}

/// A step that a guard left out.
#[derive(Debug, Clone)]
pub struct SkippedStep {
    /// Its `t`.
    pub name: String,
    /// The guard that decided.
    pub guard: Guard,
    /// The whole step object.
    pub origin: Origin,
}

/// A condition on a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// `with`: the feature must be defined.
    With(String),
    /// `without`: it must not be.
    Without(String),
}

/// Loads the requested template with all its includes.
///
/// Reading stops early only where the text itself cannot be understood; otherwise every static error of the
/// template and its includes is found in one run. Steps behind a false guard are checked for a known type
/// and known keys only, because their text may speak of features that do not exist.
///
/// # Errors
/// Everything that was found, when any of it is an error.
pub fn load(request: &Request, source: &dyn TemplateSource) -> Result<Template, Diagnostics> {
    let lookup = Lookup { request, source };
    let mut found = Vec::new();
    let template = load_main(&lookup, &mut found);
    remove_repeated(&mut found);
    match template {
        Some(mut template) if !found.iter().any(Diagnostic::is_error) => {
            template.warnings = found;
            Ok(template)
        }
        partial => {
            let diagnostics = Diagnostics::new(format!("{}/{}", request.group, request.name), found);
            Err(diagnostics.with_partial(partial))
        }
    }
}

/// What is wrong with an include that no template has: as a text, and with the words of its steps. Their values are not
/// looked at, because those depend on features and on the group of a template.
#[must_use]
pub fn check_include(request: &Request, path: &Path, source: &dyn TemplateSource) -> Vec<Diagnostic> {
    let lookup = Lookup { request, source };
    let mut found = Vec::new();
    let mut documents = Documents::new(source);
    if let Some(document) = documents.read(path, None, &mut found) {
        let (features, declared, lenient) = (&request.features, None, request.lenient);
        let env = Env { features, declared, lookup: &lookup, lenient, diagnostics: Vec::new() };
        StepLoader::new(env, documents, None).orphan(&document, &mut found);
    }
    found
}

/// A file that is included twice has its errors once.
fn remove_repeated(found: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    found.retain(|diagnostic| match diagnostic.origin() {
        Some(origin) => {
            let place = (origin.file().to_path_buf(), origin.span());
            seen.insert((place, diagnostic.code(), diagnostic.message().to_owned()))
        }
        None => true,
    });
}

fn load_main(lookup: &Lookup<'_>, found: &mut Vec<Diagnostic>) -> Option<Template> {
    check_request(lookup, found)?;
    let mut documents = Documents::new(lookup.source);
    let document = find_main(lookup, &mut documents, found)?;
    let place = Origin::new(Arc::clone(&document.file), document.root.span, Arc::from([]));
    let members = document::members(&document.root, &place, found)?;

    let (declared, features) = features::effective(lookup, &place, members, found);
    let mut env = Env {
        features: &features,
        declared: declared.as_deref(),
        lookup,
        lenient: lookup.request.lenient,
        diagnostics: std::mem::take(found),
    };
    let target = read_main(&mut env, &place, members);
    let mut loader = StepLoader::new(env, documents, target.as_ref().map(|(name, _)| *name));
    loader.file(&document, &place, members);

    let StepLoader { env, documents, steps, skipped, .. } = loader;
    *found = env.diagnostics;
    let files_read = documents.into_files_read();
    let (_, target) = target?;
    let FoundTarget { target, origin: target_origin, values: target_values } = target?;
    let Request { group, name, .. } = lookup.request;
    Some(Template {
        group: group.clone(),
        name: name.clone(),
        target,
        target_origin,
        target_values,
        features,
        declared,
        steps,
        skipped,
        files_read,
        warnings: Vec::new(),
    })
}

/// Names become parts of paths and of output names, so that they must be plain.
fn check_request(lookup: &Lookup<'_>, found: &mut Vec<Diagnostic>) -> Option<()> {
    let request = lookup.request;
    let mut good = Some(());
    for (what, name) in [("group", &request.group), ("template", &request.name)] {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            let message = format!("`{}` is not a {what} name", name.escape_debug());
            let help = "a name is one path component that does not start with a dot";
            found.push(Diagnostic::error("template::bad-name", message).help(help));
            good = None;
        }
    }
    for directory in &request.external {
        // A link is most likely one to a directory; if not, the files are not found.
        if !matches!(lookup.source.kind(directory), Ok(Some(FileKind::Directory | FileKind::Symlink))) {
            let message = format!("external source directory `{}` does not exist", directory.display());
            found.push(Diagnostic::warning("template::external-missing", message));
        }
    }
    good
}

fn find_main(
    lookup: &Lookup<'_>,
    documents: &mut Documents<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Arc<document::Document>> {
    let candidates = lookup.main_candidates();
    for path in &candidates {
        // A link is followed here; one that leads nowhere is an error, not an absence.
        if !matches!(lookup.source.kind(path), Ok(None)) {
            return documents.read(path, None, found);
        }
    }
    let searched: Vec<Searched> = candidates.into_iter().map(|path| Searched { path, fault: None }).collect();
    let similar = lookup.similar(&searched, &lookup.request.name, ".json");
    let failure = NotFound { searched };
    let Request { group, name, .. } = lookup.request;
    let mut help = failure.help(&similar);
    if lookup.request.roots.is_empty() {
        help = "name a directory of templates with `-T DIRECTORY`".to_owned();
    } else if similar.is_empty() {
        help.push_str(&similar_groups(lookup));
    }
    found.push(Diagnostic::error("template::not-found", format!("no template `{name}` in group `{group}`")).help(help));
    None
}

fn similar_groups(lookup: &Lookup<'_>) -> String {
    let place = |root: &PathBuf| Searched { path: root.join(&lookup.request.group), fault: None };
    let roots: Vec<Searched> = lookup.request.roots.iter().map(place).collect();
    let mut groups = lookup.similar(&roots, &lookup.request.group, "");
    groups.retain(|group| *group != lookup.request.group);
    if groups.is_empty() {
        return String::new();
    }
    format!("\nsimilar groups that exist: {}", quoted_list(groups.iter().map(String::as_str)))
}

/// A target without errors, and where it and its values stand.
struct FoundTarget {
    target: Target,
    origin: Origin,
    values: ValuePlaces,
}

/// The target's kind, and the target itself if it has no errors.
type NamedTarget = (&'static str, Option<FoundTarget>);

fn read_main(env: &mut Env<'_>, place: &Origin, members: &[Member]) -> Option<NamedTarget> {
    let mut keys = vec!["$schema", "features", "steps"];
    keys.extend(TARGETS.iter().map(|target| target.name));
    let mut fields = Fields::new(env, place.clone(), "a template", members);
    fields.check_keys(&keys);

    let is_target =
        |member: &&Member| member.node.value != Value::Null && TARGETS.iter().any(|target| target.name == member.key);
    let mut given: Vec<&Member> = members.iter().filter(is_target).collect();
    // The same target twice has been reported as a repeated key.
    given.dedup_by(|second, first| second.key == first.key);
    match given.as_slice() {
        [] => {
            let names = quoted_list(TARGETS.iter().map(|target| target.name));
            let error = Diagnostic::error("template::no-target", "the template does not say what it builds");
            let span = Span::new(place.span().start, place.span().start + 1);
            fields.fail(span, "no target in this object", error.help(format!("add one of {names}")))
        }
        [only] => read_target(&mut fields, only),
        [first, others @ ..] => {
            let names = quoted_list(given.iter().map(|member| member.key.as_str()));
            let mut error = Diagnostic::error("template::two-targets", format!("one target is allowed, not {names}"))
                .help("make a template for each, with the common steps in an include");
            error = error.at(&fields.at(first.key_span), "the first");
            for other in others {
                error = error.also(other.key_span, "another");
            }
            fields.push(error);
            None
        }
    }
}

fn read_target(fields: &mut Fields<'_, '_, '_>, member: &Member) -> Option<NamedTarget> {
    let target_type = TARGETS.iter().find(|target| target.name == member.key)?;
    let Node { span, value } = &member.node;
    let Value::Object(members) = value else {
        fields.wrong_type::<()>(&member.key, &member.node, "an object");
        return Some((target_type.name, None));
    };
    let place = fields.at(*span);
    let mut inner = Fields::new(fields.env, place.clone(), format!("target `{}`", member.key), members);
    inner.check_keys(&(target_type.keys)());
    let target = (target_type.read)(&mut inner);
    let values = ValuePlaces::of(members);
    Some((target_type.name, target.map(|target| FoundTarget { target, origin: place, values })))
}
