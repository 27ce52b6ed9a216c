//! What is to be built, and whether it can be: loading templates with all that is wrong with them.

use crate::build::BuildError;
use crate::checks;
use crate::steps;
use crate::target;
use crate::workspace::Location;
use ips_client::ClientKey;
use std::path::{Path, PathBuf};
use template::{Diagnostic, Diagnostics, Features, HostFiles, Request, Template};

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
    /// Another process that works in the workspace is waited for.
    pub wait: bool,
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

/// What is wrong with an include by itself, without a template that has it.
#[must_use]
pub fn check_include(request: &BuildRequest, path: &Path) -> Vec<Diagnostic> {
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
    let is_main = group == request.group && name == request.name;
    let mut problems = checks::problems(&template, &output_name(request, group, name));
    problems.extend(is_main.then(|| checks::refuse_taken_name(request)).flatten());
    let is_wrong = problems.iter().any(Diagnostic::is_error);
    template.warnings.extend(problems);
    if !is_wrong {
        return Ok(template);
    }
    let list = std::mem::take(&mut template.warnings);
    Err(failed(Diagnostics::new(subject.clone(), list)))
}

/// Group and output name, joined: what files are called after, and identifiers derived from.
pub(crate) fn output_name(request: &BuildRequest, group: &str, name: &str) -> String {
    let is_main = group == request.group && name == request.name;
    let name = request.output_name.as_deref().filter(|_| is_main).unwrap_or(name);
    format!("{group}-{name}")
}

/// Says before any work that a step or target is not possible here.
pub(crate) fn refuse_unsupported(request: &BuildRequest, template: &Template) -> Result<(), BuildError> {
    let list = impossible_here(template, request);
    if list.is_empty() {
        return Ok(());
    }
    let subject = format!("{}/{}", request.group, request.name);
    Err(BuildError::Template { diagnostics: Diagnostics::new(subject.clone(), list), subject })
}
