//! A daemon with two plugins and a change that waits to be confirmed.

use serde_json::json;
use sysconfig_protocol::admin::{Apply, ApplyReport};

use super::{Bench, Daemon};

/// Longer than any test takes.
pub(crate) const LONG_MS: u64 = 3_600_000;

pub(crate) fn apply_within(daemon: &Daemon<'_>, milliseconds: u64) -> ApplyReport {
    let request = Apply { confirm_within_ms: Some(milliseconds), ..Apply::default() };
    daemon.request(&request).unwrap()
}

/// Plugins `a` and `b`, in this order, that can undo, with the text `old` in force.
pub(crate) fn two_plugins(bench: &Bench) -> Daemon<'_> {
    bench.install("a", &json!({ "undo": true }));
    bench.install("b", &json!({ "undo": true, "after": ["a"] }));
    want(bench, "old");
    bench.start()
}

pub(crate) fn want(bench: &Bench, text: &str) {
    bench.configure(&format!("{}{}", bench.wants("a", text), bench.wants("b", text)));
}

pub(crate) fn texts(bench: &Bench) -> [Option<String>; 2] {
    [bench.text("a"), bench.text("b")]
}

pub(crate) fn both(text: &str) -> [Option<String>; 2] {
    [Some(text.to_owned()), Some(text.to_owned())]
}
