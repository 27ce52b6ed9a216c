//! `ninep-mirror`, which keeps a directory in step with a share of the host; see the library.

fn main() -> std::process::ExitCode {
    ninep_mirror::service::run(&clap::Parser::parse())
}
