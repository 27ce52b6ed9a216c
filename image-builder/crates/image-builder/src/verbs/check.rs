//! `image-builder check`.

#![expect(clippy::print_stderr, reason = "findings of the command line")]

use super::request_at;
use crate::arguments::Check;
use crate::failure::{Failure, diagnostic_json};
use crate::output::print_lines;
use crate::places::Places;
use crate::terminal::counted;
use image_steps::{BuildError, BuildRequest, Neighbour};
use miette::Report;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use template::{Diagnostic, Diagnostics, Template};

/// What was found about one template.
struct Finding {
    subject: String,
    steps: Option<usize>,
    list: Vec<Diagnostic>,
    /// Why a template that is right cannot be built here.
    not_here: Vec<Diagnostic>,
    /// The template and its includes, as far as they were read.
    files_read: Vec<PathBuf>,
}

/// Where a diagnostic was found, and what it says.
type Told = BTreeSet<(String, String)>;

/// `image-builder check`.
pub(crate) fn check(arguments: &Check) -> Result<(), Failure> {
    let places = Places::find(&arguments.places)?;
    let names: Vec<(String, String)> = match (&arguments.group, &arguments.name) {
        (Some(group), Some(name)) => vec![(group.clone(), name.clone())],
        (group, _) => names_in(&places, group.as_deref())?,
    };
    let mut findings = find_all(arguments, &places, &names)?;
    if !arguments.json {
        let mut told = Told::new();
        findings.iter_mut().try_for_each(|finding| tell(finding, &mut told))?;
    }
    let unread = match arguments.group {
        None => unread_includes(arguments, &places, &findings),
        Some(_) => Vec::new(),
    };
    let wrong = findings.iter().filter(|finding| finding.steps.is_none()).count();
    let wrong_includes = unread.iter().filter(|include| !include.is_good()).count();
    if arguments.json {
        let list = findings.iter().map(Finding::to_json).collect::<Vec<_>>();
        let unread = unread.iter().map(Unread::to_json).collect::<Vec<_>>();
        print_lines(|output| writeln!(output, "{}", json!({ "templates": list, "unread": unread })))?;
    } else {
        tell_unread(unread)?;
    }
    if wrong + wrong_includes > 0 {
        return Err(Failure::Check { wrong, all: names.len(), wrong_includes });
    }
    Ok(())
}

/// What is wrong with the named templates, by themselves and beside all others.
fn find_all(arguments: &Check, places: &Places, names: &[(String, String)]) -> Result<Vec<Finding>, Failure> {
    // In one order, whichever are named: of two that are at odds the later one is wrong.
    let all: BTreeSet<(String, String)> =
        image_steps::template_names(&places.roots).into_iter().chain(names.iter().cloned()).collect();
    let mut loaded = Vec::with_capacity(all.len());
    for (group, name) in &all {
        let request = request_at(places, &arguments.places, group, name);
        loaded.push(match image_steps::load(&request, group, name) {
            Ok(template) => Ok((request, template)),
            Err(BuildError::Template { diagnostics, .. }) => Err(diagnostics),
            Err(other) => return Err(other.into()),
        });
    }
    let neighbours: Vec<Neighbour<'_>> = loaded
        .iter()
        .map(|outcome| match outcome {
            Ok((_, template)) => Neighbour { template: Some(template), is_good: true },
            Err(diagnostics) => Neighbour { template: diagnostics.partial(), is_good: false },
        })
        .collect();
    let together = image_steps::check_together(&neighbours);
    let finding = |((group, name), outcome): (&(String, String), _)| Finding::new(format!("{group}/{name}"), outcome);
    let mut findings: Vec<Finding> = all.iter().zip(loaded).map(finding).collect();
    for (index, diagnostic) in together {
        findings[index].steps = None;
        findings[index].list.push(diagnostic);
    }
    let mut named = all.iter().map(|one| names.contains(one));
    findings.retain(|_| named.next().unwrap_or_default());
    Ok(findings)
}

/// The templates of a group, or all of them. That there is none is no good news.
fn names_in(places: &Places, group: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let mut names = image_steps::template_names(&places.roots);
    let groups: BTreeSet<String> = names.iter().map(|(group, _)| group.clone()).collect();
    names.retain(|(found, _)| group.is_none_or(|group| group == found));
    let has_includes = || group.is_none() && !image_steps::include_files(&places.roots).is_empty();
    if names.is_empty() && !has_includes() {
        let (group, groups) = (group.map(str::to_owned), groups.into_iter().collect());
        return Err(Failure::NothingToCheck { group, groups });
    }
    Ok(names)
}

/// An include that no template has read, and what is wrong with it by itself.
struct Unread {
    path: PathBuf,
    list: Vec<Diagnostic>,
}

impl Unread {
    fn is_good(&self) -> bool {
        !self.list.iter().any(Diagnostic::is_error)
    }

    fn to_json(&self) -> Value {
        let list = self.list.iter().map(diagnostic_json).collect::<Vec<_>>();
        json!({ "file": self.path, "good": self.is_good(), "diagnostics": list })
    }
}

fn unread_includes(arguments: &Check, places: &Places, findings: &[Finding]) -> Vec<Unread> {
    let read: BTreeSet<&PathBuf> = findings.iter().flat_map(|finding| &finding.files_read).collect();
    let request = request_at(places, &arguments.places, "", "");
    let unread = image_steps::include_files(&places.roots).into_iter().filter(|path| !read.contains(path));
    unread.map(|path| Unread { list: image_steps::check_include(&request, &path), path }).collect()
}

fn tell_unread(unread: Vec<Unread>) -> Result<(), Failure> {
    if !unread.is_empty() {
        let what = "only the words of these were checked, because no template includes them with these features:";
        print_lines(|output| writeln!(output, "{what}"))?;
    }
    for include in unread {
        print_lines(|output| writeln!(output, "    {}", include.path.display()))?;
        if !include.list.is_empty() {
            let subject = include.path.display().to_string();
            eprintln!("{:?}", Report::new(template::Diagnostics::new(subject, include.list)));
        }
    }
    Ok(())
}

/// What an include has of errors is told with the first template that has it.
fn tell(finding: &mut Finding, told: &mut Told) -> Result<(), Failure> {
    let all = std::mem::take(&mut finding.list);
    let count = all.len();
    let place = |one: &Diagnostic| one.origin().map(ToString::to_string).unwrap_or_default();
    let list: Vec<Diagnostic> =
        all.into_iter().filter(|one| told.insert((place(one), one.message().to_owned()))).collect();
    let repeated = count - list.len();
    let Some(steps) = finding.steps else {
        if repeated > 0 {
            eprintln!("{}: {repeated} of its {count} findings are those of an include, told above", finding.subject);
        }
        if !list.is_empty() {
            eprintln!("{:?}", Report::new(template::Diagnostics::new(finding.subject.clone(), list)));
        }
        return Ok(());
    };
    for warning in list {
        eprintln!("{:?}", Report::new(warning));
    }
    print_lines(|output| {
        writeln!(output, "{}: {}, good", finding.subject, counted(steps))?;
        for diagnostic in each_once(&finding.not_here) {
            let place = diagnostic.origin().map(|origin| format!(" ({origin})")).unwrap_or_default();
            writeln!(output, "    cannot be built here: {}{place}", diagnostic.message())?;
        }
        Ok(())
    })
}

/// Many steps may have the same reason: the first of each.
pub(super) fn each_once(list: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut told: Vec<&Diagnostic> = Vec::new();
    for diagnostic in list {
        if told.iter().all(|earlier| earlier.message() != diagnostic.message()) {
            told.push(diagnostic);
        }
    }
    told
}

impl Finding {
    fn new(subject: String, outcome: Result<(BuildRequest, Template), Diagnostics>) -> Self {
        match outcome {
            Ok((request, mut template)) => {
                let not_here = image_steps::impossible_here(&template, &request);
                let list = std::mem::take(&mut template.warnings);
                let (steps, files_read) = (Some(template.steps.len()), template.files_read);
                Self { subject, steps, list, not_here, files_read }
            }
            Err(diagnostics) => {
                let files_read = diagnostics.partial().map(|template| template.files_read.clone()).unwrap_or_default();
                Self { subject, steps: None, list: diagnostics.into_list(), not_here: Vec::new(), files_read }
            }
        }
    }

    fn to_json(&self) -> Value {
        let list = |list: &[Diagnostic]| list.iter().map(diagnostic_json).collect::<Vec<_>>();
        json!({
            "template": self.subject,
            "good": self.steps.is_some(),
            "steps": self.steps,
            "diagnostics": list(&self.list),
            "not_possible_here": list(&self.not_here),
        })
    }
}
