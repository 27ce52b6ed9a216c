//! Long chains of stages: what a plan of them costs.

mod support;

use image_steps::{Progress, Silent, plan};
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
    let (Some(short), Some(long)) = (cost(10), cost(150)) else { return };
    // Fifteen times as long a chain; with a look at all before each it would be 225 times as much. Caches that others empty
    // make a difference, too.
    assert!(long < 75 * short, "{short:?} for 10 stages and {long:?} for 150");
}
