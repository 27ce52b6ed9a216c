//! Turns the `steps` of a template and its includes into one list.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Document, Documents};
use super::values::ValuePlaces;
use super::{Guard, LocatedStep, SkippedStep};
use crate::diagnostic::{Diagnostic, Origin};
use crate::features::{Features, is_name_byte};
use crate::field::{Env, FieldSet, Fields};
use crate::json::{Member, Node, Value};
use crate::step::{Include, Reader, StepType};
use crate::suggest::{nearest, quoted_list};
use crate::target::TARGETS;

/// Deeper chains of includes are taken for an endless one.
const MAX_DEPTH: usize = 64;

/// More includes in one template are taken for an endless chain that branches.
const MAX_INCLUDES: usize = 10_000;

/// Targets that an include must not have; the others are ignored there by the original.
const NEVER_IN_INCLUDES: [&str; 3] = ["pool", "dataset", "disk"];

/// Collects steps over all files.
pub(super) struct StepLoader<'a> {
    pub(super) env: Env<'a>,
    pub(super) documents: Documents<'a>,
    pub(super) steps: Vec<LocatedStep>,
    pub(super) skipped: Vec<SkippedStep>,
    /// The kind of target, where the main template has exactly one.
    target: Option<&'static str>,
    /// The files being read, the main template first.
    open: Vec<PathBuf>,
    includes: usize,
    /// Only words are looked at, because values mean nothing without the features and the files of a template.
    words_only: bool,
}

impl<'a> StepLoader<'a> {
    pub(super) fn new(env: Env<'a>, documents: Documents<'a>, target: Option<&'static str>) -> Self {
        Self {
            env,
            documents,
            steps: Vec::new(),
            skipped: Vec::new(),
            target,
            open: Vec::new(),
            includes: 0,
            words_only: false,
        }
    }

    /// Looks at an include by itself: what it may have, and the words of its steps.
    pub(super) fn orphan(mut self, document: &Document, found: &mut Vec<Diagnostic>) {
        self.words_only = true;
        let place = Origin::new(Arc::clone(&document.file), document.root.span, Arc::from([]));
        if let Some(members) = document::members(&document.root, &place, &mut self.env.diagnostics) {
            check_include_keys(&mut Fields::new(&mut self.env, place.clone(), "an include", members), members);
            self.file(document, &place, members);
        }
        found.append(&mut self.env.diagnostics);
    }

    /// Adds the steps of one file.
    pub(super) fn file(&mut self, document: &Document, place: &Origin, members: &[Member]) {
        self.open.push(document.file.path().to_path_buf());
        let what = if self.open.len() == 1 { "a template" } else { "an include" };
        let mut fields = Fields::new(&mut self.env, place.clone(), what, members);
        match fields.member("steps") {
            None => {
                fields.missing::<()>("steps");
            }
            Some(Member { node: Node { value: Value::List(steps), .. }, .. }) => {
                for node in steps {
                    self.step(node, &place.with_span(node.span));
                }
            }
            Some(member) => {
                fields.wrong_type::<()>("steps", &member.node, "a list of steps");
            }
        }
        self.open.pop();
    }

    fn step(&mut self, node: &Node, origin: &Origin) -> Option<()> {
        let mut fields = Fields::new(&mut self.env, origin.clone(), "a step", &[]);
        let Value::Object(members) = &node.value else {
            return fields.wrong_element("steps", node, "an object");
        };
        let mut fields = Fields::new(&mut self.env, origin.clone(), "a step", members);
        let step_type = step_type(&mut fields)?;

        let mut fields = Fields::new(&mut self.env, origin.clone(), format!("step `{}`", step_type.name), members);
        let mut keys = vec!["t", "with", "without"];
        keys.extend((step_type.keys)());
        fields.check_keys(&keys);
        if let Some(guard) = failing_guard(&mut fields)? {
            self.skipped.push(SkippedStep { name: step_type.name.to_owned(), guard, origin: origin.clone() });
            return None;
        }
        if self.words_only {
            return None;
        }
        match step_type.reader {
            Reader::Include => self.include(origin, members),
            Reader::Step(read) => {
                check_target(&mut fields, step_type, self.target);
                let step = read(&mut fields)?;
                let values = ValuePlaces::of(members);
                self.steps.push(LocatedStep { step, origin: origin.clone(), values });
                Some(())
            }
        }
    }

    fn include(&mut self, origin: &Origin, members: &[Member]) -> Option<()> {
        let mut fields = Fields::new(&mut self.env, origin.clone(), "step `include`", members);
        let include = Include::read(&mut fields)?;
        let path = match &include.file {
            Some(file) => PathBuf::from(file),
            None => find_include(&mut fields, &include.name)?,
        };
        let key = if include.file.is_some() { "file" } else { "name" };
        let named_at = origin.with_span(fields.value_span(key));
        self.refuse_endless(&path, &named_at)?;

        let document = self.documents.read(&path, Some(&named_at), &mut self.env.diagnostics)?;
        let mut chain = vec![named_at.as_included_from()];
        chain.extend_from_slice(origin.chain());
        let place = Origin::new(Arc::clone(&document.file), document.root.span, Arc::from(chain));
        let members = document::members(&document.root, &place, &mut self.env.diagnostics)?;
        check_include_keys(&mut Fields::new(&mut self.env, place.clone(), "an include", members), members);
        self.file(&document, &place, members);
        Some(())
    }

    fn refuse_endless(&mut self, path: &Path, named_at: &Origin) -> Option<()> {
        self.includes += 1;
        let error = if let Some(first) = self.open.iter().position(|open| open == path) {
            let cycle = self.open[first..].iter().map(PathBuf::as_path).chain([path]);
            let cycle: Vec<String> = cycle.map(|file| file.display().to_string()).collect();
            let error = Diagnostic::error("template::include-cycle", format!("`{}` includes itself", cycle[0]));
            error.help(format!("the circle is:\n  {}", cycle.join("\n  ")))
        } else if self.open.len() > MAX_DEPTH {
            Diagnostic::error("template::include-limit", format!("more than {MAX_DEPTH} includes inside each other"))
        } else if self.includes > MAX_INCLUDES {
            Diagnostic::error("template::include-limit", format!("more than {MAX_INCLUDES} includes in one template"))
        } else {
            return Some(());
        };
        self.env.diagnostics.push(error.at(named_at, ""));
        None
    }
}

fn step_type(fields: &mut Fields<'_, '_, '_>) -> Option<&'static StepType> {
    let Some(member) = fields.member("t") else {
        return fields.missing("t");
    };
    let Value::Text(word) = &member.node.value else {
        return fields.wrong_type("t", &member.node, "a string");
    };
    if let Some(step_type) = StepType::find(word) {
        return Some(step_type);
    }
    let help = match nearest(word, StepType::words()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("step types are {}", quoted_list(StepType::words())),
    };
    let message = format!("unknown step type `{}`", word.escape_debug());
    let error = Diagnostic::error("template::unknown-step", message).help(help);
    fields.fail(member.node.span, "", error)
}

/// The guard that leaves the step out, if one does; `None` when a guard cannot be understood.
fn failing_guard(fields: &mut Fields<'_, '_, '_>) -> Option<Option<Guard>> {
    let with = guard_name(fields, "with")?;
    let without = guard_name(fields, "without")?;
    let features: &Features = fields.env.features;
    let missing = with.filter(|name| !features.is_defined(name)).map(|name| Guard::With(name.to_owned()));
    let present = without.filter(|name| features.is_defined(name)).map(|name| Guard::Without(name.to_owned()));
    Some(missing.or(present))
}

fn guard_name<'n>(fields: &mut Fields<'_, '_, 'n>, key: &str) -> Option<Option<&'n str>> {
    let member = match fields.member(key) {
        Some(member) if member.node.value != Value::Null => member,
        _ => return Some(None),
    };
    let Value::Text(name) = &member.node.value else {
        return fields.wrong_type(key, &member.node, "a string");
    };
    // Such a name can never be defined, so that the guard would silently always decide the same way.
    if name.is_empty() || !name.bytes().all(is_name_byte) {
        let message = format!("`{}` is not a feature name", name.escape_debug());
        let help = "a guard is the bare name of a feature: no expression, no value, no expansion";
        return fields.fail(member.node.span, "", Diagnostic::error("template::bad-guard", message).help(help));
    }
    let place = fields.at(member.node.span);
    fields.env.check_declared(name, &place);
    Some(Some(name))
}

fn check_target(fields: &mut Fields<'_, '_, '_>, step_type: &StepType, target: Option<&'static str>) {
    let (Some(wanted), Some(target)) = (step_type.target, target) else { return };
    if wanted == target {
        return;
    }
    let message = format!("{} works on a `{wanted}`, and this template builds a `{target}`", fields.what());
    let span = fields.value_span("t");
    fields.fail::<()>(span, "", Diagnostic::error("template::wrong-target", message));
}

fn find_include(fields: &mut Fields<'_, '_, '_>, name: &str) -> Option<PathBuf> {
    let lookup = fields.env.lookup;
    let span = fields.value_span("name");
    match lookup.include(name) {
        Ok(found) => {
            for place in found.passed_over {
                let message = format!("`{}` is passed over", place.path.display());
                let fault = place.fault.unwrap_or_default();
                let help = format!("it is {fault}, and only regular files are included");
                let warning = Diagnostic::warning("template::passed-over", message).help(help);
                fields.fail::<()>(span, "", warning);
            }
            Some(found.path)
        }
        Err(failure) => {
            let similar = lookup.similar(&failure.searched, name, ".json");
            let error = Diagnostic::error("template::include-not-found", format!("no include `{name}`"));
            fields.fail(span, "", error.help(failure.help(&similar)))
        }
    }
}

fn check_include_keys(fields: &mut Fields<'_, '_, '_>, members: &[Member]) {
    let mut keys = vec!["$schema", "steps", "features"];
    keys.extend(TARGETS.iter().map(|target| target.name));
    fields.check_keys(&keys);
    for member in members {
        let misplaced = |what: &str| format!("{what} belongs into the main template, not into an include");
        let key = member.key.as_str();
        let error = if NEVER_IN_INCLUDES.contains(&key) && member.node.value != Value::Null {
            Diagnostic::error("template::target-in-include", misplaced(&format!("target `{key}`")))
        } else if TARGETS.iter().any(|target| target.name == key) {
            fields.env.strict("template::target-in-include", misplaced(&format!("target `{key}`")))
        } else if key == "features" {
            fields.env.strict("template::unknown-key", misplaced("`features`"))
        } else {
            continue;
        };
        fields.fail::<()>(member.key_span, "", error);
    }
}
