//! The installer's pipeline: an archive, a FAT image made of it, and a disc made of both.

mod support;

use image_steps::{BuildError, BuildRequest, Silent, plan};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{Bench, OWNER, PACK, contents, steps};
use test_judge::{approve, ask};

const LOADER: &str = "a boot loader, as far as anybody here can tell; it has to have more than 64 bytes for its table";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn directory(path: &str) -> String {
    format!(r#"{{ "t": "ensure_dir", "dir": "{path}", "owner": "root", "group": "sys", "mode": "755" }}"#)
}

/// The archive, `efi` and `disc`, as the public installer templates have them.
fn pipeline() -> Bench {
    let bench = Bench::new();
    let boot =
        steps(&[&directory("/boot"), &contents("/boot/loader64.efi", LOADER), &contents("/boot/cdboot", LOADER)]);
    bench.template("archive", &steps(&[&boot, PACK]));
    let efi = steps(&[
        r#"{ "t": "unpack_tar", "name": "out.tar", "into_tmp": true }"#,
        &directory("/EFI/BOOT"),
        &format!(
            r#"{{ "t": "ensure_file", "file": "/EFI/BOOT/BOOTX64.EFI", "tarsrc": "/boot/loader64.efi", {OWNER} }}"#
        ),
    ]);
    bench.write(
        "templates/g/efi.json",
        &format!(r#"{{ "pcfs": {{ "label": "System", "size": 2 }}, "steps": [ {efi} ] }}"#),
    );
    let disc = steps(&[
        r#"{ "t": "unpack_tar", "name": "out.tar" }"#,
        &format!(r#"{{ "t": "ensure_file", "file": "/boot/efiboot", "outputsrc": "g-efi.pcfs", {OWNER} }}"#),
        &format!(r#"{{ "t": "gzip", "target": "/boot/archive.gz", "src": "out.tar", {OWNER} }}"#),
        &format!(
            r#"{{ "t": "digest", "algorithm": "sha1", "target": "/boot/archive.hash", "src": "out.tar", {OWNER} }}"#
        ),
    ]);
    let target =
        r#""iso": { "boot_bios": "boot/cdboot", "boot_uefi": "boot/efiboot", "volume_id": "Test ${kind?live}" }"#;
    bench.write("templates/g/disc.json", &format!(r#"{{ {target}, "steps": [ {disc} ] }}"#));
    bench
}

#[test]
fn a_disc_is_built_with_all_that_it_is_made_of() {
    let bench = pipeline();
    let planned = plan(&bench.request("disc"), &(Arc::new(Silent) as _)).expect("a plan");
    let subjects: Vec<_> = planned.iter().map(|template| template.subject.as_str()).collect();
    assert_eq!(subjects.last(), Some(&"g/disc"), "{subjects:?}");
    let at = |name: &str| subjects.iter().position(|subject| *subject == name).expect(name);
    assert!(at("g/archive") < at("g/efi"), "{subjects:?}");
    bench.build("disc").expect("it builds");
    assert_eq!(bench.build("disc").expect("it builds again"), Vec::<String>::new());

    let fat = bench.path("work/output/g-efi.pcfs");
    assert_eq!(fs::metadata(&fat).expect("the FAT image").len(), 2 << 20);
    if let Some(said) = approve("fsck.fat", "dosfstools", &["-n", "-v", text(&fat)]) {
        assert!(said.contains("12 bit entries"), "{said}");
        assert!(!["differ", "wrong", "Bad ", "Dirty"].iter().any(|finding| said.contains(finding)), "{said}");
    }
    if let Some(said) = ask("mdir", "mtools", &["-i", text(&fat), "-/", "-b"]) {
        assert!(said.stdout_text().contains("EFI/BOOT/BOOTX64.EFI"), "{}", said.stdout_text());
    }
    let copy = bench.path("loader");
    let arguments = ["-n", "-o", "-i", text(&fat), "::/EFI/BOOT/BOOTX64.EFI", text(&copy)];
    if approve("mcopy", "mtools", &arguments).is_some() {
        assert_eq!(fs::read_to_string(&copy).expect("a copy"), LOADER);
    }

    let disc = bench.path("work/output/g-disc.iso");
    let Some(root) = extracted(&bench, &disc) else { return };
    assert_eq!(fs::read(root.join("boot/efiboot")).expect("efiboot"), fs::read(&fat).expect("the FAT image"));
    let digest = ask("sha1sum", "coreutils", &[text(&bench.path("work/output/out.tar"))]).expect("everybody has it");
    let expected = digest.stdout_text();
    let hash = fs::read_to_string(root.join("boot/archive.hash")).expect("the digest");
    assert_eq!(hash.trim_end(), expected.split_whitespace().next().expect("a digest"));
    let unpacked = ask("gzip", "gzip", &["-dc", text(&root.join("boot/archive.gz"))]).expect("everybody has it");
    assert_eq!(unpacked.stdout, fs::read(bench.path("work/output/out.tar")).expect("the archive"));
}

/// An image that was built here once was taken for one that somebody had put there, and never made again.
#[test]
fn an_image_that_others_take_is_made_anew_when_it_changes() {
    let bench = pipeline();
    bench.build("disc").expect("it builds");
    let fat = bench.path("work/output/g-efi.pcfs");
    let before = fs::read(&fat).expect("the FAT image");
    let boot = format!("{LOADER}, and a newer one");
    let list = steps(&[&directory("/boot"), &contents("/boot/loader64.efi", &boot), &contents("/boot/cdboot", LOADER)]);
    bench.template("archive", &steps(&[&list, PACK]));
    let planned = plan(&bench.request("disc"), &(Arc::new(Silent) as _)).expect("a plan");
    assert!(planned.iter().any(|template| template.subject == "g/efi"), "{planned:?}");
    bench.build("disc").expect("it builds");
    let after = fs::read(&fat).expect("the FAT image");
    assert!(after != before && after.windows(boot.len()).any(|window| window == boot.as_bytes()));
    // One that somebody puts there is taken.
    fs::remove_file(&fat).expect("it was there");
    fs::write(&fat, &before).expect("it is put there");
    bench.template("archive", &steps(&[&directory("/boot"), &contents("/boot/cdboot", LOADER), PACK]));
    bench.build("disc").expect("the loader is not looked for, as the image of it is there");
    assert!(fs::read(&fat).expect("the FAT image") == before);
}

/// A build that is killed has put something there, and could not remember any more what.
#[test]
fn what_an_interrupted_build_has_put_there_is_no_gift() {
    let bench = pipeline();
    bench.build("disc").expect("it builds");
    let before = fs::read(bench.path("work/output/out.tar")).expect("the archive");
    let store = image_tree::Store::open(bench.path("work/store")).expect("the store");
    for name in ["out.tar", "g-efi.pcfs"] {
        store.record_put("output", name.as_bytes(), b"being made").expect("a record");
        fs::write(bench.path("work/output").join(name), "half of something").expect("a file");
    }
    drop(store);
    bench.build("disc").expect("it builds");
    assert!(fs::read(bench.path("work/output/out.tar")).expect("the archive") == before);
    assert_eq!(fs::metadata(bench.path("work/output/g-efi.pcfs")).expect("the FAT image").len(), 2 << 20);
}

fn extracted(bench: &Bench, disc: &Path) -> Option<PathBuf> {
    let target = bench.path("extracted");
    let arguments = ["-osirrox", "on", "-indev", text(disc), "-extract", "/", text(&target)];
    approve("xorriso", "xorriso", &arguments)?;
    Some(target)
}

#[test]
fn what_does_not_fit_or_cannot_be_there_is_told_at_its_place() {
    let bench = pipeline();
    let fat = |list: &str| format!(r#"{{ "pcfs": {{ "label": "System", "size": 1 }}, "steps": [ {list} ] }}"#);
    let link = r#"{ "t": "ensure_symlink", "link": "/link", "target": "x", "owner": "root", "group": "root" }"#;
    bench.template("linked", &steps(&[link, r#"{ "t": "pack_tar", "name": "linked.tar" }"#]));
    let unpack = r#"{ "t": "unpack_tar", "name": "linked.tar" }"#;
    bench.write("templates/g/files/large", &"x".repeat(3 << 20));
    let large = format!(r#"{{ "t": "ensure_file", "file": "/large", "src": "large", {OWNER} }}"#);
    bench.write("templates/g/link.json", &fat(unpack)).write("templates/g/large.json", &fat(&large));
    let said = |name: &str| bench.build(name).expect_err("it cannot be made").to_string();
    assert_eq!(said("link"), "/link cannot be on a FAT image: it is a symbolic link");
    assert!(said("large").contains("a FAT image of 1 MiB is too small"), "{}", said("large"));
    let disc = format!(r#"{{ "iso": {{ "boot_bios": "boot/none" }}, "steps": [ {unpack} ] }}"#);
    bench.write("templates/g/disc.json", &disc);
    assert!(said("disc").contains("the image has no boot/none, which it is to boot with"), "{}", said("disc"));
}

/// A template whose image another one takes is built first, or named when it is not possible here.
#[test]
fn an_image_that_cannot_be_made_here_is_named_with_its_template() {
    let bench = pipeline();
    bench.write("templates/g/ramdisk.json", r#"{ "ufs": { "size": 8, "inode_density": 4096 }, "steps": [] }"#);
    let take = format!(r#"{{ "t": "gzip", "target": "/ramdisk.gz", "src": "g-ramdisk.ufs", {OWNER} }}"#);
    bench.template("takes", &take);
    let failure = bench.failure("takes");
    assert!(failure.contains("g/ramdisk makes it, which is not possible here"), "{failure}");
    assert!(failure.contains("`ufs` cannot be written yet"), "{failure}");
    let error = bench.build("ramdisk").expect_err("not yet");
    assert!(matches!(*error, BuildError::Template { .. }), "{error}");
    fs::write(bench.path("work/output/g-ramdisk.ufs"), "made elsewhere").expect("it is put there");
    bench.build("takes").expect("it takes what is there");
}

/// Templates of a collection often need features that a build does not give; they were in the way of every other.
#[test]
fn a_template_with_errors_is_in_nobodys_way_unless_it_makes_what_is_wanted() {
    let bench = pipeline();
    bench.write("templates/g/other.json", r#"{ "iso": { "volume_id": "${undefined}" }, "steps": [] }"#);
    bench.template("another", r#"{ "t": "unpack_tar", "name": "${release}.tar" }"#);
    bench.template("given", r#"{ "t": "unpack_tar", "name": "given.tar" }"#);
    bench.build("archive").expect("it builds");
    fs::copy(bench.path("work/output/out.tar"), bench.path("work/output/given.tar")).expect("an archive is put there");
    bench.build("given").expect("none of the two is known to make what is wanted");
    bench.template(
        "another",
        &steps(&[r#"{ "t": "unpack_tar", "name": "${release}.tar" }"#, r#"{ "t": "pack_tar", "name": "given.tar" }"#]),
    );
    bench.build("given").expect("nothing here has made what is there, so it is taken as it is");
    fs::remove_file(bench.path("work/output/given.tar")).expect("it was there");
    let error = bench.build("given").expect_err("this one makes it");
    assert!(matches!(&*error, BuildError::Template { subject, .. } if subject == "g/another"), "{error}");
}

/// The image of the kind before stayed beside the new one for good.
#[test]
fn an_image_goes_when_its_template_makes_another_kind_or_none() {
    let bench = Bench::new();
    let names = || -> Vec<String> {
        let entries = fs::read_dir(bench.path("work/output")).expect("outputs").map(|entry| entry.expect("an entry"));
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("text")).collect();
        names.sort();
        names
    };
    let with_evidence = |image: &str| -> Vec<String> {
        let own = ["evidence.json".to_owned(), "manifest.jsonl".to_owned()];
        let mut names: Vec<_> = own.into_iter().chain([image.to_owned(), format!("{image}.sha256")]).collect();
        names.iter_mut().for_each(|name| name.insert_str(0, "g-t."));
        names.sort();
        names
    };
    let kinds = [
        (r#""pool": { "name": "rpool", "size": 100, "bename": "be" }"#, r#"{ "t": "create_be" }"#, Some("raw")),
        (r#""iso": { "volume_id": "T" }"#, "", Some("iso")),
        (r#""pcfs": { "label": "T", "size": 2 }"#, "", Some("pcfs")),
        (r#""dataset": { "name": "t" }"#, "", None),
        (r#""iso": { "volume_id": "T" }"#, "", Some("iso")),
    ];
    for (target, steps, image) in kinds {
        bench.write("templates/g/t.json", &format!(r#"{{ {target}, "steps": [ {steps} ] }}"#));
        bench.build("t").expect("it builds");
        assert_eq!(names(), image.map(with_evidence).unwrap_or_default(), "{target}");
    }
    // Somebody's own of that name is not touched, and neither is what another template has made.
    bench.write("work/output/g-t.raw", "somebody's");
    let other = r#"{ "pcfs": { "label": "O", "size": 2 }, "steps": [] }"#;
    bench.write("templates/g/other.json", other);
    // As long as there is a template of that name, no other one may take it.
    fs::remove_file(bench.path("templates/g/t.json")).expect("it was there");
    let as_t = BuildRequest { output_name: Some("t".to_owned()), ..bench.request("other") };
    image_steps::build(&as_t, &(Arc::new(Silent) as _)).expect("it builds");
    assert!(bench.path("work/output/g-t.iso").exists() && bench.path("work/output/g-t.pcfs").exists());
    bench.write("templates/g/t.json", other);
    bench.build("t").expect("it builds");
    let there = ["raw", "iso", "pcfs"].map(|end| bench.path(&format!("work/output/g-t.{end}")).exists());
    assert_eq!(there, [true, false, true]);
}
