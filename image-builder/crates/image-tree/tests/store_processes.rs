//! The store under processes that write at once, are killed at any moment, or run out of disk.
//!
//! The other processes are this same test program, running only [`other_process`] in a role.
#![expect(clippy::disallowed_methods, reason = "the processes are part of the test, and are to be killed")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use image_tree::{BlobHash, GcRoots, Store, Tree, TreeHash};
// Killing does not need what only protects from a crash of the machine.
use support::{NO_SYNC, add_file, bytes, path};

const ROLE: &str = "IMAGE_TREE_TEST_ROLE";
const STORE: &str = "IMAGE_TREE_TEST_STORE";
const SEED: &str = "IMAGE_TREE_TEST_SEED";
const KEEP: &str = "IMAGE_TREE_TEST_KEEP";

#[test]
#[ignore = "the other tests start this as a process of its own"]
fn other_process() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the other tests"));
    let (role, dir) = (variable(ROLE), variable(STORE));
    let seed: usize = variable(SEED).parse().unwrap();
    match role.as_str() {
        "write" => write_for_ever(Path::new(&dir), seed),
        "collect" => collect_for_ever(Path::new(&dir), variable(KEEP).parse().unwrap()),
        "fill" => fill_the_disk(Path::new(&dir)),
        other => panic!("no role {other}"),
    }
}

/// Says which blobs are stored as soon as they are; half of them are the same for every seed.
fn write_for_ever(dir: &Path, seed: usize) {
    for round in 0.. {
        let store = Store::open_with(dir, NO_SYNC).unwrap();
        for number in 0..40 {
            let unique = if number % 2 == 0 { seed * 1_000_000 } else { 0 };
            let content = bytes(unique + round * 100 + number, (number * 997) % 30_000);
            let blob = store.put_bytes(&content).unwrap().blob();
            say("stored", &blob.to_string());
            store.record_put("numbers", &[seed.to_le_bytes(), number.to_le_bytes()].concat(), blob.as_bytes()).unwrap();
            if number % 20 == 10 {
                let large = bytes(unique + round, (1 << 20) + number).repeat(2);
                say("stored", &store.put_reader(&large[..]).unwrap().blob().to_string());
            }
        }
    }
}

/// Makes garbage and collects it, again and again; the tree that is to be kept is in the same packs.
fn collect_for_ever(dir: &Path, keep: TreeHash) {
    let mut store = Store::open_with(dir, NO_SYNC).unwrap();
    let roots = GcRoots { trees: BTreeSet::from([keep]), ..GcRoots::default() };
    for round in 0.. {
        store.put_bytes(&bytes(1000 + round, 100_000)).unwrap();
        let tree = Tree::load(&store, keep).unwrap();
        tree.save(&store).unwrap();
        let report = store.gc(&roots).unwrap();
        // More than its own garbage if one before it was killed.
        assert!(report.removed_blobs >= 1);
        say("collected", &round.to_string());
    }
}

fn fill_the_disk(dir: &Path) {
    let store = Store::open(dir).unwrap();
    for number in 0..1000 {
        // Both ways of writing meet the limit.
        let content = bytes(number, 1_200_000);
        let result = if number % 2 == 0 { store.put_bytes(&content) } else { store.put_reader(&content[..]) };
        match result {
            Ok(content) => say("stored", &content.blob().to_string()),
            Err(error) => {
                say("failed", &error.to_string());
                say("hint", error.hint().unwrap_or("none"));
                break;
            }
        }
    }
    say("stored", &store.put_bytes(b"a little still fits").unwrap().blob().to_string());
    store.close().unwrap();
}

fn say(what: &str, value: &str) {
    // A line of its own: the test harness may have begun one. A full line is written at once.
    use std::io::Write;
    std::io::stdout().write_all(format!("\n#{what} {value}\n").as_bytes()).unwrap();
}

/// What a process that may have been killed while saying something has said completely.
fn said(log: &Path, what: &str) -> Vec<String> {
    let mut text = String::new();
    File::open(log).unwrap().read_to_string(&mut text).unwrap();
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    let lines = complete.lines().filter_map(|line| line.strip_prefix('#'));
    lines.filter_map(|line| line.strip_prefix(what)?.strip_prefix(' ')).map(str::to_owned).collect()
}

fn other(mut command: Command, role: &str, store: &Path, seed: usize, log: &Path) -> Command {
    command.args(["--exact", "other_process", "--ignored", "--nocapture"]);
    command.env(ROLE, role).env(STORE, store).env(SEED, seed.to_string());
    command.stdin(Stdio::null()).stdout(File::create(log).unwrap());
    command
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Waits until it has been said so often. A busy machine does little in the time of any `moment`, so that times alone would
/// not do.
fn wait_until_said(child: &mut Child, log: &Path, what: &str, count: usize) {
    while said(log, what).len() < count {
        assert!(child.try_wait().unwrap().is_none(), "the process ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill(child: &mut Child) {
    assert!(child.try_wait().unwrap().is_none(), "the process ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Moments that differ from round to round but not from run to run.
fn moment(round: u64) -> Duration {
    Duration::from_micros(3_000 + (round * 7_919_017) % 60_000)
}

fn check_stored(store: &Store, log: &Path) -> usize {
    let stored = said(log, "stored");
    for hash in &stored {
        let hash: BlobHash = hash.parse().unwrap();
        store.verify(hash).unwrap_or_else(|error| panic!("{error} in {}", log.display()));
    }
    stored.len()
}

#[test]
fn what_was_stored_survives_the_killing_of_its_writers() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, log) = (scratch.path().join("store"), |name: usize| scratch.path().join(format!("log.{name}")));
    let (mut stored, mut recovered, mut torn) = (0, 0, 0);
    for round in 0..25 {
        let seeds = [round * 2 + 1, round * 2 + 2];
        let children = seeds.map(|seed| {
            let child = other(this_program(), "write", &dir, seed, &log(seed)).spawn().unwrap();
            std::thread::sleep(moment(seed as u64));
            child
        });
        let [mut first, mut second] = children;
        wait_until_said(&mut second, &log(seeds[1]), "stored", 1 + round % 9);
        std::thread::sleep(moment(round as u64));
        kill(&mut first);
        kill(&mut second);

        let store = Store::open_with(&dir, NO_SYNC).unwrap();
        stored += seeds.iter().map(|seed| check_stored(&store, &log(*seed))).sum::<usize>();
        recovered += store.recovered().len();
        torn += store.recovered().iter().filter(|pack| pack.lost_bytes > 0).count();
        for record in store.records("numbers").unwrap() {
            let hash = BlobHash::from_bytes(record.value.try_into().unwrap());
            assert!(store.contains(hash), "a record outlived the blob that was stored before");
        }
        store.put_bytes(&round.to_le_bytes()).unwrap();
        store.close().unwrap();
        assert_eq!(Store::open_with(&dir, NO_SYNC).unwrap().recovered(), []);
    }
    // Otherwise the moments were badly chosen, and this test shows little.
    assert!(stored > 100 && recovered > 10, "{stored} blobs, {recovered} packs recovered, {torn} of them torn");
}

#[test]
fn a_collection_can_be_killed_at_any_moment() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, log) = (scratch.path().join("store"), scratch.path().join("log"));
    let store = Store::open_with(&dir, NO_SYNC).unwrap();
    let mut tree = Tree::default();
    for number in 0..20 {
        add_file(&mut tree, &store, &format!("/{}/{number}", number % 3), &bytes(number, 20_000));
    }
    let keep = tree.save(&store).unwrap();
    store.close().unwrap();
    let mut collected = 0;
    for round in 0..25 {
        let mut command = other(this_program(), "collect", &dir, 0, &log);
        let mut child = command.env(KEEP, keep.to_string()).spawn().unwrap();
        wait_until_said(&mut child, &log, "collected", 1 + round % 5);
        std::thread::sleep(moment(round as u64));
        kill(&mut child);
        collected += said(&log, "collected").len();
        let store = Store::open_with(&dir, NO_SYNC).unwrap();
        let loaded = Tree::load(&store, keep).unwrap();
        assert_eq!(loaded, tree);
        let contents = loaded.walk().filter_map(|entry| entry.node.content().cloned());
        contents.for_each(|content| store.verify(content.blob()).unwrap());
    }
    assert!(collected > 50, "{collected} collections");
    let mut store = Store::open_with(&dir, NO_SYNC).unwrap();
    store.gc(&GcRoots { trees: BTreeSet::from([keep]), ..GcRoots::default() }).unwrap();
    assert_eq!(store.len(), 20 + 3 + 1 + 1, "nothing accumulates");
    let files =
        |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>();
    assert!(
        files(&dir).iter().chain(&files(&dir.join("packs"))).all(|name| !name.as_encoded_bytes().starts_with(b".tmp"))
    );
}

/// The limit for the size of a file stands for the end of the disk: it fails at the same calls, and an
/// ordinary user can set it.
#[test]
fn a_full_disk_is_named_and_leaves_the_store_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, log) = (scratch.path().join("store"), scratch.path().join("log"));
    let mut shell = Command::new("sh");
    // The unit is 512 or 1024 bytes, depending on the shell.
    let script = "ulimit -f 8192 && trap '' XFSZ && exec \"$0\" \"$@\"";
    shell.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    assert!(other(shell, "fill", &dir, 0, &log).status().unwrap().success());
    let failed = said(&log, "failed");
    let wanted = format!("content store: cannot write content to {}", dir.join("packs/00000000.pack").display());
    assert_eq!(failed, [wanted]);
    assert!(said(&log, "hint")[0].starts_with("make room: the file system that holds the store is full"));
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.recovered(), []);
    let stored = check_stored(&store, &log);
    assert!(stored > 3 && store.len() == stored, "{stored} blobs");
    assert!(store.contains(BlobHash::of(b"a little still fits")));
    let tree = Tree::default();
    tree.save(&store).unwrap();
    assert!(tree.get(&path("/")).is_some());
}
