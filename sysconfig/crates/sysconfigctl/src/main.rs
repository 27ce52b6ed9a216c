//! `sysconfigctl`; see the library.

use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let is_terminal = stdout().is_terminal();
    let streams = sysconfigctl::Streams { out: &mut stdout().lock(), err: &mut stderr().lock(), is_terminal };
    ExitCode::from(sysconfigctl::run(std::env::args_os(), streams).code())
}
