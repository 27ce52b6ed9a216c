//! The machine for each hypervisor: what `print` shows, and what `up` runs where it is not QEMU.

use crate::fake_qemu::Mode;
use crate::scene::{Scene, text};
use std::fs;

#[test]
fn the_printed_command_is_the_one_that_runs() {
    let scene = Scene::new();
    let before = scene.expect(0, Mode::Ready, &["print", "--share", "."]).stdout_text();
    scene.expect(0, Mode::Ready, &["up"]);
    let during = scene.expect(0, Mode::Ready, &["print"]).stdout_text();
    // But for the port, which somebody else may have taken in between.
    let without_port = |text: &str| text.lines().filter(|line| !line.contains("hostfwd")).collect::<String>();
    assert_eq!(without_port(&before), without_port(&during));
    // A shell reads it back as the very arguments that QEMU was given.
    let starts = scene.starts("dev");
    let start = starts.last().unwrap();
    let (_, command) = during.split_once("&&\n").unwrap();
    let script = format!("set -- {command}\nshift; printf '%s\\n' \"$@\"");
    let shell = process_runner::Command::new("sh").args(["-c", &script]).run().unwrap();
    assert_eq!(shell.stdout_text(), *start);
    scene.expect(0, Mode::Ready, &["down"]);
    for (hypervisor, part) in [
        ("bhyve", "virtio-9p,repo="),
        ("bhyve-illumos", "virtio-net-viona,vnic="),
        ("bhyve-freebsd", "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd"),
        ("libvirt", "<target dir='repo'/>"),
    ] {
        let printed = scene.expect(0, Mode::Ready, &["print", "--hypervisor", hypervisor]);
        assert!(printed.stdout_text().contains(part), "{}", text(&printed));
    }
}

/// No QEMU, no disk, no key of bhyve's: a description needs nothing of the host.
#[test]
fn a_host_without_qemu_prints_for_other_hosts() {
    let scene = Scene::new();
    for (hypervisor, part) in [("bhyve-illumos", "bhyve -H -w"), ("bhyve-freebsd", "bhyve -A -H -w")] {
        let print = ["print", "--hypervisor", hypervisor, "--memory", "4096", "--share", "."];
        let printed = scene.run_with_path("/nonexistent", &print, 0).stdout_text().replace(" \\\n ", "");
        assert!(printed.contains(part) && printed.contains("-m 4096M"), "{printed}");
        assert!(printed.contains("/a.raw ") && printed.contains("bhyvectl --vm=dev-vm-dev --destroy"), "{printed}");
    }
    assert!(!scene.machine("dev").join("disk.raw").exists());
}

/// bhyve is started again for as long as the guest asks for it, and its end has the meaning of its manual.
#[test]
fn up_runs_bhyve_until_the_guest_powers_off() {
    let scene = Scene::new();
    let root = scene.root();
    // Twice to be started again, then what the test says. Firmware is what a host of illumos or FreeBSD has alone.
    scene.write_program(
        "bhyve",
        "#!/bin/sh\necho \"$@\" >>starts\nread -r count <count 2>/dev/null || count=0\necho $((count + 1)) >count\n\
         [ $count -lt 2 ] && exit 0\nexit \"$(cat status)\"\n",
    );
    scene.write_program("bhyvectl", "#!/bin/sh\necho \"$@\" >>ends\n");
    scene.write_program("dladm", "#!/bin/sh\necho \"$@\" >>dladm\n");
    scene.write_program("id", "#!/bin/sh\necho 1000\n");
    let firmware = |path: &str, up: &[&str]| scene.run_with_variable(("DEV_VM_BHYVE_FIRMWARE", path), up);
    let up = firmware("/nonexistent/firmware", &["up", "--hypervisor", "bhyve-illumos"]);
    for part in ["no firmware at /nonexistent", "only root runs a machine with bhyve here: pfexec dev-vm"] {
        assert!(text(&up).contains(part), "{part}: {}", text(&up));
    }
    assert_eq!(up.code, Some(5));
    assert_eq!(fs::read_to_string(root.join("dladm")).unwrap(), "show-vnic dev0\n");
    assert!(!scene.machine("dev").join("disk.raw").exists(), "nothing is copied for a host that cannot run it");
    scene.write_program("id", "#!/bin/sh\necho 0\n");
    for (status, code, expected) in [(1, 0, "the guest powered off"), (3, 7, "triple fault"), (4, 7, "exit status 4")] {
        for file in ["starts", "ends", "count"] {
            let _ = fs::remove_file(root.join(file));
        }
        fs::write(root.join("status"), status.to_string()).unwrap();
        let up = ["up", "--hypervisor", "bhyve-illumos", "--cpus", "3"];
        let up = firmware(scene.image().to_str().unwrap(), &up);
        assert_eq!(up.code, Some(code), "{}", text(&up));
        assert!(text(&up).contains(expected), "{}", text(&up));
        let starts = fs::read_to_string(root.join("starts")).unwrap();
        assert!(starts.lines().count() == 3 && starts.contains("-c 3 "), "{starts}");
        // After an error of its own it may be another's machine that has the name.
        let destroyed = if status == 4 { 2 } else { 3 };
        assert_eq!(fs::read_to_string(root.join("ends")).unwrap(), "--vm=dev-vm-dev --destroy\n".repeat(destroyed));
        assert_eq!(fs::read(scene.machine("dev").join("disk.raw")).unwrap(), fs::read(scene.image()).unwrap());
    }
    assert_eq!(scene.status("dev")["cpus"], 3, "settings are remembered");
}

/// libvirt is handed a domain that it takes, and the console that it writes down says when the guest is ready.
#[test]
fn up_hands_the_machine_to_libvirt() {
    let scene = Scene::new();
    let root = scene.root();
    scene.write_program(
        "virsh",
        "#!/bin/sh\necho \"$@\" >>virsh\ncase \"$*\" in\n*define*) cp \"$6\" domain.xml ;;\n\
         *start*) printf 'dev-vm: ready sysconfig=online\\n' >>\"$(sed -n \"s/.*<log file='\\([^']*\\)'.*/\\1/p\" domain.xml)\" ;;\nesac\n",
    );
    let up = text(&scene.expect(0, Mode::Ready, &["up", "--hypervisor", "libvirt", "--share", ".", "--accel", "tcg"]));
    assert!(up.contains("ready after") && up.contains("`dev-vm down` stops it"), "{up}");
    let asked = fs::read_to_string(root.join("virsh")).unwrap();
    assert!(
        asked.contains("--connect qemu:///session --quiet define --validate ")
            && asked.contains("start --reset-nvram dev-vm-dev")
    );
    let domain = root.join("domain.xml");
    assert!(fs::read_to_string(&domain).unwrap().contains("<domain type='qemu'>"));
    test_judge::approve("virt-xml-validate", "libvirt-clients", &[domain.as_os_str(), "domain".as_ref()]);
    assert!(scene.machine("dev").join("overlay.qcow2").exists());
}

/// Debian 12's libvirt knows passt by its schema and refuses it by its parser.
#[test]
fn a_libvirt_without_passt_is_told() {
    let scene = Scene::new();
    let words = "error: XML error: Invalid value for attribute 'type' in element 'backend': 'passt'.";
    scene.write_program("virsh", &format!("#!/bin/sh\necho \"{words}\" >&2\nexit 1\n"));
    let up = text(&scene.expect(5, Mode::Ready, &["up", "--hypervisor", "libvirt", "--accel", "tcg"]));
    for part in ["needs passt", "Debian 12", "--hypervisor qemu", "element 'backend': 'passt'"] {
        assert!(up.contains(part), "{part}: {up}");
    }
}
