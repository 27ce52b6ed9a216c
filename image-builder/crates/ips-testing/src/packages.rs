//! Packages in a few lines.

use ips::fmri::PackageId;
use ips::manifest::Action;
use ips_client::repository::publish::Publication;

/// Publishing from text.
pub trait PublishLines {
    /// Publishes a package: `pkg://PUBLISHER/NAME@VERSION`, and an action on each line, with ` <- ` before the text of its
    /// payload, if it has one.
    fn lines(&mut self, fmri: &str, lines: &str);

    /// The same with further actions, whose payloads are bytes.
    fn lines_and_files(&mut self, fmri: &str, lines: &str, files: &[(String, Vec<u8>)]);
}

impl PublishLines for Publication {
    fn lines(&mut self, fmri: &str, lines: &str) {
        self.lines_and_files(fmri, lines, &[]);
    }

    fn lines_and_files(&mut self, fmri: &str, lines: &str, files: &[(String, Vec<u8>)]) {
        let id: PackageId = fmri.parse().unwrap_or_else(|error| panic!("{fmri}: {error}"));
        let parse = |text: &str| -> Action { text.parse().unwrap_or_else(|error| panic!("{text}: {error}")) };
        let mut actions: Vec<(Action, Option<&[u8]>)> = Vec::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once(" <- ") {
                Some((action, payload)) => actions.push((parse(action), Some(payload.as_bytes()))),
                None => actions.push((parse(line), None)),
            }
        }
        actions.extend(files.iter().map(|(action, payload)| (parse(action), Some(payload.as_slice()))));
        self.publish(&id, &actions).unwrap_or_else(|error| panic!("{fmri}: {error}"));
    }
}

/// Bytes that do not pack, always the same (SplitMix64: each step is a hash of a counter).
#[must_use]
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut state = seed;
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes()[..chunk.len()]);
    }
    bytes
}
