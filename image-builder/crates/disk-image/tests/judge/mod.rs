//! Programs nobody here wrote, which say whether an image is right.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own judges")]

use std::path::Path;

pub(crate) use test_judge::{approve, ask, skip};

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
