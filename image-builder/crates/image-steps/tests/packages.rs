//! The steps about IPS packages, looked at through the archives that they leave.

mod support;

use image_steps::{
    BuildError, BuildRequest, InputSource, PlannedPackages, Progress, Silent, SizeBasis, StepState, build, plan,
    plan_asking,
};
use image_tree::{Node, Tree};
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_testing::{Depot, PublishLines};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::{Bench, PACK, at, steps};

const TIME: i64 = 1_700_000_000;

fn create(uri: &str) -> String {
    format!(r#"{{ "t": "pkg_image_create", "publisher": "p", "uri": "{uri}" }}"#)
}

fn install(names: &str, more: &str) -> String {
    format!(r#"{{ "t": "pkg_install", "pkgs": [ {names} ]{more} }}"#)
}

/// A base, an application in two versions with an optional helper, and what else the steps need.
fn publish(root: &Path, newest: u32) {
    let mut publication = Publication::new(root);
    let version = |number: u32| format!("{number},5.11-1:2024010{number}T000000Z");
    publication.lines(
        &format!("pkg://p/system/base@{}", version(1)),
        "group groupname=root gid=0
        group groupname=sys gid=3
        user username=root uid=0 group=root password=NP lastchg=1
        dir path=etc mode=0755 owner=root group=sys
        file path=etc/passwd mode=0644 owner=root group=sys preserve=true <- root:x:0:0::/root:/bin/sh
        file path=etc/shadow mode=0400 owner=root group=sys preserve=true <- root:NP:1::::::
        file path=etc/group mode=0644 owner=root group=sys preserve=true <- root::0:",
    );
    for number in 1..=newest {
        publication.lines(
            &format!("pkg://p/app@{}", version(number)),
            &format!(
                "depend type=require fmri=system/base
                depend type=optional fmri=pkg://p/helper@1
                dir path=opt mode=0755 owner=root group=sys
                file path=opt/app mode=0555 owner=root group=sys <- version {number}
                file path=opt/zone mode=0444 owner=root group=sys variant.opensolaris.zone=nonglobal <- in a zone
                file path=opt/man mode=0444 owner=root group=sys facet.doc.man=true <- a page"
            ),
        );
    }
    publication.lines(
        &format!("pkg://p/helper@{}", version(1)),
        "depend type=require fmri=system/base
        file path=opt/helper mode=4555 owner=root group=sys <- helps",
    );
    publication.lines(
        &format!("pkg://p/both@{}", version(1)),
        "depend type=group fmri=app
        depend type=group fmri=helper",
    );
    publication.finish(OperationTime::from_unix_seconds(TIME + i64::from(newest))).unwrap();
}

fn node<'t>(tree: &'t Tree, path: &str) -> Option<&'t Node> {
    tree.get(&at(path))
}

struct Scene {
    bench: Bench,
    uri: String,
}

impl Scene {
    fn new() -> Self {
        let bench = Bench::new();
        publish(&bench.path("repository"), 1);
        let uri = format!("file://{}", bench.path("repository").display());
        Self { bench, uri }
    }

    fn planned(&self, name: &str) -> Vec<PlannedPackages> {
        let progress: Arc<dyn Progress> = Arc::new(Silent);
        let planned = plan(&self.bench.request(name), &progress).unwrap();
        planned.into_iter().flat_map(|template| template.steps).filter_map(|step| step.packages).collect()
    }

    /// Builds with news; the result is the steps that ran, and the messages.
    fn refresh(&self, name: &str) -> (Vec<String>, Vec<String>) {
        let heard = Arc::new(Heard::default());
        let progress: Arc<dyn Progress> = Arc::clone(&heard) as Arc<dyn Progress>;
        let request = BuildRequest { refresh: true, ..self.bench.request(name) };
        build(&request, &progress).unwrap();
        let said = heard.said.lock().unwrap().clone();
        (heard.ran.0.lock().unwrap().clone(), said)
    }
}

#[derive(Default)]
struct Heard {
    ran: support::Ran,
    said: Mutex<Vec<String>>,
}

impl Progress for Heard {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, index: usize, title: &str, state: StepState) {
        self.ran.step(index, title, state);
    }
    fn message(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_owned());
    }
    fn detail(&self, _text: &str) {}
}

#[test]
fn packages_are_installed_once_and_the_image_knows_them() {
    let scene = Scene::new();
    let list = steps(&[
        &create(&scene.uri),
        r#"{ "t": "pkg_set_property", "name": "flush-content-cache-on-success", "value": "true" }"#,
        &install(r#""app""#, ""),
        PACK,
    ]);
    scene.bench.template("image", &list);
    assert_eq!(scene.bench.build("image").unwrap().len(), 4);
    let (tree, _) = scene.bench.packed("out.tar");
    assert_eq!(scene.bench.text("out.tar", "/opt/app"), "version 1");
    assert!(node(&tree, "/opt/zone").is_none() && node(&tree, "/opt/helper").is_none());
    let app = node(&tree, "/opt/app").unwrap();
    assert_eq!((app.metadata.uid, app.metadata.gid, app.metadata.mode), (0, 3, 0o555));
    let config = scene.bench.text("out.tar", "/var/pkg/pkg5.image");
    for line in ["flush-content-cache-on-success = True", "publisher-search-order = ['p']", "variant.arch = i386"] {
        assert!(config.contains(line), "{config}");
    }
    let installed = scene.bench.text("out.tar", "/var/pkg/state/installed/catalog.base.C");
    assert!(installed.contains("app") && installed.contains("system/base"), "{installed}");

    // Nothing is done again, and nothing is asked of anybody: the repository may be gone.
    fs::rename(scene.bench.path("repository"), scene.bench.path("away")).unwrap();
    assert_eq!(scene.bench.build("image").unwrap(), Vec::<String>::new());
    let before = fs::read(scene.bench.path("work/output/out.tar")).unwrap();
    fs::remove_file(scene.bench.path("work/output/out.tar")).unwrap();
    assert_eq!(scene.bench.build("image").unwrap(), ["pack_tar out.tar"]);
    assert_eq!(fs::read(scene.bench.path("work/output/out.tar")).unwrap(), before);
}

#[test]
fn only_refreshing_takes_what_is_newer_and_a_lock_brings_the_same_image_elsewhere() {
    let scene = Scene::new();
    scene.bench.template("image", &steps(&[&create(&scene.uri), &install(r#""app""#, ""), PACK]));
    let unknown = scene.planned("image");
    assert!(unknown.len() == 1 && !unknown[0].is_known && unknown[0].new.is_empty(), "no catalog is here: {unknown:?}");
    let repository = scene.bench.path("repository").display().to_string();
    assert_eq!(unknown[0].publishers, [("p".to_owned(), vec![repository])]);
    scene.bench.build("image").unwrap();
    publish(&scene.bench.path("repository"), 2);
    assert_eq!(scene.bench.build("image").unwrap(), Vec::<String>::new());
    // Another list of packages is chosen from the catalog that is known.
    scene.bench.template("image", &steps(&[&create(&scene.uri), &install(r#""app", "helper""#, ""), PACK]));
    let planned = scene.planned("image");
    assert_eq!(planned.len(), 1);
    assert!(planned[0].is_known && planned[0].new == ["app@1-1", "helper@1-1", "system/base@1-1"], "{planned:?}");
    assert_eq!((planned[0].unknown, planned[0].fetch_files), (1, 0), "the helper's manifest is not here");
    scene.bench.build("image").unwrap();
    assert_eq!(scene.bench.text("out.tar", "/opt/app"), "version 1");
    let first = fs::read(scene.bench.path("work/output/out.tar")).unwrap();
    let locks = scene.bench.path("work/ips");
    let kept = scene.bench.path("locks");
    fs::create_dir(&kept).unwrap();
    for entry in fs::read_dir(&locks).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(text.starts_with("ips-lock 1\n# g-image: pkg_install app"), "{text}");
        fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
    }
    let (ran, said) = scene.refresh("image");
    assert_eq!(ran, ["pkg_install app helper", "pack_tar out.tar"]);
    assert!(said.contains(&"packages change: app@1-1 becomes 2-1".to_owned()), "{said:?}");
    assert_eq!(scene.bench.text("out.tar", "/opt/app"), "version 2");
    let (ran, said) = scene.refresh("image");
    assert!(ran.is_empty() && !said.iter().any(|line| line.contains("packages change")), "{ran:?} {said:?}");

    // The locks of then, in a workspace that has nothing else: the same bytes, though the catalog has newer packages.
    fs::remove_dir_all(scene.bench.path("work")).unwrap();
    fs::create_dir_all(&locks).unwrap();
    for entry in fs::read_dir(&kept).unwrap().flatten() {
        fs::copy(entry.path(), locks.join(entry.file_name())).unwrap();
    }
    scene.bench.build("image").unwrap();
    assert_eq!(fs::read(scene.bench.path("work/output/out.tar")).unwrap(), first);
}

#[test]
fn a_plan_goes_on_where_steps_are_not_done_yet() {
    let scene = Scene::new();
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let asked = |name: &str| {
        let planned = plan_asking(&scene.bench.request(name), &silent);
        let steps = planned.map_err(Box::new)?.into_iter().flat_map(|template| template.steps);
        Ok::<_, Box<BuildError>>(steps.filter_map(|step| step.packages).collect::<Vec<_>>())
    };
    let no_pages = r#"{ "t": "pkg_change_facet", "facet": "doc.man", "value": "False" }"#;
    let twice = [&create(&scene.uri), no_pages, &install(r#""base""#, ""), &install(r#""app""#, ""), PACK];
    scene.bench.template("image", &steps(&twice));
    let planned = asked("image").unwrap();
    let new: Vec<&[String]> = planned.iter().map(|step| step.new.as_slice()).collect();
    assert_eq!(new, [["system/base@1-1".to_owned()], ["app@1-1".to_owned()]]);
    assert_eq!(planned[1].fetch_files, 1, "neither what is for zones nor manual pages");
    assert_eq!(planned[1].size_bytes, "version 1".len() as u64);
    let size = plan_asking(&scene.bench.request("image"), &silent).unwrap().pop().unwrap().size;
    let packages: u64 = planned.iter().map(|step| step.size_bytes).sum();
    assert_eq!((size.files, size.basis), (packages, SizeBasis::Inputs));

    // What was taken out of a group does not come back with the next package.
    let uninstall = r#"{ "t": "pkg_uninstall", "pkgs": [ "helper" ] }"#;
    let regrouped = [&create(&scene.uri), &install(r#""both""#, ""), uninstall, &install(r#""app""#, ""), PACK];
    scene.bench.template("regrouped", &steps(&regrouped));
    let new: Vec<Vec<String>> = asked("regrouped").unwrap().into_iter().map(|step| step.new).collect();
    assert_eq!((new.len(), new[0].contains(&"helper@1-1".to_owned()), new[1].len()), (2, true, 0), "{new:?}");

    // Where a manifest does not say how large a file is, no sum is all of it.
    let unsized_scene = Scene::new();
    let manifests = unsized_scene.bench.path("repository/publisher/p/pkg/app");
    let manifest = fs::read_dir(manifests).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&manifest).unwrap().replace(" pkg.size=", " of=").replace(" pkg.csize=", " with=");
    fs::write(manifest, text).unwrap();
    fs::remove_dir_all(unsized_scene.bench.path("repository/publisher/p/catalog")).unwrap();
    let both = [&create(&unsized_scene.uri), no_pages, &install(r#""app""#, ""), PACK];
    unsized_scene.bench.template("image", &steps(&both));
    let planned = plan_asking(&unsized_scene.bench.request("image"), &silent).unwrap().pop().unwrap();
    assert_eq!(planned.size.basis, SizeBasis::AtLeast);
    let packages = planned.steps.into_iter().find_map(|step| step.packages.filter(|packages| !packages.new.is_empty()));
    let packages = packages.unwrap();
    assert_eq!((packages.size_unknown, packages.fetch_unknown), (1, 1), "{packages:?}");
    assert!(packages.size_bytes > 0 && packages.fetch_bytes > 0, "the base is known: {packages:?}");

    // With the manifests gone, other packages are still chosen over those that are not installed yet.
    fs::remove_dir_all(scene.bench.path("work/store/records/ips-manifest")).unwrap();
    let planned = scene.planned("image");
    assert_eq!((planned[1].new.as_slice(), planned[1].unknown), (["app@1-1".to_owned()].as_slice(), 1));
    let size = plan(&scene.bench.request("image"), &silent).unwrap().pop().unwrap().size;
    assert_eq!(size.basis, SizeBasis::AtLeast, "some of them are of unknown size");

    // What cannot be resolved is said without asking, and stops who asks.
    scene.bench.template("wrong", &steps(&[&create(&scene.uri), &install(r#""app@7""#, ""), PACK]));
    let problem = scene.planned("wrong").remove(0).problem.unwrap();
    assert!(problem.contains("no version of app matches `app@7`"), "{problem}");
    let failure = format!("{:?}", asked("wrong").unwrap_err());
    assert!(failure.contains("no version of app matches"), "{failure}");
    scene
        .bench
        .template("nowhere", &steps(&[&create("http://me:secret@127.0.0.1:1/"), &install(r#""app""#, ""), PACK]));
    let unknown = format!("{:?}", scene.planned("nowhere"));
    assert!(unknown.contains("127.0.0.1:1") && !unknown.contains("secret"), "{unknown}");
}

#[test]
fn variants_facets_optional_packages_and_removal() {
    let scene = Scene::new();
    let optional = install(r#""app""#, r#", "include_optional": true"#);
    let uninstall = r#"{ "t": "pkg_uninstall", "pkgs": [ "helper" ] }"#;
    let list = |rest: &[&str]| steps(&[&[create(&scene.uri).as_str(), optional.as_str()], rest, &[PACK]].concat());
    scene.bench.template("image", &list(&[]));
    scene.bench.build("image").unwrap();
    let (tree, _) = scene.bench.packed("out.tar");
    assert_eq!(node(&tree, "/opt/helper").unwrap().metadata.mode, 0o4555);
    assert!(node(&tree, "/opt/man").is_some());

    let zone = r#"{ "t": "pkg_change_variant", "variant": "opensolaris.zone", "value": "nonglobal" }"#;
    let no_pages = r#"{ "t": "pkg_change_facet", "facet": "doc.man", "value": "False" }"#;
    let purge = r#"{ "t": "pkg_purge_history" }"#;
    scene.bench.template("image", &list(&[zone, no_pages, uninstall, purge]));
    scene.bench.build("image").unwrap();
    let (tree, _) = scene.bench.packed("out.tar");
    assert!(node(&tree, "/opt/helper").is_none() && node(&tree, "/opt/man").is_none());
    assert_eq!(scene.bench.text("out.tar", "/opt/zone"), "in a zone");
    let config = scene.bench.text("out.tar", "/var/pkg/pkg5.image");
    assert!(config.contains("variant.opensolaris.zone = nonglobal") && config.contains("facet.doc.man = False"));

    let base = r#"{ "t": "pkg_uninstall", "pkgs": [ "base" ] }"#;
    scene.bench.template("image", &list(&[base]));
    let refusal = format!("{:?}", scene.bench.build("image").unwrap_err());
    assert!(refusal.contains("system/base@1-1 cannot be removed, because app@1-1, helper@1-1 require it"), "{refusal}");
}

#[test]
fn a_local_build_goes_before_its_publisher() {
    let scene = Scene::new();
    let mut nightly = Publication::new(scene.bench.path("nightly"));
    nightly.lines(
        "pkg://on-nightly/app@1,5.11-1:20240601T000000Z",
        "depend type=require fmri=system/base
        dir path=opt mode=0755 owner=root group=sys
        file path=opt/app mode=0555 owner=root group=sys <- built here",
    );
    nightly.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
    let onu = format!(
        r#"{{ "t": "onu", "repo": "{}", "publisher": "p", "uninstall": [ "helper" ] }}"#,
        scene.bench.path("nightly").display()
    );
    let both = install(r#""app", "helper""#, "");
    scene.bench.template("image", &steps(&[&create(&scene.uri), &both, &onu, PACK]));
    scene.bench.build("image").unwrap();
    assert_eq!(scene.bench.text("out.tar", "/opt/app"), "built here");
    let (tree, _) = scene.bench.packed("out.tar");
    assert!(node(&tree, "/opt/helper").is_none());
    let config = scene.bench.text("out.tar", "/var/pkg/pkg5.image");
    assert!(config.contains("publisher-search-order = ['on-nightly', 'p']"), "{config}");
    assert!(config.contains("facet.onu.ooceonly = False"), "{config}");
}

#[test]
fn publishers_are_set_with_origins_mirrors_and_certificates() {
    let scene = Scene::new();
    let pem = "about it\n-----BEGIN CERTIFICATE-----\nQUJDREVGR0g=\n-----END CERTIFICATE-----\n";
    scene.bench.write("templates/g/files/ca.pem", pem).template(
        "image",
        &steps(&[
            r#"{ "t": "pkg_image_create" }"#,
            r#"{ "t": "pkg_set_publisher", "publisher": "p", "uri": "http://127.0.0.1:1/gone" }"#,
            &format!(
                r#"{{ "t": "pkg_set_publisher", "publisher": "p", "uris": [ "{}" ], "mirror_uri": "http://127.0.0.1:1/m" }}"#,
                scene.uri
            ),
            r#"{ "t": "pkg_approve_ca_cert", "publisher": "p", "certfile": "ca.pem" }"#,
            r#"{ "t": "pkg_set_p5p_publisher", "archive": "/srv/x.p5p", "publisher": "q" }"#,
            r#"{ "t": "pkg_set_publisher", "publisher": "q", "mirror_uri": "http://m", "sticky": false, "signature_policy": "ignore" }"#,
            PACK,
        ]),
    );
    scene.bench.build("image").unwrap();
    let config = scene.bench.text("out.tar", "/var/pkg/pkg5.image");
    let hash = config.split("approved_ca_certs = ['").nth(1).and_then(|rest| rest.get(..40)).unwrap();
    assert_eq!(
        scene.bench.text("out.tar", &format!("/var/pkg/publisher/p/certs/{hash}")),
        "-----BEGIN CERTIFICATE-----\nQUJDREVGR0g=\n-----END CERTIFICATE-----\n"
    );
    assert!(config.contains("mirrors = ['http://127.0.0.1:1/m/']") && !config.contains("gone"), "{config}");
    let (_, of_q) = config.split_once("[authority_q]").expect("the second publisher");
    assert!(
        of_q.contains("origins = ['file:///srv/x.p5p/']")
            && of_q.contains("sticky = False")
            && of_q.contains("property.signature-policy = ignore"),
        "{config}"
    );
}

#[test]
fn a_plan_tells_the_archives_of_packages_and_they_are_no_reason_to_build_anew() {
    let scene = Scene::new();
    let archive = scene.bench.path("packages.p5p");
    let pack = || {
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        tar.append_dir_all(".", scene.bench.path("repository")).unwrap();
        tar.finish().unwrap();
    };
    let set = format!(r#"{{ "t": "pkg_set_p5p_publisher", "archive": "{}", "publisher": "p" }}"#, archive.display());
    let list = steps(&[r#"{ "t": "pkg_image_create" }"#, &set, &install(r#""app""#, ""), PACK]);
    scene.bench.template("image", &list);
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let told = || {
        let planned = plan(&scene.bench.request("image"), &progress).unwrap();
        let inputs = planned.into_iter().flat_map(|template| template.steps).flat_map(|step| step.inputs);
        let mut archives = inputs.filter(|input| input.source == InputSource::Packages);
        let input = archives.next().expect("the archive");
        assert!(archives.next().is_none() && input.made_by.is_none());
        (input.path, input.bytes)
    };
    assert_eq!(told(), (archive.display().to_string(), None));
    pack();
    let bytes = fs::metadata(&archive).unwrap().len();
    assert_eq!(told(), (archive.display().to_string(), Some(bytes)));
    assert_eq!(scene.bench.build("image").unwrap().len(), 4);
    publish(&scene.bench.path("repository"), 2);
    pack();
    assert_eq!(scene.bench.build("image").unwrap(), Vec::<String>::new());
    scene.refresh("image");
    assert_eq!(scene.bench.text("out.tar", "/opt/app"), "version 2");
}

#[test]
fn what_is_wrong_with_a_step_is_said_at_the_step() {
    let scene = Scene::new();
    let made = create(&scene.uri);
    for (list, expected) in [
        (
            vec![install(r#""app""#, "")],
            "there is no package image in the tree [a step pkg_image_create has to come first]",
        ),
        (vec![made.clone(), made.clone()], "there is a package image in the tree already"),
        (vec![made.clone(), install(r#""ap""#, "")], "no package matches `ap`; there is app"),
        (vec![made.clone(), install(r#""app@7""#, "")], "no version of app matches `app@7`; the newest is 1-1"),
        (vec![made.clone(), install(r#""a b""#, "")], "cannot use `a b`"),
        (vec![create("http:///x")], "`http:///x` is not the address of a repository: it names no server"),
        (
            vec![made.clone(), r#"{ "t": "pkg_set_property", "name": "signature-policy", "value": "no" }"#.to_owned()],
            "cannot set property signature-policy to `no`: it is one of ignore",
        ),
        (
            vec![made.clone(), r#"{ "t": "pkg_change_facet", "facet": "doc", "value": "maybe" }"#.to_owned()],
            "cannot set facet doc to `maybe`",
        ),
        (
            vec![create("/nowhere"), install(r#""app""#, "")],
            "the catalog of p cannot be fetched from p: pkg5.repository of /nowhere cannot be used: there is no repository",
        ),
        (
            // Nobody listens at the port for a service that no machine has any more.
            vec![create("http://127.0.0.1:1/"), install(r#""app""#, "")],
            "[this host has to reach it, by itself or through the proxy that https_proxy, http_proxy or all_proxy names",
        ),
        (
            vec![made.clone(), r#"{ "t": "pkg_uninstall", "pkgs": [ "app" ] }"#.to_owned()],
            "no installed package matches `app`",
        ),
    ] {
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        scene.bench.template("wrong", &steps(&list));
        let failure = scene.bench.failure("wrong");
        assert!(failure.contains(expected), "{failure}");
    }
}

#[test]
fn a_depot_is_asked_for_everything_once() {
    let scene = Scene::new();
    let depot = Depot::serve(&scene.bench.path("repository"));
    scene.bench.template("image", &steps(&[&create(&depot.uri()), &install(r#""app""#, ""), PACK]));
    scene.bench.build("image").unwrap();
    let mut asked = depot.requests();
    assert!(asked.iter().any(|path| path.starts_with("p/file/1/")), "{asked:?}");
    asked.sort();
    let all = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), all, "{asked:?}");
    depot.forget();
    // Everything anew but what was fetched.
    fs::remove_dir_all(scene.bench.path("work/store/records/step")).unwrap();
    fs::remove_dir_all(scene.bench.path("work/ips")).unwrap();
    assert_eq!(scene.bench.build("image").unwrap().len(), 3);
    assert_eq!(depot.requests(), Vec::<String>::new());
}
