//! Builds that are killed at any moment, in a workspace in any state.
//!
//! What is asked each time: there is a whole image or none; the next run gives the bytes that an undisturbed one gives; and
//! no step is done again that the killed run has told to be done.

use crate::scene::{Running, Scene, image_file, names_below};
use serde_json::Value;
use std::collections::BTreeMap;
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
    let (name, count) = line.strip_suffix(" steps")?.split_once(": ")?;
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

/// The images of both variants, what a build says, and how long it takes.
pub(crate) struct Reference {
    pub(crate) images: [Vec<u8>; 2],
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
            scene.image(&workspace, name).unwrap()
        });
        assert!(images[0] != images[1], "the variants are to differ");
        Self { images, usual: begin.elapsed() / 2, lines }
    }
}

/// Goes on after a kill, and looks whether all is as it should be.
pub(crate) fn go_on(scene: &Scene, name: &str, wanted: &[u8], finished: &Finished, context: &str) {
    let output = scene.command("work", &["build", "--json", "-g", "g", "-n", name]).run_any().unwrap();
    assert!(output.success(), "{}, {context}", output.stderr_text());
    assert!(scene.image("work", name).unwrap() == wanted, "another image, {context}");
    finished.assert_taken_up(&serde_json::from_str(&output.stdout_text()).unwrap(), context);
    scene.wait_until_no_process_is_left();
    assert!(scene.temporary_files().is_empty(), "{context}");
    assert!(names_below(&scene.path("work/work")).is_empty(), "{context}");
    assert!(!unfinished(&scene.path("work")), "{:?}, {context}", names_below(&scene.path("work/output")));
}

/// Kills builds at many moments, some of them more than once, and goes on.
fn kill_and_go_on(scene: &Scene, name: &str, siblings: &[&'static str], few: u64, many: u64) {
    let reference = Reference::make(scene, name);
    let (mut variant, mut finished, mut taken_up) = (0, Finished::default(), 0);
    fuzz(if soak() { many } else { few }, |random| {
        let before = match random.below(5) {
            0 => Before::Nothing,
            1 => Before::OtherInputs,
            2 => Before::Whole,
            3 => Before::Sibling(siblings[random.below(siblings.len())]),
            _ => Before::Left,
        };
        let next = random.below(2);
        if !matches!(before, Before::Left) || next != variant {
            finished = Finished::default();
        }
        variant = next;
        before.prepare(scene, name, variant);
        let moment = Moment::choose(random, reference.usual, reference.lines);
        let signal = if random.below(3) == 0 { "TERM" } else { "KILL" };
        let mut build = scene.start("work", name);
        moment.wait(&mut build, scene, name);
        build.signal(signal);
        let status = build.end();
        let context = format!("{before:?}, {moment:?}, {signal}, status {status}:\n{}", build.said());
        assert!([0, 137, 143].contains(&status), "{context}");
        let there = scene.image("work", name);
        assert!(there.is_none_or(|image| reference.images.contains(&image)), "half an image, {context}");
        // One that was ended before it had the lock has not seen yet what a killed one before it has left.
        if status == 143 && build.said().lines().any(|line| begun_template(line).is_some()) {
            assert_eq!(scene.processes_left(), [""; 0], "{context}");
            assert!(scene.temporary_files().is_empty(), "{:?}, {context}", scene.temporary_files());
        }
        finished.read(&build.said());
        // The whole machine has crashed, once in a while.
        if random.below(6) == 0 && crash(&scene.path("work"), random) {
            finished = Finished::default();
        }
        if random.below(3) != 0 {
            go_on(scene, name, &reference.images[variant], &finished, &context);
            taken_up += finished.total();
        }
    });
    assert!(taken_up > 0 || std::env::var_os("FUZZ_SEED").is_some(), "no kill has come after a step was done");
    go_on(scene, name, &reference.images[variant], &finished, "at the end");
}

#[test]
fn a_build_that_is_killed_anywhere_goes_on() {
    kill_and_go_on(&Scene::plain(), "disc", &["tar"], 40, 2000);
}

#[test]
fn an_archive_build_that_is_killed_anywhere_goes_on() {
    if let Some(scene) = Scene::new() {
        kill_and_go_on(&scene, "archive", &["base"], 24, 2000);
    }
}

#[test]
fn a_disk_build_that_is_killed_anywhere_goes_on() {
    if let Some(scene) = Scene::new().filter(|_| Scene::can_make_disks()) {
        kill_and_go_on(&scene, "disk", &["base", "archive"], 12, 1000);
    }
}

#[test]
fn a_build_of_packages_that_is_killed_anywhere_goes_on() {
    kill_and_go_on(&Scene::packages(), "packages", &["stage"], 24, 1000);
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
