//! What only the real QEMU can judge: that it accepts our disks, our probe guest and our command.
//!
//! No operating system is booted here.

use dev_vm::image::{DiskFormat, ImageIdentity};
use dev_vm::{Accelerator, DownOptions, Host, Progress, ShareChoice, Stopped, UpOptions, Vm, VmDirectory};
use dev_vm::{accelerator, overlay, qcow2};
use process_runner::Command;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// The host, when it has QEMU (and firmware, if that is needed).
fn host(with_firmware: bool) -> Option<Host> {
    let host = Host::from_environment();
    let qemu = Path::new(&host.qemu).is_absolute();
    let firmware = || dev_vm::firmware::choose(&host.firmware_directories, "x86_64", "pc").is_ok();
    if qemu && (!with_firmware || firmware()) {
        return Some(host);
    }
    test_judge::skip("QEMU or its firmware is missing; install the packages qemu-system-x86 and ovmf");
    None
}

#[test]
fn translation_runs_the_probe_guest_to_its_end() {
    let Some(host) = host(false) else { return };
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("accelerator.json");
    let found = accelerator::choose(&host, &cache, Some(Accelerator::Tcg)).unwrap();
    assert_eq!(found.accelerator, Accelerator::Tcg);
    assert!(!cache.exists(), "what was asked for says nothing about the host");

    // Whatever this host can do, something is chosen, and the second time without trying.
    let found = accelerator::choose(&host, &cache, None).unwrap();
    assert!(!found.reason.is_empty());
    let mut text = fs::read_to_string(&cache).unwrap();
    text = text.replace(&found.reason, "from the cache");
    fs::write(&cache, text).unwrap();
    assert_eq!(accelerator::choose(&host, &cache, None).unwrap().reason, "from the cache");
    fs::write(&cache, "{ torn").unwrap();
    assert_ne!(accelerator::choose(&host, &cache, None).unwrap().reason, "from the cache");
}

/// A boot sector that adds one to the first byte of sector 2 and hands the new value to the debug exit device.
fn counting_sector() -> Vec<u8> {
    let mut sector: Vec<u8> = [
        &[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c][..], // ax, ds, es, ss = 0; sp = 0x7c00
        &[0xb8, 0x01, 0x02, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xbb, 0x00, 0x80, 0xcd, 0x13], // read to 0x8000
        &[0xfe, 0x06, 0x00, 0x80],                                               // inc byte [0x8000]
        &[0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xbb, 0x00, 0x80, 0xcd, 0x13], // write back
        &[0xba, 0x01, 0x05, 0xa0, 0x00, 0x80, 0xee, 0xf4],                       // out 0x501; hlt
    ]
    .concat();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// Boots the machine's overlay once and answers what the guest counted.
fn count(host: &Host, directory: &VmDirectory) -> i32 {
    let output = Command::new(&host.qemu)
        .args(["-machine", "pc", "-accel", "tcg", "-m", "16", "-nodefaults", "-display", "none"])
        // The debug exit device ends QEMU without flushing, so every write goes through.
        .args(["-drive", "file=overlay.qcow2,format=qcow2,if=ide,cache=writethrough"])
        .args(["-device", "isa-debug-exit,iobase=0x501,iosize=1"])
        .current_dir(directory.path())
        .run_any()
        .unwrap();
    // QEMU ends with value << 1 | 1.
    output.code.unwrap() >> 1
}

#[test]
fn qemu_reads_and_writes_our_overlays_and_never_the_image() {
    let Some(host) = host(false) else { return };
    let root = tempfile::tempdir().unwrap();
    let image = root.path().join("a.raw");
    let mut bytes = counting_sector();
    // Not a whole number of clusters, and beyond what one table entry covers when read as a sparse file.
    bytes.resize(3 * 512, 0);
    fs::write(&image, &bytes).unwrap();
    fs::File::options().write(true).open(&image).unwrap().set_len((600 << 20) + 512).unwrap();
    let directory = VmDirectory::new(root.path(), &root.path().join("state"), "dev".parse().unwrap()).unwrap();
    directory.create().unwrap();
    let vm = Vm::new(directory.clone(), host.clone());
    let identity = ImageIdentity::of(&image).unwrap();
    assert_eq!(identity.format, DiskFormat::Raw);

    overlay::create_on_image(&directory, &identity).unwrap();
    assert!(qcow2::is_untouched(&directory.overlay()).unwrap());
    assert_eq!(count(&host, &directory), 1);
    assert_eq!(count(&host, &directory), 2, "the overlay keeps what was written");
    assert!(!qcow2::is_untouched(&directory.overlay()).unwrap());

    // Snapshots, as the verbs make them.
    write_config(&directory, &identity);
    vm.snapshot(&"two".parse().unwrap()).unwrap();
    assert_eq!(count(&host, &directory), 3);
    assert_eq!(count(&host, &directory), 4);
    vm.snapshot(&"four".parse().unwrap()).unwrap();
    assert_eq!(count(&host, &directory), 5);
    vm.restore(&"two".parse().unwrap()).unwrap();
    assert_eq!(count(&host, &directory), 3);
    vm.restore(&"four".parse().unwrap()).unwrap();
    assert_eq!(count(&host, &directory), 5);
    vm.reset().unwrap();
    assert_eq!(count(&host, &directory), 1);

    assert_eq!(ImageIdentity::of(&image).unwrap(), identity, "the image stays clean");
}

fn write_config(directory: &VmDirectory, image: &ImageIdentity) {
    let config = dev_vm::config::Config {
        format: dev_vm::config::FORMAT,
        image: image.path.clone(),
        machine: "pc".to_owned(),
        memory_mib: 16,
        cpus: 1,
        share: None,
        ssh_port: None,
        overlay_of: Some(image.clone()),
        firmware: None,
        reset_nvram: false,
    };
    config.store(directory).unwrap();
}

struct Quiet;

impl Progress for Quiet {
    fn note(&mut self, _: &str) {}
    fn waiting(&mut self, _: Duration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn qemu_accepts_the_whole_command_and_obeys() {
    let Some(host) = host(true) else { return };
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("empty.raw"), vec![0u8; 1 << 20]).unwrap();
    let share = root.path().join("a share, with a comma");
    fs::create_dir(&share).unwrap();
    let directory = VmDirectory::new(root.path(), &root.path().join("state"), "real".parse().unwrap()).unwrap();
    let vm = Vm::new(directory, host);
    let options = UpOptions {
        image: None,
        machine: None,
        memory_mib: Some(128),
        cpus: None,
        share: ShareChoice::Directory { path: share, writable: false },
        accelerator: Some(Accelerator::Tcg),
        recreate: false,
        timeout: None,
    };
    let ready = vm.up(&options, &mut Quiet).unwrap();
    assert!(vm.is_running().unwrap());
    let status = vm.status().unwrap();
    assert!(status.pid.is_some());
    assert_eq!(status.run_state.as_deref(), Some("running"));
    assert!(std::net::TcpListener::bind(("127.0.0.1", ready.ssh_port)).is_err(), "the port is QEMU's");
    let stopped = vm.down(DownOptions { force: true, timeout: Duration::ZERO }).unwrap();
    assert_eq!(stopped, Stopped::Quit);
    assert!(!vm.is_running().unwrap());
    let said = fs::read_to_string(vm.directory().hypervisor_log()).unwrap();
    assert!(said.trim().is_empty(), "QEMU complains: {said}");
}
