//! Whole builds of small templates, looked at through the archives that they pack.

mod support;

use image_steps::{BuildError, Progress, plan};
use image_tree::NodeKind;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::{Bench, DIR, OWNER, PACK, at, contents, steps};

/// A step that only an illumos system can do.
const SVCCFG: &str = r#"{ "t": "seed_smf", "debug": true }"#;

#[test]
fn every_file_step_leaves_what_it_says() {
    let bench = Bench::new();
    let shadow = r"root:*:19000:0:99999:7:::";
    bench.write("templates/g/files/motd", "welcome\n").write("ext/tool", "from outside").template(
        "all",
        &steps(&[
            DIR,
            &contents("/etc/shadow", &format!("{shadow}\\n")),
            r#"{ "t": "ensure_file", "file": "/etc/motd", "src": "motd", "owner": "adm", "group": "sys", "mode": "4755" }"#,
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/tool", "extsrc": "tool", {OWNER} }}"#),
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/copy", "imagesrc": "/etc/motd", {OWNER} }}"#),
            r#"{ "t": "ensure_symlink", "link": "/etc/link", "target": "../etc/motd", "owner": "root", "group": "root" }"#,
            r#"{ "t": "ensure_perms", "path": "/etc/copy", "owner": "bin", "group": "bin", "mode": "600" }"#,
            r#"{ "t": "shadow", "username": "root", "password": "$6$x$y" }"#,
            r#"{ "t": "ensure_dir", "dir": "/etc/system.d", "owner": "root", "group": "sys", "mode": "755" }"#,
            &contents("/etc/system.d/b", "\\n second \\n\\n"),
            &contents("/etc/system.d/a", "first"),
            &contents("/etc/system.d/c", "  "),
            r#"{ "t": "assemble_files", "dir": "/etc/system.d", "output": "/etc/system.d/.joined" }"#,
            r#"{ "t": "remove_files", "file": "/etc/none", "optional": true }"#,
            &contents("/etc/x.log", "x"),
            r#"{ "t": "remove_files", "pattern": "*.log" }"#,
            r#"{ "t": "require_path", "path": "/etc/link", "help": "never shown" }"#,
            PACK,
        ]),
    );
    bench.build("all").expect("it builds");
    assert_eq!(bench.text("out.tar", "/etc/link"), "welcome\n");
    assert_eq!(bench.text("out.tar", "/etc/tool"), "from outside");
    assert_eq!(bench.text("out.tar", "/etc/shadow"), shadow.replacen('*', "$6$x$y", 1) + "\n");
    assert_eq!(bench.text("out.tar", "/etc/system.d/.joined"), "first\nsecond\n");
    let (tree, _) = bench.packed("out.tar");
    let metadata = |path: &str| {
        let node = tree.get(&at(path)).expect("it is there");
        (node.metadata.uid, node.metadata.gid, node.metadata.mode)
    };
    assert_eq!(metadata("/etc/motd"), (4, 3, 0o4755));
    assert_eq!(metadata("/etc/copy"), (2, 2, 0o600));
    assert_eq!(metadata("/etc/shadow"), (0, 0, 0o400));
    assert_eq!(metadata("/etc"), (0, 3, 0o755));
    assert!(tree.get(&at("/etc/x.log")).is_none());
    assert!(
        matches!(&tree.get(&at("/etc/link")).expect("the link").kind, NodeKind::Symlink(to) if to == b"../etc/motd")
    );
}

#[test]
fn a_second_build_does_nothing_and_a_change_redoes_what_follows_it() {
    let bench = Bench::new();
    bench.write("templates/g/files/a", "one").template(
        "cached",
        &steps(&[
            DIR,
            &contents("/etc/first", "x"),
            &format!(r#"{{ "t": "ensure_file", "file": "/etc/a", "src": "a", {OWNER} }}"#),
            PACK,
        ]),
    );
    assert_eq!(bench.build("cached").expect("it builds").len(), 4);
    assert_eq!(bench.build("cached").expect("it builds"), Vec::<String>::new());
    bench.write("templates/g/files/a", "two");
    assert_eq!(bench.build("cached").expect("it builds"), ["ensure_file /etc/a", "pack_tar out.tar"]);
    assert_eq!(bench.text("out.tar", "/etc/a"), "two");
    // The first content is known still: only the archive has to be written again.
    bench.write("templates/g/files/a", "one");
    assert_eq!(bench.build("cached").expect("it builds"), ["pack_tar out.tar"]);
    fs::remove_file(bench.path("work/output/out.tar")).expect("the archive is there");
    assert_eq!(bench.build("cached").expect("it builds"), ["pack_tar out.tar"]);
    assert_eq!(bench.text("out.tar", "/etc/a"), "one");
}

#[test]
fn a_failed_build_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let wrong = r#"{ "t": "remove_files", "file": "/etc/gone" }"#;
    bench.template("broken", &steps(&[DIR, &contents("/etc/a", "a"), wrong, PACK]));
    let failure = bench.failure("broken");
    assert!(failure.contains("cannot remove /etc/gone: /etc/gone does not exist in the image"), "{failure}");
    bench.template("broken", &steps(&[DIR, &contents("/etc/a", "a"), PACK]));
    assert_eq!(bench.build("broken").expect("it builds"), ["pack_tar out.tar"]);
}

#[test]
fn what_a_template_needs_is_built_first() {
    let bench = Bench::new();
    bench.template("base", &steps(&[DIR, &contents("/etc/base", "from the base"), PACK]));
    let unpack = r#"{ "t": "unpack_tar", "name": "out.tar" }"#;
    bench.template(
        "image",
        &steps(&[unpack, &contents("/etc/more", "more"), r#"{ "t": "pack_tar", "name": "image.tar" }"#]),
    );
    let ran = bench.build("image").expect("it builds");
    assert_eq!(ran.iter().filter(|title| *title == "pack_tar out.tar").count(), 1);
    assert_eq!(bench.text("image.tar", "/etc/base"), "from the base");
    // A change of the base goes through to the image.
    bench.template("base", &steps(&[DIR, &contents("/etc/base", "changed"), PACK]));
    bench.build("image").expect("it builds");
    assert_eq!(bench.text("image.tar", "/etc/base"), "changed");
}

#[test]
fn what_somebody_put_into_the_output_directory_is_not_made_anew() {
    let bench = Bench::new();
    bench.template("base", &steps(&[DIR, &contents("/etc/base", "from the base"), PACK]));
    let unpack = r#"{ "t": "unpack_tar", "name": "out.tar" }"#;
    bench.template("image", &steps(&[unpack, r#"{ "t": "pack_tar", "name": "image.tar" }"#]));
    bench.build("image").expect("it builds");
    // Another one, as if it came from another machine.
    bench.template(
        "other",
        &steps(&[DIR, &contents("/etc/base", "given"), r#"{ "t": "pack_tar", "name": "other.tar" }"#]),
    );
    bench.build("other").expect("it builds");
    fs::copy(bench.path("work/output/other.tar"), bench.path("work/output/out.tar")).expect("copied");
    bench.template("base", &steps(&[DIR, &contents("/etc/base", "changed"), PACK]));
    bench.build("image").expect("it builds");
    assert_eq!(bench.text("image.tar", "/etc/base"), "given");
    // Without it, it is made.
    fs::remove_file(bench.path("work/output/out.tar")).expect("it was there");
    bench.build("image").expect("it builds");
    assert_eq!(bench.text("image.tar", "/etc/base"), "changed");
}

#[test]
fn stages_continue_each_other_through_snapshots() {
    let bench = Bench::new();
    let stage =
        |target: &str, list: &str| format!(r#"{{ "dataset": {{ "name": "d", {target} }}, "steps": [ {list} ] }}"#);
    bench
        .write(
            "templates/g/one.json",
            &stage(r#""output_snapshot": "strap""#, &steps(&[DIR, &contents("/etc/a", "a")])),
        )
        .write("templates/g/two.json", &stage(r#""input_snapshot": "strap""#, PACK));
    bench.build("two").expect("it builds the first stage, too");
    assert_eq!(bench.text("out.tar", "/etc/a"), "a");
}

#[test]
fn templates_that_need_each_other_are_told() {
    let bench = Bench::new();
    let taking = |takes: &str, gives: &str| {
        steps(&[
            &format!(r#"{{ "t": "unpack_tar", "name": "{takes}" }}"#),
            &format!(r#"{{ "t": "pack_tar", "name": "{gives}" }}"#),
        ])
    };
    bench.template("a", &taking("b.tar", "a.tar")).template("b", &taking("a.tar", "b.tar"));
    let told = bench.failure("a");
    assert!(told.contains("templates need each other in a circle: g/a needs g/b needs g/a [give one"), "{told}");
}

#[test]
fn what_is_missing_is_named_with_the_place() {
    let bench = Bench::new();
    bench.template("lonely", r#"{ "t": "unpack_tar", "name": "nowhere.tar" }"#);
    let failure = bench.failure("lonely");
    assert!(failure.starts_with("1: ") && failure.contains("nowhere.tar does not exist"), "{failure}");
    bench.template("late", &contents("/no/such/dir", "x"));
    let failure = bench.failure("late");
    assert!(failure.contains("add an ensure_dir step for /no"), "{failure}");
    bench
        .template("driver", r#"{ "t": "require_path", "path": "/kernel/drv/amd64/vio9p", "help": "add the package" }"#);
    assert_eq!(bench.failure("driver"), "1: the image has no /kernel/drv/amd64/vio9p [add the package]");
}

#[test]
fn steps_that_are_not_possible_here_are_told_before_any_work() {
    let bench = Bench::new();
    bench.template("smf", &steps(&[DIR, SVCCFG]));
    let error = bench.build("smf").expect_err("it cannot be built");
    let BuildError::Template { diagnostics, .. } = *error else { panic!("nothing else is wrong: {error}") };
    assert!(diagnostics.list()[0].message().contains("needs the svccfg of an illumos system"));
    assert!(!bench.path("work").exists(), "nothing was made");
}

#[test]
fn a_base_that_cannot_be_made_here_is_taken_as_it_is() {
    let bench = Bench::new();
    bench.template("smf", &steps(&[SVCCFG, PACK]));
    bench.template("image", &steps(&[r#"{ "t": "unpack_tar", "name": "out.tar" }"#, DIR]));
    let failure = bench.failure("image");
    assert!(failure.contains("g/smf makes it, which is not possible here"), "{failure}");
    bench.template("given", &steps(&[DIR, r#"{ "t": "pack_tar", "name": "given.tar" }"#]));
    bench.build("given").expect("it builds");
    fs::rename(bench.path("work/output/given.tar"), bench.path("work/output/out.tar")).expect("a base is put there");
    bench.build("image").expect("it takes the base");
}

/// The base of an image is often made in stages, of which only the first ones need another system.
#[test]
fn a_base_whose_first_stage_cannot_be_made_here_is_taken_as_it_is() {
    let bench = Bench::new();
    let stage =
        |target: &str, list: &str| format!(r#"{{ "dataset": {{ "name": "d", {target} }}, "steps": [ {list} ] }}"#);
    bench
        .write("templates/g/first.json", &stage(r#""output_snapshot": "strap""#, SVCCFG))
        .write("templates/g/second.json", &stage(r#""input_snapshot": "strap""#, PACK))
        .template("image", &steps(&[r#"{ "t": "unpack_tar", "name": "out.tar" }"#, DIR]));
    let failure = bench.failure("image");
    assert!(failure.contains("out.tar does not exist"), "{failure}");
    assert!(
        failure.contains("g/second makes it, which is not possible here (it needs g/first, and seed_smf with"),
        "{failure}"
    );
    bench.template("given", &steps(&[DIR, r#"{ "t": "pack_tar", "name": "given.tar" }"#]));
    bench.build("given").expect("it builds");
    fs::rename(bench.path("work/output/given.tar"), bench.path("work/output/out.tar")).expect("a base is put there");
    bench.build("image").expect("it takes the base");
}

#[test]
fn a_program_of_another_system_is_refused() {
    let bench = Bench::new();
    // The test itself is a program of this host; a script is none at all.
    let program = fs::read("/proc/self/exe").expect("this test");
    fs::write(bench.path("ext/program"), program).expect("a copy");
    bench.write("ext/script", "#!/bin/sh\n");
    let install = |name: &str| {
        let abi = r#""abi": "guest""#;
        format!(r#"{{ "t": "ensure_file", "file": "/etc/{name}", "extsrc": "{name}", {abi}, {OWNER} }}"#)
    };
    bench.template("empty", &steps(&[DIR, &install("program")]));
    assert!(bench.failure("empty").contains("the image has no C library"));
    bench.template("script", &steps(&[DIR, &install("script")]));
    assert!(bench.failure("script").contains("is to run in the guest"));
}

#[test]
fn plan_tells_what_would_run_and_changes_nothing() {
    let bench = Bench::new();
    bench.template("p", &steps(&[DIR, &contents("/etc/a", "a"), PACK]));
    let progress: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    let cached = |bench: &Bench| -> Vec<Option<bool>> {
        let planned = plan(&bench.request("p"), &progress).expect("a plan");
        planned[0].steps.iter().map(|step| step.cached).collect()
    };
    assert_eq!(cached(&bench), [Some(false), None, None]);
    bench.build("p").expect("it builds");
    assert_eq!(cached(&bench), [Some(true), Some(true), Some(true)]);
    bench.template("p", &steps(&[DIR, &contents("/etc/a", "b"), PACK]));
    assert_eq!(cached(&bench), [Some(true), Some(false), None]);
    assert_eq!(bench.text("out.tar", "/etc/a"), "a");
}

#[test]
fn the_same_inputs_give_the_same_archive_anywhere() {
    let pack = |bench: &Bench| {
        bench.template("same", &steps(&[DIR, &contents("/etc/a", "a"), PACK]));
        bench.build("same").expect("it builds");
        fs::read(bench.path("work/output/out.tar")).expect("the archive")
    };
    assert_eq!(pack(&Bench::new()), pack(&Bench::new()));
}

#[test]
fn a_damaged_archive_is_told_with_entry_and_offset() {
    let bench = Bench::new();
    bench.template("good", &steps(&[DIR, &contents("/etc/a", "a"), PACK]));
    bench.build("good").expect("it builds");
    let archive = fs::read(bench.path("work/output/out.tar")).expect("the archive");
    let damaged = Path::new("work/output/damaged.tar");
    fs::write(bench.path(&damaged.display().to_string()), &archive[..1700]).expect("it ends within the last file");
    bench.template("bad", r#"{ "t": "unpack_tar", "name": "damaged.tar" }"#);
    let failure = bench.failure("bad");
    assert!(failure.contains("archive entry") && failure.contains("at byte"), "{failure}");
}
