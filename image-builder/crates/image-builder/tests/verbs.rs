//! The command line as scripts and people use it: verbs, their JSON, exit statuses, and what lies beside outputs.

mod scene;

use process_runner::Command;
use scene::{OWNER, Scene};
use serde_json::Value;
use std::fs;
use test_judge::{approve, ask};

#[test]
fn a_plan_says_in_which_order_and_why() {
    let scene = Scene::new();
    let said = scene.good("plan -d ./work -g g -n fat");
    for part in ["1. g/base: 3 of 3 steps", "takes b.tar from g/base", "because it was never built in this workspace"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    scene.good("build -d ./work -g g -n fat");
    let said = scene.good("plan -d ./work -g g -n fat");
    assert!(said.contains("1. g/base: nothing to do") && !said.contains("because"), "{said}");
    scene.write("templates/g/files/a", "two");
    let plan = scene.json("plan -d ./work -g g -n fat --json");
    let step = &plan["templates"][0]["steps"][0];
    assert_eq!(step["cached"], false);
    assert!(step["why"].as_str().is_some_and(|why| why.ends_with("templates/g/files/a changed")), "{step}");
    assert_eq!(plan["templates"][1]["needs"][0]["template"], "g/base");
    assert_eq!(plan["templates"][1]["image"]["why"], "g/base is built before it");
    scene.write("templates/g/files/a", "one");
    fs::remove_file(scene.path("work/output/g-fat.pcfs")).expect("it was there");
    let plan = scene.json("plan -d ./work -g g -n fat --json");
    assert_eq!(plan["templates"][1]["image"]["why"], "g-fat.pcfs is not there");
    let said = scene.good("plan -d ./work -g g -n fat");
    assert!(said.contains("g-fat.pcfs\n          because g-fat.pcfs is not there"), "{said}");
    assert!(scene.good("plan -r -d ./work -g g -n base").contains("asked to be done again"));
}

#[test]
fn a_plan_names_the_files_that_steps_read_and_how_much_there_will_be() {
    let scene = Scene::new();
    let step = |plan: &Value, template: usize, step: usize| plan["templates"][template]["steps"][step].clone();
    let plan = scene.json("plan -d ./work -g g -n fat --json");
    assert_eq!(plan["possible"], true);
    let a = step(&plan, 0, 0)["inputs"][0].clone();
    assert!(a["path"].as_str().is_some_and(|path| path.ends_with("templates/g/files/a")), "{a}");
    assert_eq!((a["source"].as_str(), a["bytes"].as_u64(), a["made_by"].as_str()), (Some("templates"), Some(3), None));
    let tar = step(&plan, 1, 0);
    let input = &tar["inputs"][0];
    assert_eq!((input["source"].as_str(), input["made_by"].as_str()), (Some("output"), Some("g/base")));
    assert_eq!((input["bytes"].clone(), tar["why"].as_str()), (Value::Null, Some("g/base is built before it")));
    assert_eq!(step(&plan, 0, 1)["why"], "a step before it will run");
    // Three bytes of `a`, one of `b`; the FAT image is as large as the template says.
    let size = |plan: &Value, template: usize| plan["templates"][template]["size"].clone();
    assert_eq!(size(&plan, 0), serde_json::json!({ "files": 4, "image": null, "basis": "inputs" }));
    assert_eq!(size(&plan, 1), serde_json::json!({ "files": 4, "image": 2 << 20, "basis": "inputs" }));
    let said = scene.good("plan -d ./work -g g -n fat");
    for part in ["templates/g/files/a (beside the templates, 3 B)", "b.tar (made by g/base, not there yet)"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    scene.good("build -d ./work -g g -n fat");
    let plan = scene.json("plan -d ./work -g g -n fat --json");
    assert_eq!(size(&plan, 1), serde_json::json!({ "files": 4, "image": 2 << 20, "basis": "known" }));
    assert_eq!(step(&plan, 0, 0)["why"], Value::Null);
    scene.write("templates/g/files/a", "three and more");
    let plan = scene.json("plan -d ./work -g g -n base --json");
    assert_eq!(size(&plan, 0), serde_json::json!({ "files": 15, "image": null, "basis": "last_build" }));
}

/// It promised what `build` refuses.
#[test]
fn a_plan_that_cannot_be_carried_out_here_says_so() {
    let scene = Scene::new();
    scene.write("templates/g/ufs.json", r#"{ "ufs": { "size": 8, "inode_density": 4096 }, "steps": [] }"#);
    let debug = r#"{ "t": "seed_smf", "debug": true }"#;
    scene.write("templates/g/seed.json", &format!(r#"{{ "iso": {{}}, "steps": [ {debug}, {debug} ] }}"#));
    for (name, reason) in [("ufs", "a target of type `ufs` cannot be written yet"), ("seed", "seed_smf with `debug`")] {
        let output = scene.run(&format!("plan -d ./work -g g -n {name}"));
        assert_eq!(output.code, scene.run(&format!("build -d ./work -g g -n {name}")).code, "{name}");
        assert_eq!(output.code, Some(3), "{name}");
        let said = output.stdout_text();
        assert_eq!(said.matches(&format!("cannot be built here: {reason}")).count(), 1, "{said}");
        assert!(output.stderr_text().contains(&format!("g/{name} cannot be built here: {reason}")), "{name}");
        let output = scene.run(&format!("plan -d ./work -g g -n {name} --json"));
        assert_eq!(output.code, Some(3), "{name}");
        let plan: Value = serde_json::from_str(&output.stdout_text()).expect("JSON");
        let told = &plan["templates"][0]["not_possible_here"];
        assert_eq!(plan["possible"], false);
        assert!(told[0]["message"].as_str().is_some_and(|message| message.starts_with(reason)), "{told}");
        assert!(told[0]["file"].as_str().is_some_and(|file| file.ends_with(&format!("{name}.json"))), "{told}");
    }
}

#[test]
fn what_is_asked_for_is_done_again() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n base");
    let done = |words: &str| {
        let built = scene.json(words);
        let templates = built["templates"].as_array().expect("templates").clone();
        let steps =
            |run: &Value| run["steps"].as_array().expect("steps").iter().filter(|step| step["cached"] == false).count();
        templates
            .iter()
            .map(|run| (run["template"].as_str().expect("a name").to_owned(), steps(run)))
            .collect::<Vec<_>>()
    };
    assert_eq!(done("build --json -d ./work -g g -n base"), [("g/base".to_owned(), 0)]);
    assert_eq!(done("build --json -r -d ./work -g g -n base"), [("g/base".to_owned(), 3)]);
    assert_eq!(done("build --json --fullreset -S none -d ./work -g g -n base"), [("g/base".to_owned(), 3)]);
}

#[test]
fn evidence_lies_beside_each_output() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n fat -F more");
    let output = scene.path("work/output");
    for sums in ["b.tar.sha256", "g-fat.pcfs.sha256"] {
        let command = Command::new("sha256sum").args(["-c", sums]).current_dir(&output).run_any().expect("it runs");
        assert!(command.success(), "{sums}: {}", command.stderr_text());
    }
    let lines: Vec<Value> = scene
        .read("work/output/g-fat.manifest.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let step = |path: &str| lines.iter().find(|line| line["path"] == path).expect(path)["step"].clone();
    assert_eq!((step("/a"), step("/more")), ("unpack_tar b.tar".into(), "ensure_file /more".into()));
    let evidence: Value = serde_json::from_str(&scene.read("work/output/g-fat.evidence.json")).expect("JSON");
    assert_eq!(evidence["template"], "g/fat");
    assert_eq!(evidence["features"]["values"]["more"][0], "1");
    assert_eq!(evidence["effective"]["steps"].as_array().map(Vec::len), Some(2));
    assert!(evidence["inputs"][0]["what"].as_str().is_some_and(|what| what.ends_with("b.tar")), "{evidence}");
    assert_eq!(evidence["files"][0]["bytes"], 2 << 20);
    // Nothing is written again that is there.
    let before = fs::metadata(output.join("g-fat.evidence.json")).expect("it is there").modified().expect("its time");
    scene.good("build -d ./work -g g -n fat -F more");
    let after = fs::metadata(output.join("g-fat.evidence.json")).expect("it is there").modified().expect("its time");
    assert_eq!(before, after);
    scene.good("build -d ./bare -g g -n fat --no-evidence");
    assert!(!scene.path("bare/output/g-fat.evidence.json").exists());
    // What would tell of the image before goes with that.
    scene.good("build -d ./work -g g -n fat --no-evidence");
    let names = ["b.tar.sha256", "g-fat.pcfs.sha256", "g-fat.evidence.json", "g-fat.manifest.jsonl"];
    assert_eq!(names.map(|name| output.join(name).exists()), [true, false, false, false]);
}

#[test]
fn a_difference_names_the_step_that_made_it() {
    let scene = Scene::new();
    scene.good("build -d ./one -g g -n fat");
    scene.write("templates/g/files/a", "two");
    scene.good("build -d ./two -g g -n fat -F more");
    let output = scene.run("diff one/output/g-fat.pcfs two/output/g-fat.pcfs");
    assert_eq!(output.code, Some(4), "{}", output.stderr_text());
    let said = output.stdout_text();
    let a = said.lines().find(|line| line.starts_with("~ /a: content  [ensure_file /a, ")).expect(&said);
    // It is the template that packs, and then the one that unpacks.
    let (made, unpacked) = a.split_once(", through unpack_tar b.tar, ").expect(a);
    assert!(made.contains("templates/g/base.json:1:") && unpacked.contains("templates/g/fat.json:1:"), "{a}");
    assert!(said.lines().any(|line| line.starts_with("+ /more  [ensure_file /more, ")), "{said}");
    // What the template that packs has removed is gone by that step; and a collection keeps what this follows from.
    let remove = r#"{ "t": "remove_files", "file": "/b" }, { "t": "pack_tar""#;
    let base = scene.read("templates/g/base.json").replace(r#"{ "t": "pack_tar""#, remove);
    scene.write("templates/g/base.json", &base);
    scene.good("gc -d ./one");
    scene.good("build -d ./one -g g -n base");
    scene.good("gc -d ./one");
    scene.good("build -d ./one -g g -n fat");
    let said = scene.run("diff two/output/g-fat.pcfs one/output/g-fat.pcfs").stdout_text();
    assert!(
        said.lines().any(|line| line.starts_with("- /b  [remove_files /b, ") && line.contains("base.json")),
        "{said}"
    );
}

/// It named the step that had made what is gone, and knew nothing of archives.
#[test]
fn a_difference_of_archives_names_the_step_and_what_is_gone() {
    let scene = Scene::new();
    let file = |path: &str, text: &str| {
        format!(r#"{{ "t": "ensure_file", "file": "{path}", "contents": "{text}", {OWNER} }}"#)
    };
    let dir = r#"{ "t": "ensure_dir", "dir": "/d/e", "owner": "root", "group": "root", "mode": "755" }"#;
    let remove = |what: &str| format!(r#"{{ "t": "remove_files", {what} }}"#);
    let template = |archive: &str, steps: &[String]| {
        let pack = format!(r#"{{ "t": "pack_tar", "name": "{archive}" }}"#);
        let steps = [dir.to_owned()].iter().chain(steps).chain([&pack]).cloned().collect::<Vec<_>>().join(",\n");
        scene.write("templates/g/t.json", &format!(r#"{{ "dataset": {{ "name": "t" }}, "steps": [ {steps} ] }}"#));
    };
    for archive in ["my.tar", "my.tar.gz"] {
        let more = [file("/d/e/f", "f"), file("/gone", "x"), file("/dropped", "x"), file("/kept", "k")];
        template(archive, &more);
        scene.good("build -d ./one -g g -n t");
        let removals = [remove(r#""dir": "/d""#), remove(r#""pattern": "go?e""#), file("/kept", "other")];
        let more = [file("/d/e/f", "f"), file("/gone", "x"), file("/kept", "k"), file("/new", "n")];
        template(archive, &[more.as_slice(), &removals].concat());
        scene.good("build -d ./two -g g -n t");
        let output = scene.run(&format!("diff one/output/{archive} two/output/{archive}"));
        assert_eq!(output.code, Some(4), "{}", output.stderr_text());
        let said = output.stdout_text();
        let told: Vec<&str> = said.lines().map(|line| line.split_once(", ").map_or(line, |(begin, _)| begin)).collect();
        assert_eq!(
            told,
            [
                "- /d: a directory with all that is in it  [remove_files /d",
                "- /dropped  [no step makes it now; it was ensure_file /dropped",
                "- /gone  [remove_files go?e",
                "~ /kept: content  [ensure_file /kept",
                "+ /new  [ensure_file /new",
            ],
            "{said}"
        );
        assert!(said.lines().all(|line| line.ends_with(":1]")), "places are lines of the template: {said}");
    }
    assert_eq!(scene.good("diff two/output/my.tar two/output/my.tar"), "");
    scene.good("build -d ./two -g g -n fat");
    let mixed = scene.run("diff two/output/my.tar two/output/g-fat.pcfs");
    assert!(mixed.stderr_text().contains("my.tar is an archive, and two/output/g-fat.pcfs is none"));
}

#[test]
fn a_template_is_shown_as_it_is_understood() {
    let scene = Scene::new();
    let said = scene.good("show -g g -n fat");
    assert!(said.contains("unpack_tar  (./templates/g/fat.json:1:"), "{said}");
    assert!(said.contains("left out: ensure_file") && said.contains("feature `more` is not defined"), "{said}");
    let shown = scene.json("show -g g -n fat -F more --json");
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown["target"]["pcfs"]["label"], "X");
    let step = &shown["steps"][1]["step"];
    let written = [&step["mode"], &step["owner"], &step["group"]];
    assert_eq!(written, ["0644", "root", "root"], "{step}");
    assert_eq!(scene.run("show -g g -n none").code, Some(3));
}

#[test]
fn findings_are_for_machines_too() {
    let scene = Scene::new();
    scene.write("templates/g/bad.json", r#"{ "pool": { "nam": "x", "size": 100 }, "steps": [] }"#);
    scene.write("templates/g/ufs.json", r#"{ "ufs": { "size": 8, "inode_density": 4096 }, "steps": [] }"#);
    let output = scene.run("check --json");
    assert_eq!(output.code, Some(3));
    let found: Value = serde_json::from_str(&output.stdout_text()).expect("JSON");
    let template = |name: &str| {
        let list = found["templates"].as_array().expect("templates");
        list.iter().find(|template| template["template"] == name).expect(name).clone()
    };
    let bad = template("g/bad");
    assert_eq!(bad["good"], false);
    let unknown = &bad["diagnostics"][0];
    assert_eq!((unknown["code"].as_str(), unknown["line"].as_u64()), (Some("template::unknown-key"), Some(1)));
    let ufs = template("g/ufs");
    assert_eq!((ufs["good"].clone(), ufs["not_possible_here"].as_array().map(Vec::len)), (true.into(), Some(1)));
    let said = scene.run("check -g g -n ufs").stdout_text();
    let one = r#"{ "dataset": { "name": "d" }, "steps": [ { "t": "remove_files", "pattern": "*.h" } ] }"#;
    scene.write("templates/g/one.json", one);
    assert_eq!(scene.run("check -g g -n one").stdout_text(), "g/one: 1 step, good\n");
    assert!(said.contains("g/ufs: 0 steps, good") && said.contains("`ufs` cannot be written yet"), "{said}");
}

#[test]
fn includes_are_told_once_or_not_to_be_read_at_all() {
    let scene = Scene::new();
    let orphan = scene.path("templates/include/orphan.json");
    fs::create_dir_all(orphan.parent().expect("a directory")).expect("a directory");
    // Of one that nobody has, values may depend on anything, and words on nothing.
    let orphan = r#"{ "steps": [ { "t": "ensure_dir", "dir": "${undefined}", "owner": "nobody" } ] }"#;
    scene.write("templates/include/orphan.json", orphan);
    let said = scene.good("check");
    assert!(said.contains("no template includes them with these features:"), "{said}");
    assert!(said.contains("templates/include/orphan.json"), "{said}");
    for (wrong, code) in [
        (r#"{ "steps": [ { "t": "nonsense" } ] }"#, "template::unknown-step"),
        (r#"{ "steps": [ { "t": "ensure_dir", "dri": "/a" } ] }"#, "template::unknown-key"),
        (r#"{ "pool": {}, "steps": [] }"#, "template::target-in-include"),
        (r#"{ "steps": [ "#, "template::syntax"),
    ] {
        scene.write("templates/include/orphan.json", wrong);
        let output = scene.run("check --json");
        assert_eq!(output.code, Some(3), "{wrong}");
        let found: Value = serde_json::from_str(&output.stdout_text()).expect("JSON");
        assert_eq!(found["unread"][0]["diagnostics"][0]["code"], code, "{found}");
        assert!(output.stderr_text().contains("0 of 2 templates are wrong, and 1 of the includes"), "{wrong}");
    }
    scene.write("templates/include/orphan.json", r#"{ "steps": [ { "t": "nonsense" } ] }"#);
    for name in ["one", "two"] {
        let text = r#"{ "dataset": { "name": "d" }, "steps": [ { "t": "include", "name": "orphan" } ] }"#;
        scene.write(&format!("templates/g/{name}.json"), text);
    }
    let output = scene.run("check");
    let (said, errors) = (output.stdout_text(), output.stderr_text());
    assert_eq!(output.code, Some(3));
    assert!(!said.contains("no template includes"), "{said}");
    assert_eq!(errors.matches("nonsense").count(), 2, "the message and the line, once: {errors}");
    assert!(errors.contains("g/two: 1 of its 1 findings are those of an include, told above"), "{errors}");
}

/// Paths were broken at hyphens and slashes, so that they could not be copied from a log.
#[test]
fn paths_are_whole_in_a_log() {
    let scene = Scene::new();
    let name = "a-directory-with-a-name/that-is-long/".repeat(4) + "file-of-the-template";
    scene.write(
        "templates/g/long.json",
        &format!(
            r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {{ "t": "ensure_file", "file": "/a", "src": "{name}", {OWNER} }} ] }}"#
        ),
    );
    let errors = scene.run("check -g g -n long").stderr_text();
    assert!(errors.matches(&name).count() >= 2, "{errors}");
}

#[test]
fn what_no_newest_build_needs_is_collected() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n fat");
    scene.write("templates/g/files/a", "two");
    scene.good("build -d ./work -g g -n fat");
    let image = fs::read(scene.path("work/output/g-fat.pcfs")).expect("the image");
    let collected = scene.json("gc -d ./work --json");
    assert_eq!(collected["kept_steps"], 4);
    assert_eq!(collected["forgotten_steps"], 4);
    assert!(collected["removed_contents"].as_u64() > Some(0), "{collected}");
    assert!(scene.good("plan -d ./work -g g -n fat").contains("g/fat: nothing to do"));
    let collected = scene.json("gc -d ./work --json");
    assert_eq!(collected["forgotten_steps"], 0);
    // What is occupied after it is told with it.
    assert_eq!(collected["disk_use"], scene.json("workspace -d ./work --disk-use --json"));
    let said = scene.good("gc -d ./work");
    assert!(said.contains("freed: 0 MiB") && said.contains("images and archives: "), "{said}");
    // What was forgotten is only made again.
    scene.write("templates/g/files/a", "one");
    scene.good("build -d ./work -g g -n fat");
    scene.write("templates/g/files/a", "two");
    scene.good("build -d ./work -g g -n fat");
    assert!(fs::read(scene.path("work/output/g-fat.pcfs")).expect("the image") == image);
}

#[test]
fn the_cache_can_be_removed_and_nothing_else_is() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n fat");
    let image = fs::read(scene.path("work/output/g-fat.pcfs")).expect("the image");
    scene.good("clean -d ./work");
    assert!(scene.path("work/output/g-fat.pcfs").exists());
    scene.good("build -d ./work -g g -n fat");
    assert!(fs::read(scene.path("work/output/g-fat.pcfs")).expect("the image") == image);
    assert!(scene.json("clean -d ./work --json")["freed_bytes"].as_u64() > Some(0));
    // What was made before is still known to be ours, and made anew.
    scene.write("templates/g/files/a", "changed");
    scene.good("build -d ./work -g g -n fat");
    assert!(fs::read(scene.path("work/output/g-fat.pcfs")).expect("the image") != image, "the base has changed");
    // What takes how much is told; of the cache only who made what is left.
    let used = |scene: &Scene| scene.json("workspace -d ./work --disk-use --json");
    let full = used(&scene);
    scene.good("clean -d ./work");
    let cleaned = used(&scene);
    assert!(cleaned["output"].as_u64() > Some(0) && cleaned["output"] == full["output"], "{cleaned}");
    assert!(cleaned["cache"].as_u64() < full["cache"].as_u64(), "{full} {cleaned}");
    assert!(scene.good("workspace -d ./none --disk-use").contains("cache: 0 MiB"));
    // That there is nothing to remove is no success: the name may be misspelt.
    for verb in ["clean", "gc"] {
        assert_eq!(scene.run(&format!("{verb} -d ./none")).code, Some(1), "{verb}");
    }
    assert!(!scene.path("none").exists());
}

#[test]
fn a_report_is_one_page_with_everything_inside() {
    let scene = Scene::new();
    scene.good("build -d ./work -g g -n fat --report report.html");
    let page = scene.read("report.html");
    for part in ["<title>g/fat", "g/base: 3 of 3 steps done", "prefers-color-scheme: dark"] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    // The steps are in the boxes of the graph, those that are alike in one line; and what leads from box to box.
    let graph = page.split("<section>").nth(1).expect("the first section");
    for part in [">ensure_file × 2<", ">pack_tar b.tar<", ">unpack_tar b.tar<", ">target pcfs<", "<title>b.tar</title>"]
    {
        assert!(graph.contains(part), "{part} is not in {graph}");
    }
    for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
    let arguments =
        ["--html", "--nonet", "--noout", scene.path("report.html").to_str().expect("UTF-8")].map(str::to_owned);
    if let Some(said) = ask("xmllint", "libxml2-utils", &arguments) {
        // The HTML that it knows is older than SVG inside of it.
        let complaints = said.stderr_text();
        let others: Vec<&str> =
            complaints.lines().filter(|line| line.contains("error") && !line.contains("invalid")).collect();
        assert!(others.is_empty(), "{complaints}");
    }
}

#[test]
fn shells_editors_and_readers_are_served() {
    let scene = Scene::new();
    let script = scene.good("completions bash");
    assert!(script.contains("--fullreset") && script.contains("completions"), "no verbs in it");
    scene.write("completions", &script);
    let file = scene.path("completions").to_str().expect("UTF-8").to_owned();
    approve("bash", "bash", &["-n".to_owned(), file]);
    assert!(scene.good("man").contains(".TH image-builder 1"));
    scene.good("man --directory pages");
    assert!(scene.read("pages/image-builder-build.1").contains("fullreset"));
    // troff takes every byte for a character.
    let page = scene.read("pages/image-builder-ips-list.1");
    assert!(page.is_ascii() && page.contains("https://\\[u2026]"), "{page}");
    assert_eq!(scene.json("schema")["title"], "image-builder template");
}

#[test]
fn the_documents_name_verbs_and_options_that_there_are() {
    let (commands, problems) =
        test_judge::wrong_in_documents("image-builder", env!("CARGO_BIN_EXE_image-builder").as_ref());
    assert_eq!(problems, [""; 0]);
    assert!(commands >= 20, "{commands} commands of image-builder were found");
}
