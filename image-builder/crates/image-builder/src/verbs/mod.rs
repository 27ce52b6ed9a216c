//! One function for each verb.

mod build;
mod check;
mod plan;
mod show;
mod tidy;
mod tools;

pub(crate) use build::build;
pub(crate) use check::check;
pub(crate) use plan::plan;
pub(crate) use show::show;
pub(crate) use tidy::{clean, gc, workspace};
pub(crate) use tools::{completions, man, schema};

use crate::arguments::{PlaceArguments, RedoArguments, TemplateArguments};
use crate::failure::Failure;
use crate::places::Places;
use image_steps::{BuildRequest, Location, Redo};

/// A request for a template, with everything else as it usually is.
fn request(dataset: &str, arguments: &TemplateArguments) -> Result<BuildRequest, Failure> {
    let places = Places::find(&arguments.places)?;
    let mut request = request_at(&places, &arguments.places, &arguments.group, &arguments.name);
    request.location = Location::parse(dataset);
    request.output_name.clone_from(&arguments.output_name);
    Ok(request)
}

fn request_at(places: &Places, arguments: &PlaceArguments, group: &str, name: &str) -> BuildRequest {
    BuildRequest {
        location: Location::parse("./"),
        svccfg: places.svccfg.clone(),
        roots: places.roots.clone(),
        external: places.external.clone(),
        group: group.to_owned(),
        name: name.to_owned(),
        output_name: None,
        features: places.features.clone(),
        lenient: arguments.lenient,
        no_deps: false,
        refresh: false,
        client_keys: Vec::new(),
        redo: Redo::Nothing,
        evidence: true,
        sizes: false,
        wait: false,
    }
}

fn redo(arguments: &RedoArguments) -> Redo {
    if arguments.fullreset {
        Redo::Dataset
    } else if arguments.reset {
        Redo::Template
    } else {
        Redo::Nothing
    }
}
