//! The plugin as a program, asked as `sysconfigctl config check` asks it.

use std::path::Path;

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
    plugin_testing::judged(Path::new(env!("CARGO_BIN_EXE_sysconfig-plugin-zpool")), text)
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
