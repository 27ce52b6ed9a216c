//! Programs nobody here wrote, which say whether an image is right.

#![allow(dead_code, reason = "each test binary uses its own judges")]

use std::path::Path;
use std::time::Duration;

use process_runner::{Command, Output};

/// Runs a judge; `None` when it is not installed, which is said aloud and is a failure in CI.
pub(crate) fn ask(program: &str, package: &str, arguments: &[&str]) -> Option<Output> {
    // Ordinary users of Debian have no `sbin` on their search path.
    let path = std::env::var("PATH").unwrap_or_default();
    let command = Command::new(program)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .env("MTOOLS_SKIP_CHECK", "1")
        .args(arguments)
        .deadline(Duration::from_secs(120));
    match command.run_any() {
        Ok(output) => Some(output),
        Err(error) if error.is_not_found() => {
            skip(&format!("{program} is missing; install the package {package}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Says that something is not tested.
#[expect(clippy::print_stderr, reason = "a skipped test says so where a person sees it")]
pub(crate) fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing may be skipped: {why}");
}

/// Runs a judge that must be content.
pub(crate) fn approve(program: &str, package: &str, arguments: &[&str]) -> Option<String> {
    let output = ask(program, package, arguments)?;
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    assert!(output.success(), "{program} {arguments:?} objects:\n{said}");
    Some(said)
}

/// `sgdisk -v` answers 0 and says "No problems found" whatever it finds, so its other words decide.
pub(crate) fn approve_gpt(disk: &Path) {
    if let Some(said) = approve("sgdisk", "gdisk", &["-v", text(disk)]) {
        assert!(gpt_is_sound(&said), "{said}");
    }
}

/// What a report of `sgdisk -v` means. Cautions about alignment and warnings about
/// a short table, as illumos has it, are none.
pub(crate) fn gpt_is_sound(report: &str) -> bool {
    report.contains("No problems found")
        && !["ERROR", "Warning!", "corrupt", "invalid", "Problem:"].iter().any(|word| report.contains(word))
}

pub(crate) fn approve_fat(image: &Path) {
    if let Some(said) = approve("fsck.fat", "dosfstools", &["-n", "-v", text(image)]) {
        // Some findings are only mentioned; a clean volume ends with the counts.
        for finding in ["differ", "wrong", "Bad ", "Dirty"] {
            assert!(!said.contains(finding), "{said}");
        }
    }
}

pub(crate) fn approve_ext4(image: &Path) {
    approve("e2fsck", "e2fsprogs", &["-f", "-n", text(image)]);
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
