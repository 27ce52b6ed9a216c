//! `verify`, `ls`, `cat` and `diff` on images that `build` made, as a person runs them.

#[path = "../../image-steps/tests/illumos_root/mod.rs"]
mod illumos_root;

use disk_image::esp::{EspFile, EspVolume};
use disk_image::gpt::types;
use disk_image::{DiskLayout, DiskSeed, PartitionSize, PartitionSpec, write_disk};
use illumos_root::IllumosRoot;
use process_runner::Command;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Where the pool's partition begins on a disk with an EFI system partition.
const POOL_OFFSET: u64 = (256 + 524_288) * 512;

struct Scene {
    directory: tempfile::TempDir,
}

/// What a run answered.
struct Answer {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Scene {
    /// A scene with a made-up root as `base.tar`.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for sub in ["templates/g", "ext", "images/output"] {
            fs::create_dir_all(directory.path().join(sub)).expect("a directory");
        }
        let root = IllumosRoot::new(directory.path());
        root.write(&directory.path().join("images/output/base.tar"));
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_image-builder"))
            .args(arguments)
            .current_dir(self.directory.path())
            .deadline(Duration::from_secs(300))
            .run_any()
            .expect("image-builder runs");
        // A person's terminal may be narrow; what was said is the same.
        let stderr = output.stderr_text().replace("\n  │ ", " ");
        Answer { status: output.code, stdout: output.stdout_text(), stderr }
    }

    /// Runs and expects success; answers standard output.
    fn good(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.status, Some(0), "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        answer.stdout
    }

    /// Builds an image of the root; `more` are further steps.
    fn build(&self, name: &str, pool: &str, more: &[&str]) -> PathBuf {
        let mut steps = vec![
            r#"{ "t": "create_be" }"#,
            r#"{ "t": "unpack_tar", "name": "base.tar" }"#,
            r#"{ "t": "create_dataset", "name": "home", "mountpoint": "/export/home" }"#,
            r#"{ "t": "ensure_symlink", "link": "/etc/svc/profile/generic.xml", "target": "generic_limited_net.xml", "owner": "root", "group": "root" }"#,
            r#"{ "t": "seed_smf" }"#,
        ];
        steps.extend(more);
        steps.push(r#"{ "t": "make_bootable" }"#);
        let text = format!(
            r#"{{ "pool": {{ "name": "rpool", "bename": "be", {pool} }}, "steps": [ {} ] }}"#,
            steps.join(", ")
        );
        fs::write(self.path(&format!("templates/g/{name}.json")), text).expect("a template");
        // One name for all: the identifiers of an image come from its name.
        let arguments =
            ["build", "-d", "./images", "-T", "templates", "-E", "ext", "-g", "g", "-n", name, "-N", "image"];
        self.good(&arguments);
        let image = self.path(name);
        fs::rename(self.path("images/output/g-image.raw"), &image).expect("the image");
        image
    }
}

const DISK: &str = r#""size": 500, "uefi": true"#;

#[test]
fn listings_show_what_is_in_an_image() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    let overview = scene.good(&["ls", "disk"]);
    let lines: Vec<&str> = overview.lines().collect();
    for (line, expected) in lines.iter().zip([
        "partition 1 `loader`",
        "partition 2 `zfs`",
        "partition 9 ",
        "pool rpool, guid ",
        "  rpool ",
        "  rpool/ROOT ",
        "* rpool/ROOT/be ",
        "  rpool/home ",
    ]) {
        assert!(line.starts_with(expected), "{line} is not {expected}");
    }
    assert!(lines[0].ends_with("EFI system partition") && lines[1].ends_with("ZFS pool"), "{overview}");
    assert!(lines[6].contains("canmount=noauto mountpoint=/ org.opensolaris.libbe:policy=static"), "{overview}");
    assert!(lines[7].contains("mountpoint=/export/home"), "{overview}");

    let root = scene.good(&["ls", "disk", "/"]);
    assert!(root.lines().any(|line| line.starts_with("lrwxrwxrwx") && line.ends_with(" bin -> ./usr/bin")), "{root}");
    let programs = scene.good(&["ls", "disk", "/bin/"]);
    assert!(programs.contains("-r-sr-xr-x   1     0     2         9000 1970-01-01 00:00:00 su\n"), "{programs}");
    assert_eq!(scene.good(&["ls", "disk", "/bin"]).lines().count(), 1, "a link is listed itself");
    assert_eq!(scene.good(&["ls", "disk:rpool/home", "-R"]).lines().count(), 3);
    let controlled = scene.good(&["ls", "disk", "/var/adm/controlled"]);
    assert!(controlled.starts_with("-rw-------+  1     1     4"), "{controlled}");
    let value: Value =
        serde_json::from_str(&scene.good(&["ls", "--json", "disk", "/var/adm/controlled"])).expect("JSON");
    let list = "user:80:r-----a-R-c--s:-------:allow:80,owner@:rw-p--aARWcCos:-------:allow";
    assert_eq!(value["files"][0]["acl"].as_str(), Some(list));
    let everything = scene.good(&["ls", "-R", "disk", "/usr/share/man"]);
    assert_eq!(everything.lines().count(), 400 + 8 + 1);
    let one = scene.good(&["ls", "disk", "etc/shadow"]);
    assert!(one.trim_end().ends_with(" /etc/shadow") && one.starts_with("-rw-r--r--"), "{one}");

    let value: Value = serde_json::from_str(&scene.good(&["ls", "--json", "disk"])).expect("JSON");
    assert_eq!(
        (value["bytes"].as_u64(), value["partitions"][1]["offset"].as_u64()),
        (Some(500 * MIB), Some(POOL_OFFSET))
    );
    assert_eq!(value["pool"]["datasets"][2]["boots"], Value::Bool(true));
    let value: Value = serde_json::from_str(&scene.good(&["ls", "--json", "disk", "/usr/bin"])).expect("JSON");
    let su = value["files"].as_array().expect("a list").iter().find(|file| file["path"] == "su").expect("su");
    assert_eq!((su["mode"].as_str(), su["gid"].as_u64()), (Some("104555"), Some(2)));
}

#[test]
fn contents_come_out_as_they_went_in() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    let bytes = |path: &str| {
        let command = Command::new(env!("CARGO_BIN_EXE_image-builder")).args(["cat", "disk", path]);
        command.current_dir(scene.directory.path()).run().expect("it is written").stdout
    };
    for size in [1, 513, 131_073, 3_000_000] {
        assert!(bytes(&format!("/usr/share/sizes/noise-{size}")) == illumos_root::noise(size, size as u64), "{size}");
    }
    let sparse = bytes("/var/adm/lastlog");
    assert_eq!(sparse.len(), 5 << 20);
    assert!(sparse[1 << 20..(1 << 20) + 10_000] == illumos_root::noise(10_000, 77));
    assert_eq!(scene.good(&["cat", "disk:rpool/home", "/somebody/notes"]), "mine\n");
    assert_eq!(scene.good(&["cat", "disk:rpool", "boot/menu.lst"]), "title be\nbootfs rpool/ROOT/be\n");
}

#[test]
fn what_is_not_there_is_told_by_name() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    fs::write(scene.path("text"), "no image at all\n").expect("written");
    for (arguments, status, expected) in [
        (vec!["cat", "disk", "/no/such"], 1, "/no/such of rpool/ROOT/be in disk"),
        (vec!["cat", "disk", "/usr"], 1, "/usr of rpool/ROOT/be in disk is a directory"),
        (vec!["cat", "disk", "/var/run/pipe"], 1, "is no regular file"),
        (vec!["ls", "disk:rpool/none"], 1, "rpool/none in disk"),
        (vec!["ls", "missing"], 1, "cannot open missing"),
        (vec!["verify", "missing"], 1, "cannot open missing"),
        (vec!["ls", "text"], 1, "the pool in text"),
        (vec!["verify", "text"], 1, "the pool in text"),
        (vec!["cat", "disk"], 2, "PATH"),
    ] {
        let answer = scene.run(&arguments);
        assert_eq!(answer.status, Some(status), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{expected} is not in:\n{}", answer.stderr);
    }
}

#[test]
fn damage_is_found_and_makes_the_status_four() {
    let scene = Scene::new();
    let image = scene.build("disk", DISK, &[]);
    let said = scene.good(&["verify", "disk"]);
    for expected in [
        "good: partition table: both copies agree, 3 of 9 entries are used",
        "good: boot blocks: each stage leads to the next",
        "good: pool rpool: ",
        "not read: partition 1 `loader`: EFI system partition",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    for expected in [
        "good: boot blocks: both stages are those of rpool/ROOT/be",
        "good: partition 1 `loader`: EFI/BOOT/BOOTX64.EFI is /boot/loader64.efi of rpool/ROOT/be",
        "good: partition 1 `loader`: EFI/BOOT/BOOTIA32.EFI is /boot/loader32.efi of rpool/ROOT/be",
        "good: boot: the loader reads 2 files of rpool/ROOT/be; the console is text",
        "good: boot: the pool is one to boot from, and rpool/ROOT/be a boot environment",
        "good: boot: the kernel is /platform/i86pc/kernel/amd64/unix",
        "as the boot environment has them, and the first boot finds it current",
        "good: boot: all 29 files and mount points that a boot needs are there",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    // A byte of a file, of the table, of a label, of stages 1 and 2 and of a loader.
    let wanted = &illumos_root::noise(3_000_000, 3_000_000)[..512];
    let bytes = fs::read(&image).expect("the disk");
    let find = |wanted: &[u8]| {
        bytes.chunks_exact(512).position(|sector| sector == wanted).expect("it lies at a sector") as u64 * 512
    };
    let block = find(wanted);
    // The other boot programs are shorter.
    let loader = find(&illumos_root::boot_program(270_013, 4096)[200_192..200_704]);
    assert!(loader < POOL_OFFSET);
    for (at, expected) in [
        (block + 5, "/usr/share/sizes/noise-3000000"),
        (512 + 16, "bad: partition table: the primary header: its checksum is wrong"),
        (500 * MIB - 512 + 16, "bad: partition table: the backup header"),
        (POOL_OFFSET + 8192 + 100, "label 0: the checksum of the boot loader's block is wrong"),
        (0xFE, "bad: boot blocks: sector 0 loads"),
        (0x60, "bad: boot blocks: sector 0 is not /boot/pmbr of rpool/ROOT/be"),
        (POOL_OFFSET + 0x60, "bad: boot blocks: stage 1 in the pool's partition is not /boot/pmbr"),
        (POOL_OFFSET + (512 << 10) + 20_000, "bad: boot blocks: stage 2 is not /boot/gptzfsboot of rpool/ROOT/be"),
        (
            loader + 7,
            "bad: partition 1 `loader`: EFI/BOOT/BOOTX64.EFI is not /boot/loader64.efi of rpool/ROOT/be: it is another program",
        ),
    ] {
        let file = File::options().write(true).open(&image).expect("the disk");
        file.write_all_at(&[bytes[at as usize] ^ 0x40], at).expect("damaged");
        let answer = scene.run(&["verify", "disk"]);
        assert_eq!(answer.status, Some(4), "{expected}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.stdout.contains(expected), "{expected} is not in:\n{}", answer.stdout);
        let json: Value = serde_json::from_str(&scene.run(&["verify", "--json", "disk"]).stdout).expect("JSON");
        assert!(!json["bad"].as_array().expect("a list").is_empty());
        file.write_all_at(&bytes[at as usize..=at as usize], at).expect("repaired");
    }
    scene.good(&["verify", "disk"]);
}

/// The repository's own template, over the made-up base.
#[test]
fn the_development_image_can_be_walked_by_its_loader() {
    let scene = Scene::new();
    fs::rename(scene.path("images/output/base.tar"), scene.path("base.tar")).expect("the base");
    IllumosRoot::new(scene.directory.path()).write(&scene.path("images/output/openindiana-hipster.tar.gz"));
    for program in ["sysconfig", "sysconfigctl", "ninep-mirror"] {
        fs::write(scene.path("ext").join(program), illumos_root::elf(2)).expect("a program");
    }
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../sysconfig/image/templates");
    let templates = templates.to_str().expect("a path of ours");
    let (group, name) = ("cloudimage", "ttya-openindiana-hipster-dev");
    // A smaller disk, which a build for tests writes and reads in less time; everything else is the template's.
    Command::new("cp").args(["-R", templates]).arg(scene.path("oi")).run().expect("a copy of the templates");
    let template = scene.path(&format!("oi/{group}/{name}.json"));
    let text = fs::read_to_string(&template).expect("the template");
    let smaller = text.replace("\"size\": 8192", "\"size\": 1024");
    assert_ne!(smaller, text);
    fs::write(template, smaller).expect("a template");
    scene.good(&["build", "-d", "./images", "-T", "oi", "-E", "ext", "-g", group, "-n", name]);
    let said = scene.good(&["verify", &format!("images/output/{group}-{name}.raw")]);
    for expected in [
        "good: boot: the loader reads 3 files of rpool/ROOT/openindiana; the console is ttya at 115200,8,n,1,-",
        "good: boot: the kernel is /platform/i86pc/kernel/amd64/unix",
        "as the boot environment has them, and the first boot finds it current",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
}

/// Steps behind `make_bootable` can take what it has looked for.
#[test]
fn an_image_that_would_not_boot_is_told_what_it_lacks() {
    let scene = Scene::new();
    let owner = r#""owner": "root", "group": "sys", "mode": "644""#;
    let make = |name: &str, step: &str| {
        let text = format!(
            r#"{{ "pool": {{ "name": "rpool", "bename": "be", {DISK} }}, "steps": [
                {{ "t": "create_be" }}, {{ "t": "unpack_tar", "name": "base.tar" }}, {{ "t": "seed_smf" }},
                {{ "t": "make_bootable" }}, {step} ] }}"#
        );
        fs::write(scene.path(&format!("templates/g/{name}.json")), text).expect("a template");
        let answer = scene.run(&["build", "-d", "./images", "-T", "templates", "-E", "ext", "-g", "g", "-n", name]);
        assert_eq!(answer.status, Some(0), "{}", answer.stderr);
        let answer = scene.run(&["verify", &format!("images/output/g-{name}.raw")]);
        assert_eq!(answer.status, Some(4), "{}", answer.stdout);
        answer.stdout
    };
    let said = make("bare", r#"{ "t": "remove_files", "file": "/etc/svc/repository.db" }"#);
    assert!(said.contains("bad: boot: /etc/svc/repository.db is missing"), "{said}");
    let said = make(
        "unlisted",
        r#"{ "t": "ensure_perms", "path": "/etc/svc/repository.db", "owner": "root", "group": "sys", "mode": "644" }"#,
    );
    for expected in [
        "bad: boot: /etc/svc/repository.db has the mode 644 instead of 600",
        "bad: boot: /etc/svc/profile/generic.xml leads nowhere",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
    let broken = format!(
        r#"{{ "t": "ensure_file", "file": "/boot/conf.d/mine", "contents": "a=b\nkernel=\"none\"\n", {owner} }}"#
    );
    let said = make("broken", &broken);
    for expected in [
        "bad: boot: /boot/conf.d/mine:1: `a=b` is not name=\"value\"",
        "bad: boot: the loader is to load the kernel /platform/none/unix, which is missing",
    ] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
}

/// One copy of the partition table is enough to read the image; what is wrong with the other is told.
#[test]
fn a_damaged_copy_of_the_partition_table_does_not_hide_the_pool() {
    let scene = Scene::new();
    let image = scene.build("disk", DISK, &[]);
    let whole = scene.good(&["ls", "disk"]);
    let file = File::options().read(true).write(true).open(&image).expect("the disk");
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("there");
        file.write_all_at(&[byte[0] ^ 0x40], at).expect("changed");
    };
    let (primary, backup) = (512 + 16, 500 * MIB - 512 + 16);
    for (at, copy) in [(primary, "primary"), (backup, "backup")] {
        flip(at);
        let warning = format!("warning: the partition table of disk: the {copy} header: its checksum is wrong");
        let answer = scene.run(&["ls", "disk"]);
        assert_eq!((answer.status, &answer.stdout), (Some(0), &whole), "{}", answer.stderr);
        assert!(answer.stderr.contains(&warning), "{}", answer.stderr);
        assert_eq!(scene.good(&["cat", "disk:rpool/home", "/somebody/notes"]), "mine\n");
        let answer = scene.run(&["verify", "disk"]);
        assert_eq!(answer.status, Some(4));
        assert!(answer.stdout.contains("good: pool rpool: "), "{}", answer.stdout);
        flip(at);
    }
    flip(primary);
    flip(backup);
    let answer = scene.run(&["ls", "disk"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stderr.contains("the partition table of disk is damaged: the primary header"), "{}", answer.stderr);
    let answer = scene.run(&["verify", "disk"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stdout.contains("not read: partitions: nobody knows where they are"), "{}", answer.stdout);
}

#[test]
fn an_image_that_is_cut_short_is_told_to_be_damaged() {
    let scene = Scene::new();
    let disk = scene.build("disk", DISK, &[]);
    let bare = scene.build("bare", r#""size": 200, "label": false"#, &[]);
    for (image, name, bytes) in [(disk, "disk", 499 * MIB), (bare, "bare", 190 * MIB)] {
        File::options().write(true).open(image).and_then(|file| file.set_len(bytes)).expect("cut");
        let expected = format!("and {bytes} are there");
        for arguments in [["ls", name].as_slice(), &["verify", name], &["cat", name, "/etc/passwd"]] {
            let answer = scene.run(arguments);
            let said = format!("{} {}", answer.stdout, answer.stderr);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(answer.status, Some(4), "{arguments:?}: {said}");
            assert!(said.contains("cut short") && said.contains(&expected), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn qcow2_and_bare_pools_are_read_alike() {
    let scene = Scene::new();
    let disk = scene.build("disk", DISK, &[]);
    let qcow2 = scene.path("disk.qcow2");
    let convert =
        ["convert", "-c", "-f", "raw", "-O", "qcow2"].map(Path::new).into_iter().chain([disk.as_path(), &qcow2]);
    if test_judge::approve("qemu-img", "qemu-utils", &convert.collect::<Vec<_>>()).is_some() {
        assert_eq!(scene.good(&["ls", "-R", "disk.qcow2", "/"]), scene.good(&["ls", "-R", "disk", "/"]));
        assert_eq!(scene.good(&["verify", "disk.qcow2"]), scene.good(&["verify", "disk"]));
        assert_eq!(scene.good(&["diff", "disk", "disk.qcow2"]), "");
        assert_eq!(scene.good(&["cat", "disk.qcow2", "/etc/passwd"]), scene.good(&["cat", "disk", "/etc/passwd"]));
    }
    scene.build("bare", r#""size": 200, "label": false"#, &[]);
    let said = scene.good(&["verify", "bare"]);
    assert!(said.starts_with("good: pool rpool: ") && !said.contains("partition"), "{said}");
    assert_eq!(scene.good(&["cat", "bare:rpool/home", "/somebody/notes"]), "mine\n");
    assert_eq!(scene.good(&["ls", "-R", "bare", "/"]), scene.good(&["ls", "-R", "disk", "/"]));
    let answer = scene.run(&["diff", "disk", "bare"]);
    assert_eq!(answer.status, Some(4));
    assert!(answer.stdout.contains("+ the whole image"), "{}", answer.stdout);
    assert_eq!(answer.stdout.lines().count(), 5, "size and partitions, and no file: {}", answer.stdout);
}

#[test]
fn differences_are_told_path_by_path() {
    let scene = Scene::new();
    scene.build("before", DISK, &[]);
    let owner = r#""owner": "root", "group": "sys""#;
    scene.build(
        "after",
        DISK,
        &[
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/added", "contents": "x", {owner}, "mode": "644" }}"#),
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/passwd", "contents": "y", {owner}, "mode": "600" }}"#),
            r#"{ "t": "ensure_perms", "path": "/var/adm/controlled", "owner": "daemon", "group": "adm", "mode": "600" }"#,
            r#"{ "t": "remove_files", "dir": "/usr/share/man/man3" }"#,
            r#"{ "t": "create_dataset", "name": "more", "mountpoint": "none" }"#,
        ],
    );
    assert_eq!(scene.good(&["diff", "before", "before"]), "");
    let answer = scene.run(&["diff", "before", "after"]);
    assert_eq!(answer.status, Some(4), "{}", answer.stderr);
    let lines: Vec<&str> = answer.stdout.lines().collect();
    for expected in [
        "+ rpool/more",
        "+ rpool/ROOT/be /etc/added",
        "~ rpool/ROOT/be /etc/passwd: mode -rw-r--r-- → -rw-------, time ",
        "~ rpool/ROOT/be /var/adm/controlled: access control list",
        "- rpool/ROOT/be /usr/share/man/man3: a directory with all that is in it",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected} is not in:\n{}", answer.stdout);
    }
    assert!(!answer.stdout.contains("partition"), "{}", answer.stdout);
    assert!(answer.stderr.contains("the images differ in "), "{}", answer.stderr);
    assert_eq!(scene.good(&["diff", "before:rpool/home", "after:rpool/home"]), "");
}

/// A disk without a pool: what can be said is said, and what is not read is named.
#[test]
fn a_debian_disk_is_described_and_not_looked_into() {
    let scene = Scene::new();
    let make = |name: &str, text: &str| {
        let seed = DiskSeed::new("debian");
        let file = EspFile::from_bytes("loader/loader.conf", text.as_bytes().to_vec());
        let esp = EspVolume::new(&seed, "ESP", vec![file]).expect("a file system");
        let spec = |type_guid, name: &str, content| PartitionSpec {
            type_guid,
            name: name.to_owned(),
            role: name.to_owned(),
            slot: None,
            attributes: 0,
            size: PartitionSize::Auto { free: 4 * MIB },
            content,
        };
        let partitions = vec![
            spec(types::EFI_SYSTEM, "esp", Some(Box::new(esp) as Box<dyn disk_image::Volume>)),
            spec(types::LINUX_ROOT_X86_64, "root", None),
        ];
        let layout = DiskLayout { partitions, ..DiskLayout::new(seed) };
        write_disk(layout, &scene.path(name), scene.directory.path(), &mut |_| {}).expect("a disk");
    };
    make("debian", "timeout 1\n");
    make("other", "timeout 2\n");
    let said = scene.good(&["verify", "debian"]);
    assert_eq!(
        said,
        "good: partition table: both copies agree, 2 of 128 entries are used\n\
         not read: partition 1 `esp`: EFI system partition\n\
         not read: partition 2 `root`: Linux root file system\n"
    );
    assert_eq!(scene.good(&["ls", "debian"]).lines().count(), 2);
    let answer = scene.run(&["ls", "debian", "/"]);
    assert_eq!(answer.status, Some(1));
    assert!(
        answer.stderr.contains("debian has no ZFS pool: partition 1 `esp`: EFI system partition"),
        "{}",
        answer.stderr
    );
    let answer = scene.run(&["diff", "debian", "other"]);
    assert_eq!(answer.status, Some(4));
    assert_eq!(answer.stdout, "~ partition 1 `esp`: bytes of the EFI system partition, which is not read inside\n");
}

/// `image-builder ls … | head` is no failure.
#[test]
fn a_reader_that_has_enough_ends_the_run_quietly() {
    let scene = Scene::new();
    scene.build("disk", DISK, &[]);
    let program = env!("CARGO_BIN_EXE_image-builder");
    let script = format!(
        "'{program}' cat disk /usr/share/sizes/noise-3000000 | head -c 1 >/dev/null; '{program}' ls disk >/dev/null"
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(scene.directory.path()).run().expect("it runs");
    assert_eq!(output.stderr_text(), "");
}
