//! Builds that are interrupted, killed, or started twice, and what they leave.
//!
//! The program under test is the real `image-builder`; the tools of a Debian host are played by scripts, so that no
//! network is needed and their processes can be counted.

mod commits;
mod kills;
mod scene;

use scene::{Scene, names_below, one_line};
use std::fs;

/// Ctrl-C ended only the builder: what it had started went on, and its directories stayed.
#[test]
fn a_signal_ends_everything_and_says_so() {
    let Some(scene) = Scene::new() else { return };
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        scene.hold("mmdebstrap");
        let mut build = scene.start("work", "archive");
        build.come_to(|| scene.is_held("mmdebstrap") && scene.processes_left().len() >= 2);
        build.signal(signal);
        assert_eq!(build.end(), status, "{}", build.said());
        assert_eq!(scene.processes_left(), Vec::<String>::new(), "after {signal}");
        assert_eq!(scene.temporary_files(), Vec::<std::path::PathBuf>::new(), "after {signal}");
        let said = build.said();
        assert!(said.trim_end().ends_with("the next run goes on from there"), "{said}");
        assert!(!said.contains("failed") && !said.contains("cannot"), "{said}");
    }
    scene.let_go("mmdebstrap");
    scene.build("work", "archive");
}

/// All that was left of a failed mmdebstrap was "the archive is cut off".
#[test]
fn a_tool_that_fails_is_quoted() {
    let Some(scene) = Scene::new() else { return };
    let tool = scene.path("tools/mmdebstrap");
    let script = fs::read_to_string(&tool).unwrap();
    for writes in ["", "head -c 700 \"$FAKE/root.tar\"; "] {
        let fails = format!("note_process\n{writes}echo 'E: no user namespaces' >&2; exit 1");
        fs::write(&tool, script.replacen("note_process", &fails, 1)).unwrap();
        let output = scene.run("work", "archive");
        let said = one_line(&output.stderr_text());
        assert!(output.code == Some(1) && said.contains("E: no user namespaces"), "{said}");
        assert!(said.contains("failed with exit status 1") && said.contains("archive"), "{said}");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let Some(scene) = Scene::new() else { return };
    // A tool that does not end when it is asked.
    let tool = scene.path("tools/mmdebstrap");
    let script = fs::read_to_string(&tool).unwrap();
    fs::write(&tool, script.replace("trap tidy TERM", "trap ': >\"$FAKE/asked\"' TERM")).unwrap();
    let end_twice = || {
        let _ = fs::remove_file(scene.path("asked"));
        scene.hold("mmdebstrap");
        let mut build = scene.start("work", "archive");
        build.come_to(|| scene.is_held("mmdebstrap"));
        build.signal("TERM");
        build.wait_until(|_| scene.path("asked").exists());
        build.signal("TERM");
        assert_eq!(build.end(), 143);
        scene.let_go("mmdebstrap");
        scene.wait_until_no_process_is_left();
        build.said()
    };
    // One signal alone gives the tool ten seconds and says so in the end. A busy machine may take as long for two, once or
    // twice.
    let said: Vec<String> = (0..4).map(|_| end_twice()).take_while(|said| said.contains("interrupted")).collect();
    assert!(said.len() < 4, "{said:?}");
}

#[test]
fn a_second_build_names_the_first() {
    let Some(scene) = Scene::new() else { return };
    scene.hold("mmdebstrap");
    let mut first = scene.start("work", "archive");
    first.come_to(|| scene.is_held("mmdebstrap"));
    let second = scene.run("work", "archive");
    let said = one_line(&second.stderr_text());
    assert_eq!(second.code, Some(1), "{said}");
    for part in [format!("process {}", first.pid()), format!("kill {}", first.pid()), "-g g -n archive".to_owned()] {
        assert!(said.contains(&part), "{part} is not in: {said}");
    }
    let plan = scene.command("work", &["plan", "-g", "g", "-n", "archive"]).run_any().unwrap();
    assert!(plan.success(), "{}", plan.stderr_text());
    // Killed, not ended: the lock is free as soon as its tools are gone, and the next run says what it goes on from.
    first.signal("KILL");
    assert_eq!(first.end(), 137);
    // A plan that asks publishers comes in between, as in dev-build.sh, and does not keep that to itself.
    let asking = ["plan", "--ask-publishers", "-g", "g", "-n", "archive"];
    assert!(scene.command("work", &asking).run_any().unwrap().success());
    scene.let_go("mmdebstrap");
    let third = scene.run("work", "archive");
    assert!(third.success(), "{}", third.stderr_text());
    assert!(third.stderr_text().contains("going on where a run was ended (process"), "{}", third.stderr_text());
    scene.wait_until_no_process_is_left();
}

/// The image got its name before its other forms were complete, and these stayed those of the build before.
#[test]
fn all_forms_of_an_image_are_replaced_at_once() {
    let scene = Scene::pool();
    let output = scene.path("work/output");
    let forms = || {
        let read = |form| fs::read(output.join(format!("g-pool.{form}"))).unwrap();
        ["raw", "partonly", "qcow2"].map(read)
    };
    scene.build_any("work", "pool");
    let old = forms();
    assert!(old[0] == old[2] && old[0] != old[1]);
    scene.set_variant(1);
    for (conversion, status) in [("exit 1\n", Some(1)), ("kill -9 $PPID; exit 1\n", None)] {
        scene.set_conversion(conversion);
        let ended = scene.run("work", "pool");
        assert_eq!(ended.code, status, "{}", ended.stderr_text());
        assert!(forms() == old, "some forms are new after {conversion}");
        let said = one_line(&ended.stderr_text());
        assert!(status.is_none() || said.contains("work/output/g-pool.raw to qcow2"), "{said}");
    }
    scene.set_conversion("");
    scene.build_any("work", "pool");
    let new = forms();
    assert!(new[0] == new[2] && new[0] != old[0] && new[1] != old[1], "all are new");
    let left: Vec<String> = names_below(&output).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(left, [""; 0], "what the killed one has left is removed");
}

/// The lock was truncated when some packages were in the cache already: `apt` leaves those out.
#[test]
fn a_lock_names_every_package_also_after_a_killed_download() {
    let Some(scene) = Scene::new() else { return };
    let locked = |workspace: &str| {
        let names = names_below(&scene.path(workspace).join("debian"));
        let lock = names.iter().find(|name| name.ends_with(".lock")).unwrap();
        fs::read(scene.path(workspace).join("debian").join(lock)).unwrap()
    };
    scene.build("whole", "archive");
    scene.hold("apt-get");
    let mut build = scene.start("killed", "archive");
    build.come_to(|| scene.is_held("apt-get"));
    build.signal("KILL");
    build.end();
    scene.wait_until_no_process_is_left();
    scene.let_go("apt-get");
    let archives = names_below(&scene.path("killed/debian/archives"));
    assert_eq!(archives.iter().filter(|name| name.ends_with(".deb")).count(), 1, "{archives:?}");
    scene.build("killed", "archive");
    assert_eq!(locked("killed"), locked("whole"));
}

/// A refresh fetched the lists and resolved the packages twice.
#[test]
fn a_refresh_resolves_once() {
    let Some(scene) = Scene::new() else { return };
    scene.build("work", "archive");
    let asked =
        || fs::read_to_string(scene.path("apt.log")).unwrap().lines().filter(|line| *line == "update no").count();
    assert_eq!(asked(), 1);
    fs::write(scene.path("pool/more_1_all.deb"), "more").unwrap();
    let refreshed = scene.command("work", &["build", "--refresh", "-g", "g", "-n", "archive"]).run_any().unwrap();
    assert!(refreshed.success(), "{}", refreshed.stderr_text());
    assert!(refreshed.stderr_text().contains("mmdebstrap makes the root"), "{}", refreshed.stderr_text());
    assert_eq!(asked(), 2);
}

/// Another version of the program may make another root of the same packages.
#[test]
fn another_mmdebstrap_makes_the_root_anew() {
    let Some(scene) = Scene::new() else { return };
    scene.build("work", "archive");
    let bootstraps = || scene.run("work", "archive").stderr_text().contains("mmdebstrap makes the root");
    assert!(!bootstraps());
    let tool = scene.path("tools/mmdebstrap");
    let script = fs::read_to_string(&tool).unwrap();
    fs::write(&tool, script.replace("1.3.5", "1.4.0")).unwrap();
    assert!(bootstraps());
    assert!(!bootstraps());
}

#[test]
fn the_umask_does_not_matter() {
    let Some(scene) = Scene::new() else { return };
    let usual = scene.build("usual", "archive");
    let private = scene.command("private", &["build", "-g", "g", "-n", "archive"]);
    let output = scene.in_shell(&format!("umask 077; exec {private}")).run_any().unwrap();
    assert!(output.success(), "{}", output.stderr_text());
    assert_eq!(scene.image("private", "archive").unwrap(), usual);
}
