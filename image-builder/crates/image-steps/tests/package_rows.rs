//! Rows of the steps about IPS packages that `packages.rs` does not come to: what is already as it is wanted, and lists.

mod support;

use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_testing::PublishLines;
use support::{Bench, PACK, at, steps};

const BASE: &str = "group groupname=root gid=0
    group groupname=sys gid=3
    user username=root uid=0 group=root password=NP lastchg=1
    dir path=etc mode=0755 owner=root group=sys
    dir path=opt mode=0755 owner=root group=sys
    file path=etc/passwd mode=0644 owner=root group=sys preserve=true <- root:x:0:0::/root:/bin/sh
    file path=etc/shadow mode=0400 owner=root group=sys preserve=true <- root:NP:1::::::
    file path=etc/group mode=0644 owner=root group=sys preserve=true <- root::0:";

/// Publisher `p` has `app`, which depends on its own `helper` optionally; only `q` has one.
fn scene() -> (Bench, [String; 2]) {
    let bench = Bench::new();
    let publish = |publisher: &str, packages: &[(&str, &str)]| {
        let mut publication = Publication::new(bench.path(publisher));
        for (name, lines) in packages {
            publication.lines(&format!("pkg://{publisher}/{name}@1,5.11-1:20240101T000000Z"), lines);
        }
        publication.finish(OperationTime::from_unix_seconds(1_700_000_000)).expect("published");
        format!("file://{}", bench.path(publisher).display())
    };
    let app = "depend type=require fmri=base
        depend type=optional fmri=pkg://p/helper@1
        file path=opt/app mode=0555 owner=root group=sys <- app
        file path=opt/man mode=0444 owner=root group=sys facet.doc.man=true <- a page
        file path=opt/zone mode=0444 owner=root group=sys variant.opensolaris.zone=nonglobal <- in a zone";
    let p = publish("p", &[("base", BASE), ("app", app)]);
    let q = publish("q", &[("helper", "file path=opt/helper mode=0444 owner=root group=sys <- helps")]);
    (bench, [p, q])
}

fn has(bench: &Bench, path: &str) -> bool {
    bench.packed("out.tar").0.get(&at(path)).is_some()
}

fn image(bench: &Bench, [p, q]: &[String; 2], more: &[&str]) -> Result<(), String> {
    let create = format!(r#"{{ "t": "pkg_image_create", "publisher": "p", "uri": "{p}" }}"#);
    let other = format!(r#"{{ "t": "pkg_set_publisher", "publisher": "q", "uri": "{q}" }}"#);
    let list = [&[create.as_str(), other.as_str()], more, &[PACK]].concat();
    bench.template("image", &steps(&list));
    bench.build("image").map(drop).map_err(|error| format!("{error:?}"))
}

const APP: &str = r#"{ "t": "pkg_install", "pkgs": [ "app" ] }"#;

/// `pkg` ends with 4 where there is nothing to do, which is a failure of the original.
#[test]
fn what_is_so_already_is_no_failure() {
    let (bench, publishers) = scene();
    for twice in [
        APP,
        r#"{ "t": "pkg_change_variant", "variant": "opensolaris.zone", "value": "nonglobal" }"#,
        r#"{ "t": "pkg_change_facet", "facet": "doc.man", "value": "False" }"#,
        r#"{ "t": "pkg_set_property", "name": "flush-content-cache-on-success", "value": "true" }"#,
        r#"{ "t": "pkg_purge_history" }"#,
    ] {
        image(&bench, &publishers, &[APP, twice, twice]).expect(twice);
        assert!(has(&bench, "/opt/app"), "{twice}");
        assert_eq!(has(&bench, "/opt/zone"), twice.contains("nonglobal"), "{twice}");
        assert_eq!(has(&bench, "/opt/man"), !twice.contains("doc.man"), "{twice}");
    }
}

/// Without packages there is nothing to ask of anybody.
#[test]
fn a_list_that_is_empty_after_expansion_is_nothing_to_do() {
    let (bench, [p, q]) = scene();
    let nowhere = [p.replace("/p", "/gone"), q];
    for list in [
        r#"{ "t": "pkg_install", "pkgs": [] }"#,
        r#"{ "t": "pkg_install", "pkgs": [ "${@extra}", "${extra?app}" ], "include_optional": true }"#,
        r#"{ "t": "pkg_uninstall", "pkgs": [ "${@extra}" ] }"#,
    ] {
        image(&bench, &nowhere, &[list]).expect(list);
    }
}

/// The publisher of an optional dependency is dropped, unless the template says otherwise.
#[test]
fn optional_packages_come_from_any_publisher_or_from_their_own() {
    let (bench, publishers) = scene();
    let optional =
        |more: &str| format!(r#"{{ "t": "pkg_install", "pkgs": [ "app" ], "include_optional": true{more} }}"#);
    image(&bench, &publishers, &[&optional("")]).expect("it builds");
    assert!(has(&bench, "/opt/helper"));
    let error =
        image(&bench, &publishers, &[&optional(r#", "strip_optional_publishers": false"#)]).expect_err("p has none");
    assert!(error.contains("helper"), "{error}");
    image(&bench, &publishers, &[APP]).expect("it builds");
    assert!(!has(&bench, "/opt/helper"));
}

/// One origin takes the place of all; of several all before are removed, and they stay in their order.
#[test]
fn origins_and_mirrors_take_the_place_of_those_before() {
    let (bench, publishers) = scene();
    let set = |fields: &str| format!(r#"{{ "t": "pkg_set_publisher", "publisher": "q", {fields} }}"#);
    let lists = set(r#""uris": [ "http://b/", "http://a/" ], "mirror_uris": [ "http://n/", "http://m/" ]"#);
    let of_q = |more: &[&str]| {
        image(&bench, &publishers, more).expect("it builds");
        let config = bench.text("out.tar", "/var/pkg/pkg5.image");
        let of_q = config.split_once("[authority_q]").expect("the publisher").1.to_owned();
        let line = |key: &str| of_q.lines().find(|line| line.starts_with(key)).expect(key).to_owned();
        [line("origins = "), line("mirrors = ")]
    };
    let several = ["origins = ['http://b/', 'http://a/']", "mirrors = ['http://n/', 'http://m/']"];
    assert_eq!(of_q(&[&lists]), several);
    assert_eq!(of_q(&[&lists, &set(r#""uri": "http://c/""#)]), ["origins = ['http://c/']", several[1]]);
    assert_eq!(of_q(&[&lists, &set(r#""mirror_uri": "http://o/""#)]), [several[0], "mirrors = ['http://o/']"]);
}

/// Public templates give a publisher mirrors that has an origin only with a feature.
#[test]
fn a_publisher_with_nothing_but_mirrors_is_in_nobodys_way() {
    let (bench, publishers) = scene();
    let mirrored = r#"{ "t": "pkg_set_publisher", "publisher": "extra", "mirror_uri": "http://127.0.0.1:1/extra/" }"#;
    image(&bench, &publishers, &[mirrored, APP]).expect("it builds");
    assert!(has(&bench, "/opt/app"));
    assert!(bench.text("out.tar", "/var/pkg/pkg5.image").contains("mirrors = ['http://127.0.0.1:1/extra/']"));
}
