//! The plugin with the real kernel, the real `mkswap`, `swapon` and `swapoff`.
//!
//! Each test starts this very program again as `other_process`, in new mount and process namespaces with a private `/etc`
//! and `/var/lib/sysconfig`. Swap has no namespace, so the areas are small, lie in a directory of the test's own, and are
//! taken out of use whatever happens. Only root may do this, and only where the kernel lets files be swapped to; else
//! the test is a visible skip.

use plugin_testing::namespace::{self, sh};
use process_runner::Command;
use serde_json::Value;
use std::path::Path;
use sysconfig_platform::{Host, Root, files, swap};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_swap::SwapPlugin;

/// The variables that name the directory in which `other_process` works, and the device that it is about.
const DIRECTORY: &str = "PRIVILEGED_DIRECTORY";
const DEVICE: &str = "PRIVILEGED_DEVICE";

/// Takes every area of a directory out of use, also when the test has failed or its process was killed.
struct Guard<'a>(&'a Path);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let used = std::fs::read_to_string(swap::PROC_SWAPS).unwrap_or_default();
        let ours = swap::parse_proc_swaps(&used).into_iter().filter(|area| Path::new(&area.path).starts_with(self.0));
        for area in ours {
            let _ = Command::new("swapoff").arg(&area.path).run_any();
        }
    }
}

#[test]
fn privileged_swap_file_of_changing_size() {
    let needs = [("mkswap", "util-linux"), ("swapon", "mount")];
    if needs.iter().any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let directory = directory();
    let _guard = Guard(directory.path());
    let probe = directory.path().join("probe");
    let script = format!("fallocate -l 1M {0}; chmod 600 {0}; mkswap {0}; swapon {0}; swapoff {0}", probe.display());
    let probed = Command::new("/bin/sh").args(["-ec", &script]).run_any().unwrap();
    if !probed.success() {
        test_judge::lack("this kernel swaps to no files here");
        return;
    }
    namespace::run("swap", &[], &needs, &[(DIRECTORY, directory.path().as_os_str())]);
}

/// A directory that only root may change: not where temporary files lie in memory, or on an overlay.
fn directory() -> tempfile::TempDir {
    let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    match files::open_to_others(&Root::default(), own.path().join("swap")) {
        Ok(None) => own,
        // The tree may be another user's.
        _ => tempfile::tempdir_in("/var").unwrap_or(own),
    }
}

/// A loop device, which goes with the test.
struct Loop(String);

impl Loop {
    fn over(file: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["-f", "--show"]).arg(file).run_any().ok()?;
        output.success().then(|| Self(output.stdout_text().trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        for (program, args) in [("swapoff", vec![]), ("losetup", vec!["-d"])] {
            let _ = Command::new(program).args(args).arg(&self.0).run_any();
        }
    }
}

#[test]
fn privileged_swap_device_that_holds_something() {
    let needs = [
        ("mkswap", "util-linux"),
        ("swapon", "mount"),
        ("losetup", "mount"),
        ("mke2fs", "e2fsprogs"),
        ("cmp", "diffutils"),
    ];
    if needs.iter().any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = directory.path().join("disk");
    sh(&format!("truncate -s 4M {0} && mkswap {0} >/dev/null", disk.display()));
    let Some(device) = Loop::over(&disk) else {
        test_judge::lack("this machine makes no loop devices");
        return;
    };
    let probe = Command::new("/bin/sh").args(["-ec", &format!("swapon {0}; swapoff {0}", device.0)]).run_any().unwrap();
    if !probe.success() {
        test_judge::lack("this kernel swaps to no loop devices here");
        return;
    }
    sh(&format!("wipefs -qa {0}; mke2fs -q {0} 2>/dev/null; sync {0}", device.0));
    let variables = [(DIRECTORY, directory.path().as_os_str()), (DEVICE, std::ffi::OsStr::new(&device.0))];
    namespace::run("device", &[], &needs, &variables);
}

fn device(directory: &str, node: &str) {
    let mut harness = Harness::start(SwapPlugin::new(Host::current().unwrap()));
    // What is given away is named by what it is, and not by when it was found.
    let device = "/dev/disk/by-partlabel/swap";
    sh(&format!(
        "mkdir -p /dev/disk && mount -t tmpfs none /dev/disk && mkdir /dev/disk/by-partlabel && ln -s {node} {device}"
    ));
    let text = format!("[[storage.swap]]\ndevice = \"{device}\"\n");
    let is_used = || swap::is_used(&Host::current().unwrap(), device).unwrap();
    // It holds a file system, of which not one byte changes.
    sh(&format!("cp {device} {directory}/before"));
    harness.configure(config(&text));
    let error = harness.converge().unwrap_err();
    assert!(error.message.contains("holds an ext2, ext3 or ext4 file system"), "{error:?}");
    sh(&format!("cmp {device} {directory}/before"));
    let permitted = format!("{text}allow-destructive = true\n");
    harness.configure(config(&permitted));
    let steps = harness.plan().unwrap();
    assert!(steps.iter().all(|step| step.risk == sysconfig_plugin::Risk::Destructive), "{steps:?}");
    converge(&mut harness, &permitted);
    assert!(is_used());
    // What is swap by now needs no permission.
    sh(&format!("swapoff {device}"));
    assert_eq!(converge(&mut harness, &text), [format!("use {device} as swap")]);
    converge(&mut harness, "[storage]\nswap = []\n");
    assert!(!is_used());
    // Somebody has put it to another use.
    sh(&format!("wipefs -qa {device}; mke2fs -q {device} 2>/dev/null; cp {device} {directory}/before"));
    harness.configure(config(&text));
    harness.converge().unwrap_err();
    sh(&format!("cmp {device} {directory}/before"));
}

/// By the program that writes headers, and the one that reads them.
#[test]
fn an_area_that_is_made_anew_keeps_its_names() {
    let needs = [("mkswap", "util-linux"), ("swaplabel", "util-linux")];
    if needs.iter().any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let area = directory.path().join("area").display().to_string();
    let uuid = "0f5c2e9b-1234-4567-89ab-00112233aabb";
    sh(&format!(
        "truncate -s 2M {area}; chmod 600 {area}; mkswap -U {uuid} -L work {area} >/dev/null; truncate -s 4M {area}"
    ));
    let host = Host::current().unwrap();
    swap::make(&host, &area).unwrap();
    let said = sh(&format!("swaplabel {area}"));
    assert!(said.contains(uuid) && said.contains("work"), "{said}");
    assert_eq!(swap::made_for(&host, &area).unwrap(), Some(4 << 20));
}

/// What is mounted is not the file, but a device that is made of it.
#[test]
fn privileged_a_mounted_image_is_in_use() {
    let needs = [("mke2fs", "e2fsprogs"), ("losetup", "mount"), ("mkswap", "util-linux"), ("cmp", "diffutils")];
    if needs.iter().any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let directory = directory();
    namespace::run("image", &[], &needs, &[(DIRECTORY, directory.path().as_os_str()), (DEVICE, "image".as_ref())]);
}

fn image(directory: &str) {
    let image = format!("{directory}/disk.img");
    sh(&format!(
        "chmod 755 {directory}; truncate -s 8M {image}; chmod 600 {image}; mke2fs -q -F {image}; mkdir {directory}/at"
    ));
    let mounted = Command::new("mount").args(["-o", "loop", &image, &format!("{directory}/at")]).run_any().unwrap();
    if !mounted.success() {
        namespace::lacks("loop devices");
    }
    sh(&format!("echo kept > {directory}/at/file; sync; cp {image} {directory}/before"));
    let mut harness = Harness::start(SwapPlugin::new(Host::current().unwrap()));
    let text =
        format!("[[storage.swap]]\nfile = \"{image}\"\nsize = \"8 MiB\"\nadopt = true\nallow-destructive = true\n");
    harness.configure(config(&text));
    let planned = harness.plan().unwrap();
    let is_told = |step: &sysconfig_protocol::Step| step.summary.contains(" is made of it");
    let is_elsewhere = |step: &sysconfig_protocol::Step| step.summary.contains("it lies on ");
    assert!(planned.len() == 1 && (is_told(&planned[0]) || is_elsewhere(&planned[0])), "{planned:?}");
    harness.apply(&planned[0]).unwrap_err();
    sh(&format!("cmp {image} {directory}/before; umount {directory}/at"));
}

/// The kernel does not follow a link of somebody else's in such a directory (`fs.protected_symlinks`), and neither do we.
#[test]
fn privileged_a_link_beside_the_file_costs_nothing() {
    let needs = [("mkswap", "util-linux"), ("fallocate", "util-linux")];
    if needs.iter().any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let directory = directory();
    namespace::run("link", &[], &needs, &[(DIRECTORY, directory.path().as_os_str()), (DEVICE, "link".as_ref())]);
}

fn link(directory: &str) {
    sh(&format!(
        "mkdir {directory}/open {directory}/closed && chmod 1777 {directory}/open && chmod 755 {directory} && echo secret > {directory}/shadow
        for place in open closed; do ln -s {directory}/shadow {directory}/$place/.swap.sysconfig-new; done
        chown -h 65534 {directory}/open/.swap.sysconfig-new"
    ));
    let secret = || std::fs::read_to_string(format!("{directory}/shadow")).unwrap();
    let mut harness = Harness::start(SwapPlugin::new(Host::current().unwrap()));
    for (place, said) in [("open", Some("others than root may write to")), ("closed", None)] {
        let text = format!("[[storage.swap]]\nfile = \"{directory}/{place}/swap\"\nsize = \"1 MiB\"\n");
        harness.configure(config(&text));
        let planned = harness.plan().unwrap();
        if planned.iter().any(|step| step.summary.contains("it lies on ")) {
            namespace::lacks("file system here that takes swap files");
        }
        let create = planned.iter().find(|step| step.action == "create");
        assert_eq!(create.is_some(), said.is_none(), "{planned:?}");
        assert!(said.is_none_or(|said| planned[0].summary.contains(said)), "{planned:?}");
        if let Some(step) = create {
            harness.apply(step).unwrap();
        }
        assert_eq!(secret(), "secret\n", "{place}");
    }
    assert!(Path::new(&format!("{directory}/closed/swap")).exists());
}

/// No test, but the process that the tests start.
#[test]
#[ignore = "the other tests start it, in a namespace"]
fn other_process() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    prepare(&directory);
    match std::env::var(DEVICE) {
        Ok(path) if path == "image" => image(&directory),
        Ok(path) if path == "link" => link(&directory),
        Ok(path) => device(&directory, &path),
        Err(_) => file(&directory),
    }
}

/// Private tables, in which somebody has written.
fn prepare(directory: &str) {
    sh(&format!(
        "mkdir -p {directory}/etc /var/lib/sysconfig
        mount -t tmpfs none /var/lib/sysconfig
        printf 'theirs  none\\tswap sw 0 0 # mine\\n' > {directory}/etc/fstab
        mount --bind {directory}/etc /etc
        [ ! -d /run/systemd ] || mount -t tmpfs none /run/systemd"
    ));
}

fn file(directory: &str) {
    let before = std::fs::read_to_string("/etc/fstab").unwrap();
    let mut harness = Harness::start(SwapPlugin::new(Host::current().unwrap()));
    let path = format!("{directory}/swap");
    let text = format!("[[storage.swap]]\nfile = \"{path}\"\nsize = \"2 MiB\"\npriority = 3\n");
    converge(&mut harness, &text);
    let used = || swap::areas(&Host::current().unwrap()).unwrap().into_iter().find(|area| area.path == path);
    assert_eq!(used().map(|area| (area.bytes, area.priority)), Some(((2 << 20) - 4096, Some(3))));
    assert_eq!(std::fs::read_to_string("/etc/fstab").unwrap(), format!("{before}{path}\tnone\tswap\tpri=3\t0\t0\n"));
    // The row is judged by the program that reads it at boot.
    sh(&format!("swapoff {path}; swapon --all --ifexists || true"));
    assert_eq!(converge(&mut harness, &text), [""; 0], "what the row does is what was asked for");
    converge(&mut harness, &text.replace("2 MiB", "4 MiB"));
    assert_eq!(used().map(|area| area.bytes), Some((4 << 20) - 4096));
    // Swapped off behind our back, and used again.
    sh(&format!("swapoff {path}"));
    assert_eq!(converge(&mut harness, &text.replace("2 MiB", "4 MiB")), [format!("use {path} as swap")]);
    converge(&mut harness, "[storage]\nswap = []\n");
    assert_eq!((used(), std::fs::read_to_string("/etc/fstab").unwrap()), (None, before));
    assert!(Path::new(&path).exists(), "the file is kept");
    let absent = format!("[[storage.swap]]\nfile = \"{path}\"\nabsent = true\nallow-destructive = true\n");
    converge(&mut harness, &absent);
    assert!(!Path::new(&path).exists());
}

fn config(text: &str) -> Value {
    plugin_testing::config(text, &["storage.swap"])
}

fn converge(harness: &mut Harness, text: &str) -> Vec<String> {
    assert_eq!(harness.validate(config(text)), [], "{text}");
    harness.configure(config(text));
    let converged = harness.converge().unwrap_or_else(|error| panic!("{text}\n{error:?}"));
    assert_eq!(converged.diagnostics, [], "{text}");
    assert_eq!(harness.plan().unwrap(), [], "{text}");
    converged.steps.into_iter().map(|(step, _)| step.summary).collect()
}
