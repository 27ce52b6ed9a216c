//! What a machine remembers, and where: its settings, and its key, which no guest may see.

use crate::fake_qemu::Mode;
use crate::scene::{Scene, text};
use std::fs;

#[test]
fn settings_are_remembered_until_changed() {
    let scene = Scene::new();
    let share = scene.root().join("a, b");
    fs::create_dir(&share).unwrap();
    let share_text = share.to_str().unwrap();
    let up = ["up", "--memory", "512", "--cpus", "1", "--share", share_text, "--share-rw"];
    scene.expect(0, Mode::Ready, &up);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["up", "--cpus", "3"]);
    let status = scene.status("dev");
    assert_eq!(status["memory_mib"], 512);
    assert_eq!(status["cpus"], 3);
    assert_eq!(status["share"]["writable"], true);
    assert!(scene.starts("dev").last().unwrap().contains("/a,, b,security_model=none"), "{:?}", scene.starts("dev"));
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["up", "--share", share_text]);
    assert_eq!(scene.status("dev")["share"]["writable"], false);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["up", "--no-share"]);
    assert!(scene.status("dev")["share"].is_null());
    scene.expect(0, Mode::Ready, &["down"]);
    let said = text(&scene.expect(1, Mode::Ready, &["up", "--share", "/nonexistent/x"]));
    assert!(said.contains("cannot share /nonexistent/x"), "{said}");
}

/// A setting that QEMU refused was remembered, and the next plain `up` failed with it.
#[test]
fn a_setting_that_is_refused_is_not_remembered() {
    let scene = Scene::new();
    scene.expect(7, Mode::Rejects, &["up", "--memory", "9999999"]);
    scene.expect(4, Mode::Ready, &["status"]);
    scene.expect(0, Mode::Ready, &["up", "--memory", "512", "--cpus", "3"]);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.write_to_disk("dev");
    scene.expect(7, Mode::Rejects, &["up", "--memory", "9999999", "--cpus", "200", "--no-share"]);
    let status = scene.status("dev");
    assert_eq!((&status["memory_mib"], &status["cpus"]), (&512.into(), &3.into()));
    let up = scene.expect(0, Mode::Ready, &["up"]);
    assert!(!text(&up).contains("making the machine's disk"), "the disk is kept: {}", text(&up));
    assert!(scene.starts("dev").last().unwrap().contains("-m\n512\n"), "{:?}", scene.starts("dev"));
}

/// The advice for a mistyped machine type was to install firmware.
#[test]
fn an_unknown_machine_type_is_called_that() {
    let scene = Scene::new();
    let said = text(&scene.expect(1, Mode::Ready, &["up", "--machine", "bogus"]));
    assert!(said.contains("no machine type `bogus`") && said.contains("-machine help"), "{said}");
    assert!(!said.contains("install") && !scene.machine("dev").exists(), "{said}");
}

/// One machine whose settings could not be read hid all others.
#[test]
fn a_machine_that_cannot_be_read_is_a_line_of_the_list() {
    let scene = Scene::new();
    for name in ["broken", "whole"] {
        scene.expect(0, Mode::Ready, &["up", "--name", name]);
        scene.expect(0, Mode::Ready, &["down", "--name", name]);
    }
    fs::write(scene.private("broken").join("vm.json"), "{ torn").unwrap();
    let list = scene.expect(0, Mode::Ready, &["list"]).stdout_text();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("broken") && lines[0].contains("cannot understand"), "{list}");
    assert!(lines[1].starts_with("whole") && lines[1].contains("stopped"), "{list}");
    let json = scene.expect(0, Mode::Ready, &["list", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["state"]), (&"broken".into(), &"unreadable".into()));
    assert!(json[0]["error"].as_str().unwrap().contains("vm.json"), "{json}");
    assert_eq!(json[1]["state"], "stopped");
    scene.expect(1, Mode::Ready, &["status", "--name", "broken"]);
}

/// Every guest could read the keys of all machines: they lay in the checkout, which guests see.
#[test]
fn what_no_guest_may_see_is_in_no_share() {
    let scene = Scene::new();
    let share = scene.image().parent().unwrap().to_str().unwrap().to_owned();
    let up = scene.expect(0, Mode::Ready, &["up", "--share", &share]);
    assert!(!text(&up).contains("warning"), "{}", text(&up));
    let private = scene.private("dev");
    assert!(private.starts_with(scene.root().join("state/dev-vm")), "{private:?}");
    for name in ["ssh_key", "ssh_key.pub", "vm.json", "run.json"] {
        assert!(private.join(name).is_file() && !scene.machine("dev").join(name).exists(), "{name}");
    }
    scene.expect(0, Mode::Ready, &["down"]);
    let root = scene.root();
    let up = scene.expect(0, Mode::Ready, &["up", "--share", root.to_str().unwrap()]);
    assert!(text(&up).contains("the guest can read this machine's key"), "{}", text(&up));
    scene.expect(0, Mode::Ready, &["down"]);

    // A machine that is thrown away with its directory is not remembered.
    scene.expect(0, Mode::Ready, &["up", "--memory", "512"]);
    scene.expect(0, Mode::Ready, &["down"]);
    fs::remove_dir_all(scene.machine("dev")).unwrap();
    scene.expect(4, Mode::Ready, &["status"]);
    scene.expect(0, Mode::Ready, &["up"]);
    assert_eq!(scene.status("dev")["memory_mib"], 2048);
}

#[test]
fn a_machine_of_an_earlier_version_goes_on_and_its_key_is_moved() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up", "--memory", "512"]);
    let (private, machine) = (scene.private("dev"), scene.machine("dev"));
    let key = fs::read(private.join("ssh_key")).unwrap();
    for name in ["ssh_key", "ssh_key.pub", "vm.json", "run.json"] {
        fs::copy(private.join(name), machine.join(name)).unwrap();
    }
    fs::remove_dir_all(&private).unwrap();
    assert_eq!(scene.status("dev")["state"], "ready", "also while it runs");
    assert_eq!(scene.run(Mode::Ready, &["list"]).stdout_text().lines().count(), 1);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["up"]);
    assert_eq!(scene.status("dev")["memory_mib"], 512);
    assert_eq!(fs::read(private.join("ssh_key")).unwrap(), key);
    assert!(!machine.join("ssh_key").exists() && !machine.join("vm.json").exists());
}

/// A dataset was taken for a directory: a key and a disk were made in the middle of the current one.
#[test]
fn minus_d_is_read_as_everywhere_else() {
    let scene = Scene::new();
    let said = text(&scene.run_plainly(&["-d", "rpool/images", "up"]));
    assert!(said.contains("dataset rpool/images") || said.contains("rpool/images names a ZFS dataset"), "{said}");
    assert!(said.contains("-d ./rpool/images") && !scene.root().join("rpool").exists(), "{said}");

    let images = scene.image().parent().unwrap().to_owned();
    scene.write_program("zfs", &format!("#!/bin/sh\nprintf 'yes\\n%s\\n' '{}'\n", images.display()));
    let up = scene.run_plainly(&["-d", "rpool/images", "print"]);
    assert!(up.success() && up.stdout_text().contains(scene.machine("dev").to_str().unwrap()), "{}", text(&up));
}

#[test]
fn without_a_home_there_is_no_place_for_keys() {
    let scene = Scene::new();
    let said = text(&scene.run_without_home(&["up"]));
    assert!(said.contains("XDG_STATE_HOME") && said.contains("HOME"), "{said}");
    assert!(!scene.machine("dev").exists());
}
