//! Configuration files that change, and nobody says a word.

mod common;

use common::Bench;
use rustix::fs::FlockOperation;
use serde_json::json;

#[test]
fn changed_files_are_taken_over_without_a_request_where_that_is_wanted() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let watched = |text: &str| format!("[daemon]\nwatch-configuration = true\n{}", bench.wants("a", text));
    bench.configure(&watched("one"));
    let daemon = bench.start();
    bench.configure(&watched("two"));
    daemon.wait_for("the change", |daemon| daemon.bench.text("a").as_deref() == Some("two"));
    bench.configure("[daemon\n");
    daemon.wait_for("the refusal", |daemon| daemon.status().config.rejected.is_some());
    assert_eq!(daemon.log().matches("was not taken over").count(), 1, "{}", daemon.log());
    bench.configure(&watched("two"));
    std::fs::write(bench.path("conf.d/10.toml"), "[test.b]\nx = 1\n").unwrap();
    daemon.wait_for("a new file", |daemon| daemon.problems().iter().any(|problem| problem.contains("key test.b.x")));
    assert!(daemon.status().config.rejected.is_none());
    let plan_only = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap().replace("reload-applies = true", "");
    std::fs::remove_file(bench.path("conf.d/10.toml")).unwrap();
    // At once, as `configure` does it: what is read between the cutting and the writing is an empty file.
    std::fs::write(bench.path("sysconfig.new"), plan_only.replace("\"two\"", "\"three\"")).unwrap();
    std::fs::rename(bench.path("sysconfig.new"), bench.path("sysconfig.toml")).unwrap();
    daemon.wait_for("the plan", |daemon| daemon.problems().iter().any(|problem| problem.contains("1 step planned")));
    assert_eq!(bench.text("a").as_deref(), Some("two"), "without reload-applies it is only planned");
    daemon.stop();
}

/// A daemon reads the files, and may then wait for long before it looks at them again.
#[test]
fn what_changes_while_the_daemon_starts_is_not_missed() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let watched = |text: &str| format!("[daemon]\nwatch-configuration = true\n{}", bench.wants("a", text));
    bench.configure(&watched("one"));
    bench.start().stop();
    // As a plugin of a killed daemon has it.
    let former = std::fs::File::open(bench.path("run/plugins.lock")).unwrap();
    rustix::fs::flock(&former, FlockOperation::LockShared).unwrap();
    let daemon = bench.spawn();
    daemon.wait_for("its waiting", |daemon| daemon.log().contains("waiting for the plugins of an earlier daemon"));
    bench.configure(&watched("two"));
    drop(former);
    daemon.wait_for("the change", |daemon| daemon.bench.text("a").as_deref() == Some("two"));
    daemon.stop();
}
