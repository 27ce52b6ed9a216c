//! `image-builder`: builds bootable images from templates, on any host and without root.

mod arguments;
mod failure;
mod inspect;
mod interrupt;
mod places;
mod terminal;
mod verbs;

use arguments::{Arguments, Verb};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(source) = interrupt::watch() {
        return Failure::Signals { source }.report();
    }
    let done = match &arguments.verb {
        Verb::Build(build) => verbs::build(build),
        Verb::Plan(plan) => verbs::plan(plan),
        Verb::Check(check) => verbs::check(check),
        Verb::Workspace(workspace) => verbs::workspace(workspace),
        Verb::Verify(verify) => inspect::verify(verify),
        Verb::Ls(ls) => inspect::ls(ls),
        Verb::Cat(cat) => inspect::cat(cat),
        Verb::Diff(diff) => inspect::diff(diff),
    };
    interrupt::wait_if_ending();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
