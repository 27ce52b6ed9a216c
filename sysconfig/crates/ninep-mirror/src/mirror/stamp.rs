//! The stamp: how fresh the destination is, for tests, daemons and people.

use std::time::{SystemTime, UNIX_EPOCH};

use super::destination::Destination;
use super::error::DestinationError;
use crate::report::Round;

/// The stamp's name in the mirror's own directory of the destination. It is one line of JSON with the members
/// `round`, `generation`, `time_unix_ms`, `files`, `bytes` and `problems`, replaced after each complete round.
pub const STAMP_FILE: &str = "stamp";

/// Replaces the stamp. It is not synced: an old one after a crash says the truth.
pub(super) fn write(destination: &Destination, round: &Round) -> Result<(), DestinationError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let &Round { number, generation, files, bytes, problems, .. } = round;
    let line = format!(
        "{{\"round\":{number},\"generation\":{generation},\"time_unix_ms\":{now},\"files\":{files},\"bytes\":{bytes},\"problems\":{problems}}}\n"
    );
    destination.replace_own(STAMP_FILE, line.as_bytes(), false)
}
