//! Whether an image would boot, as `verify` walks it.

use crate::illumos_root::{self, IllumosRoot};
use crate::scene::{DISK, Scene};
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_testing::{Depot, PublishLines};
use process_runner::Command;
use std::fs;
use std::path::Path;

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

/// What the installation of packages puts into the tables of drivers is what `verify` looks for there.
#[test]
fn drivers_of_installed_packages_are_in_the_tables() {
    let scene = Scene::new();
    let repository = scene.path("repository");
    let mut publication = Publication::new(&repository);
    let driver = r#"driver name=honet alias=pci1,2 class=net perms="* 0666 root sys" privs=sys_net_config
        clone_perms="honet 0666 root sys" clone_perms="0600 root sys" devlink="type=ddi_pseudo;name=honet\thonet"
        policy="read_priv_set=all" policy="ctl read_priv_set=all write_priv_set=all""#;
    publication.lines("pkg://p/driver/honet@1,5.11-1:20240101T000000Z", &driver.replace('\n', " "));
    publication.finish(OperationTime::from_unix_seconds(1)).expect("a repository");
    let depot = Depot::serve(&repository);
    let owner = r#""owner": "root", "group": "sys""#;
    let install = [
        format!(
            r##"{{ "t": "ensure_file", "file": "/etc/devlink.tab", "contents": "# links", {owner}, "mode": "644" }}"##
        ),
        format!(r#"{{ "t": "pkg_image_create", "publisher": "p", "uri": "{}" }}"#, depot.uri()),
        r#"{ "t": "pkg_install", "pkgs": [ "driver/honet" ] }"#.to_owned(),
    ];
    let tighten = r#"{ "t": "ensure_file", "file": "/etc/minor_perm", "mode": "644", "contents": "vio9p:* 0600 root root\nhonet:* 0600 root sys\nclone:honet 0600 root sys\n", "owner": "root", "group": "sys" }"#;
    let mut steps: Vec<&str> = install.iter().map(String::as_str).collect();
    scene.build("installed", DISK, &steps);
    let said = scene.good(&["verify", "installed"]);
    assert!(said.contains("good: boot: all 1 drivers of the packages are in the tables\n"), "{said}");
    assert!(!said.contains("driver/honet"), "{said}");
    steps.push(tighten);
    scene.build("tightened", DISK, &steps);
    let said = scene.good(&["verify", "tightened"]);
    let told =
        "good: boot: driver/honet@1-1: /etc/minor_perm has `honet:* 0600 root sys` for its driver honet, and not";
    assert_eq!(said.matches("driver/honet").count(), 1, "{said}");
    assert!(said.contains(told), "{said}");
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
