//! Two templates that are built in turn under one `-N`: each goes on with its own, and what is there is of the later one.

mod illumos_root;
mod pool_bench;

use image_steps::{BuildRequest, Progress, Silent, build, collect, plan};
use pool_bench::{Bench, told};
use std::fs;
use std::sync::Arc;

const OWNER: &str = r#""owner": "root", "group": "root", "mode": "644""#;

fn shared(bench: &Bench, name: &str) -> BuildRequest {
    BuildRequest { output_name: Some("both".to_owned()), ..bench.request(name) }
}

/// Builds a template under the shared name; answers the steps that ran.
fn run(bench: &Bench, name: &str) -> Vec<String> {
    bench.log.steps.lock().expect("not poisoned").clear();
    let progress: Arc<dyn Progress> = Arc::clone(&bench.log) as Arc<dyn Progress>;
    build(&shared(bench, name), &progress).unwrap_or_else(|error| panic!("{}", told(&error)));
    bench.ran()
}

/// The steps that a build would do, with the reasons.
fn to_do(bench: &Bench, name: &str) -> Vec<(String, String)> {
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let planned = plan(&shared(bench, name), &progress).expect("a plan");
    let steps = planned.into_iter().flat_map(|template| template.steps);
    steps.filter_map(|step| Some((step.title, step.why?))).collect()
}

/// A build was remembered by the name of its output alone: the later one took the place of the other template's, so that
/// `gc` forgot its steps and `plan` compared it with steps that were never its own.
#[test]
fn what_one_template_has_done_is_not_the_others() {
    let bench = Bench::empty();
    let template = |name: &str, text: &str| {
        let file = format!(r#"{{ "t": "ensure_file", "file": "/a", "contents": "{text}", {OWNER} }}"#);
        let pack = format!(r#"{{ "t": "pack_tar", "name": "{name}.tar" }}"#);
        let text = format!(r#"{{ "dataset": {{ "name": "{name}" }}, "steps": [ {file}, {pack} ] }}"#);
        fs::write(bench.path(&format!("templates/g/{name}.json")), text).expect("a template");
    };
    let evidence = || fs::read_to_string(bench.output("g-both.evidence.json")).expect("the evidence");
    for name in ["one", "two"] {
        template(name, name);
        assert_eq!(run(&bench, name).len(), 2);
    }
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    collect(&bench.request("one").location, &progress).expect("tidied up");
    for name in ["one", "two"] {
        assert_eq!(to_do(&bench, name), []);
        assert_eq!(run(&bench, name), Vec::<String>::new());
        assert!(evidence().contains(&format!("\"template\": \"g/{name}\"")), "{}", evidence());
    }
    template("one", "changed");
    assert_eq!(to_do(&bench, "one")[0], ("ensure_file /a".to_owned(), "the step was changed".to_owned()));
}

/// The partition of the one image lay beside the other image, as if it were of that.
#[test]
fn no_form_of_a_replaced_image_is_left_beside_the_new_one() {
    let bench = Bench::empty();
    let pool = r#""size": 200, "bename": "be""#;
    bench.template("parted", &format!(r#"{pool}, "partition_only": true"#), &[]);
    bench.template("plain", pool, &[]);
    let files = ["g-both.raw", "g-both.partonly", "g-both.partonly.sha256"];
    let there = || files.map(|name| bench.output(name).exists());
    for _ in 0..2 {
        run(&bench, "parted");
        assert_eq!(there(), [true; 3]);
        run(&bench, "plain");
        assert_eq!(there(), [true, false, false]);
    }
    // What another template calls so and no form of this one takes the place of is nobody's to remove.
    let fat = r#"{ "pcfs": { "label": "X", "size": 2 }, "steps": [] }"#;
    fs::write(bench.path("templates/g/fat.json"), fat).expect("a template");
    run(&bench, "fat");
    run(&bench, "parted");
    assert_eq!(there(), [true; 3]);
    assert!(bench.output("g-both.pcfs").exists());
}
