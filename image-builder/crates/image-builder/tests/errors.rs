//! Errors as people see them: each names the object and the place, and says how to go on.

use process_runner::Command;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const OWNER: &str = r#""owner": "root", "group": "root", "mode": "644""#;

struct Scene(TempDir);

impl Scene {
    fn new(templates: &[(&str, &str)]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(scene.path("templates/g")).unwrap();
        for (name, text) in templates {
            fs::write(scene.path("templates/g").join(format!("{name}.json")), text.replace("OWNER", OWNER)).unwrap();
        }
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// What the program says of it, with its exit status.
    fn said(&self, words: &[&str]) -> String {
        let program = env!("CARGO_BIN_EXE_image-builder");
        let output =
            Command::new(program).args(words).current_dir(self.0.path()).env("NO_COLOR", "1").run_any().unwrap();
        let said = output.stderr_text().replace(&self.0.path().canonicalize().unwrap().display().to_string(), "HERE");
        let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
        format!("exit status {}\n{}", output.code.unwrap(), lines.join("\n"))
    }

    fn built(&self, name: &str) -> String {
        self.said(&["build", "-d", "./work", "-g", "g", "-n", name])
    }
}

#[test]
fn a_circle() {
    let takes = |from: &str, to: &str| {
        format!(
            "{{ \"dataset\": {{ \"name\": \"d\" }}, \"steps\": [\n  {{ \"t\": \"unpack_tar\", \"name\": \"{from}.tar\" }},\n  {{ \"t\": \"pack_tar\", \"name\": \"{to}.tar\" }} ] }}"
        )
    };
    let scene = Scene::new(&[("a", &takes("b", "a")), ("b", &takes("c", "b")), ("c", &takes("b", "c"))]);
    let said = scene.built("a");
    insta::assert_snapshot!(said);
    assert_eq!(scene.said(&["plan", "-d", "./work", "-g", "g", "-n", "a"]), said);
}

#[test]
fn a_snapshot_that_nobody_makes() {
    let scene = Scene::new(&[(
        "late",
        "{ \"dataset\": { \"name\": \"d\",\n    \"input_snapshot\": \"strap\" }, \"steps\": [] }",
    )]);
    insta::assert_snapshot!(scene.built("late"));
}

#[test]
fn a_link_on_fat() {
    let scene = Scene::new(&[(
        "fat",
        "{ \"pcfs\": { \"label\": \"X\", \"size\": 2 }, \"steps\": [\n  { \"t\": \"ensure_symlink\", \"link\": \"/a\", \"target\": \"b\", \"owner\": \"root\", \"group\": \"root\" } ] }",
    )]);
    insta::assert_snapshot!(scene.built("fat"));
    assert_eq!(scene.said(&["check"]), scene.said(&["check", "-g", "g", "-n", "fat"]));
}

/// What an archive brings nobody knows before. It was told in words of an EFI system partition, without a place or a way out.
#[test]
fn what_fat_does_not_take_of_an_archive() {
    let link = r#"{ "t": "ensure_symlink", "link": "/a", "target": "b", "owner": "root", "group": "root" }"#;
    let file = |file: &str| format!(r#"{{ "t": "ensure_file", "file": "{file}", "contents": "", OWNER }}"#);
    let contents = [("link", link.to_owned()), ("name", file("/a:b")), ("case", [file("/a"), file("/A")].join(", "))];
    let pack = r#"{ "t": "pack_tar", "name": "x.tar" }"#;
    let fat = "{ \"pcfs\": { \"label\": \"X\", \"size\": 2 }, \"steps\": [\n  { \"t\": \"unpack_tar\", \"name\": \"x.tar\" } ] }";
    let said = contents.map(|(name, steps)| {
        let base = format!(r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {steps}, {pack} ] }}"#);
        let scene = Scene::new(&[("base", &base), ("fat", fat)]);
        let said = scene.built("fat");
        let from = said.find("target::").unwrap_or_default();
        format!("{name}: {}\n{}", said.lines().next().unwrap_or_default(), &said[from..])
    });
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn wrong_usage() {
    let scene = Scene::new(&[("a", r#"{ "dataset": { "name": "d" }, "steps": [] }"#)]);
    let said: Vec<String> = [
        ["-T", "./templates/none/at/all"],
        ["-E", "./target/release"],
        ["-S", "./svccfg-native"],
        ["-F", "1=2"],
        ["-F", "release="],
    ]
    .map(|[option, value]| scene.said(&["build", "-d", "./work", "-g", "g", "-n", "a", option, value]))
    .into();
    insta::assert_snapshot!(said.join("\n\n"));
}

/// Changes the last byte of every pack: that of an object of the tree.
fn damage(store: &Path) {
    for entry in fs::read_dir(store.join("packs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 0x55;
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn a_damaged_cache() {
    let fat = |more: &str| {
        format!(
            r#"{{ "pcfs": {{ "label": "X", "size": 2 }}, "steps": [ {{ "t": "ensure_file", "file": "/a", "contents": "a", {OWNER} }}{more} ] }}"#
        )
    };
    let scene = Scene::new(&[("fat", &fat(""))]);
    assert!(scene.built("fat").starts_with("exit status 0"));
    damage(&scene.path("work/store"));
    let more = format!(r#", {{ "t": "ensure_file", "file": "/b", "contents": "b", {OWNER} }}"#);
    fs::write(scene.path("templates/g/fat.json"), fat(&more)).unwrap();
    let said = scene.built("fat");
    assert!(
        said.starts_with("exit status 1") && said.contains("cannot take up the result of an earlier build"),
        "{said}"
    );
    assert!(said.contains("image-builder clean"), "{said}");
    // The advice is good.
    assert!(scene.said(&["clean", "-d", "./work"]).starts_with("exit status 0"));
    assert!(scene.built("fat").starts_with("exit status 0"));
}
