//! `seed_smf` with a `svccfg`, played by a script that writes down how it is called and what it sees.

mod support;

use image_steps::{BuildError, BuildRequest, EngineError, Progress, build};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use support::{Bench, OWNER, PACK, Ran, contents, steps};

/// The repository becomes a list of what was asked of it, with the files that it was asked for.
const SVCCFG: &str = r#"#!/bin/sh
set -eu
[ -f "$SVCCFG_DTD" ] && [ "$SVCCFG_CHECKHASH" = 1 ] || exit 9
case $SVCCFG_DTD in "$PKG_INSTALL_ROOT"/usr/share/lib/xml/dtd/*) ;; *) exit 8 ;; esac
[ -z "${LANG-}${LC_ALL-}${HOME-}" ] || exit 7
exec >>"$SVCCFG_REPOSITORY"
echo "$@" | sed "s,$PKG_INSTALL_ROOT,,"
for last; do :; done
case $1 in
import) cd "$last" && find . -type f | LC_ALL=C sort | while read -r file; do echo "$file: $(cat "$file")"; done ;;
apply) cat "$last" ;;
esac
"#;

fn directory(path: &str) -> String {
    format!(r#"{{ "t": "ensure_dir", "dir": "{path}", "owner": "root", "group": "sys", "mode": "755" }}"#)
}

fn link(path: &str, target: &str) -> String {
    format!(r#"{{ "t": "ensure_symlink", "link": "{path}", "target": "{target}", "owner": "root", "group": "root" }}"#)
}

/// A bench with a program, and the steps of a root with services.
fn scene(program: &str) -> (Bench, Vec<String>) {
    let bench = Bench::new();
    set_program(&bench, program);
    let mut root: Vec<String> =
        ["/lib/svc/manifest/site", "/lib/svc/seed", "/etc/svc/profile", "/var/svc/profile", "/usr/share/lib/xml/dtd"]
            .map(directory)
            .to_vec();
    root.extend([
        contents("/usr/share/lib/xml/dtd/service_bundle.dtd.1", "dtd"),
        contents("/lib/svc/seed/global.db", r"seed\n"),
        contents("/lib/svc/manifest/b.xml", "second"),
        contents("/lib/svc/manifest/site/a.xml", "first"),
        link("/lib/svc/manifest/inside.xml", "/etc/svc/profile/limited.xml"),
        link("/lib/svc/manifest/outside.xml", "/../../etc/passwd"),
        contents("/etc/svc/profile/limited.xml", r"limited\n"),
        link("/etc/svc/profile/generic.xml", "limited.xml"),
        contents("/var/svc/profile/site.xml", r"site\n"),
    ]);
    (bench, root)
}

fn set_program(bench: &Bench, text: &str) {
    let path = bench.path("svccfg");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
}

fn template(bench: &Bench, root: &[String], seed: &str) {
    let mut all: Vec<&str> = root.iter().map(String::as_str).collect();
    all.extend([seed, PACK]);
    bench.template("smf", &steps(&all));
}

fn run(bench: &Bench) -> Result<Vec<String>, Box<BuildError>> {
    let ran = Arc::new(Ran::default());
    let progress: Arc<dyn Progress> = Arc::clone(&ran) as Arc<dyn Progress>;
    build(&BuildRequest { svccfg: Some(bench.path("svccfg")), ..bench.request("smf") }, &progress).map_err(Box::new)?;
    let titles = ran.0.lock().expect("not poisoned").clone();
    Ok(titles)
}

const IMPORT: &str = "import -p /dev/stdout /lib/svc/manifest\n\
    ./b.xml: second\n./inside.xml: limited\n./site/a.xml: first\n";

#[test]
fn services_are_imported_and_profiles_applied_in_order() {
    let (bench, root) = scene(SVCCFG);
    template(&bench, &root, r#"{ "t": "seed_smf", "apply_profiles": ["site", "generic"] }"#);
    run(&bench).expect("it builds");
    let repository = bench.text("out.tar", "/etc/svc/repository.db");
    let applied = "apply /var/svc/profile/site.xml\nsite\napply /etc/svc/profile/generic.xml\nlimited\n";
    assert_eq!(repository, format!("seed\n{IMPORT}{applied}"));
    let left = fs::read_dir(bench.path("work/work")).expect("the scratch directory").count();
    assert_eq!(left, 0, "nothing is left behind");
}

#[test]
fn debug_and_skip_seed_are_possible_with_it() {
    let (bench, root) = scene(SVCCFG);
    template(&bench, &root, r#"{ "t": "seed_smf", "debug": true, "skip_seed": true }"#);
    run(&bench).expect("it builds");
    let restarter = "-s system/svc/restarter:default";
    let debug =
        format!("{restarter} addpg options application\n{restarter} setprop options/logging = astring: debug\n");
    assert_eq!(bench.text("out.tar", "/etc/svc/repository.db"), format!("{IMPORT}{debug}"));
    // Without it they are not.
    let Err(error) = bench.build("smf") else { panic!("it is refused") };
    let BuildError::Template { diagnostics, .. } = *error else { panic!("before any work: {error}") };
    assert!(diagnostics.list()[0].help_text().is_some_and(|help| help.contains("`-S`")));
}

#[test]
fn another_program_seeds_again() {
    let (bench, root) = scene(SVCCFG);
    template(&bench, &root, r#"{ "t": "seed_smf" }"#);
    run(&bench).expect("it builds");
    assert_eq!(run(&bench).expect("it builds"), Vec::<String>::new());
    set_program(&bench, &format!("{SVCCFG}# another\n"));
    assert_eq!(run(&bench).expect("it builds")[0], "seed_smf");
    // What the first boot completes is another state than what was seeded.
    assert_eq!(bench.build("smf").expect("it builds")[0], "seed_smf");
    assert_eq!(bench.text("out.tar", "/etc/svc/repository.db"), "seed\n");
}

#[test]
fn what_it_says_is_told_at_the_step() {
    let (bench, mut root) = scene("#!/bin/sh\necho 'svccfg: b.xml: not a bundle' >&2\nexit 1\n");
    template(&bench, &root, r#"{ "t": "seed_smf" }"#);
    let failure = |bench: &Bench| match *run(bench).expect_err("it fails") {
        BuildError::Engine(EngineError::Step(diagnostic)) => {
            assert!(diagnostic.origin().is_some());
            diagnostic.message().to_owned()
        }
        other => panic!("{other:?}"),
    };
    let said = failure(&bench);
    assert!(said.contains("cannot seed the service repository") && said.contains("b.xml: not a bundle"), "{said}");
    // A profile that is asked for has to be there.
    set_program(&bench, SVCCFG);
    root.push(format!(r#"{{ "t": "ensure_file", "file": "/etc/other", "contents": "", {OWNER} }}"#));
    template(&bench, &root, r#"{ "t": "seed_smf", "apply_profiles": ["platform"] }"#);
    let said = failure(&bench);
    assert!(said.contains("/etc/svc/profile/platform.xml"), "{said}");
}
