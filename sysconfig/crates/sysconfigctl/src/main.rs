//! `sysconfigctl`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = sysconfigctl::run(std::env::args_os(), &mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    ExitCode::from(exit.code())
}
