//! `image-builder build`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "results and warnings of the command line")]

use super::{redo, request};
use crate::arguments::Build;
use crate::failure::Failure;
use crate::report;
use crate::terminal;
use image_steps::{BuildRequest, Built};
use miette::Report;
use serde_json::json;

/// `image-builder build`.
pub(crate) fn build(arguments: &Build) -> Result<(), Failure> {
    let mut request = request(&arguments.location.dataset, &arguments.template)?;
    request.no_deps = arguments.no_deps;
    request.refresh = arguments.refresh;
    request.client_keys.clone_from(&arguments.client_keys.keys);
    request.redo = redo(&arguments.redo);
    request.evidence = !arguments.no_evidence;
    request.wait = arguments.wait;
    request.sizes = arguments.report.is_some();
    let progress = terminal::progress();
    let mut built = image_steps::build(&request, &progress)?;
    drop(progress);
    for warning in std::mem::take(&mut built.warnings) {
        eprintln!("{:?}", Report::new(warning));
    }
    if let Some(path) = &arguments.report {
        let page = report::page(&request, &built);
        std::fs::write(path, page).map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    tell(arguments, &request, &built);
    Ok(())
}

fn tell(arguments: &Build, request: &BuildRequest, built: &Built) {
    let artifact = built.artifact.as_ref();
    let path = artifact.map(|artifact| artifact.path.display().to_string());
    if arguments.json {
        let also: Vec<_> = artifact.iter().flat_map(|artifact| &artifact.also).collect();
        let unchanged = artifact.map(|artifact| artifact.unchanged);
        println!("{}", json!({ "image": path, "also": also, "unchanged": unchanged, "templates": built.runs }));
    } else if arguments.print_path {
        println!("{}", path.unwrap_or_default());
    } else if let Some(artifact) = artifact {
        let state = if artifact.unchanged { "unchanged" } else { "written" };
        for path in std::iter::once(&artifact.path).chain(&artifact.also) {
            println!("{}: {state}", path.display());
        }
    } else {
        println!("{}/{}: done", request.group, request.name);
    }
}
