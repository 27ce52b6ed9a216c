//! The plugin as a program, asked as `sysconfigctl config check` asks it.

use std::path::{Path, PathBuf};
use sysconfig::config::{Settings, SourceFile, parse};
use sysconfig::discovery::Search;
use sysconfig::offline::Plugins;

const FAULTY: &str = r#"[[storage.pool]]
name = "mirror"
vdevs = [{ mirror = ["/a"] }]

[[storage.pool]]
name = "tank"
vdevs = ["/b", { raidz1 = ["/c", "/d"] }]
properties = { autoexpand = "yes" }
allow-destructive = ["/e"]
"#;

fn judged(text: &str) -> Vec<(usize, String)> {
    let directory = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-zpool"));
    std::fs::copy(program, directory.path().join("sysconfig-plugin-zpool")).unwrap();
    let config = parse(vec![SourceFile { path: PathBuf::from("pools.toml"), text: text.to_owned() }]).unwrap();
    let search = Search { path: vec![directory.path().to_owned()], allow_untrusted_owner: true };
    let mut plugins = Plugins::start(search, &Settings::default().plugins.deadlines).unwrap();
    let problems = plugins.judge(&config).into_iter();
    problems.map(|problem| (problem.place.map_or(0, |place| place.line), problem.message)).collect()
}

#[test]
fn what_is_wrong_has_its_line() {
    let found = judged(FAULTY);
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 7, 9, 8], "{found:#?}");
}

#[test]
fn what_does_not_fit_is_told_with_its_key() {
    for (text, part) in [
        ("[[storage.pool]]\nname = \"tank\"\nvdev = [\"/a\"]\n", "vdev"),
        ("[[storage.pool]]\nname = \"tank\"\nvdevs = [7]\n", "expected the path of a device"),
        ("[[storage.pool]]\nvdevs = [\"/a\"]\n", "name"),
        ("[storage]\npool = 7\n", "storage.pool"),
    ] {
        let found = judged(text);
        assert!(found.iter().any(|(_, message)| message.contains(part)), "{text}: {found:?}");
    }
}

#[test]
fn a_right_configuration_has_nothing_wrong() {
    assert_eq!(judged("[[storage.pool]]\nname = \"tank\"\nvdevs = [\"/a\"]\n"), []);
}
