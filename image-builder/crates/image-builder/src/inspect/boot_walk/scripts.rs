//! The loader's own scripts: each file that one includes has to be there, or the loader stops at its prompt.
//!
//! Facts: illumos-gate's `boot/i386/loader/loader.rc` and the words `include` and `try-include` of the loader's Forth.

use std::collections::BTreeSet;
use std::io;

use super::files::Files;
use crate::inspect::findings::Findings;

/// What the loader runs first.
const FIRST: &str = "/boot/loader.rc";
const PACKAGE: &str = "system/boot/loader";
/// The loader has about twenty scripts.
const SCRIPTS_MAX: usize = 1000;

/// Follows the scripts from the first one. That the first one is missing is told where everything missing is.
pub(super) fn check(files: &dyn Files, findings: &mut Findings) -> io::Result<()> {
    let (mut seen, mut left) = (BTreeSet::from([FIRST.to_owned()]), vec![FIRST.to_owned()]);
    while let Some(script) = left.pop() {
        let text = files.text(&script)?.unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some("include"), Some(included)) = (words.next(), words.next()) else { continue };
            if !included.starts_with('/') || !seen.insert(included.to_owned()) {
                continue;
            }
            if seen.len() > SCRIPTS_MAX {
                return Err(io::Error::other(format!("the loader's scripts are more than {SCRIPTS_MAX}")));
            }
            match files.has_file(included)? {
                true => left.push(included.to_owned()),
                false => findings.bad.push(format!(
                    "boot: {script} includes {included}, which is missing; the package {PACKAGE} has it"
                )),
            }
        }
    }
    Ok(())
}
