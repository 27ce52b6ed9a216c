//! Why a program cannot be started, where the system's words mislead: of a script's interpreter it says "No such file", as if it
//! meant the script, and of a file system without programs "Permission denied", as if it meant the file.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// As much of a script's first line as systems look at.
const LONGEST_LINE: u64 = 1024;

/// `error`, which the start of `executable` came to, in words that name what is meant by it.
pub(super) fn explain(executable: &Path, error: io::Error) -> io::Error {
    let may_be_interpreter = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied);
    let of_interpreter = || first_line(executable).filter(|_| may_be_interpreter).and_then(|line| fault(&line));
    let of_place = || is_without_programs(executable).then(|| NO_PROGRAMS.to_owned());
    let is_refused = error.kind() == ErrorKind::PermissionDenied;
    let fault = if is_refused { of_place().or_else(of_interpreter) } else { of_interpreter() };
    match fault {
        Some(fault) => io::Error::new(error.kind(), format!("{fault} ({error})")),
        None => error,
    }
}

const NO_PROGRAMS: &str =
    "the file system that holds it is mounted noexec: mount it without that, or give the daemon another --state-dir";

/// Whether the system starts nothing that lies there. illumos has no such flag to ask for.
#[cfg(target_os = "linux")]
fn is_without_programs(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

#[cfg(not(target_os = "linux"))]
fn is_without_programs(_: &Path) -> bool {
    false
}

/// What follows `#!` in the first line of a script.
fn first_line(executable: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(executable).ok()?.take(LONGEST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}

fn fault(line: &str) -> Option<String> {
    let Some(interpreter) = line.split([' ', '\t']).find(|word| !word.is_empty()) else {
        return Some("its first line, #!, names no interpreter".to_owned());
    };
    if line.ends_with('\r') {
        return Some(
            "its first line ends with a carriage return, which counts as part of it: save it with line feeds alone"
                .to_owned(),
        );
    }
    match std::fs::metadata(interpreter) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Some(format!("its interpreter {interpreter:?} is not there"))
        }
        Err(_) => None,
        Ok(metadata) if metadata.is_file() && is_executable(&metadata) => None,
        Ok(_) => Some(format!("its interpreter {interpreter:?} is no executable file")),
    }
}

fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_system_without_programs_is_named() {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        for point in ["/proc", "/sys", "/run", "/dev/shm"] {
            let rows = mounts.lines().rev().map(|row| row.split(' ').collect::<Vec<_>>());
            let Some(row) = rows.into_iter().find(|row| row[1] == point) else { continue };
            let is_noexec = row[3].split(',').any(|option| option == "noexec");
            let said = explain(Path::new(point), ErrorKind::PermissionDenied.into()).to_string();
            assert_eq!(
                said.starts_with("the file system that holds it is mounted noexec"),
                is_noexec,
                "{point}: {said}"
            );
        }
        let said = explain(Path::new("/proc/version"), ErrorKind::NotFound.into()).to_string();
        assert!(!said.contains("noexec"), "{said}");
    }

    #[test]
    fn the_interpreter_is_named_and_other_errors_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        let said = |start: &str, kind: ErrorKind| {
            std::fs::write(&script, start).unwrap();
            explain(&script, kind.into()).to_string()
        };
        let missing = said("#! /nonexistent/python3 -u\nprint()\n", ErrorKind::NotFound);
        assert!(missing.starts_with("its interpreter \"/nonexistent/python3\" is not there ("), "{missing}");
        assert!(said("#!/bin/sh\r\necho\r\n", ErrorKind::NotFound).contains("carriage return"));
        assert!(said("#!", ErrorKind::PermissionDenied).contains("names no interpreter"));
        assert!(said("#!/etc/passwd\n", ErrorKind::PermissionDenied).contains("is no executable file"));
        for (start, kind) in
            [("#!/bin/sh\n", ErrorKind::NotFound), ("\x7fELF", ErrorKind::NotFound), ("#!", ErrorKind::OutOfMemory)]
        {
            assert_eq!(said(start, kind), io::Error::from(kind).to_string());
        }
    }
}
