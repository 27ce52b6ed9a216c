//! `image-builder`: builds bootable images from templates, on any host and without root.

mod arguments;
mod failure;
mod inspect;
mod interrupt;
mod output;
mod packages;
mod places;
mod report;
mod scratch;
mod sizes;
mod terminal;
mod verbs;

use arguments::{Arguments, Verb};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    terminal::draw_errors();
    if let Err(source) = interrupt::watch() {
        return Failure::Signals { source }.report();
    }
    let done = match &arguments.verb {
        Verb::Build(build) => verbs::build(build),
        Verb::Plan(plan) => verbs::plan(plan),
        Verb::Check(check) => verbs::check(check),
        Verb::Show(show) => verbs::show(show),
        Verb::Workspace(workspace) => verbs::workspace(workspace),
        Verb::Verify(verify) => inspect::verify(verify),
        Verb::Ls(ls) => inspect::ls(ls),
        Verb::Cat(cat) => inspect::cat(cat),
        Verb::Diff(diff) => inspect::diff(diff),
        Verb::Gc(gc) => verbs::gc(gc),
        Verb::Clean(clean) => verbs::clean(clean),
        Verb::Schema => verbs::schema(),
        Verb::Completions(completions) => verbs::completions(completions),
        Verb::Man(man) => verbs::man(man),
        Verb::Ips(arguments) => packages::run(arguments),
    };
    interrupt::wait_if_ending();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if arguments.verb.is_json() {
                failure.tell_machine();
            }
            failure.report()
        }
    }
}
