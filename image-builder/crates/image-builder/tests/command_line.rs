//! The command line of the illumos image builder, option by option; where templates are when it does not say; the exit
//! statuses that are documented; and what each verb says to machines.

use process_runner::{Command, Output};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory with templates and what they name.
struct Scene(TempDir);

const PLACES: &str = r#""owner": "root", "group": "root", "mode": "644""#;

impl Scene {
    /// `ROOT/g/t` is a FAT image: with a file from `-E`, with the values of the feature `f` as their number of files.
    fn new(root: &str) -> Self {
        let scene = Self(tempfile::tempdir().expect("a temporary directory"));
        let external = format!(r#"{{ "t": "ensure_file", "with": "ext", "file": "/e", "extsrc": "e", {PLACES} }}"#);
        let feature = format!(r#"{{ "t": "ensure_file", "with": "f", "file": "/f", "contents": "f", {PLACES} }}"#);
        let name = format!(r#"{{ "t": "ensure_file", "with": "n", "file": "/${{n}}", "contents": "n", {PLACES} }}"#);
        let text =
            format!(r#"{{ "pcfs": {{ "label": "X", "size": 1 }}, "steps": [ {external}, {feature}, {name} ] }}"#);
        scene.write(&format!("{root}/g/t.json"), &text);
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("written");
    }

    fn run_in(&self, directory: &str, words: &str) -> Output {
        let command = Command::new(env!("CARGO_BIN_EXE_image-builder")).args(words.split_whitespace());
        command.current_dir(self.path(directory)).env("NO_COLOR", "1").run_any().expect("it runs")
    }

    fn run(&self, words: &str) -> Output {
        self.run_in(".", words)
    }

    fn json(&self, words: &str) -> Value {
        let output = self.run(words);
        serde_json::from_str(&output.stdout_text()).unwrap_or_else(|error| panic!("{words}: {error}: {output:?}"))
    }

    /// What is in an image.
    fn files(&self, image: &str) -> Vec<String> {
        let manifest = self.path(image).with_extension("manifest.jsonl");
        let text = fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{manifest:?}: {error}"));
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .filter(|line| line["type"] == "regular file")
            .map(|line| line["path"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn good(output: &Output) {
    assert!(output.success(), "{}", output.stderr_text());
}

#[test]
fn every_option_has_its_long_form() {
    let scene = Scene::new("t");
    scene.write("x/e", "e");
    good(&scene.run("build -d ./a -T t -E x -g g -n t -N out -S none -F ext -F f -r"));
    good(&scene.run("build -d ./b -T t -E x -g g -n t -N out -S none -F ext -F f -x"));
    good(&scene.run(
        "build --dataset ./c --templates t --external-src x --group g --name t --output-name out --svccfg none \
         --feature ext --feature f --reset",
    ));
    good(&scene.run("build --dataset ./d --templates t --external-src x --group g --name t --fullreset"));
    for image in ["a/output/g-out.pcfs", "b/output/g-out.pcfs", "c/output/g-out.pcfs"] {
        assert_eq!(scene.files(image), ["/e", "/f"], "{image}");
    }
    assert_eq!(scene.files("d/output/g-t.pcfs"), [""; 0]);
}

#[test]
fn what_has_to_be_given_is_asked_for() {
    let scene = Scene::new("templates");
    for (words, missing) in [
        ("build -g g -n t", "--dataset"),
        ("build -d ./w -n t", "--group"),
        ("build -d ./w -g g", "--name"),
        ("build -d ./w -g g -n t more", "'more'"),
        ("build -d ./w -g g -n t -o x", "'-o'"),
        ("frobnicate", "'frobnicate'"),
        ("", "Usage"),
    ] {
        let output = scene.run(words);
        assert_eq!(output.code, Some(2), "{words}");
        assert!(output.stderr_text().contains(missing), "{words}: {}", output.stderr_text());
    }
    assert!(!scene.path("w").exists(), "nothing was done");
}

/// They are searched in order, and the first one that has the file wins; a directory that is not there is an error.
#[test]
fn external_directories_are_searched_in_the_order_given() {
    let scene = Scene::new("templates");
    scene.write("second/e", "second");
    fs::create_dir(scene.path("first")).expect("a directory");
    let sum = || fs::read_to_string(scene.path("w/output/g-t.manifest.jsonl")).expect("a manifest");
    good(&scene.run("build -d ./w -g g -n t -F ext -E first -E second"));
    let from_second = sum();
    scene.write("first/e", "first");
    good(&scene.run("build -d ./w -g g -n t -F ext -E first -E second"));
    assert_ne!(sum(), from_second, "the first one has it now");
    good(&scene.run("build -d ./w -g g -n t -F ext -E second -E first"));
    assert_eq!(sum(), from_second);
    assert_eq!(scene.run("build -d ./w -g g -n t -E second -E none").code, Some(2));
}

#[test]
fn features_apply_in_the_order_given() {
    let scene = Scene::new("templates");
    for (features, files) in [
        ("-F f -F ^f", &[][..]),
        ("-F ^f -F f", &["/f"]),
        ("-F n=a -F n=b", &["/b"]),
        ("-F n+=a -F n+=b -F n-=a", &["/b"]),
        ("-F n+=a -F n+=b -F n~=b", &["/a"]),
    ] {
        good(&scene.run(&format!("build -d ./w -g g -n t {features}")));
        assert_eq!(scene.files("w/output/g-t.pcfs"), files, "{features}");
    }
    let several = scene.run("build -d ./w -g g -n t -F n=a -F n+=b");
    assert_eq!(several.code, Some(3), "{}", several.stderr_text());
}

/// Without `-T`: `./templates`, else those of the repository around; without `-E`: its release directory, where there is one.
#[test]
fn templates_and_programs_of_the_repository_around_are_found() {
    let scene = Scene::new("sysconfig/image/templates");
    fs::create_dir_all(scene.path("deep/below")).expect("a directory");
    let lacks = scene.run_in("deep/below", "build -d ./w -g g -n t -F ext");
    assert_eq!(lacks.code, Some(3), "{}", lacks.stderr_text());
    scene.write("sysconfig/target/release/e", "e");
    good(&scene.run_in("deep/below", "build -d ./w -g g -n t -F ext"));
    assert_eq!(scene.files("deep/below/w/output/g-t.pcfs"), ["/e"]);
    // A directory `templates` here goes first.
    scene.write("deep/below/templates/g/own.json", r#"{ "dataset": { "name": "d" }, "steps": [] }"#);
    good(&scene.run_in("deep/below", "build -d ./w -g g -n own"));
    assert_eq!(scene.run_in("deep/below", "build -d ./w -g g -n t").code, Some(3));
}

/// 78 is of a workspace that is another user's, 128 and more of signals: their tests are with workspaces and interruptions.
#[test]
fn exit_statuses_are_those_that_are_documented() {
    let scene = Scene::new("templates");
    scene.write("templates/g/wrong.json", r#"{ "pcfs": { "label": "X", "sise": 1 }, "steps": [] }"#);
    scene.write("templates/g/ufs.json", r#"{ "ufs": { "size": 8, "inode_density": 4096 }, "steps": [] }"#);
    let fails = r#"{ "iso": {}, "steps": [ { "t": "remove_files", "file": "/none" } ] }"#;
    scene.write("templates/g/fails.json", fails);
    scene.write("broken.raw", "no image");
    for (words, code) in [
        ("build -d ./w -g g -n t", 0),
        ("build -d ./v -g g -n t -F f", 0),
        ("plan -d ./w -g g -n t", 0),
        ("show -g g -n t", 0),
        ("check -g g -n t", 0),
        ("gc -d ./w", 0),
        ("workspace -d ./w", 0),
        ("schema", 0),
        ("completions zsh", 0),
        ("man", 0),
        ("--help", 0),
        ("--version", 0),
        ("build -d ./w -g g -n fails", 1),
        ("cat w/output/g-t.pcfs /none", 1),
        ("build -d ./w -g g", 2),
        ("build -d ./w -g g -n t -F 9", 2),
        ("build -d ./w -g g -n t -T none", 2),
        ("completions tcsh", 2),
        ("build -d ./w -g g -n wrong", 3),
        ("build -d ./w -g g -n ufs", 3),
        ("build -d ./w -g g -n none", 3),
        ("plan -d ./w -g g -n wrong", 3),
        ("plan -d ./w -g g -n ufs", 3),
        ("show -g g -n wrong", 3),
        ("check", 3),
        ("diff w/output/g-t.pcfs w/output/g-t.pcfs", 0),
        ("diff w/output/g-t.pcfs v/output/g-t.pcfs", 4),
        ("clean -d ./w", 0),
    ] {
        let output = scene.run(words);
        assert_eq!(output.code, Some(code), "{words}: {}", output.stderr_text());
        let tells = !output.stdout_text().is_empty() || !output.stderr_text().is_empty();
        assert!(tells || words.starts_with("diff"), "{words} says nothing");
    }
    let damaged = scene.run("verify broken.raw").code;
    assert!([Some(1), Some(4)].contains(&damaged), "{damaged:?}");
}

#[test]
fn a_check_of_nothing_is_not_good() {
    let scene = Scene::new("templates");
    good(&scene.run("check -T templates -g g"));
    let typo = scene.run("check -T templates -g sight");
    assert_eq!(typo.code, Some(3));
    let said = typo.stderr_text();
    assert!(said.contains("no template of group `sight`") && said.contains("groups that have some: g"), "{said}");
    std::fs::create_dir(scene.path("empty")).expect("a directory");
    let empty = scene.run("check -T empty");
    assert_eq!(empty.code, Some(3));
    assert!(empty.stderr_text().contains("no template to check"), "{empty:?}");
}

/// A collection of a misspelt workspace had nothing to do and was good.
#[test]
fn a_workspace_that_is_not_there_is_not_tidied_up() {
    let scene = Scene::new("templates");
    for verb in ["gc", "clean"] {
        let output = scene.run(&format!("{verb} -d ./no/such"));
        assert_eq!(output.code, Some(1), "{verb}");
        let said = output.stderr_text();
        assert!(said.contains("there is no workspace in ") && said.contains("no/such"), "{said}");
        assert_eq!(scene.run(&format!("{verb} -d ./templates")).code, Some(1), "it is something else");
        assert!(!scene.path("no").exists() && !scene.path("templates/store").exists());
    }
}

/// `-d .` made five directories in a checkout.
#[test]
fn a_directory_that_holds_something_else_is_filled_only_when_that_is_said() {
    let scene = Scene::new("templates");
    let output = scene.run("build -d ./ -g g -n t");
    assert_eq!(output.code, Some(1));
    let said = output.stderr_text();
    assert!(said.contains("not empty: templates is in it") && said.contains("image-builder workspace -d"), "{said}");
    assert!(!scene.path("output").exists());
    good(&scene.run("workspace -d ./"));
    good(&scene.run("build -d ./ -g g -n t"));
    scene.write("given/output/base.tar", "an archive for the first build");
    good(&scene.run("build -d ./given -g g -n t"));
}

#[test]
fn exit_statuses_are_in_help_and_manual() {
    let scene = Scene::new("templates");
    for words in ["--help", "man"] {
        let said = scene.run(words).stdout_text().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["78 this user", "128 and the number of a signal"] {
            assert!(said.contains(part), "{words}: {said}");
        }
    }
}

/// Everything whose name begins as that of a page was rewritten as text.
#[test]
fn manual_pages_leave_alone_what_is_beside_them() {
    let scene = Scene::new("templates");
    let old: &[u8] = b"\xff\0\xc3\xa4";
    std::fs::create_dir_all(scene.path("man/image-builder-x")).expect("a directory");
    std::fs::write(scene.path("man/image-builder.old"), old).expect("written");
    std::fs::write(scene.path("elsewhere"), old).expect("written");
    std::os::unix::fs::symlink("../elsewhere", scene.path("man/image-builder.1")).expect("a link");
    good(&scene.run("man --directory man"));
    assert_eq!(std::fs::read(scene.path("man/image-builder.old")).expect("still there"), old);
    assert_eq!(std::fs::read(scene.path("elsewhere")).expect("still there"), old);
    assert!(scene.path("man/image-builder-x").is_dir());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(scene.path("man")).expect("a directory") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let is_page = name.ends_with(".1");
        assert!(!is_page || std::fs::read(scene.path("man").join(&name)).expect("a page").is_ascii(), "{name}");
        names.push(name);
    }
    for page in ["image-builder.1", "image-builder-build.1", "image-builder-man.1"] {
        assert!(names.iter().any(|name| name == page), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
}

/// Nothing was on standard output, so that a script had to read what is for people.
#[test]
fn failures_speak_to_machines_too() {
    let scene = Scene::new("templates");
    scene.write("templates/g/wrong.json", "{ \"pcfs\": { \"label\": \"X\",\n \"sise\": 1 }, \"steps\": [] }");
    scene.write("templates/g/late.json", r#"{ "dataset": { "name": "d", "input_snapshot": "s" }, "steps": [] }"#);
    let fails = r#"{ "iso": {}, "steps": [ { "t": "remove_files", "file": "/none" } ] }"#;
    scene.write("templates/g/fails.json", fails);
    for (words, status, code) in [
        ("build -d ./w -g g -n wrong --json", 3, Some("template::unknown-key")),
        ("plan -d ./w -g g -n wrong --json", 3, Some("template::unknown-key")),
        ("show -g g -n wrong --json", 3, Some("template::unknown-key")),
        ("build -d ./w -g g -n late --json", 1, Some("build::missing-input")),
        ("plan -d ./w -g g -n late --json", 1, Some("build::missing-input")),
        ("build -d ./w -g g -n fails --json", 1, Some("step::failed")),
        ("build -d ./ -g g -n fails --json", 1, None),
        ("gc -d ./none --json", 1, None),
        ("verify none.raw --json", 1, None),
        ("plan -d ./w -g g -n t -F 9 --json", 2, None),
    ] {
        let output = scene.run(words);
        assert_eq!(output.code, Some(status), "{words}: {}", output.stderr_text());
        assert!(!output.stderr_text().is_empty(), "{words}: people are told, too");
        let said: Value =
            serde_json::from_str(&output.stdout_text()).unwrap_or_else(|error| panic!("{words}: {error}"));
        let error = &said["error"];
        assert_eq!(error["status"], status, "{words}: {said}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{words}: {said}");
        assert!(error["causes"].is_array() && error.get("help").is_some(), "{words}: {said}");
        let diagnostics = error["diagnostics"].as_array().expect("a list");
        assert_eq!(diagnostics.first().and_then(|first| first["code"].as_str()), code, "{words}: {said}");
        assert!(diagnostics.iter().all(|one| one["line"].is_u64()), "{words}: {said}");
    }
    // What is wrong stands in what these say otherwise, once.
    for words in ["check --json", "plan -d ./w -g g -n ufs --json"] {
        scene.write("templates/g/ufs.json", r#"{ "ufs": { "size": 8, "inode_density": 4096 }, "steps": [] }"#);
        let output = scene.run(words);
        assert_eq!(output.code, Some(3), "{words}");
        let said: Value =
            serde_json::from_str(&output.stdout_text()).unwrap_or_else(|error| panic!("{words}: {error}"));
        assert!(said["templates"].is_array() && said.get("error").is_none(), "{words}: {said}");
    }
}

/// Each is one JSON text on standard output, with the keys that scripts go by.
#[test]
fn every_verb_speaks_to_machines() {
    let scene = Scene::new("templates");
    let pool = format!(
        r#"{{ "pool": {{ "name": "p", "size": "auto", "free": 1, "label": false }}, "steps": [
            {{ "t": "create_be" }}, {{ "t": "ensure_file", "file": "/a", "contents": "a", {PLACES} }} ] }}"#
    );
    scene.write("templates/g/pool.json", &pool);
    for (words, keys) in [
        ("check --json", &["templates", "unread"][..]),
        ("show -g g -n pool --json", &["target", "steps"]),
        ("plan -d ./w -g g -n pool --json", &["possible", "roots", "external", "templates"]),
        ("build -d ./w -g g -n pool --json", &["image", "also", "unchanged", "templates"]),
        ("build -d ./w -g g -n t -F f --json", &["image", "also", "unchanged", "templates"]),
        ("workspace -d ./w --disk-use --json", &[]),
        ("verify w/output/g-pool.raw --json", &[]),
        ("ls w/output/g-pool.raw --json", &[]),
        ("ls w/output/g-pool.raw / --json", &[]),
        ("diff w/output/g-pool.raw w/output/g-pool.raw --json", &[]),
        ("gc -d ./w --json", &["kept_steps", "forgotten_steps", "bytes_before", "bytes_after", "disk_use"]),
        ("clean -d ./w --json", &[]),
    ] {
        let said = scene.json(words);
        for key in keys {
            assert!(said.get(key).is_some(), "{words}: no `{key}` in {said}");
        }
        assert!(said.is_object() || said.is_array(), "{words}: {said}");
    }
}
