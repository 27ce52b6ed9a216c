//! What each step does to an image, rule by rule: its defaults, and every way in which it refuses.
//!
//! `tests/conformance/STEP.json` has the cases of a step. A case names the rule that it shows (`row`), the files that
//! are there before (`files`, below the bench's directory), and `steps`, which follow one that makes `/etc`. Then either
//! `image`, paths and what is at them (`null`: nothing), or `error`: which step fails, counted from 1, and a part of what
//! is said.

mod support;

use image_steps::{BuildError, EngineError};
use image_tree::{Follow, Node, NodeKind, Store};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use support::{Bench, DIR, at};
use template::Diagnostic;

const CASES: &str = "tests/conformance";

/// Steps whose rules need more than a tree, and the tests that show them.
const ELSEWHERE: [(&str, &str); 16] = [
    ("include", "../template/tests/conformance/steps/include.json"),
    ("create_be", "tests/pool.rs"),
    ("create_dataset", "tests/pool_check.rs"),
    ("make_bootable", "tests/pool_steps.rs"),
    ("deb_bootstrap", "../image-builder/tests/interruption/scene.rs"),
    ("pkg_image_create", "tests/packages.rs"),
    ("pkg_set_publisher", "tests/packages.rs"),
    ("pkg_set_p5p_publisher", "tests/packages.rs"),
    ("pkg_approve_ca_cert", "tests/packages.rs"),
    ("pkg_set_property", "tests/packages.rs"),
    ("pkg_install", "tests/packages.rs"),
    ("pkg_uninstall", "tests/packages.rs"),
    ("pkg_change_variant", "tests/packages.rs"),
    ("pkg_change_facet", "tests/packages.rs"),
    ("pkg_purge_history", "tests/packages.rs"),
    ("onu", "tests/packages.rs"),
];

/// Fields that show in something else than the root, and the file whose tests look there.
const FIELDS_ELSEWHERE: [(&str, &str, &str); 4] = [
    ("seed_smf", "debug", "tests/svccfg.rs"),
    ("seed_smf", "skip_seed", "tests/svccfg.rs"),
    ("systemd_boot", "options", "src/steps/boot.rs"),
    ("systemd_boot", "timeout", "src/steps/boot.rs"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    row: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    steps: Vec<Value>,
    #[serde(default)]
    image: BTreeMap<String, Option<String>>,
    error: Option<(usize, String)>,
}

fn cases(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).expect("a file of cases");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

#[test]
fn every_step_has_its_cases() {
    let mut unshown: Vec<String> = Vec::new();
    for step in template::step_types() {
        let own = Path::new(CASES).join(format!("{}.json", step.name));
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == step.name);
        let is_there = |path: &Path| {
            fs::read_to_string(path).is_ok_and(|text| text.contains(step.name) || text.contains("complete"))
        };
        let found = own.exists() || elsewhere.is_some_and(|(_, path)| is_there(Path::new(path)));
        assert!(found, "no case shows what `{}` does", step.name);
        if own.exists() {
            let given =
                |case: Case| case.steps.into_iter().filter(|given| is_a(given, &step)).flat_map(|given| keys(&given));
            let given: BTreeSet<String> = cases(&own).into_iter().flat_map(given).collect();
            let is_elsewhere = |field: &str| {
                let known = FIELDS_ELSEWHERE.iter().find(|known| (known.0, known.1) == (step.name, field));
                known.is_some_and(|known| fs::read_to_string(known.2).is_ok_and(|text| text.contains(field)))
            };
            let fields = step.fields.iter().map(|field| field.name);
            let missing = fields.filter(|name| !given.contains(*name) && !is_elsewhere(name));
            unshown.extend(missing.map(|field| format!("{} of {}", field, step.name)));
        }
    }
    assert!(unshown.is_empty(), "no case shows what these fields do: {}", unshown.join(", "));
}

fn is_a(given: &Value, step: &template::StepDescription) -> bool {
    given["t"].as_str().is_some_and(|word| word == step.name || step.alias == Some(word))
}

fn keys(given: &Value) -> Vec<String> {
    given.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
}

#[test]
fn every_case_is_as_it_says() {
    let bench = Bench::new();
    let mut rows = BTreeSet::new();
    let entries = fs::read_dir(CASES).expect("cases").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.collect();
    files.sort();
    for path in files {
        let step = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        assert!(template::step_types().iter().any(|known| known.name == step), "{step} is no step");
        for case in cases(&path) {
            let context = format!("{step}: {}", case.row);
            assert!(rows.insert(context.clone()), "{context}: twice");
            let is_shown = |given: &Value| given["t"].as_str().is_some_and(|word| word.starts_with(&step));
            assert!(case.steps.iter().any(is_shown), "{context}: without the step");
            try_case(&bench, &case, &context);
        }
    }
    assert!(rows.len() > 60, "{} cases", rows.len());
}

fn try_case(bench: &Bench, case: &Case, context: &str) {
    for (path, text) in &case.files {
        let path = bench.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file is written");
    }
    // A line for each step, so that a line tells the step.
    let lines: Vec<String> = std::iter::once(DIR.to_owned()).chain(case.steps.iter().map(Value::to_string)).collect();
    let packed = r#"{ "t": "pack_tar", "name": "case.tar" }"#;
    let text = format!(r#"{{ "dataset": {{ "name": "c" }}, "steps": [ {} , {packed} ] }}"#, lines.join(",\n"));
    bench.write("templates/g/case.json", &text);
    match (bench.build("case").map_err(|error| *error), &case.error) {
        (Ok(_), None) => check_image(bench, case, context),
        (Err(BuildError::Engine(EngineError::Step(diagnostic))), Some(wanted)) => {
            check_error(&diagnostic, wanted, context);
        }
        // It is told before any work.
        (Err(BuildError::Template { diagnostics, .. }), Some(wanted)) => {
            assert_eq!(diagnostics.error_count(), 1, "{context}: {diagnostics:?}");
            check_error(&diagnostics.list()[0], wanted, context);
        }
        (outcome, wanted) => panic!("{context}: {outcome:?} instead of {wanted:?}"),
    }
}

fn check_error(diagnostic: &Diagnostic, (step, part): &(usize, String), context: &str) {
    let said = format!("{} [{}]", diagnostic.message(), diagnostic.help_text().unwrap_or_default());
    assert_eq!(diagnostic.origin().expect("a place").line(), step + 1, "{context}: {said}");
    assert!(said.contains(part), "{context}: {said}");
}

fn check_image(bench: &Bench, case: &Case, context: &str) {
    let (tree, store) = bench.packed("case.tar");
    assert!(!case.image.is_empty(), "{context}: says nothing of the image");
    for (path, wanted) in &case.image {
        let found = tree.lookup(&at(path), Follow::No).ok().map(|(_, node)| node);
        match (found, wanted) {
            (None, None) => {}
            (Some(node), Some(wanted)) => assert_eq!(shown(node, &store, wanted), *wanted, "{context}: {path}"),
            (found, wanted) => panic!("{context}: {path} is {found:?} and not {wanted:?}"),
        }
    }
}

/// Kind, mode, owner and content; of a packed file what is in it, where that is wanted.
fn shown(node: &Node, store: &Store, wanted: &str) -> String {
    let metadata = &node.metadata;
    let head = |kind: &str| format!("{kind} {:04o} {}:{}", metadata.mode, metadata.uid, metadata.gid);
    match &node.kind {
        NodeKind::Regular(content) => {
            let bytes = store.read_blob(content.blob()).expect("its content");
            if !wanted.starts_with("gzip") {
                return format!("{} {}", head("file"), String::from_utf8_lossy(&bytes));
            }
            let mut text = String::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
            format!("{} {text}", head("gzip"))
        }
        NodeKind::Symlink(target) => format!("{} {}", head(node.kind.name()), String::from_utf8_lossy(target)),
        kind => head(kind.name()),
    }
}
