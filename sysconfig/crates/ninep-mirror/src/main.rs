//! `ninep-mirror`, which keeps a directory in step with a share of the host; see the library.

use std::process::ExitCode;

use clap::Parser;
use ninep_mirror::service::{Options, run, usage_status};

fn main() -> ExitCode {
    match Options::try_parse() {
        Ok(options) => run(&options),
        Err(error) => {
            // Nobody is left to tell that standard error is closed.
            drop(error.print());
            // What is wrong with the command line may be the very option.
            let is_smf = std::env::args_os().any(|argument| argument == "--smf");
            ExitCode::from(if error.use_stderr() { usage_status(is_smf) } else { 0 })
        }
    }
}
