//! Whatever a machine is like and whatever valid configuration comes, the machine becomes so or says why not, nothing is
//! left to do then, and nobody else's things are touched.

use crate::support::{Fixture, illumos, linux_with_zfs, summaries};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use sysconfig_platform::fake::storage::{FakeDataset, Storage};
use sysconfig_plugin::Risk;

/// One area of a configuration.
#[derive(Clone, Debug)]
struct Wish {
    kind: usize,
    which: usize,
    size: &'static str,
    persistent: bool,
    encrypted: bool,
    priority: Option<i32>,
    adopt: bool,
    allow_destructive: bool,
    absent: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    let size = proptest::sample::select(vec![
        "1 GiB",
        "512 MiB",
        "0.5 x memory",
        "min(2 x memory, 20 % of memory)",
        "max(64 MiB, 1 % of memory)",
        "10 % of pool",
        "min(2 x memory, 3 % of pool)",
    ]);
    let rarely = || proptest::bool::weighted(0.2);
    let flags = (any::<bool>(), rarely(), any::<bool>(), rarely(), rarely());
    let priority = proptest::option::of(0..10_i32);
    (0..3_usize, 0..2_usize, size, flags, priority).prop_map(
        |(kind, which, size, (persistent, encrypted, adopt, allow_destructive, absent), priority)| Wish {
            kind,
            which,
            size,
            persistent,
            encrypted,
            priority,
            adopt,
            allow_destructive: allow_destructive || absent,
            absent,
        },
    )
}

const DEVICES: [[&str; 2]; 2] =
    [["/dev/dsk/c1t0d0s1", "/dev/dsk/c1t1d0s1"], ["/dev/disk/by-partlabel/swap0", "/dev/disk/by-partlabel/swap1"]];

impl Wish {
    fn path(&self, is_illumos: bool) -> String {
        match (self.kind, is_illumos) {
            (0, true) => format!("/dev/zvol/dsk/rpool/swap{}", self.which),
            (0, false) => format!("/dev/zvol/rpool/swap{}", self.which),
            (1, _) => format!("/var/swap{}", self.which),
            _ => DEVICES[usize::from(!is_illumos)][self.which].to_owned(),
        }
    }

    /// The sizes that are good on a machine with 4 GiB of memory and a pool of 64 GiB: one that the rule would say of 5 % more or
    /// less memory stays, and sizes are rounded to MiB. None where the rule is not known here.
    fn sizes(&self) -> Option<RangeInclusive<u64>> {
        let of = |percent: u64| self.bytes((4 << 30) / 100 * percent);
        Some(of(95)? - (1 << 20)..=of(105)? + (1 << 20))
    }

    fn bytes(&self, memory: u64) -> Option<u64> {
        let pool = if self.kind == 0 { 64_u64 << 30 } else { memory };
        match (self.kind, self.size) {
            (0 | 1, "1 GiB") => Some(1 << 30),
            (0 | 1, "512 MiB") => Some(512 << 20),
            (0 | 1, "0.5 x memory") => Some(memory / 2),
            (0 | 1, "min(2 x memory, 20 % of memory)") => Some(memory / 5),
            (0 | 1, "max(64 MiB, 1 % of memory)") => Some(64 << 20),
            (0 | 1, "10 % of pool") => Some(pool / 10),
            (0 | 1, "min(2 x memory, 3 % of pool)") => Some(pool * 3 / 100),
            _ => None,
        }
    }

    fn area(&self, is_illumos: bool) -> Value {
        let mut area = match self.kind {
            0 => json!({ "volume": format!("rpool/swap{}", self.which), "size": self.size }),
            // A file lies in no pool.
            1 => {
                json!({ "file": format!("/var/swap{}", self.which), "size": self.size.replace("of pool", "of memory") })
            }
            _ => json!({ "device": DEVICES[usize::from(!is_illumos)][self.which] }),
        };
        area["persistent"] = json!(self.persistent);
        area["adopt"] = json!(self.adopt);
        area["allow-destructive"] = json!(self.allow_destructive);
        if self.absent {
            area["absent"] = json!(true);
        }
        if is_illumos && self.encrypted && self.kind == 0 {
            area["encrypted"] = json!(true);
        }
        if let (false, Some(priority)) = (is_illumos, self.priority) {
            area["priority"] = json!(priority);
        }
        area
    }
}

fn configuration(wishes: &[Wish], is_illumos: bool) -> Value {
    let mut seen = std::collections::BTreeSet::new();
    let first = wishes.iter().filter(|wish| seen.insert((wish.kind, wish.which)));
    json!({ "storage.swap": first.map(|wish| wish.area(is_illumos)).collect::<Vec<_>>() })
}

/// What somebody else has put there before.
#[derive(Clone, Debug)]
struct Before {
    volume: Option<u64>,
    volume_in_use: bool,
    device_is_swap: bool,
    row: bool,
    has_ufs: bool,
}

fn before() -> impl Strategy<Value = Before> {
    (proptest::option::of(1..4_u64), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(volume, volume_in_use, device_is_swap, row, has_ufs)| Before {
            volume,
            volume_in_use,
            device_is_swap,
            row,
            has_ufs,
        },
    )
}

fn machine(before: &Before, is_illumos: bool) -> Fixture {
    let fixture = if is_illumos { illumos() } else { linux_with_zfs() };
    std::fs::create_dir_all(fixture.host.root.locate("/var")).unwrap();
    let devices = DEVICES[usize::from(!is_illumos)];
    let table = fixture.host.root.locate(if is_illumos { "/etc/vfstab" } else { "/etc/fstab" });
    let mut rows = std::fs::read_to_string(&table).unwrap();
    if before.row {
        rows += &match is_illumos {
            true => format!("{} - - swap - no -\n", devices[0]),
            false => format!("{} none swap sw 0 0 # mine\n", devices[0]),
        };
    }
    std::fs::write(table, rows).unwrap();
    fixture.machine.storage(|storage| {
        storage.node_delay = std::time::Duration::ZERO;
        for (device, is_swap) in devices.into_iter().zip([before.device_is_swap, false]) {
            storage.add_device(device, 1 << 30, if is_swap { Some("swap") } else { Some("ext4") });
        }
        if is_illumos && before.has_ufs {
            storage.add_mount("/dev/dsk/c2t0d0s0", "/var", "ufs", &["rw"]);
        }
        if let Some(gib) = before.volume {
            storage.add_dataset("rpool/swap0", FakeDataset::volume(gib << 30, [("volblocksize", "8192")]));
            if before.volume_in_use && is_illumos {
                let path = "/dev/zvol/dsk/rpool/swap0".to_owned();
                storage.swaps.push(sysconfig_platform::fake::storage::UsedSwap { path, bytes: gib << 30, priority: 0 });
            }
        }
    });
    fixture
}

/// What must never change without permission: devices that hold something, and volumes that are no swap.
fn untouchable(storage: &Storage) -> (Vec<Option<String>>, Option<FakeDataset>) {
    let contents = storage.devices.values().filter(|device| device.content.as_deref() == Some("ext4"));
    let volume = storage.datasets.get("rpool/swap0").filter(|volume| volume.local("sysconfig:owner").is_none());
    let is_used = storage.swaps.iter().any(|area| area.path.ends_with("rpool/swap0"));
    (contents.map(|device| device.content.clone()).collect(), volume.filter(|_| !is_used).cloned())
}

/// What of a configuration is not so on the machine, of which nothing is asked of the plugin.
fn missing(fixture: &Fixture, wishes: &[Wish], is_illumos: bool) -> Vec<String> {
    let table = fixture.read(if is_illumos { "/etc/vfstab" } else { "/etc/fstab" });
    let mut seen = std::collections::BTreeSet::new();
    let first = wishes.iter().filter(|wish| seen.insert((wish.kind, wish.which)));
    let of_one = |wish: &Wish| {
        let path = wish.path(is_illumos);
        let used = fixture.machine.storage(|storage| storage.swaps.iter().find(|area| area.path == path).cloned());
        let has_row = table.lines().any(|row| row.split_whitespace().next() == Some(path.as_str()));
        let Some(used) = used.filter(|_| !wish.absent) else {
            return (!wish.absent || has_row).then(|| format!("{path} is not used"));
        };
        if wish.absent {
            return Some(format!("{path} is used"));
        }
        if let Some(sizes) = wish.sizes().filter(|sizes| !sizes.contains(&used.bytes)) {
            return Some(format!("{path} has {} and not {sizes:?} bytes", used.bytes));
        }
        let is_encrypted = is_illumos && wish.encrypted && wish.kind == 0;
        if wish.persistent && !is_encrypted && !has_row {
            return Some(format!("{path} has no row"));
        }
        let differs = wish.priority.filter(|priority| !is_illumos && *priority != used.priority);
        differs.map(|priority| format!("{path} has the priority {} and not {priority}", used.priority))
    };
    first.filter_map(of_one).collect()
}

fn run(before: &Before, all: &[Vec<Wish>], is_illumos: bool) -> Result<(), TestCaseError> {
    let mut fixture = machine(before, is_illumos);
    let protected = fixture.machine.storage(|storage| untouchable(storage));
    let mut is_permitted = false;
    for wishes in all {
        is_permitted |= wishes.iter().any(|wish| wish.allow_destructive);
        let configuration = configuration(wishes, is_illumos);
        prop_assert_eq!(fixture.harness.validate(configuration.clone()), vec![]);
        fixture.harness.configure(configuration);
        let steps = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let (left_alone, steps): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.action == "leave");
        for step in &steps {
            let key_is_permitted = wishes.iter().any(|wish| wish.allow_destructive);
            prop_assert!(step.risk != Risk::Destructive || key_is_permitted, "{}", step.summary);
            let result = fixture.harness.apply(step);
            prop_assert!(result.is_ok(), "{}: {:?}\nof {:#?}", step.summary, result, summaries(&steps));
        }
        let again = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(summaries(&again), summaries(&left_alone), "after {:#?}", summaries(&steps));
        if again.is_empty() {
            let missing = missing(&fixture, wishes, is_illumos);
            prop_assert!(missing.is_empty(), "{missing:#?} after {:#?}", summaries(&steps));
        }
        prop_assert!(is_permitted || fixture.machine.storage(|storage| untouchable(storage)) == protected);
    }
    fixture.harness.configure(json!({ "storage.swap": [] }));
    fixture.harness.converge().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    prop_assert_eq!(fixture.harness.plan().unwrap(), vec![]);
    Ok(())
}

fn cases() -> ProptestConfig {
    let cases = if test_judge::soak() { 1000 } else { 40 };
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn illumos_converges_from_anywhere(
        before in before(),
        all in proptest::collection::vec(proptest::collection::vec(wish(), 0..4), 1..4),
    ) {
        run(&before, &all, true)?;
    }

    #[test]
    fn linux_converges_from_anywhere(
        before in before(),
        all in proptest::collection::vec(proptest::collection::vec(wish(), 0..4), 1..4),
    ) {
        run(&before, &all, false)?;
    }
}
