//! `image-builder`: builds bootable images from templates, on any host and without root.

mod arguments;
mod failure;
mod places;
mod terminal;
mod verbs;

use arguments::{Arguments, Verb};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.verb {
        Verb::Build(build) => verbs::build(build),
        Verb::Plan(plan) => verbs::plan(plan),
        Verb::Check(check) => verbs::check(check),
        Verb::Workspace(workspace) => verbs::workspace(workspace),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
