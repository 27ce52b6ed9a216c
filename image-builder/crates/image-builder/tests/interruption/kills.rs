//! Builds that are killed at any moment, in a workspace in any state.
//!
//! What is asked each time: there is a whole image or none; the next run gives the bytes that an undisturbed one gives; and
//! no step is done again that the killed run has told to be done.

use crate::scene::{Running, Scene, image_file, names_below};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use test_judge::{Random, fuzz, soak};

/// How many steps of each template are done, as far as a log tells.
///
/// Steps come one after the other, so that a line about one says that those before it are done; and a line about a
/// template, that those before it are.
#[derive(Debug, Default)]
pub(crate) struct Finished(BTreeMap<String, usize>);

impl Finished {
    /// Adds what the log of another run tells.
    pub(crate) fn read(&mut self, said: &str) {
        let (mut template, mut steps) = (None, 0);
        for line in said.lines() {
            if let Some((name, count)) = begun_template(line) {
                self.note(template.replace(name), steps);
                steps = count;
            } else if let Some(before) = begun_step(line).and(template.as_deref()) {
                let index = begun_step(line).unwrap_or_default();
                self.note(Some(before.to_owned()), index);
            }
        }
    }

    fn note(&mut self, template: Option<String>, steps: usize) {
        if let Some(template) = template {
            let known = self.0.entry(template).or_default();
            *known = steps.max(*known);
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Nothing of it may have been done again. Removals in a row are one piece of work: it is done or not.
    pub(crate) fn assert_taken_up(&self, built: &Value, context: &str) {
        for (template, finished) in &self.0 {
            let runs = built["templates"].as_array().unwrap();
            let run = runs.iter().find(|run| run["template"] == template.as_str());
            let steps =
                run.unwrap_or_else(|| panic!("{template} was not looked at, {context}"))["steps"].as_array().unwrap();
            let is_removal = |index: usize| steps[index]["title"].as_str().unwrap().starts_with("remove_files");
            let mut whole = *finished;
            if whole < steps.len() && is_removal(whole) {
                while whole > 0 && is_removal(whole - 1) {
                    whole -= 1;
                }
            }
            for (index, step) in steps[..whole].iter().enumerate() {
                assert_eq!(step["cached"], true, "step {} of {template} is done again, {context}", index + 1);
            }
        }
    }
}

/// `g/name: 4 steps`.
fn begun_template(line: &str) -> Option<(String, usize)> {
    let (name, count) = line.strip_suffix(" steps").or(line.strip_suffix(" step"))?.split_once(": ")?;
    Some((name.to_owned(), count.parse().ok()?)).filter(|_| name.starts_with("g/"))
}

/// The step's index in a line such as `    4 ensure_file /etc/motd`; one about the cache begins with a number, too.
fn begun_step(line: &str) -> Option<usize> {
    let number = line.strip_prefix("  ").filter(|line| !line.contains("taken from the cache"))?;
    let number: usize = number.trim_start().split(' ').next()?.parse().ok()?;
    number.checked_sub(1)
}

/// What is in the workspace before the build that is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// What the last round has left, whatever that is.
    Left,
    /// The image, made of other inputs.
    OtherInputs,
    /// The image.
    Whole,
    /// Only what another template has made, which begins alike, or which this one takes something of.
    Sibling(&'static str),
}

impl Before {
    pub(crate) fn prepare(self, scene: &Scene, name: &str, variant: usize) {
        if !matches!(self, Self::Left) {
            scene.wait_until_no_process_is_left();
            // A build that is killed early has made none yet.
            if scene.path("work").exists() {
                fs::remove_dir_all(scene.path("work")).unwrap();
            }
            fs::remove_dir_all(scene.path("tmp")).unwrap();
            fs::create_dir(scene.path("tmp")).unwrap();
        }
        match self {
            Self::Nothing | Self::Left => {}
            Self::OtherInputs => {
                scene.set_variant(1 - variant);
                scene.build("work", name);
            }
            Self::Whole => {
                scene.set_variant(variant);
                scene.build("work", name);
            }
            Self::Sibling(sibling) => {
                scene.set_variant(variant);
                scene.build_any("work", sibling);
            }
        }
        scene.set_variant(variant);
    }
}

/// When a build is killed.
#[derive(Debug)]
enum Moment {
    /// When it has told so much.
    Lines(usize),
    /// When so much of its usual time is over.
    Time(Duration),
    /// When so many records more are in the store: it is just keeping the result of a step, or of more.
    Records(usize),
    /// When a file is under construction.
    Unfinished,
    /// When the image has just got its name.
    Named,
}

impl Moment {
    fn choose(random: &mut Random, usual: Duration, lines: usize) -> Self {
        match random.below(6) {
            0 | 1 => Self::Lines(1 + random.below(lines)),
            2 => Self::Time(usual.mul_f64(random.below(1000) as f64 / 1000.0)),
            3 => Self::Records(1 + random.below(20)),
            4 => Self::Unfinished,
            _ => Self::Named,
        }
    }

    fn wait(&self, build: &mut Running, scene: &Scene, name: &str) {
        let work = scene.path("work");
        let image = work.join("output").join(image_file(name));
        let identity = || fs::metadata(&image).map(|metadata| (metadata.ino(), metadata.mtime_nsec())).ok();
        match self {
            Self::Lines(count) => build.wait_until(|build| build.said().lines().count() >= *count),
            Self::Time(time) => build.wait_for(*time),
            Self::Records(count) => {
                let there = records(&work);
                build.wait_until(|_| records(&work) >= there + count);
            }
            Self::Unfinished => build.wait_until(|_| unfinished(&work) || !names_below(&work.join("work")).is_empty()),
            Self::Named => {
                let before = identity();
                build.wait_until(|_| identity() != before);
            }
        }
    }
}

fn records(workspace: &Path) -> usize {
    let directory = workspace.join("store/records/step");
    names_below(&directory).iter().map(|name| names_below(&directory.join(name)).len().max(1)).sum()
}

fn unfinished(workspace: &Path) -> bool {
    names_below(&workspace.join("output")).iter().any(|name| name.starts_with('.') || name.ends_with(".tmp"))
}

/// Takes away what a crash of the machine may take: all or some of each pack that was not finished, so that there are records
/// of what is nowhere. Answers whether there was one.
fn crash(workspace: &Path, random: &mut Random) -> bool {
    lose(workspace, |length| random.below(length + 1))
}

/// Cuts each pack that was not finished down to as much as `rest` leaves of its length. Answers whether there was one.
pub(crate) fn lose(workspace: &Path, mut rest: impl FnMut(usize) -> usize) -> bool {
    let directory = workspace.join("store/packs");
    let names = names_below(&directory);
    let is_finished = |name: &str| names.iter().any(|other| other.strip_suffix(".idx") == name.strip_suffix(".pack"));
    let unfinished: Vec<_> = names.iter().filter(|name| name.ends_with(".pack") && !is_finished(name)).collect();
    for name in &unfinished {
        let file = fs::OpenOptions::new().write(true).open(directory.join(name)).unwrap();
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        file.set_len(rest(length) as u64).unwrap();
    }
    !unfinished.is_empty()
}

/// An image in its forms, by their names.
type Forms = BTreeMap<&'static str, Vec<u8>>;
/// What lies beside an image says of its forms: where it says so, the form, and its checksum.
pub(crate) type Sums = BTreeSet<(String, String, String)>;

/// The images of both variants with their checksums, what a build says, and how long it takes.
pub(crate) struct Reference {
    pub(crate) images: [Forms; 2],
    sums: [Sums; 2],
    usual: Duration,
    lines: usize,
}

impl Reference {
    pub(crate) fn make(scene: &Scene, name: &str) -> Self {
        let begin = Instant::now();
        let mut lines = 0;
        let images = [0, 1].map(|variant| {
            scene.set_variant(variant);
            let workspace = format!("whole{variant}");
            let mut build = scene.start(&workspace, name);
            assert_eq!(build.end(), 0, "{}", build.said());
            lines = build.said().lines().count();
            scene.forms(&workspace, name)
        });
        for (form, image) in &images[0] {
            assert!(images[1][form] != *image, "the variants are to differ in {form}");
        }
        let sums = ["whole0", "whole1"].map(|workspace| scene.sums(workspace, name));
        assert!(sums.iter().all(|sums| sums.len() == 2 * images[0].len()), "{sums:?}");
        Self { images, sums, usual: begin.elapsed() / 2, lines }
    }

    /// Forms may be missing, but those that there are have to be of one image, and whole; and what lies beside them tells of
    /// them. The image itself is there if it was before.
    pub(crate) fn assert_none_is_half(&self, scene: &Scene, name: &str, was_there: bool, context: &str) {
        let (there, told) = (scene.forms("work", name), scene.sums("work", name));
        assert!(!was_there || there.contains_key(image_file(name)), "the image is gone, {context}");
        let is_of = |image: &Forms| there.iter().all(|(form, bytes)| image.get(form) == Some(bytes));
        let mut of = self.images.iter().zip(&self.sums).filter(|(image, _)| is_of(image)).peekable();
        assert!(of.peek().is_some(), "half an image, or forms of two: {:?}, {context}", there.keys());
        let is_told = |sums: &Sums| told.iter().all(|line| sums.contains(line) && there.contains_key(line.1.as_str()));
        assert!(of.any(|(_, sums)| is_told(sums)), "{told:?} is not of {:?}, {context}", there.keys());
    }
}

/// Goes on after a kill, and looks whether all is as it should be.
pub(crate) fn go_on(scene: &Scene, name: &str, wanted: &Forms, finished: &Finished, context: &str) {
    let output = scene.command("work", &["build", "--json", "-g", "g", "-n", name]).run_any().unwrap();
    assert!(output.success(), "{}, {context}", output.stderr_text());
    assert!(scene.forms("work", name) == *wanted, "another image, {context}");
    assert_eq!(scene.sums("work", name).len(), 2 * wanted.len(), "no evidence of all of it, {context}");
    finished.assert_taken_up(&serde_json::from_str(&output.stdout_text()).unwrap(), context);
    scene.wait_until_no_process_is_left();
    assert!(scene.temporary_files().is_empty(), "{context}");
    assert!(names_below(&scene.path("work/work")).is_empty(), "{context}");
    assert!(!unfinished(&scene.path("work")), "{:?}, {context}", names_below(&scene.path("work/output")));
}

/// How many builds of each kind are killed with `kill -9`: ten where time is short, a hundred at least where it is not.
pub(crate) const KILLS: usize = 10;
pub(crate) const KILLS_SOAK: usize = 100;

/// A build that is killed, again and again.
struct Killed<'s> {
    scene: &'s Scene,
    name: &'s str,
    siblings: &'s [&'static str],
    reference: Reference,
    variant: usize,
    /// What the builds since the workspace was prepared have told to be done.
    finished: Finished,
    taken_up: usize,
    rounds: usize,
    /// How many were killed so that they could do nothing about it.
    kills: usize,
}

impl Killed<'_> {
    /// Kills a build at some moment; answers the status with which it ended.
    fn kill(&mut self, before: Before, variant: usize, signal: &str, random: &mut Random) -> (i32, String) {
        let (scene, name) = (self.scene, self.name);
        if !matches!(before, Before::Left) || variant != self.variant {
            self.finished = Finished::default();
        }
        self.variant = variant;
        before.prepare(scene, name, variant);
        let was_there = scene.image("work", name).is_some();
        let moment = Moment::choose(random, self.reference.usual, self.reference.lines);
        let mut build = scene.start("work", name);
        moment.wait(&mut build, scene, name);
        build.signal(signal);
        let status = build.end();
        let context = format!("{before:?}, {moment:?}, {signal}, status {status}:\n{}", build.said());
        assert!([0, 137, 143].contains(&status), "{context}");
        self.reference.assert_none_is_half(scene, name, was_there, &context);
        // One that was ended before it had the lock has not seen yet what a killed one before it has left.
        if status == 143 && build.said().lines().any(|line| begun_template(line).is_some()) {
            assert_eq!(scene.processes_left(), [""; 0], "{context}");
            assert!(scene.temporary_files().is_empty(), "{:?}, {context}", scene.temporary_files());
        }
        self.finished.read(&build.said());
        (status, context)
    }

    fn round(&mut self, random: &mut Random) {
        let before = match random.below(5) {
            0 => Before::Nothing,
            1 => Before::OtherInputs,
            2 => Before::Whole,
            3 => Before::Sibling(self.siblings[random.below(self.siblings.len())]),
            _ => Before::Left,
        };
        let variant = random.below(2);
        self.rounds += 1;
        let signal = if self.rounds % 3 == 0 { "TERM" } else { "KILL" };
        let (mut status, mut context) = self.kill(before, variant, signal, random);
        // One that has less to do may be over before its moment comes.
        for _ in 0..20 {
            if status != 0 {
                break;
            }
            (status, context) = self.kill(Before::Nothing, variant, signal, random);
        }
        self.kills += usize::from(status == 137);
        // The whole machine has crashed, once in a while.
        if random.below(6) == 0 && crash(&self.scene.path("work"), random) {
            self.finished = Finished::default();
        }
        if random.below(3) != 0 {
            self.go_on(&context);
        }
    }

    fn go_on(&mut self, context: &str) {
        go_on(self.scene, self.name, &self.reference.images[self.variant], &self.finished, context);
        self.taken_up += self.finished.total();
    }
}

/// Kills builds at many moments, some of them more than once, and goes on.
fn kill_and_go_on(scene: &Scene, name: &str, siblings: &[&'static str]) {
    let reference = Reference::make(scene, name);
    let (variant, finished, taken_up, rounds, kills) = Default::default();
    let mut killed = Killed { scene, name, siblings, reference, variant, finished, taken_up, rounds, kills };
    let wanted = if soak() { KILLS_SOAK } else { KILLS };
    // Every third is asked to end, which some may hear of after their end.
    fuzz(wanted as u64 * 3 / 2, |random| killed.round(random));
    if std::env::var_os("FUZZ_SEED").is_none() {
        assert!(killed.kills >= wanted, "{} kills of {} rounds", killed.kills, killed.rounds);
        assert!(killed.taken_up > 0, "no kill has come after a step was done");
    }
    killed.go_on("at the end");
}

#[test]
fn a_build_that_is_killed_anywhere_goes_on() {
    kill_and_go_on(&Scene::plain(), "disc", &["tar"]);
}

#[test]
fn an_archive_build_that_is_killed_anywhere_goes_on() {
    if let Some(scene) = Scene::new() {
        kill_and_go_on(&scene, "archive", &["base"]);
    }
}

#[test]
fn a_disk_build_that_is_killed_anywhere_goes_on() {
    if let Some(scene) = Scene::new().filter(|_| Scene::can_make_disks()) {
        kill_and_go_on(&scene, "disk", &["base", "archive"]);
    }
}

#[test]
fn a_build_of_packages_that_is_killed_anywhere_goes_on() {
    kill_and_go_on(&Scene::packages(), "packages", &["stage"]);
}

#[test]
fn a_build_of_a_pool_that_is_killed_anywhere_goes_on() {
    kill_and_go_on(&Scene::pool(), "pool", &["tree"]);
}

#[test]
fn logs_tell_what_is_finished() {
    let mut finished = Finished::default();
    let log = "g/base: 4 steps\n  2 steps taken from the cache\n    3 pack_tar base.tar\n      a message\n";
    finished.read(log);
    assert_eq!(finished.0, BTreeMap::from([("g/base".to_owned(), 2)]));
    finished.read("g/base: 4 steps\n    1 ensure_dir /etc\ng/disc: 2 steps\n    2 ensure_file /a\n");
    assert_eq!(finished.0, BTreeMap::from([("g/base".to_owned(), 4), ("g/disc".to_owned(), 1)]));
}
