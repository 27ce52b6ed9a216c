//! Whatever a machine is like and whatever valid configuration comes, the machine becomes so or says why not, nothing is
//! left to do then, and nobody else's things are touched. Whether it has become so is not asked of the planner: `oracle`
//! compares the machine with the configuration.

use crate::oracle;
use crate::support::{Fixture, illumos_with_tank, linux_with_zfs, summaries};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use sysconfig_platform::fake::storage::{FakeDataset, Storage};

const NAMES: [&str; 4] = ["tank/a", "tank/a/x", "tank/b", "tank/b/y"];
const POINTS: [&str; 5] = ["/srv", "/srv/in", "/mnt", "/mnt/deep/er", "/scratch"];
const DEVICES: [[&str; 2]; 2] = [["/dev/dsk/c1t0d0s6", "/dev/dsk/c1t0d0s7"], ["/dev/sdb1", "/dev/sdb2"]];

/// One dataset of a configuration.
#[derive(Clone, Debug)]
struct WishedDataset {
    name: usize,
    place: Option<usize>,
    properties: Vec<(&'static str, &'static str)>,
    adopt: bool,
}

/// One mount of a configuration.
#[derive(Clone, Debug)]
struct WishedMount {
    point: usize,
    kind: usize,
    options: Vec<&'static str>,
    persistent: bool,
    at_boot: bool,
    adopt: bool,
    overlay: bool,
}

type Wish = (Vec<WishedDataset>, Vec<WishedMount>);

fn dataset() -> impl Strategy<Value = WishedDataset> {
    let property = proptest::sample::select(vec![
        ("compression", "lz4"),
        ("compression", "off"),
        ("compression", "gzip-6"),
        ("aclinherit", "secure"),
        ("atime", "off"),
        ("quota", "1 GiB"),
        ("quota", "none"),
        ("readonly", "on"),
        ("canmount", "off"),
        ("canmount", "noauto"),
        ("casesensitivity", "mixed"),
        ("org.example:tag", "x y"),
    ]);
    let place = proptest::option::of(0..POINTS.len());
    (0..NAMES.len(), place, proptest::collection::vec(property, 0..4), any::<bool>())
        .prop_map(|(name, place, properties, adopt)| WishedDataset { name, place, properties, adopt })
}

fn mount() -> impl Strategy<Value = WishedMount> {
    let options = proptest::sample::subsequence(vec!["ro", "nosuid", "noatime", "size=64m", "nr_inodes=1m"], 0..4);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2));
    (0..POINTS.len(), 0..4_usize, options, flags).prop_map(
        |(point, kind, options, (persistent, at_boot, adopt, overlay))| WishedMount {
            point,
            kind,
            options,
            persistent,
            at_boot,
            adopt,
            overlay,
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    (proptest::collection::vec(dataset(), 0..4), proptest::collection::vec(mount(), 0..4))
}

fn configuration(wish: &Wish, is_illumos: bool) -> Value {
    let (mut names, mut places) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    let (mut datasets, mut mounts) = (Vec::new(), Vec::new());
    for wished in wish.0.iter().filter(|wished| names.insert(wished.name)) {
        let mut properties: serde_json::Map<String, Value> =
            wished.properties.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        if let Some(place) = wished.place.filter(|place| places.insert(*place)) {
            properties.insert("mountpoint".to_owned(), json!(POINTS[place]));
        }
        datasets.push(json!({ "name": NAMES[wished.name], "properties": properties, "adopt": wished.adopt }));
    }
    for wished in wish.1.iter().filter(|wished| places.insert(wished.point)) {
        let devices = DEVICES[usize::from(!is_illumos)];
        let (device, fstype) = match (wished.kind, is_illumos) {
            (0, _) => ("swap", "tmpfs"),
            (1, true) => (devices[0], "ufs"),
            (1, false) => (devices[0], "ext4"),
            (2, true) => ("/export", "lofs"),
            (2, false) => ("/export", "bind"),
            _ => ("10.0.2.2:/srv/share", "nfs"),
        };
        let options = wished.options.iter().filter(|option| fstype == "tmpfs" || !option.contains('='));
        mounts.push(json!({
            "device": device, "mountpoint": POINTS[wished.point], "type": fstype,
            "options": options.collect::<Vec<_>>(), "persistent": wished.persistent, "at-boot": wished.at_boot,
            "adopt": wished.adopt, "overlay": wished.overlay,
        }));
    }
    json!({ "storage.dataset": datasets, "storage.mount": mounts })
}

/// What somebody else has put there before.
#[derive(Clone, Debug)]
struct Before {
    dataset: Option<&'static str>,
    mount: Option<(usize, &'static str)>,
    row: Option<usize>,
    file: Option<usize>,
}

fn before() -> impl Strategy<Value = Before> {
    let dataset = proptest::option::of(proptest::sample::select(vec!["lz4", "off", "gzip"]));
    let mount = proptest::option::of((0..POINTS.len(), proptest::sample::select(vec!["size=64m", "ro", ""])));
    let place = || proptest::option::of(0..POINTS.len());
    (dataset, mount, place(), place()).prop_map(|(dataset, mount, row, file)| Before { dataset, mount, row, file })
}

fn machine(before: &Before, is_illumos: bool) -> Fixture {
    let fixture = if is_illumos { illumos_with_tank() } else { linux_with_zfs() };
    std::fs::create_dir_all(fixture.host.root.locate("/export")).unwrap();
    fixture.machine.storage(|storage| {
        for device in DEVICES[usize::from(!is_illumos)] {
            storage.add_device(device, 1 << 30, Some(if is_illumos { "ufs" } else { "ext4" }));
        }
        storage.shares.insert("10.0.2.2:/srv/share".to_owned());
        if let Some(compression) = before.dataset {
            let dataset = FakeDataset::filesystem([("compression", compression), ("canmount", "off")]);
            storage.add_dataset("tank/a", dataset);
        }
        if let Some((point, options)) = before.mount {
            let options: Vec<&str> = if options.is_empty() { Vec::new() } else { vec![options] };
            storage.add_mount("theirs", POINTS[point], "tmpfs", &options);
        }
    });
    let table = fixture.host.root.locate(if is_illumos { "/etc/vfstab" } else { "/etc/fstab" });
    if let Some(point) = before.row {
        let row = match is_illumos {
            true => format!("theirs  - {}   tmpfs - no size=1m\n", POINTS[point]),
            false => format!("theirs  {}   tmpfs noauto,size=1m 0 0\n", POINTS[point]),
        };
        let text = std::fs::read_to_string(&table).unwrap();
        std::fs::write(&table, format!("{text}{row}")).unwrap();
    }
    if let Some(point) = before.file {
        let directory = fixture.host.root.locate(POINTS[point]);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("theirs"), "x").unwrap();
    }
    fixture
}

/// What must never change or go: a mount of theirs may get other options on request, but stays.
fn theirs(storage: &Storage) -> (bool, Option<Vec<(String, String)>>) {
    let mounted = storage.mounts.iter().any(|mount| mount.device == "theirs");
    let dataset = storage.datasets.get("tank/a").filter(|dataset| dataset.local("sysconfig:owner").is_none());
    let properties = dataset.map(|dataset| dataset.properties.clone().into_iter().collect());
    (mounted, properties)
}

/// Adopted things are ours afterwards, which is another matter.
fn without_adoption(wish: &Wish) -> Wish {
    let (datasets, mounts) = wish.clone();
    let datasets = datasets.into_iter().map(|dataset| WishedDataset { adopt: false, ..dataset });
    let mounts = mounts.into_iter().map(|mount| WishedMount { adopt: false, ..mount });
    (datasets.collect(), mounts.collect())
}

fn run(before: &Before, all: &[Wish], is_illumos: bool, may_adopt: bool) -> Result<(), TestCaseError> {
    let mut fixture = machine(before, is_illumos);
    let table = if is_illumos { "/etc/vfstab" } else { "/etc/fstab" };
    let (untouched, their_rows) = (fixture.machine.storage(|storage| theirs(storage)), fixture.read(table));
    for wish in all {
        let wish = if may_adopt { wish.clone() } else { without_adoption(wish) };
        let configuration = configuration(&wish, is_illumos);
        if !fixture.harness.validate(configuration.clone()).is_empty() {
            // Places that are nested the other way round, which is refused.
            continue;
        }
        fixture.harness.configure(configuration.clone());
        settle(&mut fixture)?;
        let left = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        if left.is_empty() {
            let rows = fixture.read(table);
            let missing = fixture.machine.storage(|storage| oracle::missing(storage, &rows, &configuration));
            prop_assert!(missing.is_empty(), "{missing:#?}");
        }
        if !may_adopt {
            prop_assert_eq!(&fixture.machine.storage(|storage| theirs(storage)), &untouched);
        }
    }
    if !may_adopt {
        fixture.harness.configure(json!({ "storage.mount": [] }));
        let converged = fixture.harness.converge();
        prop_assert!(converged.is_ok() || left_below(&mut fixture), "{:?}", converged);
        if converged.is_ok() {
            prop_assert_eq!(fixture.read(table), their_rows, "the rows of others stay byte for byte");
        }
        prop_assert_eq!(&fixture.machine.storage(|storage| theirs(storage)), &untouched);
    }
    Ok(())
}

/// Applies until nothing is left to do. An apply that leaves nothing alone is enough; what is left alone may be free
/// only after it, when what was in its way has moved.
fn settle(fixture: &mut Fixture) -> Result<(), TestCaseError> {
    for round in 0..3 {
        let mut was_taken = false;
        let steps = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let (left_alone, steps): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.action == "leave");
        for step in &steps {
            let result = fixture.harness.apply(step);
            // What was hidden by a mount that has gone is seen only then, and planned for in the next round.
            let is_taken =
                result.as_ref().err().is_some_and(|error| error.message.contains("the directory is not empty"));
            if is_taken && steps.iter().any(|step| step.action == "unmount") {
                was_taken = true;
                break;
            }
            prop_assert!(result.is_ok(), "{}: {:?}\nof {:#?}", step.summary, result, summaries(&steps));
        }
        let again = fixture.harness.plan().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let again: Vec<_> = again.iter().filter(|step| step.action != "leave").map(|step| &step.summary).collect();
        if again.is_empty() {
            return Ok(());
        }
        let (left_alone, done) = (summaries(&left_alone), summaries(&steps));
        prop_assert!(
            (was_taken || !left_alone.is_empty()) && round < 2,
            "after {done:#?}\nthere is still {again:#?}\n{left_alone:#?}"
        );
    }
    Ok(())
}

/// Whether all that is left is what somebody else's mounts, or datasets, lie in.
fn left_below(fixture: &mut Fixture) -> bool {
    let steps = fixture.harness.plan().unwrap_or_default();
    steps.iter().all(|step| step.summary.contains("mounted below it"))
}

fn cases() -> ProptestConfig {
    // Every day the same cases, so that a run says something about the change that it is for; others with --soak.
    // What they find becomes a test with a name.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match test_judge::soak() {
        true => ProptestConfig { cases: 1000, ..config },
        false => ProptestConfig { cases: 40, rng_seed: RngSeed::Fixed(0), ..config },
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn illumos_converges_from_anywhere(
        before in before(), all in proptest::collection::vec(wish(), 1..4), may_adopt in any::<bool>(),
    ) {
        run(&before, &all, true, may_adopt)?;
    }

    #[test]
    fn linux_converges_from_anywhere(
        before in before(), all in proptest::collection::vec(wish(), 1..4), may_adopt in any::<bool>(),
    ) {
        run(&before, &all, false, may_adopt)?;
    }
}
