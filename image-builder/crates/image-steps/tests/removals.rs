//! Removals in a row, of which real templates have more than a thousand.

mod support;

use image_steps::{Progress, collect, plan};
use image_tree::{Content, Metadata, Node, Store, Tree, WriteTarOptions, write_tar};
use std::fs::{self, File};
use std::sync::Arc;
use support::{Bench, at};

const UNPACK: &str = r#"{ "t": "unpack_tar", "name": "base.tar" }"#;
/// As many as the longest public template has.
const REMOVALS: usize = 1125;

/// A root with a large directory.
fn base(bench: &Bench) {
    let store = Store::open(bench.path("base-store")).expect("a store");
    let mut tree = Tree::default();
    let directory = Metadata::new(0, 2, 0o755);
    tree.create_dir(&at("/usr/lib/locale"), directory.clone(), &directory).expect("a directory");
    for number in 0..2 * REMOVALS {
        let file = Node::regular(Content::empty(), Metadata::new(0, 2, 0o644));
        tree.insert(&at(&path(number)), file).expect("a file");
    }
    fs::create_dir_all(bench.path("work/output")).expect("a directory");
    let file = File::create(bench.path("work/output/base.tar")).expect("a file");
    write_tar(&tree, &store, file, WriteTarOptions::default()).expect("an archive");
}

fn path(number: usize) -> String {
    format!("/usr/lib/locale/{number}")
}

/// A template with a step on each line, so that a line tells the step: the unpacking is on line 2.
fn template(bench: &Bench, removed: impl Iterator<Item = usize>) {
    let removal = |number| format!(r#"{{ "t": "remove_files", "file": "{}" }}"#, path(number));
    let steps: Vec<String> = std::iter::once(UNPACK.to_owned()).chain(removed.map(removal)).collect();
    let text = format!(
        "{{ \"iso\": {{}}, \"steps\": [
{}
] }}",
        steps.join(
            ",
"
        )
    );
    bench.write("templates/g/t.json", &text);
}

fn manifest(bench: &Bench) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(bench.path("work/output/g-t.manifest.jsonl")).expect("a manifest");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn scene() -> Bench {
    let bench = Bench::new();
    // The workspace has to be there before somebody can put an archive into it.
    bench.template("empty", "");
    bench.build("empty").expect("it builds");
    base(&bench);
    bench
}

fn kept(bench: &Bench) -> (usize, usize) {
    let store = Store::open(bench.path("work/store")).expect("the store");
    (store.records("step").expect("records").len(), store.len())
}

/// Each was a state of its own in the store: a hundred megabytes, for a tree that shrinks.
#[test]
fn removals_in_a_row_store_a_few_states() {
    let bench = scene();
    template(&bench, 0..0);
    bench.build("t").expect("it builds");
    let (records, contents) = kept(&bench);
    template(&bench, 0..REMOVALS);
    assert_eq!(bench.build("t").expect("it builds").len(), REMOVALS);
    let (more_records, more_contents) = kept(&bench);
    let states = REMOVALS.div_ceil(1024);
    assert_eq!(more_records - records, states);
    // The tree, its directories down to the one in question, and the list of what is gone; and what the evidence is made of.
    assert!(more_contents - contents <= states * 6 + 4, "{contents} contents became {more_contents}");
    // The root, /usr, /usr/lib, and the directory with what remains in it.
    let manifest = manifest(&bench);
    assert_eq!(manifest.len(), 4 + REMOVALS);
    assert!(manifest[1..].iter().all(|line| line["step"] == "unpack_tar base.tar"), "removals made nothing");
}

#[test]
fn each_removal_is_told_by_itself() {
    let bench = scene();
    template(&bench, 0..REMOVALS);
    bench.build("t").expect("it builds");
    let evidence = fs::read(bench.path("work/output/g-t.evidence.json")).expect("evidence");
    let evidence: serde_json::Value = serde_json::from_slice(&evidence).expect("JSON");
    let steps = evidence["run"]["steps"].as_array().expect("a list");
    assert_eq!(steps.len(), 1 + REMOVALS);
    assert_eq!(steps[500]["title"], format!("remove_files {}", path(499)));
    assert!(steps[500]["origin"].as_str().is_some_and(|origin| origin.ends_with("t.json:502:1")), "{}", steps[500]);
    // One that fails in the middle of a row is at its own place.
    template(&bench, (0..700).chain([9999]).chain(700..REMOVALS));
    let failure = bench.failure("t");
    assert!(failure.starts_with("703: cannot remove /usr/lib/locale/9999:"), "{failure}");
}

#[test]
fn a_change_does_again_only_what_is_near() {
    let bench = scene();
    let expected = |removed: &[usize]| -> Vec<String> {
        removed.iter().map(|number| format!("remove_files {}", path(*number))).collect()
    };
    let paths = |bench: &Bench| manifest(bench).len() - 4;
    template(&bench, 0..1100);
    bench.build("t").expect("it builds");
    // One more at the end.
    template(&bench, 0..1101);
    assert_eq!(bench.build("t").expect("it builds"), expected(&[1100]));
    // The last one is another: from the last stored state on.
    template(&bench, (0..1100).chain([1200]));
    assert_eq!(bench.build("t").expect("it builds"), expected(&[1200]));
    template(&bench, (0..1099).chain([1201, 1202]));
    let again: Vec<usize> = (1024..1099).chain([1201, 1202]).collect();
    assert_eq!(bench.build("t").expect("it builds"), expected(&again));
    assert_eq!(paths(&bench), 2 * REMOVALS - 1101);
    // What was built before is known still, after tidying up only the newest.
    let progress: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    template(&bench, 0..1100);
    assert_eq!(bench.build("t").expect("it builds"), Vec::<String>::new());
    collect(&bench.request("t").location, &progress).expect("tidied up");
    assert_eq!(bench.build("t").expect("it builds"), Vec::<String>::new());
    assert_eq!(paths(&bench), 2 * REMOVALS - 1100);
}

/// A removal leaves nothing in the image that could name it.
#[test]
fn evidence_names_the_step_that_removed_something() {
    let bench = scene();
    // It goes on after a row that ended between two stored states, and nothing of that is lost.
    let rows = [1100, 1101, 1400];
    for count in rows {
        template(&bench, 0..count);
        bench.build("t").expect("it builds");
        let evidence = fs::read(bench.path("work/output/g-t.evidence.json")).expect("evidence");
        let evidence: serde_json::Value = serde_json::from_slice(&evidence).expect("JSON");
        let removed = evidence["removed"].as_array().expect("a list");
        assert_eq!(removed.len(), count);
        for (number, one) in removed.iter().enumerate() {
            assert_eq!(one["path"], path(number));
            assert_eq!(one["step"], format!("remove_files {}", path(number)));
            let line = format!("t.json:{}:1", number + 3);
            assert!(one["origin"].as_str().is_some_and(|origin| origin.ends_with(&line)), "{one}");
        }
    }
}

#[test]
fn plan_says_which_of_them_changed() {
    let bench = scene();
    let progress: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    template(&bench, 0..1100);
    bench.build("t").expect("it builds");
    template(&bench, (0..1080).chain([1200]).chain(1081..1100));
    let planned = plan(&bench.request("t"), &progress).expect("a plan");
    let steps = &planned[0].steps;
    let told = |index: usize| (steps[index].cached, steps[index].why.as_deref());
    // Steps 1 to 1024 lead to a stored state.
    assert_eq!(told(1024), (Some(true), None));
    let together = "removals in a row are kept together, and those after it changed";
    assert_eq!(told(1025), (Some(false), Some(together)));
    assert_eq!(told(1080), (Some(false), Some(together)));
    assert_eq!(told(1081), (Some(false), Some("the step is new")));
    assert_eq!(told(1082), (None, Some("a step before it will run")));
}
