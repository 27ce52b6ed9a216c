//! Whether what is asked for can be built: loading templates with all that is wrong with them.

use crate::checks;
use crate::error::BuildError;
use crate::request::{BuildRequest, output_name};
use crate::steps;
use crate::target;
use std::path::Path;
use template::{Diagnostic, Diagnostics, Features, HostFiles, Request, Template};

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

/// Says before any work that a step or target is not possible here.
pub(crate) fn refuse_unsupported(request: &BuildRequest, template: &Template) -> Result<(), BuildError> {
    let list = impossible_here(template, request);
    if list.is_empty() {
        return Ok(());
    }
    let subject = format!("{}/{}", request.group, request.name);
    Err(BuildError::Template { diagnostics: Diagnostics::new(subject.clone(), list), subject })
}
