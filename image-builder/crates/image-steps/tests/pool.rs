//! Whole builds of pools: the development image, every form of output, and what is refused.

mod checklist;
mod illumos_root;
mod pool_bench;

use image_steps::{BuildError, BuildRequest, Location};
use pool_bench::{
    Bench, ask_about_partitions, ask_grub, ask_grub_for_directories, pool_partition, repository_templates, told,
};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use test_judge::approve;
use zfs_image::reader::{Pool, Window};

const MIB: u64 = 1 << 20;
const UNPACK: &str = r#"{ "t": "unpack_tar", "name": "base.tar" }"#;
const BE: &str = r#"{ "t": "create_be" }"#;
const SEED: &str = r#"{ "t": "seed_smf" }"#;
const BOOTABLE: &str = r#"{ "t": "make_bootable" }"#;
const GENERIC: &str = r#"{ "t": "ensure_symlink", "link": "/etc/svc/profile/generic.xml", "target": "generic_limited_net.xml", "owner": "root", "group": "root" }"#;
const HOME: &str = r#"{ "t": "create_dataset", "name": "home", "mountpoint": "/export/home" }"#;

/// Builds the repository's own template of the development image over the made-up base.
fn development_image(bench: &Bench) -> PathBuf {
    for directory in ["images/output", "made-up"] {
        fs::create_dir_all(bench.path(directory)).expect("a directory");
    }
    // Beside the workspace, which holds nothing else.
    let root = illumos_root::IllumosRoot::over_real_root(&bench.path("made-up"));
    root.write(&bench.path("images/output/openindiana-hipster.tar.gz"));
    for program in ["sysconfig", "sysconfigctl", "ninep-mirror"] {
        fs::write(bench.path("ext").join(program), illumos_root::elf(2)).expect("a program");
    }
    let request = BuildRequest {
        svccfg: None,
        location: Location::Directory(bench.path("images")),
        roots: vec![repository_templates()],
        group: "cloudimage".to_owned(),
        name: "ttya-openindiana-hipster-dev".to_owned(),
        ..bench.request("")
    };
    let progress: Arc<dyn image_steps::Progress> = Arc::clone(&bench.log) as Arc<dyn image_steps::Progress>;
    let built = image_steps::build(&request, &progress).unwrap_or_else(|error| panic!("{}", told(&error)));
    built.artifact.expect("an image").path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

#[test]
fn the_development_image_holds_all_that_a_boot_needs() {
    let bench = Bench::empty();
    let image = development_image(&bench);
    assert_eq!(
        image,
        bench.path("images/output/cloudimage-ttya-openindiana-hipster-dev.raw").canonicalize().expect("there")
    );
    let metadata = fs::metadata(&image).expect("there");
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o7777), (8192 * MIB, 0o600));
    assert!(metadata.blocks() * 512 < 2048 * MIB, "free space is a hole: {} bytes", metadata.blocks() * 512);
    checklist::check(&image, "openindiana");
    let base = bench.path("images/output/openindiana-hipster.tar.gz");
    // What steps change, and what lies in another dataset.
    let others = ["/etc/", "/export/", "/boot/solaris/timestamp.cache", "/platform/i86pc/boot_archive"];
    ask_grub(&bench, (&image, "(loop0,gpt2)/ROOT/openindiana@"), &base, &others);
    ask_grub_for_the_boot(&image);
    if let Some(said) = approve("sgdisk", "gdisk", &["-v", text(&image)]) {
        assert!(said.contains("No problems found") && !said.contains("Warning!"), "{said}");
    }
    ask_about_partitions(&bench, &image);
    if let Some(copy) = std::env::var_os("DEV_IMAGE_COPY") {
        let command = process_runner::Command::new("cp").arg("--sparse=always").arg(&image).arg(&copy);
        command.deadline(std::time::Duration::from_secs(600)).run().expect("a copy for other judges");
    }
    let said = bench.messages();
    for expected in
        ["boot archive: ", "SMF: /lib/svc/seed/global.db is the repository as it stands", "zpool reguid rpool"]
    {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
}

/// The way of the boot loader, from the partition to what it loads, with GRUB's reader beside ours.
fn ask_grub_for_the_boot(image: &Path) {
    let file = File::open(image).expect("the disk");
    let (offset, length) = pool_partition(image);
    let pool = Pool::open(Window::new(&file, offset, length), length).expect("a pool");
    let boots = pool.boot_dataset().expect("bootfs").expect("bootfs is set");
    let files = pool.file_system(&boots).expect("its files");
    let dataset = boots.name.strip_prefix("rpool").expect("in the pool");
    for path in [
        "/boot/defaults/loader.conf",
        "/boot/conf.d/ttya",
        "/boot/solaris/bootenv.rc",
        "/platform/i86pc/kernel/amd64/unix",
        "/platform/i86pc/amd64/boot_archive",
        "/platform/i86pc/amd64/boot_archive.hash",
        "/boot/solaris/filestat.ramdisk",
        "/etc/ttydefs",
    ] {
        let place = format!("(loop0,gpt2){dataset}@{path}");
        let Some(output) = test_judge::ask("grub-fstest", "grub-common", &[text(image), "cat", &place]) else { return };
        let found = files.lookup(path.as_bytes(), true).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut bytes = vec![0; found.znode.size as usize];
        files.read_at(&found, &mut bytes, 0).expect("readable");
        assert!(output.success() && output.stdout == bytes, "{path}: {}", output.stderr_text());
    }
    let directories = ["/boot", "/boot/defaults", "/etc", "/kernel/drv/amd64", "/platform/i86pc/amd64"];
    ask_grub_for_directories((image, &format!("(loop0,gpt2){dataset}@")), &files, &directories);
}

#[test]
fn files_lie_in_the_dataset_that_is_mounted_over_them() {
    let bench = Bench::new(|_| {});
    let steps = [BE, UNPACK, HOME, SEED, BOOTABLE];
    bench.template("image", r#""size": "auto", "free": 10, "bename": "be", "uefi": true"#, &steps);
    let image = bench.image("image");
    let file = File::open(&image).expect("the image");
    let (offset, length) = pool_partition(&image);
    let pool = Pool::open(Window::new(&file, offset, length), length).expect("a pool");
    let names: Vec<String> = pool.datasets().expect("datasets").into_iter().map(|dataset| dataset.name).collect();
    assert_eq!(names, ["rpool", "rpool/ROOT", "rpool/ROOT/be", "rpool/home"]);
    let files = |name: &str| pool.file_system(&pool.dataset(name).expect(name)).expect("its files");
    let home = files("rpool/home");
    let notes = home.lookup(b"/somebody/notes", false).expect("in its dataset");
    assert_eq!((notes.znode.uid, notes.znode.mode & 0o7777), (101, 0o600));
    let environment = files("rpool/ROOT/be");
    let mountpoint = environment.lookup(b"/export/home", false).expect("a directory to mount on");
    assert!(environment.read_dir(&mountpoint).expect("a directory").is_empty());
}

/// An image without a partition table, the partition alone, and QEMU's format.
#[test]
fn every_form_of_output_is_written_and_kept() {
    let bench = Bench::new(|_| {});
    let steps = [BE, UNPACK, GENERIC, SEED, BOOTABLE];
    bench.template(
        "image",
        r#""size": 600, "uefi": true, "partition_only": true, "bename": "be", "formats": ["qcow2"]"#,
        &steps,
    );
    let built = match bench.build("image") {
        Err(error) if told(&error).contains("qemu-img") => return test_judge::skip("qemu-img is missing"),
        built => built.unwrap_or_else(|error| panic!("{}", told(&error))).artifact.expect("an image"),
    };
    let partition = bench.output("g-image.partonly");
    let qcow2 = bench.output("g-image.qcow2");
    assert_eq!(built.also, [partition.canonicalize().expect("there"), qcow2.canonicalize().expect("there")]);
    for file in [&built.path, &partition, &qcow2] {
        assert_eq!(fs::metadata(file).expect("there").permissions().mode() & 0o7777, 0o600);
    }
    checklist::check(&built.path, "be");
    let raw = fs::read(&built.path).expect("the disk");
    let alone = fs::read(&partition).expect("the partition");
    let offset = (256 + 524_288) * 512;
    assert!(alone == raw[offset..offset + alone.len()]);
    assert_eq!(offset + alone.len(), raw.len() - (16_384 + 33) * 512);
    approve("qemu-img", "qemu-utils", &["compare", "-f", "raw", "-F", "qcow2", text(&built.path), text(&qcow2)]);

    let again = bench.build("image").expect("it is there").artifact.expect("an image");
    assert!(again.unchanged && bench.ran().is_empty());
    // One form that is missing is reason enough.
    fs::remove_file(&partition).expect("it was there");
    assert!(!bench.build("image").expect("it builds").artifact.expect("an image").unchanged);
    assert!(partition.exists());
}

/// Forms that a template did not ask for any more stayed beside the new image for good.
#[test]
fn forms_that_are_not_asked_for_any_more_go_with_their_image() {
    let bench = Bench::new(|_| {});
    let template = |forms: &str| {
        bench.template("image", &format!(r#""size": 200, "bename": "be"{forms}"#), &[BE, UNPACK]);
    };
    let names = ["g-image.raw", "g-image.partonly", "g-image.qcow2"];
    let there = || names.map(|name| [bench.output(name), bench.output(&format!("{name}.sha256"))].map(|f| f.exists()));
    for (is_touched, expected) in
        [(false, [[true; 2], [false; 2], [false; 2]]), (true, [[true; 2], [false; 2], [true; 2]])]
    {
        template(r#", "partition_only": true, "formats": ["qcow2"]"#);
        match bench.build("image") {
            Err(error) if told(&error).contains("qemu-img") => return test_judge::skip("qemu-img is missing"),
            built => built.unwrap_or_else(|error| panic!("{}", told(&error))),
        };
        assert_eq!(there(), [[true; 2]; 3]);
        if is_touched {
            let mut qcow2 = File::options().append(true).open(bench.output("g-image.qcow2")).expect("it is there");
            qcow2.write_all(b"what a guest has written").expect("it is written to");
        }
        template("");
        bench.image("image");
        assert_eq!(there(), expected, "touched: {is_touched}");
        assert!(bench.build("image").expect("it is there").artifact.expect("an image").unchanged);
    }
}

#[test]
fn without_a_label_the_image_is_the_pool() {
    let bench = Bench::new(|_| {});
    bench.template(
        "bare",
        r#""size": 200, "label": false, "partition_only": true, "no_features": false"#,
        &[BE, UNPACK],
    );
    let image = bench.image("bare");
    assert!(!bench.output("g-bare.partonly").exists(), "there is no partition");
    let file = File::open(&image).expect("the image");
    let length = file.metadata().expect("its size").len();
    assert_eq!(length, 200 * MIB);
    let pool = Pool::open(file, length).expect("a pool");
    assert_eq!(pool.label_config().list("vdev_tree").expect("a tree").u64("whole_disk"), Some(0));
    // Nobody has named the boot environment: eight digits, and the same ones each time.
    let names: Vec<String> = pool.datasets().expect("datasets").into_iter().map(|dataset| dataset.name).collect();
    let name = names[2].strip_prefix("rpool/ROOT/").expect("a boot environment");
    assert!(name.len() == 8 && name.bytes().all(|digit| digit.is_ascii_hexdigit()), "{name}");
    assert!(pool.boot_dataset().expect("readable").is_none(), "nothing was made bootable");
}

/// What a template says of datasets, snapshots and the disk, as OpenZFS and our reader see it.
#[test]
fn properties_snapshots_and_the_disk_are_those_of_the_template() {
    let bench = Bench::new(|_| {});
    let environment = r#"{ "t": "create_be", "properties": ["org.example:role=system"], "snapshots": ["install"] }"#;
    let home = r#"{ "t": "create_dataset", "name": "home", "mountpoint": "/export/home",
        "properties": ["compression=gzip-9", "quota=1G", "reserv=1M", "org.example:role=homes"],
        "snapshots": ["first", "second"] }"#;
    let vdev = r#"{ "path": "/dev/dsk/c2t0d0p0", "phys_path": "/pci@0,0/blkdev@0,0:q", "devid": "id1,kdev@a/q" }"#;
    let pool = format!(r#""size": 300, "label": false, "bename": "be", "snapshots": ["empty"], "vdev": {vdev}"#);
    bench.template("told", &pool, &[environment, UNPACK, home]);
    let image = bench.image("told");

    let file = File::open(&image).expect("the image");
    let pool = Pool::open(file, 300 * MIB).expect("a pool");
    let set = |name: &str| {
        let all = pool.directories().expect("directories");
        let directory = all.iter().find(|one| one.head.as_ref().is_some_and(|head| head.name == name)).expect(name);
        let snapshots: Vec<String> = directory.snapshots.iter().map(|snapshot| snapshot.name.clone()).collect();
        (pool.properties(directory).expect("properties"), snapshots)
    };
    let (properties, snapshots) = set("rpool/home");
    for (name, value) in
        [("compression", "gzip-9"), ("quota", "1073741824"), ("reservation", "1048576"), ("org.example:role", "homes")]
    {
        assert_eq!(properties.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(snapshots, ["rpool/home@first", "rpool/home@second"]);
    let (properties, snapshots) = set("rpool/ROOT/be");
    assert_eq!(properties.get("org.example:role").map(String::as_str), Some("system"));
    assert_eq!(snapshots, ["rpool/ROOT/be@install"]);
    assert_eq!(set("rpool").1, ["rpool@empty"]);
    for name in ["rpool/home@first", "rpool/home"] {
        let files = pool.file_system(&pool.dataset(name).expect(name)).expect("its files");
        assert!(files.lookup(b"/somebody/notes", false).is_ok(), "{name}");
    }

    let Some(zdb) = test_judge::zdb() else { return };
    let run = |arguments: &[&str]| {
        let command = process_runner::Command::new(&zdb).args(arguments).deadline(std::time::Duration::from_secs(900));
        let output = command.run_any().expect("zdb runs");
        format!("{}{}", output.stdout_text(), output.stderr_text())
    };
    let labels = run(&["-l", text(&image)]);
    for line in ["path: '/dev/dsk/c2t0d0p0'", "phys_path: '/pci@0,0/blkdev@0,0:q'", "devid: 'id1,kdev@a/q'"] {
        assert!(labels.contains(line), "{line} is not in:\n{labels}");
    }
    let datasets = run(&["-e", "-p", text(&image), "-d", "rpool"]);
    for name in ["rpool/ROOT/be@install", "rpool/home@first", "rpool/home@second"] {
        assert!(datasets.contains(&format!("Dataset {name} [ZPL]")), "{name} is not in:\n{datasets}");
    }
    let blocks = run(&["-e", "-p", text(&image), "-bcc", "rpool"]);
    assert!(blocks.contains("No leaks (block sum matches space maps exactly)"), "{blocks}");
}

#[test]
fn a_bios_image_has_no_efi_system_partition_and_needs_boot_blocks() {
    let bench = Bench::new(|_| {});
    bench.template("bios", r#""size": "auto", "bename": "be""#, &[BE, UNPACK, SEED, BOOTABLE]);
    let disk = fs::read(bench.image("bios")).expect("the disk");
    let long = |at: usize| u64::from_le_bytes(disk[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!((long(0xFE), long(256 * 512 + 0xFE)), (256, 256 + 1024));
    for (path, pool, expected) in [
        (
            "/boot/pmbr",
            "",
            "the image cannot boot: it has no /boot/pmbr and /boot/gptzfsboot, and the template does not say `uefi`",
        ),
        ("/boot/loader64.efi", r#", "uefi": true"#, "the image cannot boot: it has no /boot/loader64.efi"),
    ] {
        let bench = Bench::new(|root| root.remove(path));
        bench.template("lacking", &format!(r#""size": "auto"{pool}"#), &[BE, UNPACK, SEED, BOOTABLE]);
        let failure = bench.failure("lacking");
        assert!(failure.contains(expected) && failure.contains("system/boot/loader"), "{failure}");
        assert!(!bench.output("g-lacking.raw").exists());
    }
}

#[test]
fn a_size_that_is_too_small_is_told_at_its_place_with_one_that_does() {
    let bench = Bench::new(|root| root.file("/usr/share/large", &illumos_root::noise(90 * MIB as usize, 4)));
    let steps = [BE, UNPACK, SEED, BOOTABLE];
    fs::write(bench.output("g-image.raw"), "the old image").expect("written");
    let failure = {
        bench.template("image", r#""size": 100, "bename": "be""#, &steps);
        bench.failure("image")
    };
    assert!(failure.starts_with("2:38: an image of 100 MiB is too small for what is in it"), "{failure}");
    assert_eq!(fs::read(bench.output("g-image.raw")).expect("there"), b"the old image");
    let (_, help) = failure.split_once("give it a `size` of at least ").expect("a size that does");
    let size: u64 = help.split(',').next().expect("a number").parse().expect("a number");
    assert!((200..300).contains(&size), "{failure}");
    bench.template("image", &format!(r#""size": {}, "bename": "be""#, size - 1), &steps);
    let failure = bench.failure("image");
    assert!(failure.contains(&format!("give it a `size` of at least {size}, ")), "{failure}");
    assert_eq!(fs::read(bench.output("g-image.raw")).expect("there"), b"the old image");
    bench.template("image", &format!(r#""size": {size}, "bename": "be""#), &steps);
    assert_eq!(fs::metadata(bench.image("image")).expect("there").len(), size * MIB);
}

#[test]
fn the_same_inputs_give_the_same_disk_anywhere() {
    let image = |bench: &Bench| {
        bench.template("same", r#""size": "auto", "free": 1, "uefi": true"#, &[BE, UNPACK, HOME, SEED, BOOTABLE]);
        fs::read(bench.image("same")).expect("the disk")
    };
    assert!(image(&Bench::new(|_| {})) == image(&Bench::new(|_| {})));
}

#[test]
fn files_without_a_dataset_are_told() {
    let bench = Bench::new(|_| {});
    bench.template("homeless", r#""size": "auto""#, &[UNPACK, HOME]);
    let failure = bench.failure("homeless");
    assert!(failure.contains("/bin would be in no dataset of the pool"), "{failure}");
    let Err(error) = bench.build("homeless") else { panic!("it fails") };
    let BuildError::Target(error) = *error else { panic!("the target fails") };
    assert!(error.help().is_some_and(|help| help.contains("create_be")));
}
