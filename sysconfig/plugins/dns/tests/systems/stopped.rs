//! The plugin's process ends at every command and at every change of a file; then another one goes on.

use crate::support::Fixture;
use plugin_testing::stopped;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_plugin_dns::DnsPlugin;

/// A way from one configuration to another.
struct Way<M> {
    machine: fn() -> Fixture<M>,
    from: Value,
    to: Value,
}

fn one() -> Value {
    json!({ "servers": ["192.0.2.53"], "search": ["example.org"] })
}

fn other() -> Value {
    json!({ "servers": ["198.51.100.7", "2001:db8::53"], "search": ["lan"] })
}

fn plain() -> Fixture<linux::Machine> {
    let fixture = Fixture::new(linux::Machine::start());
    fixture.write("/etc/resolv.conf", "# office\nnameserver 192.0.2.1\n");
    fixture
}

fn with_resolved() -> Fixture<linux::Machine> {
    let fixture = Fixture::new(linux::Machine::start());
    fixture.machine.run_systemd(&fixture.root);
    fs::create_dir_all(fixture.root.locate("/run/systemd/resolve")).unwrap();
    fixture.write("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
    fixture.link("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf");
    fixture
}

fn illumos() -> Fixture<illumos::Machine> {
    Fixture::new(illumos::Machine::start())
}

/// Stops the plugin everywhere on the way; `told` counts how often readers of the machine's files were told. Answers in the middle of
/// what.
fn check<M>(way: &Way<M>, told: impl Fn(&M) -> usize) -> BTreeSet<String> {
    let start = || {
        let mut fixture = (way.machine)();
        if !way.from.is_null() {
            fixture.converge(&way.from);
        }
        let before = told(&fixture.machine);
        (fixture, before)
    };
    let (mut whole, before) = start();
    whole.converge(&way.to);
    let is_told = told(&whole.machine) > before;
    let expected = files(&whole);
    stopped::everywhere(|places| {
        let (mut fixture, before) = start();
        let config = json!({ "network.dns": way.to });
        let stopped = stopped::apply(DnsPlugin::new, &fixture.host, &config, places)?;
        fixture.restart();
        fixture.harness.configure(config);
        assert_eq!(fixture.harness.converge().unwrap().diagnostics, []);
        let about = format!("{}, stopped at {places}: {stopped}", way.to);
        assert_eq!(fixture.harness.plan().unwrap(), [], "the second plan is empty, {about}");
        assert_eq!(files(&fixture), expected, "{about}");
        assert!(!is_told || told(&fixture.machine) > before, "nobody was told, {about}");
        Some(stopped)
    })
}

/// Everything below `/etc`, and what the plugin remembers.
fn files<M>(fixture: &Fixture<M>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![fixture.root.locate("/etc"), fixture.root.locate("/var"), fixture.root.locate("/run")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().map(Result::unwrap) {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => directories.push(entry.path()),
                kind if kind.is_file() => {
                    let path = entry.path().strip_prefix(fixture.root.locate("/")).unwrap().display().to_string();
                    found.push((path, String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned()));
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn after_a_stop_anywhere_the_next_apply_converges() {
    let mut kinds = BTreeSet::new();
    for machine in [plain as fn() -> _, with_resolved] {
        for (from, to) in [(Value::Null, one()), (one(), other())] {
            kinds.extend(check(&Way { machine, from, to }, |machine| machine.reloads().len()));
        }
    }
    for (from, to) in [(Value::Null, one()), (one(), other())] {
        kinds.extend(check(&Way { machine: illumos, from, to }, |machine| machine.restarts().len()));
    }
    let all = ["enable-client", "restart-cache", "settings", "switch"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all, "each was stopped in its middle");
}
