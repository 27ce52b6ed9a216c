//! The life of a machine with a QEMU that is ours: every way in which it can start, end and misbehave.
//!
//! The program under test is the real `dev-vm`. The emulator is this test
//! binary, started by a script of the right name; see `fake_qemu`.

mod bhyve;
mod fake_qemu;
mod hypervisors;
mod libvirt;
mod scene;
mod settings;

use fake_qemu::Mode;
use scene::{Scene, text};
use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

#[test]
fn up_status_and_down() {
    let scene = Scene::new();
    let up = scene.run(Mode::Ready, &["up"]);
    assert_eq!(up.code, Some(0), "{}", text(&up));
    assert!(text(&up).contains("ready after"), "{}", text(&up));

    let status = scene.status("dev");
    assert_eq!(status["state"], "ready");
    assert_eq!(status["accelerator"], "tcg");
    assert!(status["pid"].as_i64().unwrap() > 1);
    assert!(status["ready_after_seconds"].as_f64().unwrap() > 0.0);

    let again = scene.run(Mode::Ready, &["up"]);
    assert_eq!(again.code, Some(9), "{}", text(&again));
    assert!(text(&again).contains("runs already"), "{}", text(&again));

    let down = scene.run(Mode::Ready, &["down"]);
    assert_eq!(down.code, Some(0));
    assert!(text(&down).contains("the guest powered off"), "{}", text(&down));
    assert_eq!(scene.run(Mode::Ready, &["status"]).code, Some(3));
    let down = scene.run(Mode::Ready, &["down"]);
    assert_eq!(down.code, Some(0));
    assert!(text(&down).contains("was not running"), "{}", text(&down));
}

/// It said "ready", with exit status 0, although the service had failed that the machine is there for.
#[test]
fn a_guest_whose_service_failed_is_up_and_not_well() {
    let scene = Scene::new();
    let up = scene.expect(10, Mode::Unwell, &["up"]);
    for part in ["ready after", "sysconfig is failed", "dev-vm exec -- journalctl", "dev-vm exec -- systemctl status"] {
        assert!(text(&up).contains(part), "{part} is missing in {}", text(&up));
    }
    assert!(!text(&up).contains("dev-9p-mount is"), "{}", text(&up));
    let services = &scene.status("dev")["services"];
    assert_eq!(services[0], serde_json::json!({ "name": "sysconfig", "state": "failed", "healthy": false }));
    assert_eq!(services[1]["healthy"], true);
    let status = scene.expect(0, Mode::Unwell, &["status"]);
    assert!(text(&status).contains("sysconfig failed, dev-9p-mount active"), "{}", text(&status));
    scene.expect(10, Mode::Unwell, &["wait"]);
    scene.expect(0, Mode::Unwell, &["down"]);
    let up = scene.expect(0, Mode::Ready, &["up"]);
    assert!(!text(&up).contains("but the guest"), "{}", text(&up));
}

/// Where there is no share, nobody can expect the service that makes it appear.
#[test]
fn a_guest_without_a_share_is_well_without_the_service_of_the_share() {
    let scene = Scene::new();
    let up = scene.expect(0, Mode::Shareless, &["up", "--no-share"]);
    assert!(!text(&up).contains("but the guest"), "{}", text(&up));
    assert_eq!(scene.status("dev")["services"][1]["healthy"], true);
    scene.expect(0, Mode::Shareless, &["wait"]);
    scene.expect(0, Mode::Shareless, &["down"]);
    let share = scene.root().join("share");
    fs::create_dir(&share).unwrap();
    let up = scene.expect(10, Mode::Shareless, &["up", "--share", share.to_str().unwrap()]);
    assert!(text(&up).contains("dev-9p-mount is maintenance"), "{}", text(&up));
    scene.expect(0, Mode::Shareless, &["down"]);
}

#[test]
fn a_killed_qemu_leaves_nothing_that_blocks_the_next_up() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    let pid = scene.status("dev")["pid"].as_i64().unwrap();
    scene.kill(pid);
    scene.wait_for_state("dev", "stopped");
    let directory = scene.machine("dev");
    for left in ["qmp.sock", "serial.sock", "qemu.pid"] {
        assert!(directory.join(left).exists(), "{left} is what a killed QEMU leaves");
    }
    scene.expect(0, Mode::Ready, &["up"]);
    assert_ne!(scene.status("dev")["pid"].as_i64().unwrap(), pid);
    scene.expect(0, Mode::Ready, &["down"]);
}

#[test]
fn a_stale_pid_file_naming_a_living_process_is_not_believed() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["down"]);
    // Our own process is alive, and surely is not this machine's QEMU.
    let own = std::process::id().to_string();
    fs::write(scene.machine("dev").join("qemu.pid"), own).unwrap();
    let status = scene.status("dev");
    assert_eq!(status["state"], "stopped");
    assert!(status["pid"].is_null());
    scene.expect(0, Mode::Ready, &["down", "--force"]);
    scene.expect(0, Mode::Ready, &["up"]);
}

#[test]
fn a_killed_dev_vm_leaves_a_machine_that_can_be_used() {
    let scene = Scene::new();
    let mut waiting = scene.start(Mode::Silent, &["up"]);
    scene.wait_for(|| scene.machine("dev").join("qemu.pid").exists().then_some(()));
    waiting.kill();
    assert_eq!(scene.status("dev")["state"], "booting", "QEMU lives on");
    scene.expect(9, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["down", "--force"]);
    scene.expect(0, Mode::Ready, &["up"]);
}

/// Ctrl-C while the guest booted ended dev-vm without a word on the machine that went on.
#[test]
fn a_signal_ends_the_waiting_and_not_the_machine() {
    let scene = Scene::new();
    for (verb, signal, code) in [("up", "INT", 130), ("wait", "TERM", 143)] {
        let mut waiting = scene.start(Mode::Silent, &[verb]);
        scene.wait_for(|| scene.started_output().contains("waiting for the guest").then_some(()));
        scene.signal(signal, i64::from(waiting.pid()));
        let ended = scene.wait_for(|| waiting.try_wait().unwrap());
        assert_eq!(ended.code(), Some(code), "{}", scene.started_output());
        let said = scene.started_output();
        for part in ["goes on booting", "dev-vm logs -f", "dev-vm down"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        assert_eq!(scene.status("dev")["state"], "booting");
    }
}

#[test]
fn two_machines_run_side_by_side() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up", "--name", "one"]);
    scene.expect(0, Mode::Ready, &["up", "--name", "two"]);
    let (one, two) = (scene.status("one"), scene.status("two"));
    assert_eq!((&one["state"], &two["state"]), (&"ready".into(), &"ready".into()));
    assert_ne!(one["ssh_port"], two["ssh_port"]);
    assert_ne!(one["pid"], two["pid"]);
    let list = scene.expect(0, Mode::Ready, &["list"]);
    assert_eq!(list.stdout_text().lines().count(), 2, "{}", text(&list));

    scene.expect(0, Mode::Ready, &["down", "--name", "one"]);
    assert_eq!(scene.status("one")["state"], "stopped");
    assert_eq!(scene.status("two")["state"], "ready", "the other one is left alone");
}

#[test]
fn a_guest_that_is_not_ready_in_time_is_shown_and_left_running() {
    let scene = Scene::new();
    let up = scene.expect(6, Mode::Silent, &["up", "--timeout", "1"]);
    let said = text(&up);
    for part in ["line 40 of the boot", "not ready after 1 s", "dev-vm console", "dev-vm logs"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(!said.contains("line 10 of the boot"), "only the last lines: {said}");
    assert_eq!(scene.status("dev")["state"], "booting");
}

#[test]
fn only_this_boots_ready_line_counts() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(6, Mode::Silent, &["up", "--timeout", "1"]);
    let log = scene.expect(0, Mode::Ready, &["logs"]).stdout_text();
    assert!(log.contains("line 40") && !log.contains("dev-vm: ready"), "{log}");
    let log = scene.expect(0, Mode::Ready, &["logs", "--all"]).stdout_text();
    assert!(log.contains("dev-vm: ready"), "{log}");
}

#[test]
fn a_machine_that_dies_while_booting_shows_what_it_said() {
    let scene = Scene::new();
    let said = text(&scene.expect(7, Mode::Dies, &["up"]));
    for part in ["Kernel panic", "exit status 1", "internal error of the emulator"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert_eq!(scene.status("dev")["state"], "stopped");
    let said = text(&scene.expect(7, Mode::Rejects, &["up"]));
    assert!(said.contains("no such option") && said.contains("did not start"), "{said}");
}

#[test]
fn a_port_that_somebody_else_took_is_replaced() {
    let scene = Scene::new();
    scene.expect(0, Mode::PortTakenOnce, &["up"]);
    let starts = scene.starts("dev");
    let port = scene.status("dev")["ssh_port"].to_string();
    let forward = format!("hostfwd=tcp:127.0.0.1:{port}-:22");
    assert!(starts.len() > 1 && starts.last().unwrap().contains(&forward), "{forward} {starts:?}");
    scene.expect(0, Mode::Ready, &["down"]);

    // A port that is in use before QEMU even starts is not tried at all.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    scene.change_config("dev", |config| config["ssh_port"] = taken_port.into());
    scene.expect(0, Mode::Ready, &["up"]);
    assert_ne!(scene.status("dev")["ssh_port"], taken_port);
    let tried = format!("127.0.0.1:{taken_port}-");
    assert!(!scene.starts("dev").iter().any(|start| start.contains(&tried)));
}

#[test]
fn a_stubborn_guest_is_stopped_and_a_deaf_qemu_killed() {
    let scene = Scene::new();
    scene.expect(0, Mode::Stubborn, &["up"]);
    let down = scene.expect(0, Mode::Stubborn, &["down", "--timeout", "1"]);
    assert!(text(&down).contains("did not power off in time"), "{}", text(&down));
    assert_eq!(scene.status("dev")["state"], "stopped");

    scene.expect(0, Mode::Deaf, &["up"]);
    let down = scene.expect(0, Mode::Deaf, &["down", "--force"]);
    assert!(text(&down).contains("killed"), "{}", text(&down));
    assert_eq!(scene.status("dev")["state"], "stopped");
}

#[test]
fn a_changed_image_is_noticed_before_the_disk_is_ruined() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["down"]);
    fs::write(scene.image(), [3u8; 8192]).unwrap();
    let up = scene.expect(0, Mode::Ready, &["up"]);
    assert!(text(&up).contains("never written to"), "{}", text(&up));
    scene.expect(0, Mode::Ready, &["down"]);

    scene.write_to_disk("dev");
    fs::write(scene.image(), [4u8; 4096]).unwrap();
    let said = text(&scene.expect(8, Mode::Ready, &["up"]));
    for part in ["8192", "4096", "--recreate", "dev-vm reset"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(scene.status("dev")["image_changed"].is_string());
    scene.expect(0, Mode::Ready, &["up", "--recreate"]);
    scene.expect(0, Mode::Ready, &["down"]);

    scene.write_to_disk("dev");
    fs::write(scene.image(), [5u8; 4096]).unwrap();
    scene.expect(8, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["reset"]);
    scene.expect(0, Mode::Ready, &["up"]);
}

#[test]
fn the_disk_is_not_touched_while_the_machine_runs() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    for verb in [&["reset"][..], &["snapshot", "a"], &["restore", "a"]] {
        let said = text(&scene.expect(9, Mode::Ready, verb));
        assert!(said.contains("is running") && said.contains("dev-vm down"), "{said}");
    }
    scene.expect(0, Mode::Ready, &["down"]);
    scene.write_to_disk("dev");
    scene.expect(0, Mode::Ready, &["snapshot", "a"]);
    scene.expect(0, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["restore", "a"]);
    scene.expect(1, Mode::Ready, &["restore", "b"]);
    let list = scene.expect(0, Mode::Ready, &["snapshot"]);
    assert!(list.stdout_text().starts_with("a "), "{}", text(&list));
}

#[test]
fn what_is_missing_is_named_with_its_package() {
    let scene = Scene::new();
    let said = text(&scene.run_with_path("/nonexistent", &["up"], 5));
    assert!(said.contains("qemu-system-x86_64 is not installed"), "{said}");
    assert!(said.contains("apt-get install qemu-system-x86 ovmf openssh-client"), "{said}");

    fs::remove_file(scene.image()).unwrap();
    let said = text(&scene.expect(1, Mode::Ready, &["up"]));
    assert!(said.contains("there is no image") && said.contains("dev-build.sh"), "{said}");
    assert!(!scene.machine("dev").exists(), "nothing is made for a machine that cannot be");
    let said = text(&scene.expect(4, Mode::Ready, &["down"]));
    assert!(said.contains("there is no machine `dev`"), "{said}");
}

#[test]
fn exec_passes_arguments_and_exit_status_through() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    let exec = scene.expect(42, Mode::Ready, &["exec", "--", "echo", "a b", "$HOME"]);
    assert_eq!(exec.stdout_text(), "from the guest\n", "{}", text(&exec));
    let arguments = scene.ssh_arguments("dev");
    assert_eq!(arguments.last().unwrap(), "'echo' 'a b' '$HOME'");
    let port = scene.status("dev")["ssh_port"].to_string();
    for part in ["IdentitiesOnly=yes", "BatchMode=yes", "root@127.0.0.1", "-T", &port] {
        assert!(arguments.iter().any(|argument| argument == part), "{part}: {arguments:?}");
    }
    scene.expect(0, Mode::Ready, &["down"]);
    let said = text(&scene.expect(255, Mode::Ready, &["exec", "--", "true"]));
    assert!(said.contains("is not running"), "{said}");
}

#[test]
fn the_console_is_reached_and_belongs_to_one() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    let console = scene.run_with_input(b"root\n", &["console"]);
    assert_eq!(console.code, Some(0), "{}", text(&console));
    assert!(console.stdout_text().contains("login: root"), "{}", text(&console));
    let mut first = scene.start_console();
    let said = text(&scene.expect(1, Mode::Ready, &["console"]));
    assert!(said.contains("somebody else is attached"), "{said}");
    first.kill();
}

#[test]
fn logs_can_be_followed_until_the_machine_stops() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    let mut following = scene.start(Mode::Ready, &["logs", "-f"]);
    scene.wait_for(|| scene.started_output().contains("line 40 of the boot").then_some(()));
    assert!(following.try_wait().unwrap().is_none(), "it goes on while the machine runs");
    let log = fs::OpenOptions::new().append(true).open(scene.machine("dev").join("console.log"));
    std::io::Write::write_all(&mut log.unwrap(), b"\x1b[1mlater\x1b[0m\n").unwrap();
    scene.expect(0, Mode::Ready, &["down"]);
    let ended = scene.wait_for(|| following.try_wait().unwrap());
    assert!(ended.success());
    assert!(scene.started_output().contains("\nlater\n"), "{}", scene.started_output());
}

#[test]
fn machines_deep_in_the_tree_work() {
    let scene = Scene::in_directory(&format!("{}/{}", "d".repeat(120), "e".repeat(120)));
    scene.expect(0, Mode::Ready, &["up"]);
    assert!(scene.machine("dev").join("qmp.sock").as_os_str().len() > 200);
    let down = scene.expect(0, Mode::Ready, &["down"]);
    assert!(text(&down).contains("powered off"), "{}", text(&down));
}

#[test]
fn a_verb_at_work_is_waited_for_and_then_named() {
    let scene = Scene::new();
    scene.expect(0, Mode::Ready, &["up"]);
    let path = scene.machine("dev").join("operation.lock");
    let lock = dev_vm::lock::OperationLock::acquire(&path, Duration::ZERO).unwrap();
    let said = text(&scene.expect(1, Mode::Ready, &["down"]));
    assert!(said.contains("another dev-vm is at work"), "{said}");
    drop(lock);
    scene.expect(0, Mode::Ready, &["down"]);
}

/// A first-level table entry that is not zero: what a guest's first write leaves.
pub(crate) fn mark_as_written(overlay: &std::path::Path) {
    let file = fs::File::options().write(true).open(overlay).unwrap();
    file.write_all_at(&[0x80], 3 << 16).unwrap();
}

#[test]
fn the_documents_name_verbs_and_options_that_there_are() {
    let (commands, problems) = test_judge::wrong_in_documents("dev-vm", env!("CARGO_BIN_EXE_dev-vm").as_ref());
    assert_eq!(problems, [""; 0]);
    assert!(commands >= 10, "{commands} commands of dev-vm were found");
}
