//! Versions and FMRIs against the plainest possible model of their order.

mod support;

use std::cmp::Ordering;

use ips::contracts;
use ips::fmri::Fmri;
use ips::version::Version;
use proptest::prelude::*;

/// A version as numbers, by which the order is told from the definition.
#[derive(Debug, Clone)]
struct Model {
    release: Vec<u64>,
    build: Option<Vec<u64>>,
    branch: Option<Vec<u64>>,
    timestamp: Option<(u32, u32, u32)>,
}

impl Model {
    fn text(&self) -> String {
        let dots = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        let mut text = dots(&self.release);
        self.build.iter().for_each(|build| text += &format!(",{}", dots(build)));
        self.branch.iter().for_each(|branch| text += &format!("-{}", dots(branch)));
        self.timestamp.iter().for_each(|(y, d, s)| text += &format!(":{y:04}01{d:02}T0000{s:02}Z"));
        text
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let by_release = self.release.cmp(&other.release);
        by_release.then(self.branch.cmp(&other.branch)).then(self.timestamp.cmp(&other.timestamp))
    }

    fn admits(&self, candidate: &Self) -> bool {
        let branch_fits = match (&self.branch, &candidate.branch) {
            (Some(wanted), Some(branch)) => branch.starts_with(wanted),
            (wanted, _) => wanted.is_none(),
        };
        let time_fits = self.timestamp.is_none() || self.timestamp == candidate.timestamp;
        candidate.release.starts_with(&self.release) && branch_fits && time_fits
    }
}

fn dots() -> impl Strategy<Value = Vec<u64>> {
    let number = prop_oneof![0..3_u64, Just(9), Just(10), Just(11), any::<u64>()];
    prop::collection::vec(number, 1..4)
}

fn models() -> impl Strategy<Value = Model> {
    let time = (1..3_u32, 1..20_u32, 0..2_u32);
    (dots(), prop::option::of(dots()), prop::option::of(dots()), prop::option::of(time))
        .prop_map(|(release, build, branch, timestamp)| Model { release, build, branch, timestamp })
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_numbers(a in models(), b in models()) {
        let (va, vb): (Version, Version) = (a.text().parse().unwrap(), b.text().parse().unwrap());
        prop_assert_eq!(va.cmp(&vb), a.cmp(&b));
        prop_assert_eq!(va == vb, a.cmp(&b) == Ordering::Equal);
        prop_assert_eq!(va.admits(&vb), a.admits(&b));
        // A version admits nothing older than itself.
        prop_assert!(!va.admits(&vb) || vb >= va);
    }

    #[test]
    fn the_order_is_total(a in models(), b in models(), c in models()) {
        let mut versions: Vec<Version> = [a, b, c].iter().map(|model| model.text().parse().unwrap()).collect();
        versions.sort();
        prop_assert!(versions[0] <= versions[1] && versions[1] <= versions[2] && versions[0] <= versions[2]);
        prop_assert_eq!(versions[0].cmp(&versions[2]), versions[2].cmp(&versions[0]).reverse());
    }

    #[test]
    fn versions_round_trip(model in models()) {
        let text = model.text();
        prop_assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
    }

    #[test]
    fn fmris_round_trip(text in "(pkg://[a-z][a-z.]{0,3}/)?[a-z0-9][a-z+_.-]{0,3}(/[a-z][0-9]?){0,3}(@(0|[1-9]){1}(\\.[1-9]){0,2})?") {
        let fmri: Fmri = text.parse().unwrap();
        prop_assert_eq!(fmri.to_string(), text);
    }

    #[test]
    fn no_text_is_a_surprise(text in "\\PC{0,40}|[a-z0-9@:/,.T-]{0,40}") {
        contracts::fmri(text.as_bytes());
    }
}

#[test]
fn damaged_names_are_errors_and_no_panics() {
    support::mutations(
        b"pkg://openindiana.org/web/c++@1.20.3,5.11-2024.0.0.1:20240229T010203Z",
        20_000,
        contracts::fmri,
    );
}
