//! What lies in the output directory is told truly, and destroyed by nobody.

mod scene;

use scene::{OWNER, Scene};
use std::fs;

/// It was said three times, and with the reason that no build here had made it.
#[test]
fn an_archive_that_was_changed_is_told_once_and_truly() {
    let scene = Scene::new();
    let unpack = r#"{ "t": "unpack_tar", "name": "b.tar" }"#;
    let again = r#"{ "t": "unpack_tar", "name": "b.tar", "into_tmp": true }"#;
    let digest = format!(r#"{{ "t": "digest", "algorithm": "sha1", "src": "b.tar", "target": "/d", {OWNER} }}"#);
    let fat = format!(r#"{{ "pcfs": {{ "label": "X", "size": 2 }}, "steps": [ {unpack}, {again}, {digest} ] }}"#);
    scene.write("templates/g/fat.json", &fat);
    scene.good("build -d ./work -g g -n fat");
    let archive = fs::read(scene.path("work/output/b.tar")).expect("the archive");
    fs::write(scene.path("work/output/b.tar"), [archive, vec![0; 10_240]].concat()).expect("written");
    for verb in ["plan", "build"] {
        let said = scene.said(&format!("{verb} -d ./work -g g -n fat"));
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(said.matches("b.tar as it is").count(), 1, "{verb}: {said}");
        assert!(
            said.contains(
                "because it was changed or replaced after a build here had made it; remove it to have g/base"
            ),
            "{verb}: {said}"
        );
    }
}

/// The manifest kept the lines of the first build.
#[test]
fn evidence_tells_where_steps_stand_now() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n base");
    let (manifest, sum) = ("work/output/g-base.manifest.jsonl", "work/output/b.tar.sha256");
    assert!(scene.read(manifest).contains("base.json:1:"), "{}", scene.read(manifest));
    let before = fs::metadata(scene.path(sum)).expect("it is there").modified().expect("its time");
    let base = scene.read("templates/g/base.json");
    scene.write("templates/g/base.json", &base.replacen("[ ", "[ \n\n", 1));
    let built = scene.run("build --json -d ./work -g g -n base").stdout_text();
    assert!(built.contains("\"cached\":true") && !built.contains("\"cached\":false"), "{built}");
    for path in [manifest, "work/output/g-base.evidence.json"] {
        let text = scene.read(path);
        assert!(text.contains("base.json:3:") && !text.contains("base.json:1:3"), "{path}: {text}");
    }
    // The archive is the same, and is not read again.
    let after = fs::metadata(scene.path(sum)).expect("it is there").modified().expect("its time");
    assert_eq!(before, after);
}

/// Image, evidence and what `gc` keeps of the other template were those of this one then.
#[test]
fn an_output_name_is_not_that_of_another_template() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n base");
    let evidence = scene.read("work/output/g-base.evidence.json");
    for verb in ["build", "plan"] {
        let output = scene.run(&format!("{verb} -d ./work -g g -n fat -N base"));
        let said = output.stderr_text();
        assert_eq!(output.code, Some(3), "{said}");
        assert!(said.contains("output::same-name") && said.contains("that of template g/base"), "{said}");
        assert!(said.contains("templates/g/base.json"), "{said}");
    }
    assert_eq!(scene.read("work/output/g-base.evidence.json"), evidence);
    scene.good("build -d ./work -g g -n fat -N fat");
    scene.good("build -d ./work -g g -n fat -N other");
}

#[test]
fn check_and_build_refuse_outputs_that_destroy_each_other() {
    let scene = Scene::new();
    let pack = r#"{ "t": "pack_tar", "name": "b.tar.sha256" }"#;
    let unpack = r#"{ "t": "unpack_tar", "name": "b.tar" }"#;
    let text = format!("{{ \"dataset\": {{ \"name\": \"d\" }}, \"steps\": [ {unpack},\n{pack} ] }}");
    scene.write("templates/g/late.json", &text);
    for words in ["check", "check -g g -n late", "build -d ./work -g g -n late", "plan -d ./work -g g -n late"] {
        let output = scene.run(words);
        let said = output.stderr_text();
        assert_eq!(output.code, Some(3), "{words}: {said}");
        assert!(said.contains("the checksum of b.tar"), "{words}: {said}");
        assert!(said.contains("output::same-name"), "{words}: {said}");
    }
    assert!(!scene.path("work/output/b.tar").exists(), "it is told before any work");
    // The others have nothing to do with it.
    scene.good("check -g g -n base");
}
