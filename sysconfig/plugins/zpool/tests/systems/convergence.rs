//! Whatever a machine is like and whatever valid configuration comes: the machine becomes so and nothing is left, or it is
//! refused, with a reason, and not one byte of a device changes.

use crate::support::{DISK, Fixture};
use proptest::prelude::*;
use serde_json::{Value, json};
use sysconfig_platform::zpool::Kind;

/// As many as the largest wish needs: two raidz3 of five, a log, a cache and a spare.
const DISKS: usize = 13;

#[derive(Clone, Debug)]
struct Wish {
    kind: Kind,
    width: usize,
    vdevs: usize,
    log: bool,
    cache: bool,
    spare: bool,
    autoexpand: Option<bool>,
    compression: Option<bool>,
    /// Where the disks are taken from.
    shift: usize,
}

fn wish() -> impl Strategy<Value = Wish> {
    let kind = prop_oneof![
        Just(Kind::Device),
        Just(Kind::Mirror),
        Just(Kind::Raidz(1)),
        Just(Kind::Raidz(2)),
        Just(Kind::Raidz(3))
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<Option<bool>>(), any::<Option<bool>>());
    (kind, 0..2_usize, 1..3_usize, flags, 0..DISKS).prop_map(|(kind, more, vdevs, flags, shift)| {
        let least = match kind {
            Kind::Device => 1,
            Kind::Mirror => 2 + more,
            Kind::Raidz(parity) => usize::from(parity) + 1 + more,
            _ => 1,
        };
        let (log, cache, spare, autoexpand, compression) = flags;
        Wish { kind, width: least, vdevs, log, cache, spare, autoexpand, compression, shift }
    })
}

impl Wish {
    fn configuration(&self, allowed: bool) -> Value {
        let mut next = self.shift;
        let mut disk = || {
            next += 1;
            format!("/dev/dsk/c0t{}d0", (next - 1) % DISKS)
        };
        let vdevs: Vec<Value> = (0..self.vdevs)
            .map(|_| {
                let devices: Vec<String> = (0..self.width).map(|_| disk()).collect();
                match self.kind {
                    Kind::Device => json!(devices[0]),
                    kind => json!({ kind.word(): devices }),
                }
            })
            .collect();
        let mut pool = json!({ "name": "tank", "vdevs": vdevs });
        for (wanted, key) in [(self.log, "log"), (self.cache, "cache"), (self.spare, "spares")] {
            if wanted {
                pool[key] = json!([disk()]);
            }
        }
        if allowed {
            let all: Vec<String> =
                (0..next - self.shift).map(|at| format!("/dev/dsk/c0t{}d0", (self.shift + at) % DISKS)).collect();
            pool["allow-destructive"] = json!(all);
        }
        if let Some(on) = self.autoexpand {
            pool["properties"] = json!({ "autoexpand": if on { "on" } else { "off" } });
        }
        if let Some(on) = self.compression {
            pool["root-properties"] = json!({ "compression": if on { "lz4" } else { "off" } });
        }
        json!({ "storage.pool": [pool] })
    }
}

/// What others have put on the disks before.
#[derive(Clone, Debug)]
struct Before {
    /// A pool of this name and number of disks, and whether it is let go of.
    pool: Option<(bool, bool, usize)>,
    scribbled: Vec<usize>,
    pulled: Option<usize>,
    allowed: bool,
}

fn before() -> impl Strategy<Value = Before> {
    let pool = proptest::option::of((any::<bool>(), any::<bool>(), 1..4_usize));
    let scribbled = proptest::collection::btree_set(0..DISKS, 0..3).prop_map(|set| set.into_iter().collect());
    let pulled = prop_oneof![3 => Just(None), 1 => (0..DISKS).prop_map(Some)];
    (pool, scribbled, pulled, any::<bool>()).prop_map(|(pool, scribbled, pulled, allowed)| Before {
        pool,
        scribbled,
        pulled,
        allowed,
    })
}

fn disk(at: usize) -> String {
    format!("/dev/dsk/c0t{at}d0")
}

fn machine(before: &Before) -> Fixture {
    let fixture = Fixture::illumos();
    fixture.machine.storage(|storage| storage.add_disk("c0t12d0", DISK));
    if let Some((is_ours, is_exported, width)) = before.pool {
        let name = if is_ours { "tank" } else { "other" };
        let disks: Vec<_> = (0..width).map(disk).collect();
        let kind = if width > 1 { "mirror " } else { "" };
        fixture.machine.type_in(&format!("zpool create {name} {kind}{}", disks.join(" ")));
        if is_exported {
            fixture.machine.type_in(&format!("zpool export {name}"));
        }
    }
    fixture.machine.storage(|storage| {
        for at in &before.scribbled {
            // Not where a pool is: that is damage, and another matter.
            if before.pool.is_none_or(|(_, _, width)| *at >= width) {
                storage.scribble(&disk(*at), 1080, &[0x53, 0xef]);
            }
        }
        if let Some(at) = before.pulled {
            storage.pull(&disk(at), false);
        }
    });
    fixture
}

fn all_bytes(fixture: &Fixture, before: &Before) -> Vec<Vec<u8>> {
    let there = (0..DISKS).filter(|at| Some(*at) != before.pulled);
    fixture.machine.storage(|storage| there.map(|at| storage.ends_of(&disk(at))).collect())
}

fn cases() -> ProptestConfig {
    let cases = if test_judge::soak() { 1000 } else { 20 };
    ProptestConfig { cases, ..ProptestConfig::default() }
}

fn settle(fixture: &mut Fixture, before: &Before, wish: &Wish) -> Result<(), TestCaseError> {
    let configuration = wish.configuration(before.allowed);
    prop_assert_eq!(fixture.harness.validate(configuration.clone()), vec![]);
    fixture.harness.configure(configuration);
    let steps = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    let untouched = all_bytes(fixture, before);
    let is_refused = steps.iter().any(|step| step.action == "refuse");
    let others = fixture.machine.storage(|storage| storage.pools.get("other").cloned());
    for step in steps.iter().filter(|step| step.action != "refuse") {
        let applied = fixture.harness.apply(step);
        prop_assert!(applied.is_ok(), "{}: {:?}", step.summary, applied);
        if is_refused {
            prop_assert!(matches!(step.action.as_str(), "set" | "import"), "{}", step.summary);
        }
    }
    let left = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    let undone: Vec<_> = left.iter().filter(|step| step.action != "refuse").map(|step| &step.summary).collect();
    prop_assert!(undone.is_empty(), "{undone:?}");
    prop_assert_eq!(left.iter().any(|step| step.action == "refuse"), is_refused);
    if is_refused && !steps.iter().any(|step| step.action == "import") {
        prop_assert!(all_bytes(fixture, before) == untouched, "a refused configuration changes not one byte");
    }
    let others_now = fixture.machine.storage(|storage| storage.pools.get("other").cloned());
    prop_assert_eq!(others, others_now, "what others made stays");
    let commands = fixture.commands();
    let forced = commands.iter().any(|line| line.contains(" -f"));
    prop_assert!(!forced || before.allowed, "{commands:?}");
    prop_assert!(!commands.iter().any(|line| line.contains("destroy")));
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_machine_converges_from_anywhere(before in before(), wishes in proptest::collection::vec(wish(), 1..4)) {
        let mut fixture = machine(&before);
        for wish in &wishes {
            settle(&mut fixture, &before, wish)?;
        }
    }
}
