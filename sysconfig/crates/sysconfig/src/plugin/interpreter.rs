//! Why a script cannot be started: the system says of its interpreter "No such file", as if it meant the script.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// As much of a script's first line as systems look at.
const LONGEST_LINE: u64 = 1024;

/// `error`, which the start of `executable` came to, in words that name what is meant by it.
pub(super) fn explain(executable: &Path, error: io::Error) -> io::Error {
    let may_be_interpreter = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied);
    match first_line(executable).filter(|_| may_be_interpreter).and_then(|line| fault(&line)) {
        Some(fault) => io::Error::new(error.kind(), format!("{fault} ({error})")),
        None => error,
    }
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
