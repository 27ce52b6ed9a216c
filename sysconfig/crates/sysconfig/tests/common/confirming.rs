//! A daemon with two plugins and a change that waits to be confirmed.

use serde_json::json;
use sysconfig_protocol::admin::{Apply, ApplyReport, UndoChange};

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

/// The same daemon without the plugin `a`, which was there before.
pub(crate) fn without_a<'a>(bench: &'a Bench, daemon: Daemon<'a>) -> Daemon<'a> {
    daemon.stop();
    bench.uninstall("a");
    bench.start()
}

/// A change that is made with a guard and undone at once.
pub(crate) fn apply_and_undo(daemon: &Daemon<'_>) {
    apply_within(daemon, LONG_MS);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
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
