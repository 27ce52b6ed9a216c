//! What is refused before any work, with its code, its place and a way out.

mod support;

use image_steps::{BuildError, Neighbour, check_together, load};
use std::fs;
use support::{Bench, OWNER, PACK, contents};
use template::Diagnostic;

/// Code, line, message.
fn told(diagnostic: &Diagnostic) -> String {
    assert!(diagnostic.is_error() && diagnostic.help_text().is_some(), "{diagnostic:?}");
    let line = diagnostic.origin().map(|origin| format!(" {}", origin.line())).unwrap_or_default();
    format!("{}{line}: {}", diagnostic.code(), diagnostic.message())
}

/// What is wrong with a template of these steps, one in a line, from line 2 on.
fn wrong(target: &str, steps: &[&str]) -> Vec<String> {
    let bench = Bench::new();
    bench.write("templates/g/t.json", &format!("{{ {target}, \"steps\": [\n{}\n] }}", steps.join(",\n")));
    match load(&bench.request("t"), "g", "t") {
        Ok(_) => Vec::new(),
        Err(BuildError::Template { diagnostics, .. }) => diagnostics.list().iter().map(told).collect(),
        Err(other) => panic!("{other}"),
    }
}

const DATASET: &str = r#""dataset": { "name": "d" }"#;

fn pack(name: &str) -> String {
    format!(r#"{{ "t": "pack_tar", "name": "{name}" }}"#)
}

/// The second archive took the place of the first, so that no build ever found what it had made.
#[test]
fn an_archive_is_packed_once() {
    let found = wrong(DATASET, &[PACK, &contents("/a", "x"), PACK]);
    assert_eq!(found, ["output::packed-twice 4: out.tar is packed twice, and the first one is lost"]);
    assert_eq!(wrong(DATASET, &[PACK, &pack("other.tar")]), [""; 0]);
}

/// What was written last stayed.
#[test]
fn no_two_outputs_of_a_template_have_one_name() {
    let iso = r#""iso": {}"#;
    for (target, steps, expected) in [
        (
            DATASET,
            vec![PACK.to_owned(), pack("out.tar.sha256")],
            "output::same-name 3: out.tar.sha256 is an archive and the checksum of out.tar of this template",
        ),
        (iso, vec![pack("g-t.iso")], "output::same-name 2: g-t.iso is an archive and the image of this template"),
        (
            DATASET,
            vec![pack("g-t.evidence.json")],
            "output::same-name 2: g-t.evidence.json is an archive and the evidence of this template",
        ),
        (
            iso,
            vec![pack("g-t.iso.sha256")],
            "output::same-name 2: g-t.iso.sha256 is an archive and the checksum of g-t.iso of this template",
        ),
    ] {
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        assert_eq!(wrong(target, &steps), [expected]);
    }
}

fn symlink(link: &str) -> String {
    format!(r#"{{ "t": "ensure_symlink", "link": "{link}", "target": "a", "owner": "root", "group": "root" }}"#)
}

fn directory(dir: &str) -> String {
    format!(r#"{{ "t": "ensure_dir", "dir": "{dir}", "owner": "root", "group": "root", "mode": "755" }}"#)
}

const UNPACK: &str = r#"{ "t": "unpack_tar", "name": "x.tar" }"#;

/// All of these were told after everything had been done.
#[test]
fn what_the_steps_alone_tell_is_told_before_them() {
    let (fat, iso) = (r#""pcfs": { "label": "X", "size": 2 }"#, r#""iso": { "boot_bios": "boot/cdboot" }"#);
    let tarsrc = format!(r#"{{ "t": "ensure_file", "file": "/a", "tarsrc": "/a", {OWNER} }}"#);
    let aside = r#"{ "t": "unpack_tar", "name": "x.tar", "into_tmp": true }"#.to_owned();
    let remove = |what: &str| format!(r#"{{ "t": "remove_files", {what} }}"#);
    let unpack = UNPACK.to_owned();
    let order =
        "step::order 2: `tarsrc` takes a file of an archive, and no step before it has unpacked one to the side";
    let boot = "target::iso 1: no step puts /boot/cdboot into the image, which is to boot it";
    let colon = "target::not-on-fat 2: /a:b cannot be on a FAT image: a name has a character that FAT forbids";
    let link = "target::not-on-fat 2: /EFI/l cannot be on a FAT image: it is a symbolic link";
    let case = "target::not-on-fat 3: FAT does not tell /efi from /EFI";
    for (target, steps, expected) in [
        (DATASET, vec![tarsrc.clone(), aside.clone()], vec![order]),
        (DATASET, vec![unpack.replace("x.tar", "y.tar"), tarsrc.clone()], vec![&*order.replace(" 2:", " 3:")]),
        (DATASET, vec![aside.clone(), tarsrc], vec![]),
        (iso, vec![], vec![boot]),
        (iso, vec![contents("/boot/other", ""), aside], vec![boot]),
        (iso, vec![contents("/boot//./cdboot", "")], vec![]),
        (iso, vec![unpack.clone()], vec![]),
        (fat, vec![contents("/a:b", "")], vec![colon]),
        (fat, vec![contents("/a:b", ""), unpack.clone()], vec![colon]),
        (fat, vec![contents("/a:b", ""), remove(r#""file": "/a:b""#)], vec![]),
        (fat, vec![symlink("/EFI/l")], vec![link]),
        (fat, vec![symlink("/EFI/l"), unpack], vec![]),
        (fat, vec![symlink("/EFI/l"), contents("/EFI/l", "")], vec![]),
        (fat, vec![symlink("/EFI/l"), remove(r#""dir": "/EFI""#)], vec![]),
        (fat, vec![directory("/EFI/BOOT"), contents("/efi/boot/x", "")], vec![case]),
        (fat, vec![directory("/EFI/BOOT"), contents("/EFI/BOOT/x", ""), contents("/EFI/BOOT/x", "y")], vec![]),
        (DATASET, vec![contents("/a:b", ""), symlink("/l")], vec![]),
    ] {
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        assert_eq!(wrong(target, &steps), expected, "{target} {steps:?}");
    }
}

/// Templates by their names, `GROUP/NAME`, and what is wrong with them beside each other.
fn together(templates: &[(&str, &str)]) -> Vec<String> {
    let bench = Bench::new();
    let mut loaded = Vec::new();
    for (subject, text) in templates {
        let (group, name) = subject.split_once('/').expect("group and name");
        fs::create_dir_all(bench.path("templates").join(group)).expect("a directory");
        bench.write(&format!("templates/{subject}.json"), text);
        loaded.push(load(&bench.request(name), group, name).expect("it is right by itself"));
    }
    let all: Vec<_> = loaded.iter().map(|template| Neighbour { template: Some(template), is_good: true }).collect();
    let line = |(index, found): (usize, Diagnostic)| format!("{} {}", templates[index].0, told(&found));
    check_together(&all).into_iter().map(line).collect()
}

#[test]
fn no_output_of_a_template_is_called_as_one_of_another() {
    let packing = |name: &str| format!("{{ {DATASET}, \"steps\": [\n{} ] }}", pack(name));
    let disc = r#"{ "iso": {}, "steps": [] }"#;
    let found = together(&[("g/disc", disc), ("g/two", &packing("g-disc.iso")), ("g/three", &packing("x.tar"))]);
    assert_eq!(found, ["g/two output::same-name 2: g-disc.iso is an archive here and the image of g/disc"]);
    let found = together(&[("g/one", &packing("x.tar")), ("g/two", &packing("x.tar.sha256"))]);
    assert_eq!(
        found,
        ["g/two output::same-name 2: x.tar.sha256 is an archive here and the checksum of x.tar of g/one"]
    );
    let found = together(&[("g/one", &packing("x.tar")), ("g/two", &packing("g-one.evidence.json"))]);
    assert_eq!(found, ["g/two output::same-name 2: g-one.evidence.json is an archive here and the evidence of g/one"]);
    let found = together(&[("a/b-c", disc), ("a-b/c", disc)]);
    assert_eq!(found, ["a-b/c output::same-name 1: a-b/c and a/b-c write images and evidence of the same names"]);
    // Of several that pack the same archive, the one that has done so last counts.
    assert_eq!(together(&[("g/one", &packing("x.tar")), ("g/two", &packing("x.tar"))]), [""; 0]);
}

#[test]
fn a_snapshot_that_no_template_makes_is_told_by_check() {
    let stage = |fields: &str| format!("{{ \"dataset\": {{ \"name\": \"d\"{fields} }},\n\"steps\": [] }}");
    let (first, second) = (stage(r#", "output_snapshot": "strap""#), stage(r#", "input_snapshot": "strap""#));
    assert_eq!(together(&[("g/one", &first), ("g/two", &second)]), [""; 0]);
    assert_eq!(together(&[("g/two", &second)]), ["g/two build::missing-input 1: no template makes snapshot g/d@strap"]);
    // Of another group it is another one.
    assert_eq!(together(&[("h/one", &first), ("g/two", &second)]).len(), 1);
    let bench = Bench::new();
    bench.write("templates/g/two.json", &second);
    let two = load(&bench.request("two"), "g", "two").expect("it is right");
    let unreadable = Neighbour { template: None, is_good: false };
    // One that cannot be read may make it.
    assert!(check_together(&[Neighbour { template: Some(&two), is_good: true }, unreadable]).is_empty());
}
