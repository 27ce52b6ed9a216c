//! `image-builder plan`.

use super::check::each_once;
use super::{redo, request};
use crate::arguments::Plan;
use crate::failure::Failure;
use crate::failure::diagnostic_json;
use crate::output::print_lines;
use crate::sizes::size;
use crate::terminal;
use image_steps::{
    BuildRequest, EstimatedSize, InputSource, PlannedInput, PlannedPackages, PlannedTemplate, SizeBasis,
};
use ips_client::Amount;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use template::Diagnostic;

/// `image-builder plan`.
pub(crate) fn plan(arguments: &Plan) -> Result<(), Failure> {
    let mut request = request(&arguments.location.dataset, &arguments.template)?;
    request.redo = redo(&arguments.redo);
    request.no_deps = arguments.no_deps;
    request.client_keys.clone_from(&arguments.client_keys.keys);
    let look = if arguments.ask_publishers { image_steps::plan_asking } else { image_steps::plan };
    let planned = look(&request, &terminal::progress())?;
    let refused = planned.iter().find(|template| !template.impossible.is_empty());
    let done = refused.map_or(Ok(()), |template| Err(Failure::not_here(&template.subject, &template.impossible)));
    if arguments.json {
        let templates: Vec<Value> = planned.iter().map(to_json).collect();
        let told = json!({
            "possible": refused.is_none(), "roots": request.roots, "external": request.external, "svccfg": request.svccfg,
            "templates": templates,
        });
        print_lines(|output| writeln!(output, "{told}"))?;
        return done;
    }
    print_lines(|output| print_all(output, &request, &planned, arguments.ask_publishers))?;
    done
}

fn print_all(
    output: &mut dyn Write,
    request: &BuildRequest,
    planned: &[PlannedTemplate],
    is_asked: bool,
) -> io::Result<()> {
    for root in &request.roots {
        writeln!(output, "templates from {}", root.display())?;
    }
    for external in &request.external {
        writeln!(output, "external files from {}", external.display())?;
    }
    if let Some(svccfg) = &request.svccfg {
        writeln!(output, "service repositories by {}", svccfg.display())?;
    }
    if planned.len() > 1 {
        print_graph(output, planned)?;
    }
    for template in planned {
        print_plan(output, template)?;
    }
    print_all_packages(output, planned, is_asked)
}

fn to_json(template: &PlannedTemplate) -> Value {
    let PlannedTemplate { subject, needs, steps, image, size, .. } = template;
    let impossible: Vec<Value> = template.impossible.iter().map(diagnostic_json).collect();
    json!({
        "template": subject,
        "needs": needs,
        "steps": steps,
        "image": image,
        "size": size,
        "not_possible_here": impossible,
    })
}

/// The templates below each other, in the order in which they are built.
fn print_graph(output: &mut dyn Write, planned: &[PlannedTemplate]) -> io::Result<()> {
    writeln!(output, "\norder:")?;
    for (number, template) in planned.iter().enumerate() {
        let to_do = template.steps.iter().filter(|step| step.cached != Some(true)).count();
        let image = template.image.as_ref().is_some_and(|image| !image.current);
        let state = match (to_do, image) {
            (0, false) => "nothing to do".to_owned(),
            (0, true) => "writes the image".to_owned(),
            (count, _) => format!("{count} of {}", terminal::counted(template.steps.len())),
        };
        writeln!(output, "  {}. {}: {state}", number + 1, template.subject)?;
        for need in &template.needs {
            writeln!(output, "       takes {} from {}", need.takes.join(", "), need.template)?;
        }
    }
    Ok(())
}

fn print_plan(output: &mut dyn Write, template: &PlannedTemplate) -> io::Result<()> {
    writeln!(output, "\n{}", template.subject)?;
    let mut awaits = None;
    for step in &template.steps {
        if awaits != step.awaits.as_ref() {
            awaits = step.awaits.as_ref();
            writeln!(output, "  unknown until {} is built:", awaits.map_or("what it needs", String::as_str))?;
        }
        let mark = match step.cached {
            Some(true) => "cached",
            Some(false) => "run",
            None => "after",
        };
        writeln!(output, "  {mark:6}  {}  ({})", step.title, step.origin)?;
        for input in &step.inputs {
            writeln!(output, "          reads {}", input_text(input))?;
        }
        if let Some(why) = step.why.as_ref().filter(|_| step.cached.is_some()) {
            writeln!(output, "          because {why}")?;
        }
        if let Some(packages) = &step.packages {
            print_packages(output, packages)?;
        }
    }
    if let Some(image) = &template.image {
        let is_known = template.steps.last().is_none_or(|step| step.awaits.is_none());
        let mark = match (is_known, image.current) {
            (false, _) => "after",
            (true, true) => "there",
            (true, false) => "write",
        };
        writeln!(output, "  {mark:6}  {}", image.path.display())?;
        if let Some(why) = image.why.as_ref().filter(|_| is_known) {
            writeln!(output, "          because {why}")?;
        }
    }
    writeln!(output, "  {}", size_text(&template.size))?;
    for diagnostic in each_once(&template.impossible) {
        writeln!(output, "  cannot be built here: {}", place_and_message(diagnostic))?;
    }
    Ok(())
}

fn place_and_message(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.origin().map(|origin| format!(" ({origin})")).unwrap_or_default();
    format!("{}{place}", diagnostic.message())
}

/// A file, where it comes from, and how large it is.
fn input_text(input: &PlannedInput) -> String {
    let source = match (&input.made_by, input.source) {
        (Some(template), _) => format!("made by {template}"),
        (None, InputSource::Templates) => "beside the templates".to_owned(),
        (None, InputSource::External) => "an external file".to_owned(),
        (None, InputSource::Output) => "in the output directory".to_owned(),
        (None, InputSource::Lock) => "which packages are meant".to_owned(),
        (None, InputSource::Packages) => "an archive of packages".to_owned(),
        (None, InputSource::Host) => "of this host".to_owned(),
    };
    let bytes = input.bytes.map_or_else(|| "not there yet".to_owned(), size);
    format!("{} ({source}, {bytes})", input.path)
}

fn size_text(estimated: &EstimatedSize) -> String {
    let files = size(estimated.files);
    let files = match estimated.basis {
        SizeBasis::Known => format!("size: {files} in its files"),
        SizeBasis::LastBuild => format!("size: about {files} in its files, by the last build and what changed since"),
        SizeBasis::Inputs => format!("size: about {files} in its files, by what its steps read and install"),
        SizeBasis::AtLeast => {
            format!("size: at least {files} in its files; how large its packages are is not known yet")
        }
    };
    estimated.image.map_or_else(|| files.clone(), |image| format!("{files}; image {}", size(image)))
}

/// What a step brings of packages, in the lines below it.
fn print_packages(output: &mut dyn Write, packages: &PlannedPackages) -> io::Result<()> {
    const SHOWN_MAX: usize = 8;
    if let Some(problem) = &packages.problem {
        return writeln!(output, "          it will fail: {}", problem.replace('\n', "\n          "));
    }
    let publishers = origins(packages).join(", ");
    if !packages.is_known {
        let first = match publishers.as_str() {
            "" => "what comes before it decides".to_owned(),
            publishers => format!("the catalogs of {publishers} come first"),
        };
        return writeln!(output, "          the packages are not chosen yet: {first}");
    }
    let shown: Vec<&str> = packages.new.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = packages.new.len().saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    writeln!(output, "          {} new packages: {}{more}", packages.new.len(), shown.join(", "))?;
    let unknown = match packages.unknown {
        0 => String::new(),
        count => format!(", and those of {count} packages whose manifests are not here yet"),
    };
    if packages.fetch_files > 0 || packages.unknown > 0 {
        let amount = Amount { bytes: packages.fetch_bytes, unknown: packages.fetch_unknown };
        let (files, bytes) = (packages.fetch_files, amount.text(size));
        writeln!(output, "          to fetch: {files} files, {bytes}{unknown}, from {publishers}")
    } else {
        writeln!(output, "          nothing has to be fetched")
    }
}

/// What all steps together bring; and how to learn what is not known.
fn print_all_packages(output: &mut dyn Write, planned: &[PlannedTemplate], is_asked: bool) -> io::Result<()> {
    let steps = planned.iter().flat_map(|template| &template.steps);
    let all: Vec<&PlannedPackages> = steps.filter_map(|step| step.packages.as_ref()).collect();
    let (known, unknown): (Vec<&PlannedPackages>, Vec<_>) =
        all.into_iter().filter(|packages| packages.problem.is_none()).partition(|packages| packages.is_known);
    let sum = |of: fn(&PlannedPackages) -> Amount| {
        known.iter().map(|packages| of(packages)).fold(Amount::default(), |sum, amount| Amount {
            bytes: sum.bytes.saturating_add(amount.bytes),
            unknown: sum.unknown + amount.unknown,
        })
    };
    let without_manifest = known.iter().any(|packages| packages.unknown > 0);
    if !known.is_empty() {
        let new: usize = known.iter().map(|packages| packages.new.len()).sum();
        let files: usize = known.iter().map(|packages| packages.fetch_files).sum();
        let all = sum(|of| Amount { bytes: of.size_bytes, unknown: of.size_unknown + of.unknown }).text(size);
        let fetch = sum(|of| Amount { bytes: of.fetch_bytes, unknown: of.fetch_unknown + of.unknown }).text(size);
        let at_least = if without_manifest { "at least " } else { "" };
        let from: BTreeSet<String> = known.iter().flat_map(|packages| origins(packages)).collect();
        let from = from.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(
            output,
            "\npackages: {new} new, with files of {all}; to fetch: {at_least}{files} files, {fetch}, from {from}"
        )?;
    }
    if !is_asked && (without_manifest || !unknown.is_empty()) {
        writeln!(
            output,
            "\nTo learn what is not known here: the same with --ask-publishers, which fetches catalogs and manifests"
        )?;
    }
    Ok(())
}

/// The publishers and where each is asked.
fn origins(packages: &PlannedPackages) -> Vec<String> {
    packages.publishers.iter().map(|(name, origins)| format!("{name} ({})", origins.join(", "))).collect()
}
