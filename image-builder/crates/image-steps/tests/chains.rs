//! Long chains of stages: what a plan of them costs.

mod support;

use image_steps::{Progress, Silent, plan};
use std::sync::Arc;
use std::time::Duration;
use support::Bench;

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

/// What the processor has worked for this thread; what others do meanwhile is not in it.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().expect("less than a second"))
}

/// Every stage looked through all that are before it for one that cannot be built here.
#[test]
fn a_plan_of_a_chain_looks_at_each_stage_once() {
    let cost = |stages: usize| {
        let bench = chain(stages);
        let progress: Arc<dyn Progress> = Arc::new(Silent);
        let once = |_| {
            let begin = processor_time();
            let planned = plan(&bench.request(&format!("t{}", stages - 1)), &progress).expect("a plan");
            assert_eq!(planned.len(), stages);
            processor_time() - begin
        };
        (0..5).map(once).min().expect("five of them")
    };
    let (short, long) = (cost(10), cost(150));
    // Fifteen times as long a chain; with a look at all before each it would be 225 times as much. Caches that others empty
    // make a difference, too.
    assert!(long < 75 * short, "{short:?} for 10 stages and {long:?} for 150");
}
