//! What the tests of several crates share: judges, skips that are seen, fuzz loops, and documents compared with programs.
//!
//! A judge is a program that nobody here wrote and that says whether our work is right. One that is missing makes
//! its tests skip, which has to be seen: by a person who runs the tests (a test's words are shown only when it
//! fails, so skips are also counted in a file that `dev-test.sh` reads), and by CI, where it is a failure.
//!
//! The environment decides, so that every test in every crate obeys the same words:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `CI=true` | a skip is a failure |
//! | `SKIPPED_JUDGES=FILE` | every skip adds a line to this file |
//! | `ZDB=PATH`, `GRUB_FSTEST=PATH`, … | this program is the judge of that name |
//! | `SOAK=1` | full sizes, see [`soak`] |
//! | `FUZZ_SECONDS=N`, `FUZZ_START=N`, `FUZZ_SEED=N` | see [`fuzz`] |

#![expect(clippy::print_stderr, reason = "a test has nobody else to tell")]

mod documents;
mod effort;
mod random;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use documents::wrong_in_documents;
pub use effort::{fuzz, processor_time, soak};
pub use process_runner::Output;
use process_runner::{Command, CommandError};
pub use random::Random;

/// Long enough for a judge that reads a whole image on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(600);

/// Finds a judge: by the environment variable of its name in capitals, on `PATH`, or in the system directories that
/// an ordinary user of Debian does not have on it. `None` when it is not installed, which is a [`skip`].
///
/// # Panics
///
/// When it is missing in CI, and when the environment names one that is not there.
pub fn find(program: &str, package: &str) -> Option<PathBuf> {
    let found = from_environment(program).or_else(|| search(program, &directories()));
    if found.is_none() {
        skip(&format!("{program} is missing; install the package {package}"));
    }
    found
}

/// Finds `zdb`, also where `tools/zfs-judges` unpacked it.
///
/// # Panics
///
/// As [`find`].
pub fn zdb() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image-builder/target/judges");
    let unpacked = std::fs::read_dir(unpacked).into_iter().flatten().flatten().map(|entry| entry.path());
    let directories: Vec<_> = directories().into_iter().chain(unpacked).collect();
    let found = from_environment("zdb").or_else(|| search("zdb", &directories));
    if found.is_none() {
        skip("zdb is missing; run tools/zfs-judges, or install the package zfsutils-linux");
    }
    found
}

/// Runs a judge with its words in English; its exit status is an answer. `None` as for [`find`].
///
/// # Panics
///
/// As [`find`], and when the judge cannot be run, or does not come to an end.
pub fn ask<S: AsRef<OsStr>>(program: &str, package: &str, arguments: &[S]) -> Option<Output> {
    let command = Command::new(find(program, package)?)
        .env("LC_ALL", "C")
        // The mtools refuse images whose geometry no floppy drive had.
        .env("MTOOLS_SKIP_CHECK", "1")
        .args(arguments.iter().map(AsRef::as_ref))
        .deadline(DEADLINE);
    Some(command.run_any().unwrap_or_else(|error: CommandError| panic!("{error}")))
}

/// Runs a judge that must be content, and answers its words.
///
/// # Panics
///
/// As [`ask`], and when the judge objects.
pub fn approve<S: AsRef<OsStr>>(program: &str, package: &str, arguments: &[S]) -> Option<String> {
    let output = ask(program, package, arguments)?;
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(output.success(), "{program} {arguments:?} objects:\n{said}");
    Some(said)
}

/// Says that a test, or the rest of it, tests nothing. In the file `SKIPPED_JUDGES` a line is the reason, the crate
/// and the test, with tabs between.
///
/// # Panics
///
/// In CI, where nothing may be skipped.
pub fn skip(why: &str) {
    lack(why);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing may be skipped: {why}");
}

/// Says the same where no package helps: what is missing is the kernel's or the machine's, and cannot be had on it. In CI,
/// too, it is told at the end of the run, and does not fail.
///
/// # Panics
///
/// The file `SKIPPED_JUDGES` cannot be written.
pub fn lack(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(file) = std::env::var_os("SKIPPED_JUDGES") {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
        let written = note(Path::new(&file), &format!("{why}\t{package}\t{test}\n"));
        assert!(written.is_ok(), "{} cannot be written: {written:?}", Path::new(&file).display());
    }
}

fn from_environment(program: &str) -> Option<PathBuf> {
    let variable = program.to_uppercase().replace(['-', '.'], "_");
    let path = PathBuf::from(std::env::var_os(&variable).filter(|value| !value.is_empty())?);
    assert!(is_program(&path), "{variable} is {}, which is no program", path.display());
    Some(path)
}

fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from)).collect()
}

fn search(program: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.join(program)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Adds a line in one piece, because many tests do so at the same time.
fn note(file: &Path, line: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_an_executable_file_in_the_first_directory_that_has_one() {
        let scratch = tempfile::tempdir().unwrap();
        let directories: Vec<_> = ["empty", "folder", "text", "program"].map(|name| scratch.path().join(name)).into();
        for directory in &directories {
            std::fs::create_dir(directory).unwrap();
        }
        std::fs::create_dir(directories[1].join("judge")).unwrap();
        for (directory, mode) in [(2, 0o644), (3, 0o755)] {
            let file = directories[directory].join("judge");
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(search("judge", &directories), Some(directories[3].join("judge")));
        assert_eq!(search("judge", &directories[..3]), None);
    }

    #[test]
    fn notes_of_many_tests_are_whole_lines() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("notes");
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let file = &file;
                scope.spawn(move || (0..50).for_each(|_| note(file, &format!("line of thread {thread}\n")).unwrap()));
            }
        });
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 400);
        assert!(text.lines().all(|line| line.len() == "line of thread 0".len()), "{text}");
    }
}
