//! One function for each verb.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "results and warnings of the command line")]

use crate::arguments::{Build, Check, Plan, TemplateArguments, WorkspaceArguments};
use crate::failure::Failure;
use crate::places::Places;
use crate::terminal;
use image_steps::{BuildError, BuildRequest, Location, PlannedTemplate, Workspace};
use miette::Report;
use serde_json::json;

/// `image-builder build`.
pub(crate) fn build(arguments: &Build) -> Result<(), Failure> {
    let mut request = request(&arguments.location.dataset, &arguments.template)?;
    request.no_deps = arguments.no_deps;
    request.refresh = arguments.refresh;
    let progress = terminal::progress();
    let built = image_steps::build(&request, &progress)?;
    drop(progress);
    for warning in built.warnings {
        eprintln!("{:?}", Report::new(warning));
    }
    let artifact = built.artifact.as_ref();
    let path = artifact.map(|artifact| artifact.path.display().to_string());
    if arguments.json {
        println!("{}", json!({ "image": path, "unchanged": artifact.map(|artifact| artifact.unchanged) }));
    } else if arguments.print_path {
        println!("{}", path.unwrap_or_default());
    } else if let Some(artifact) = artifact {
        let state = if artifact.unchanged { "unchanged" } else { "written" };
        println!("{}: {state}", artifact.path.display());
    } else {
        println!("{}/{}: done", request.group, request.name);
    }
    Ok(())
}

/// `image-builder plan`.
pub(crate) fn plan(arguments: &Plan) -> Result<(), Failure> {
    let request = request(&arguments.location.dataset, &arguments.template)?;
    let planned = image_steps::plan(&request, &terminal::progress())?;
    if arguments.json {
        let templates: Vec<_> = planned
            .iter()
            .map(|template| {
                let image =
                    template.artifact.as_ref().map(|(path, current)| json!({ "path": path, "current": current }));
                json!({ "template": template.subject, "steps": template.steps, "image": image })
            })
            .collect();
        println!("{}", json!({ "roots": request.roots, "external": request.external, "templates": templates }));
        return Ok(());
    }
    for root in &request.roots {
        println!("templates from {}", root.display());
    }
    for external in &request.external {
        println!("external files from {}", external.display());
    }
    for template in &planned {
        print_plan(template);
    }
    Ok(())
}

fn print_plan(template: &PlannedTemplate) {
    println!("\n{}", template.subject);
    let mut awaits = None;
    for step in &template.steps {
        if awaits != step.awaits.as_ref() {
            awaits = step.awaits.as_ref();
            println!("  unknown until {} is built:", awaits.map_or("what it needs", String::as_str));
        }
        let mark = match step.cached {
            Some(true) => "cached",
            Some(false) => "run",
            None => "after",
        };
        println!("  {mark:6}  {}  ({})", step.title, step.origin);
    }
    if let Some((path, current)) = &template.artifact {
        let is_known = template.steps.last().is_none_or(|step| step.awaits.is_none());
        let mark = match (is_known, *current) {
            (false, _) => "after",
            (true, true) => "there",
            (true, false) => "write",
        };
        println!("  {mark:6}  {}", path.display());
    }
}

/// `image-builder check`.
pub(crate) fn check(arguments: &Check) -> Result<(), Failure> {
    let places = Places::find(&arguments.places)?;
    let names: Vec<(String, String)> = match (&arguments.group, &arguments.name) {
        (Some(group), Some(name)) => vec![(group.clone(), name.clone())],
        (group, _) => {
            let mut names = image_steps::template_names(&places.roots);
            names.retain(|(found, _)| group.as_ref().is_none_or(|group| group == found));
            names
        }
    };
    let mut wrong = 0;
    for (group, name) in &names {
        let request = BuildRequest {
            location: Location::parse("./"),
            roots: places.roots.clone(),
            external: places.external.clone(),
            group: group.clone(),
            name: name.clone(),
            output_name: None,
            features: places.features.clone(),
            lenient: arguments.places.lenient,
            no_deps: true,
            refresh: false,
        };
        match image_steps::load(&request, group, name) {
            Ok(template) => {
                for warning in template.warnings {
                    eprintln!("{:?}", Report::new(warning));
                }
                println!("{group}/{name}: {} steps, good", template.steps.len());
            }
            Err(BuildError::Template { diagnostics, .. }) => {
                wrong += 1;
                eprintln!("{:?}", Report::new(diagnostics));
            }
            Err(other) => return Err(other.into()),
        }
    }
    if wrong > 0 {
        return Err(Failure::Check { wrong, all: names.len() });
    }
    Ok(())
}

/// `image-builder workspace`.
pub(crate) fn workspace(arguments: &WorkspaceArguments) -> Result<(), Failure> {
    let workspace = Workspace::open(&Location::parse(&arguments.location.dataset))?;
    let path = if arguments.output { workspace.output() } else { workspace.root() };
    println!("{}", path.display());
    Ok(())
}

fn request(dataset: &str, arguments: &TemplateArguments) -> Result<BuildRequest, Failure> {
    let places = Places::find(&arguments.places)?;
    Ok(BuildRequest {
        location: Location::parse(dataset),
        roots: places.roots,
        external: places.external,
        group: arguments.group.clone(),
        name: arguments.name.clone(),
        output_name: arguments.output_name.clone(),
        features: places.features,
        lenient: arguments.places.lenient,
        no_deps: false,
        refresh: false,
    })
}
