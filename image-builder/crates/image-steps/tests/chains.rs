//! Long chains of stages: what a plan of them costs.

mod support;

use image_steps::{Progress, Silent, build, plan};
use std::sync::Arc;
use support::Bench;
use test_judge::processor_time;

/// Stages `t0`, `t1` and so on, each of which begins with the snapshot of the one before it.
fn chain(stages: usize) -> Bench {
    let bench = Bench::new();
    for stage in 0..stages {
        let input = stage.checked_sub(1).map_or(String::new(), |before| format!(r#", "input_snapshot": "s{before}""#));
        let dataset = format!(r#""dataset": {{ "name": "d"{input}, "output_snapshot": "s{stage}" }}"#);
        let step =
            format!(r#"{{ "t": "ensure_dir", "dir": "/d{stage}", "owner": "root", "group": "sys", "mode": "755" }}"#);
        bench.write(&format!("templates/g/t{stage}.json"), &format!("{{ {dataset}, \"steps\": [ {step} ] }}"));
    }
    bench
}

/// Every stage looked through all that are before it for one that cannot be built here.
#[test]
fn a_plan_of_a_chain_looks_at_each_stage_once() {
    let cost = |stages: usize| {
        let bench = chain(stages);
        let progress: Arc<dyn Progress> = Arc::new(Silent);
        let once = |_| {
            let begin = processor_time()?;
            let planned = plan(&bench.request(&format!("t{}", stages - 1)), &progress).expect("a plan");
            assert_eq!(planned.len(), stages);
            Some(processor_time()? - begin)
        };
        (0..5).map(once).min().flatten()
    };
    let (Some(short), Some(long)) = (cost(8), cost(96)) else { return };
    // Twelve times as long a chain; with a look at all before each it would be 144 times as much. Caches that others empty
    // make a difference, too.
    assert!(long < 60 * short, "{short:?} for 8 stages and {long:?} for 96");
}

/// The stack of a thread is at its end after a few hundred.
#[test]
fn a_way_of_too_many_templates_is_refused_and_not_followed() {
    const MAX: usize = 100;
    let bench = chain(2 * MAX);
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let longest = format!("t{}", MAX - 1);
    assert_eq!(plan(&bench.request(&longest), &progress).expect("a plan").len(), MAX);
    let told = bench.failure(&format!("t{MAX}"));
    assert!(told.contains("g/t0 would be template 101 on a way of templates that need each other"), "{told}");
    assert!(told.contains("build one after the other, each with `--no-deps`"), "{told}");
    let told = bench.failure(&format!("t{}", 2 * MAX - 1));
    assert!(told.contains(&format!("g/t{} would be template 101", MAX - 1)), "{told}");
    build(&bench.request(&longest), &progress).expect("it builds");
    // What is there changes nothing of that: all of it would be looked at again.
    assert!(bench.failure(&format!("t{MAX}")).contains("template 101"));
    let alone = image_steps::BuildRequest { no_deps: true, ..bench.request(&format!("t{MAX}")) };
    build(&alone, &progress).expect("what it needs is there");
}
