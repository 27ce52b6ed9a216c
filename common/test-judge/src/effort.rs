//! How much a test does: little in every run, as much as it takes when somebody asks for it.

use std::time::{Duration, Instant};

use crate::Random;

/// Whether tests shall use full sizes: a million files, gigabytes, thousands of interruptions. `dev-test.sh --soak`
/// says so by `SOAK=1`.
pub fn soak() -> bool {
    std::env::var("SOAK").as_deref() == Ok("1")
}

/// What the processor has worked for this thread, which what others do meanwhile is not in; none where the system does not
/// tell, which is a [`lack`](crate::lack).
#[cfg(target_os = "linux")]
pub fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// What the processor has worked for this thread, which what others do meanwhile is not in; none where the system does not
/// tell, which is a [`lack`](crate::lack).
#[cfg(not(target_os = "linux"))]
pub fn processor_time() -> Option<Duration> {
    crate::lack("this system does not tell the processor time of a thread");
    None
}

/// Calls `round` with random numbers of the seeds 0, 1, 2 … as often as `rounds` says.
///
/// With `FUZZ_SECONDS=N` it goes on for N seconds instead, from the seed `FUZZ_START`. A failure prints its seed, and
/// `FUZZ_SEED=N` repeats that one round.
pub fn fuzz(rounds: u64, mut round: impl FnMut(&mut Random)) {
    if let Some(seed) = number("FUZZ_SEED") {
        return round(&mut Random::new(seed));
    }
    let first = number("FUZZ_START").unwrap_or(0);
    let limit = number("FUZZ_SECONDS").map(Duration::from_secs);
    let begin = Instant::now();
    let mut done = 0;
    while limit.map_or(done < rounds, |limit| done < rounds || begin.elapsed() < limit) {
        let on_failure = TellSeed(first.wrapping_add(done));
        round(&mut Random::new(on_failure.0));
        std::mem::forget(on_failure);
        done += 1;
    }
    eprintln!("fuzzed: {done} rounds from seed {first} in {:.1} s", begin.elapsed().as_secs_f64());
}

/// Says which round it was when one panics.
struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        eprintln!("this round fails again with FUZZ_SEED={}", self.0);
    }
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_numbers_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        fuzz(50, |random| assert!(seen.insert(random.next_u64())));
        assert!(seen.len() >= 50 || number("FUZZ_SEED").is_some());
    }
}
