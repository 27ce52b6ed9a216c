//! Versions of the programs that decide bytes, for cache keys.
//!
//! Another version of `mmdebstrap` or `genext2fs` may make something else of the same inputs, so it has to make it
//! anew. Asking a program takes as long as everything else in a build that has nothing to do, so its answer is
//! remembered together with the identity of its file.

use crate::inputs::FileIdentity;
use image_tree::Store;
use process_runner::Command;
use serde::{Deserialize, Serialize};
use std::path::Path;
use workspace_location::find_program;

/// A program and how it is asked for its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    argument: &'static str,
    /// The Debian package that has it.
    package: &'static str,
}

impl Tool {
    /// How to come by it.
    pub(crate) fn help(&self) -> String {
        format!("apt-get install {}", self.package)
    }
}

/// What makes a Debian root of package files.
pub(crate) const BOOTSTRAP: [Tool; 2] = [
    Tool { program: "mmdebstrap", argument: "--version", package: "mmdebstrap" },
    Tool { program: "dpkg", argument: "--version", package: "dpkg" },
];

/// What makes an ext4 root of a tree; the other programs of e2fsprogs have the same version as `mke2fs`.
pub(crate) const EXT4: [Tool; 2] = [
    Tool { program: "genext2fs", argument: "-V", package: "genext2fs" },
    Tool { program: "mke2fs", argument: "-V", package: "e2fsprogs" },
];

/// The first of the programs that is not installed.
pub(crate) fn missing(tools: &[Tool]) -> Option<&Tool> {
    tools.iter().find(|tool| find_program(tool.program).is_none())
}

/// What was asked, of which file, and what it answered.
#[derive(Serialize, Deserialize)]
struct Answer {
    identity: FileIdentity,
    version: String,
}

/// Name and version of each program. One that is missing has none: whoever needs it says so when it is started.
pub(crate) fn versions(tools: &[Tool], store: &Store) -> Vec<String> {
    let version = |tool: &Tool| {
        let path = find_program(tool.program)?;
        version_of(&path, tool.argument, store)
    };
    tools.iter().map(|tool| format!("{}: {}", tool.program, version(tool).unwrap_or_default())).collect()
}

/// The first line that the program says, on either stream.
fn version_of(path: &Path, argument: &str, store: &Store) -> Option<String> {
    let identity = FileIdentity::of(path).ok()?;
    let key = path.as_os_str().as_encoded_bytes();
    let known = store.record_get("tool", key).ok().flatten();
    let known = known.and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok());
    if let Some(known) = known.filter(|known| known.identity == identity) {
        return Some(known.version);
    }
    let output = Command::new(path).arg(argument).env("LC_ALL", "C").run_any().ok()?;
    let said = output.stdout_text() + &output.stderr_text();
    let version = said.lines().map(str::trim).find(|line| !line.is_empty())?.to_owned();
    let answer = serde_json::to_vec(&Answer { identity, version: version.clone() }).expect("text and numbers are JSON");
    // It is only asked once more if this cannot be remembered.
    let _ = store.record_put("tool", key, &answer);
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A program that counts how often it is asked.
    fn install(path: &Path, version: &str) {
        let text = format!("#!/bin/sh\necho asked >>{}.log\necho 'tool {version}' >&2\n", path.display());
        let new = path.with_extension("new");
        fs::write(&new, text).expect("a script");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("it can be run");
        fs::rename(new, path).expect("it is installed");
    }

    #[test]
    fn a_program_is_asked_once_and_again_when_it_was_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let tool = directory.path().join("tool");
        let asked = || fs::read_to_string(directory.path().join("tool.log")).expect("a log").lines().count();
        for (version, times) in [("1", 1), ("1", 1), ("2", 2)] {
            if times > 1 || !tool.exists() {
                install(&tool, version);
            }
            let expected = Some(format!("tool {version}"));
            assert_eq!(version_of(&tool, "-V", &store), expected);
            assert_eq!(asked(), times);
        }
    }

    #[test]
    fn a_missing_program_has_no_version() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let absent = Tool { program: "no-such-tool", argument: "-V", package: "no-such-package" };
        assert_eq!(versions(&[absent], &store), ["no-such-tool: "]);
        assert_eq!(missing(&[absent]).map(Tool::help).as_deref(), Some("apt-get install no-such-package"));
        let all = versions(&[BOOTSTRAP, EXT4].concat(), &store);
        assert_eq!(all.len(), 4);
    }
}
