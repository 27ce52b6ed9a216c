//! `config check` needs no daemon.

use crate::support::{Ran, sysconfigctl_at};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Writes files into a directory of their own and runs `config check` with what `arguments` makes of the directory.
fn check(files: &[(&str, &str)], arguments: impl Fn(&Path) -> Vec<String>) -> Ran {
    check_at(files, arguments, false)
}

/// The same, at a terminal or not.
fn check_at(files: &[(&str, &str)], arguments: impl Fn(&Path) -> Vec<String>, is_terminal: bool) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("d")).unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let mut all = vec!["config".to_owned(), "check".to_owned()];
    all.extend(arguments(directory.path()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    sysconfigctl_at(Path::new("no-daemon-listens-here"), &all, is_terminal)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn what_the_daemon_reads_is_checked_together() {
    let together = |root: &Path| {
        vec![format!("--config={}/main.toml", root.display()), format!("--config-dir={}/d", root.display())]
    };
    let ran = check(
        &[("main.toml", "[system]\nhostname = \"a\"\n"), ("d/1.toml", "[network.dns]\nservers = []\n")],
        together,
    );
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("main.toml") && ran.out.contains("1.toml"), "{}", ran.out);
    let ran =
        check(&[("main.toml", "[system]\nhostname = \"a\"\n"), ("d/1.toml", "[system]\nhostname = \"b\"\n")], together);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("system.hostname is set twice"), "{}", ran.out);
}

#[test]
fn files_are_checked_each_by_itself() {
    let files = [("a.toml", "[system]\nhostname = \"a\"\n"), ("b.toml", "[system]\nhostname = \"b\"\n")];
    let ran = check(&files, |root| vec![text(&root.join("a.toml")), text(&root.join("b.toml"))]);
    assert_eq!(ran.code, 0, "they contradict each other, and are not meant to be used together: {}", ran.out);
}

#[test]
fn faults_have_a_place_also_in_json() {
    let files = [("a.toml", "[logging]\nlevel = \"info\"\nlevl = \"debug\"\n"), ("b.toml", "[system\n")];
    let ran = check(&files, |root| vec![text(&root.join("a.toml"))]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("a.toml:3:1") && ran.out.contains("levl"), "{}", ran.out);
    let ran = check(&files, |root| vec!["--json".to_owned(), text(&root.join("b.toml")), text(&root.join("c.toml"))]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["accepted"], false);
    let errors: Vec<_> =
        report["checked"].as_array().unwrap().iter().map(|one| one["error"].as_str().unwrap()).collect();
    assert!(errors[0].contains("b.toml"), "{errors:?}");
    assert!(errors[1].contains("c.toml"), "{errors:?}");
}

/// A line may hold a secret: it is shown to a person at a terminal, and not written into a file or a build's log.
#[test]
fn faulty_lines_are_shown_at_a_terminal_only() {
    let files = [("a.toml", "[x]\npassword = \"hunter2\"\npassword = \"hunter3\"\n")];
    let file = |root: &Path| vec![text(&root.join("a.toml"))];
    let json = |root: &Path| vec!["--json".to_owned(), text(&root.join("a.toml"))];
    let shown = check_at(&files, file, true);
    assert!(shown.code == 1 && shown.out.contains("password = \"hunter3\""), "{}", shown.out);
    for ran in [check_at(&files, file, false), check_at(&files, json, true), check_at(&files, json, false)] {
        assert_eq!(ran.code, 1);
        assert!(ran.out.contains("a.toml:3:1: invalid TOML: duplicate key"), "{}", ran.out);
        assert!(!ran.out.contains("hunter"), "{}", ran.out);
    }
}

/// A plugin in plain shell that misses a link whenever it is asked about the machine.
const PLUGIN: &str = r#"#!/bin/sh
while read -r line <&3; do
    id=${line#*'"id":'}
    case $line in
        *'"method":"hello"'*) result='{"name":"links","version":"1.0.0","protocol":{"min":1,"max":1},"claims":[{"key":"links"}],"capabilities":["check"]}' ;;
        *'"method":"validate"'*) result='{"diagnostics":[]}' ;;
        *'"method":"check"'*) result='{"diagnostics":[{"key":"links[1]","message":"there is no net7","help":"write net0"}]}' ;;
        *) result='{}' ;;
    esac
    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "${id%%,*}" "$result" >&3
    case $line in *'"method":"shutdown"'*) exit ;; esac
done
"#;

/// A configuration is that of this machine unless it is said to be another's.
#[test]
fn what_the_machine_does_not_have_is_refused_with_its_place() {
    use std::os::unix::fs::PermissionsExt;
    let ran = |options: &[&str]| {
        check(&[("a.toml", "links = [\"net0\",\n  \"net7\"]\n"), ("d/sysconfig-plugin-links", PLUGIN)], |root| {
            fs::set_permissions(root.join("d/sysconfig-plugin-links"), fs::Permissions::from_mode(0o755)).unwrap();
            let mut arguments: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
            arguments.extend([format!("--plugins={}/d", root.display()), text(&root.join("a.toml"))]);
            arguments
        })
    };
    let here = ran(&[]);
    assert_eq!(here.code, 1, "{}", here.out);
    assert!(here.out.contains("a.toml:2:3") && here.out.contains("there is no net7"), "{}", here.out);
    assert!(here.out.contains("write net0"), "{}", here.out);
    let elsewhere = ran(&["--offline"]);
    assert_eq!(elsewhere.code, 0, "{}", elsewhere.out);
}
