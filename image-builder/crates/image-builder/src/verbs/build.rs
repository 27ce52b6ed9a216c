//! `image-builder build`.

#![expect(clippy::print_stderr, reason = "warnings of the command line")]

use super::{redo, request};
use crate::arguments::{Build, LocationArguments};
use crate::failure::Failure;
use crate::output::print_lines;
use crate::report;
use crate::terminal;
use image_steps::{BuildRequest, Built};
use miette::Report;
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;

/// `image-builder build`.
pub(crate) fn build(arguments: &Build) -> Result<(), Failure> {
    let mut request = request(&arguments.location.dataset, &arguments.template)?;
    arguments.report.as_deref().map_or(Ok(()), |page| refuse_impossible_page(page, &arguments.location))?;
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
    print_lines(|output| tell(output, arguments, &request, &built))
}

/// A page that cannot be written is told before the build, and not after it. Directories of the workspace are made by the build.
fn refuse_impossible_page(page: &Path, location: &LocationArguments) -> Result<(), Failure> {
    let directory = page.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let workspace = Path::new(&location.dataset);
    let is_made = directory == workspace || directory == workspace.join("output");
    if !directory.is_dir() && !is_made {
        return Err(Failure::NoDirectory { option: "--report", path: directory.to_owned() });
    }
    if page.is_dir() {
        return Err(Failure::File { path: page.to_owned(), source: io::ErrorKind::IsADirectory.into() });
    }
    Ok(())
}

fn tell(output: &mut dyn Write, arguments: &Build, request: &BuildRequest, built: &Built) -> io::Result<()> {
    let artifact = built.artifact.as_ref();
    let path = artifact.map(|artifact| artifact.path.display().to_string());
    if arguments.json {
        let also: Vec<_> = artifact.iter().flat_map(|artifact| &artifact.also).collect();
        let unchanged = artifact.map(|artifact| artifact.unchanged);
        let told = json!({ "image": path, "also": also, "unchanged": unchanged, "templates": built.runs });
        writeln!(output, "{told}")
    } else if arguments.print_path {
        writeln!(output, "{}", path.unwrap_or_default())
    } else if let Some(artifact) = artifact {
        let state = if artifact.unchanged { "unchanged" } else { "written" };
        let mut paths = std::iter::once(&artifact.path).chain(&artifact.also);
        paths.try_for_each(|path| writeln!(output, "{}: {state}", path.display()))
    } else {
        writeln!(output, "{}/{}: done", request.group, request.name)
    }
}
