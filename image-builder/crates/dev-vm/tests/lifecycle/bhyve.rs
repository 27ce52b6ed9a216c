//! `dev-vm` with a bhyve that runs until it is told to end, and shows which disk it was given.

use crate::fake_qemu::Mode;
use crate::scene::{Scene, text};
use process_runner::{Command, Detached};
use std::fs;

/// Looks every tenth of a second whether it is to power off, for ten minutes.
const BHYVE: &str = r#"#!/bin/sh
echo "$@" >>starts
case "$*" in *" 999999M "*) echo "cannot have so much memory" >&2; exit 4 ;; esac
disk=$(echo "$*" | sed 's/.*virtio-blk,\([^ ]*\).*/\1/')
head -c 8 "$disk" >>booted
echo $$ >bhyve.pid
turns=0
until [ -e poweroff ] || [ $turns -gt 6000 ]; do sleep 0.1 && turns=$((turns + 1)); done
exit 1
"#;
const BHYVECTL: &str = "#!/bin/sh\necho \"$@\" >>ctl\n[ \"$2\" != --force-poweroff ] || echo >poweroff\n";
const UP: [&str; 3] = ["up", "--hypervisor", "bhyve-illumos"];

struct Machine {
    scene: Scene,
}

impl Machine {
    fn new() -> Self {
        let scene = Scene::new();
        scene.write_program("bhyve", BHYVE);
        scene.write_program("bhyvectl", BHYVECTL);
        scene.write_program("dladm", "#!/bin/sh\n");
        scene.write_program("id", "#!/bin/sh\necho 0\n");
        fs::write(scene.image(), "OLDIMAGE").unwrap();
        Self { scene }
    }

    /// Boots, and powers off at once.
    fn up(&self, code: i32, more: &[&str]) -> String {
        self.write("poweroff", "");
        let image = self.scene.image();
        let firmware = ("DEV_VM_BHYVE_FIRMWARE", image.to_str().unwrap());
        let up = self.scene.run_with_variable(firmware, &[&UP, more].concat());
        assert_eq!(up.code, Some(code), "{}", text(&up));
        text(&up)
    }

    /// Boots, and runs until it is told to end.
    fn start(&self) -> Detached {
        for file in ["poweroff", "bhyve.pid"] {
            let _ = fs::remove_file(self.scene.root().join(file));
        }
        let image = self.scene.image();
        let dev_vm = self.scene.start_with_variable(("DEV_VM_BHYVE_FIRMWARE", image.to_str().unwrap()), &UP);
        self.scene.wait_for(|| self.read("bhyve.pid").ends_with('\n').then_some(()));
        dev_vm
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.scene.root().join(file)).unwrap_or_default()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.scene.root().join(file), text).unwrap();
    }
}

/// A QEMU that was killed leaves its number behind, and by now that may be anybody's.
#[test]
fn only_bhyve_is_ended_when_the_machine_is() {
    let machine = Machine::new();
    let scene = &machine.scene;
    machine.up(0, &[]);
    let log = fs::File::create(scene.root().join("other.log")).unwrap();
    let mut other = Command::new("sleep").arg("600").spawn_detached(&log).unwrap();
    fs::write(scene.machine("dev").join("qemu.pid"), other.pid().to_string()).unwrap();
    let mut dev_vm = machine.start();
    fs::write(scene.machine("dev").join("qemu.pid"), other.pid().to_string()).unwrap();
    let status = scene.status("dev");
    assert_eq!((&status["state"], &status["hypervisor"]), (&"running".into(), &"bhyve-illumos".into()));
    assert!(status["pid"].is_null());
    for verb in [&["exec", "--", "true"][..], &["console"], &["wait"], &["reboot"]] {
        let said = text(&scene.run(Mode::Ready, verb));
        assert!(said.contains("nothing leads into it but its console"), "{said}");
    }
    let said = text(&scene.expect(1, Mode::Ready, &["down"]));
    assert!(said.contains("`poweroff` in the guest") && said.contains("--force"), "{said}");
    assert!(dev_vm.try_wait().unwrap().is_none(), "it goes on");
    scene.expect(0, Mode::Ready, &["down", "--force"]);
    assert!(scene.wait_for(|| dev_vm.try_wait().unwrap()).success());
    assert!(other.try_wait().unwrap().is_none(), "it has nothing to do with the machine");
    other.kill();
    assert!(machine.read("ctl").contains("--vm=dev-vm-dev --force-poweroff"));
}

/// Whatever was built or named, the copy of the first image was booted.
#[test]
fn a_copy_of_another_image_is_not_booted() {
    let machine = Machine::new();
    machine.up(0, &[]);
    machine.up(0, &[]);
    assert_eq!(machine.read("booted"), "OLDIMAGE".repeat(2));
    fs::write(machine.scene.image(), "NEWIMAGE and longer").unwrap();
    let said = machine.up(8, &[]);
    assert!(said.contains("--recreate"), "{said}");
    assert!(machine.scene.status("dev")["image_changed"].is_string());
    machine.up(0, &["--recreate"]);
    machine.up(0, &[]);
    assert_eq!(machine.read("booted"), "OLDIMAGE".repeat(2) + &"NEWIMAGE".repeat(2));
    let other = machine.scene.root().join("b.raw");
    fs::write(&other, "ANOTHER!").unwrap();
    machine.up(8, &["--image", other.to_str().unwrap()]);
    assert_eq!(machine.scene.status("dev")["image"], machine.scene.image().to_str().unwrap());
    machine.scene.expect(0, Mode::Ready, &["reset"]);
    machine.up(0, &["--image", other.to_str().unwrap()]);
    assert!(machine.read("booted").ends_with("ANOTHER!"));
}

#[test]
fn what_bhyve_refuses_does_not_stay() {
    let machine = Machine::new();
    machine.up(0, &["--memory", "3000"]);
    let destroyed = machine.read("ctl");
    let said = machine.up(7, &["--memory", "999999"]);
    assert!(said.contains("exit status 4"), "{said}");
    assert_eq!(machine.scene.status("dev")["memory_mib"], 3000);
    assert_eq!(machine.read("ctl"), destroyed, "the name may be that of another machine");
}

/// The lock went with dev-vm, and the next `up` destroyed the machine that ran.
#[test]
fn a_machine_outlives_its_dev_vm() {
    let machine = Machine::new();
    let mut dev_vm = machine.start();
    // It alone; bhyve is of the same process group.
    machine.scene.kill(i64::from(dev_vm.pid()));
    machine.scene.wait_for(|| dev_vm.try_wait().unwrap());
    let bhyve = machine.read("bhyve.pid");
    for more in [&[][..], &["--recreate"]] {
        // The file that ends it must not be there yet.
        let image = machine.scene.image();
        let firmware = ("DEV_VM_BHYVE_FIRMWARE", image.to_str().unwrap());
        let up = machine.scene.run_with_variable(firmware, &[&UP, more].concat());
        assert_eq!(up.code, Some(9), "{}", text(&up));
    }
    machine.scene.expect(9, Mode::Ready, &["reset"]);
    assert_eq!((machine.read("bhyve.pid"), machine.read("ctl")), (bhyve, String::new()));
    machine.scene.expect(0, Mode::Ready, &["down", "--force"]);
    machine.up(0, &[]);
}
