//! The schema for editors: published as the loader has it, and judged by a validator on templates good and bad.
//!
//! `UPDATE_DOCS=1 cargo nextest run -p template` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

use template::{Features, HostFiles, Request, load, schema};
use test_judge::ask;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn document() -> PathBuf {
    repository().join("docs/formats/template.schema.json")
}

#[test]
fn the_published_schema_is_that_of_the_loader() {
    let expected = format!("{}\n", serde_json::to_string_pretty(&schema()).expect("JSON"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(document(), &expected).expect("written");
        return;
    }
    let found = fs::read_to_string(document()).unwrap_or_default();
    assert!(found == expected, "docs/formats/template.schema.json is out of date; run this test with UPDATE_DOCS=1");
}

/// What a validator says of files; `None` when there is none. Each error begins with the name of its file.
fn judged(files: &[PathBuf]) -> Option<(bool, String)> {
    let mut arguments = vec!["--output".to_owned(), "pretty".to_owned()];
    for file in files {
        arguments.extend(["-i".to_owned(), file.display().to_string()]);
    }
    arguments.push(document().display().to_string());
    let said = ask("jsonschema", "python3-jsonschema", &arguments)?;
    Some((said.success(), said.stdout_text() + &said.stderr_text()))
}

fn json_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            json_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
}

#[test]
fn every_template_of_the_repository_is_good() {
    let mut files = Vec::new();
    json_files(&repository().join("sysconfig/image/templates"), &mut files);
    json_files(&repository().join("bench/templates"), &mut files);
    json_files(&repository().join("image-builder/crates/image-steps/tests/collections"), &mut files);
    // Files that templates put into images may be JSON, too; what is expected of a collection is no template.
    files.retain(|file| !file.components().any(|part| part.as_os_str() == "files") && !file.ends_with("builds.json"));
    assert!(files.len() >= 35, "{files:?}");
    let Some((good, said)) = judged(&files) else { return };
    assert!(good, "{said}");
}

/// Every case that the loader takes, the schema takes; but a step that a guard leaves out is judged by the schema, and
/// hardly by the loader.
#[test]
fn what_loads_is_good() {
    let mut files = Vec::new();
    for case in fs::read_dir("tests/cases").expect("the cases").flatten() {
        let rendered = fs::read_to_string(case.path().join("rendered.snap")).expect("a snapshot");
        let is_good = rendered.contains("\ntarget {") && rendered.trim_end().ends_with("skipped:\n\nwarnings:");
        if is_good {
            json_files(&case.path().join("templates"), &mut files);
        }
    }
    files.retain(|file| !file.components().any(|part| part.as_os_str() == "files"));
    assert!(files.len() >= 8, "{files:?}");
    let Some((good, said)) = judged(&files) else { return };
    assert!(good, "{said}");
}

#[test]
fn what_does_not_load_is_not_good() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("templates/g");
    fs::create_dir_all(&root).expect("a directory");
    let owner = r#""owner": "root", "group": "root", "mode": "644""#;
    let step = |step: &str| format!(r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {step} ] }}"#);
    let cases = [
        r#"{ "dataset": { "name": "d" } }"#.to_owned(),
        r#"{ "dataset": { "name": "d" }, "pool": { "name": "p", "size": 100 }, "steps": [] }"#.to_owned(),
        r#"{ "dataset": { "nam": "d" }, "steps": [] }"#.to_owned(),
        r#"{ "pool": { "name": "p", "size": "large" }, "steps": [] }"#.to_owned(),
        r#"{ "iso": { "hybrid": { "stage1": "a", "stage2": "b" } }, "steps": [] }"#.to_owned(),
        step(r#"{ "dir": "/x" }"#),
        step(r#"{ "t": "ensure_dri" }"#),
        step(r#"{ "t": "remove_files" }"#),
        step(r#"{ "t": "remove_files", "file": "/a", "dir": "/b" }"#),
        step(&format!(r#"{{ "t": "ensure_file", "file": "/a", {owner} }}"#)),
        step(&format!(r#"{{ "t": "ensure_file", "file": "/a", "contents": "", "color": "red", {owner} }}"#)),
        step(r#"{ "t": "ensure_dir", "dir": "/a", "owner": "toor", "group": "root", "mode": "755" }"#),
        step(r#"{ "t": "ensure_dir", "dir": "/a", "owner": "root", "group": "root", "mode": "789" }"#),
        step(r#"{ "t": "pkg_image_create", "publisher": "p" }"#),
        step(r#"{ "t": "pkg_set_publisher", "publisher": "p", "uri": "u", "uris": [ "u" ] }"#),
        step(r#"{ "t": "create_be", "with": "a b" }"#),
    ];
    let mut files = Vec::new();
    for (number, text) in cases.iter().enumerate() {
        let file = root.join(format!("t{number}.json"));
        fs::write(&file, text).expect("written");
        let request = Request {
            roots: vec![directory.path().join("templates")],
            group: "g".to_owned(),
            name: format!("t{number}"),
            features: Features::default(),
            ..Request::default()
        };
        load(&request, &HostFiles).expect_err(text);
        files.push(file);
    }
    let Some((_, said)) = judged(&files) else { return };
    for (file, text) in files.iter().zip(&cases) {
        assert!(said.contains(&format!("({})", file.display())), "{text} is good:\n{said}");
    }
}
