//! `dev-vm` with a libvirt that remembers what it was told.

use crate::fake_qemu::Mode;
use crate::scene::{Scene, text};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// One domain: it refuses another uuid under the same name, as the real one does, and starts nothing twice.
const VIRSH: &str = r#"#!/bin/sh
[ ! -e unreachable ] || { echo "error: failed to connect to the hypervisor" >&2; exit 1; }
echo "$4" >>verbs
shift 3
echo "$@" >>asked
case $1 in
define)
	uuid=$(sed -n 's|.*<uuid>\(.*\)</uuid>.*|\1|p' "$3")
	known=$(cat uuid 2>/dev/null) || known=$uuid
	[ "$uuid" = "$known" ] || { echo "error: operation failed: domain 'x' already exists with uuid $known" >&2; exit 1; }
	echo "$uuid" >uuid
	cp "$3" domain.xml
	! grep -q "machine='nosuch'" domain.xml || { echo "error: unsupported configuration: no such machine" >&2; exit 1; }
	;;
start)
	[ ! -e active ] || { echo "error: Domain is already active" >&2; exit 1; }
	[ ! -e dies ] || exit 0
	[ ! -e broken ] || { echo "error: internal error: no memory" >&2; exit 1; }
	[ "$2" != --reset-nvram ] || shift
	echo "$2" >active
	log=$(sed -n "s/.*<log file='\([^']*\)'.*/\1/p" domain.xml)
	printf 'dev-vm: ready sysconfig=online\n' >>"$log"
	;;
list) [ ! -e active ] || cat active ;;
shutdown) [ -e stubborn ] || rm -f active ;;
destroy) rm -f active ;;
console) echo "the console of $2" ;;
esac
"#;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write_program("virsh", VIRSH);
    scene
}

const UP: [&str; 5] = ["up", "--hypervisor", "libvirt", "--accel", "tcg"];

fn up(scene: &Scene, code: i32, more: &[&str]) -> String {
    text(&scene.expect(code, Mode::Ready, &[&UP, more].concat()))
}

/// Each `up` defined a domain without a uuid, and so libvirt refused every one but the first.
#[test]
fn a_machine_is_started_again_and_reached_as_under_qemu() {
    let scene = scene();
    up(&scene, 0, &[]);
    let status = scene.status("dev");
    assert_eq!((&status["state"], &status["hypervisor"]), (&"ready".into(), &"libvirt".into()));
    assert!(status["pid"].is_null());
    assert_eq!(scene.run(Mode::Ready, &["exec", "--", "true"]).code, Some(42), "what ssh answers here");
    let port = status["ssh_port"].to_string();
    assert!(scene.ssh_arguments("dev").contains(&port));
    let console = scene.expect(0, Mode::Ready, &["console"]).stdout_text();
    assert!(console.contains("the console of dev-vm-dev"), "{console}");
    scene.expect(0, Mode::Ready, &["wait"]);
    let down = text(&scene.expect(0, Mode::Ready, &["down"]));
    assert!(down.contains("the guest powered off"), "{down}");
    assert_eq!(scene.run(Mode::Ready, &["status"]).code, Some(3));
    up(&scene, 0, &["--recreate"]);
    fs::write(scene.root().join("stubborn"), "").unwrap();
    let down = text(&scene.expect(0, Mode::Ready, &["down", "--timeout", "1"]));
    assert!(down.contains("did not power off in time"), "{down}");
    scene.expect(0, Mode::Ready, &["up"]);
    assert_eq!(scene.status("dev")["hypervisor"], "qemu");
}

/// The firmware's variables are libvirt's own, and would outlive the disk that they were about.
#[test]
fn a_new_disk_comes_with_new_variables_of_the_firmware() {
    let scene = scene();
    for (verb, more) in [("up", &[][..]), ("up", &[]), ("up", &["--recreate"]), ("reset", &[]), ("up", &[])] {
        match verb {
            "up" => drop(up(&scene, 0, more)),
            verb => drop(scene.expect(0, Mode::Ready, &[verb])),
        }
        if verb == "up" {
            scene.expect(0, Mode::Ready, &["down"]);
        }
    }
    assert_eq!(starts(&scene), [ANEW, AGAIN, ANEW, ANEW]);
}

const ANEW: &str = "start --reset-nvram dev-vm-dev";
const AGAIN: &str = "start dev-vm-dev";

fn starts(scene: &Scene) -> Vec<String> {
    let asked = fs::read_to_string(scene.root().join("asked")).unwrap();
    asked.lines().filter(|line| line.starts_with("start ")).map(str::to_owned).collect()
}

/// The start that failed had thrown nothing away, and the one after it kept the old variables.
#[test]
fn variables_are_new_until_a_start_succeeds() {
    let scene = scene();
    let broken = scene.root().join("broken");
    for before in [&[][..], &["--recreate"]] {
        fs::write(&broken, "").unwrap();
        up(&scene, 1, before);
        fs::remove_file(&broken).unwrap();
        up(&scene, 0, &[]);
        scene.expect(0, Mode::Ready, &["down"]);
    }
    up(&scene, 0, &[]);
    assert_eq!(starts(&scene), [ANEW, ANEW, ANEW, ANEW, AGAIN]);
}

/// libvirt knows the domain still, and somebody can start it there.
#[test]
fn libvirt_is_asked_after_a_reset_too() {
    let scene = scene();
    up(&scene, 0, &[]);
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["reset"]);
    fs::write(scene.root().join("active"), "dev-vm-dev\n").unwrap();
    for verb in [&["reset"][..], &["snapshot", "a"], &["up", "--recreate"]] {
        let said = text(&scene.expect(9, Mode::Ready, verb));
        assert!(said.contains("dev-vm down"), "{said}");
    }
}

/// libvirt holds no lock of ours: the disk was exchanged under the running machine.
#[test]
fn the_disk_is_not_touched_while_libvirt_runs_the_machine() {
    let scene = scene();
    up(&scene, 0, &[]);
    let inode = || fs::metadata(scene.machine("dev").join("overlay.qcow2")).unwrap().ino();
    let before = inode();
    for verb in [&["reset"][..], &["snapshot", "a"], &["restore", "a"], &["up", "--recreate"]] {
        let said = text(&scene.expect(9, Mode::Ready, verb));
        assert!(said.contains("dev-vm down"), "{said}");
    }
    up(&scene, 9, &["--recreate"]);
    assert_eq!(inode(), before);
    fs::write(scene.root().join("unreachable"), "").unwrap();
    let said = text(&scene.expect(1, Mode::Ready, &["reset"]));
    assert!(said.contains("cannot ask libvirt") && said.contains("domain.xml"), "{said}");
    assert_eq!(inode(), before);
    fs::remove_file(scene.root().join("unreachable")).unwrap();
    scene.expect(0, Mode::Ready, &["down"]);
    scene.expect(0, Mode::Ready, &["reset"]);
    assert_ne!(inode(), before);
}

#[test]
fn what_libvirt_refuses_does_not_stay() {
    let scene = scene();
    up(&scene, 0, &[]);
    scene.expect(0, Mode::Ready, &["down"]);
    let said = up(&scene, 1, &["--machine", "nosuch"]);
    assert!(said.contains("no such machine"), "{said}");
    scene.expect(0, Mode::Ready, &["up"]);
    scene.expect(0, Mode::Ready, &["down"]);
    fs::write(scene.root().join("uuid"), "another").unwrap();
    let said = up(&scene, 1, &[]);
    assert!(said.contains("undefine --nvram dev-vm-dev") && said.contains("--name"), "{said}");
}

#[test]
fn a_domain_that_dies_at_once_is_not_waited_for() {
    let scene = scene();
    fs::write(scene.root().join("dies"), "").unwrap();
    let said = up(&scene, 7, &[]);
    assert!(said.contains("libvirt does not run it any more"), "{said}");
}
