//! How long `status` takes while every plugin of the hostile suite misbehaves: a line for `bench/sysconfig`, with the
//! number of questions and the median, 99th percentile and worst time in microseconds, from connecting to the answer.

#[path = "../tests/common/mod.rs"]
mod common;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Bench, hostile};

/// Long enough for all of it: the sleeper's cycle, every deadline, and the way of each plugin into quarantine.
const WHOLE_SUITE: Duration = Duration::from_secs(40);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);

#[expect(clippy::print_stdout, reason = "the figures are what this is for")]
fn main() {
    let bench = Bench::new();
    hostile::install_all(&bench);
    let daemon = bench.spawn();
    daemon.wait_for("the socket", |daemon| UnixStream::connect(daemon.socket()).is_ok());
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < WHOLE_SUITE {
        let before = Instant::now();
        daemon.status();
        times.push(before.elapsed());
        std::thread::sleep(PAUSE);
    }
    assert_eq!(bench.text("slow").as_deref(), Some("done"), "what is well-behaved was not disturbed");
    daemon.stop();
    times.sort_unstable();
    let figures =
        [times.len() / 2, times.len() * 99 / 100, times.len() - 1].map(|at| times[at].as_micros().to_string());
    println!("{} {}", times.len(), figures.join(" "));
}
