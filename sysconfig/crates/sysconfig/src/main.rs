//! `sysconfig`, the system configuration daemon; see the library.

fn main() -> std::process::ExitCode {
    sysconfig::run(clap::Parser::parse())
}
