//! The metadata of images: written, read back, and used for the next operation.

mod support;

#[path = "support/image.rs"]
#[allow(dead_code, reason = "every test binary uses another part of this")]
mod image;

use image::Contents;
use image_tree::{ImagePath, Metadata, Node, Tree};
use ips::fmri::Stem;
use ips::image::{ConfigError, Image, ImageConfig, ImageError, PublisherConfig};
use ips::install::Package;
use ips::resolve::{AvoidReason, Request, resolve};
use ips::time::OperationTime;

fn config() -> ImageConfig {
    let mut config = ImageConfig::new("i386");
    for (name, origins) in [("b.org", &["http://b.org"][..]), ("a", &["https://a/x/", "file:///it's"])] {
        config.publishers.push(PublisherConfig::new(name.parse().unwrap(), origins));
    }
    config.publishers[1].is_sticky = false;
    config.publishers[1].mirrors.push("http://m/".to_owned());
    config.facets.set("doc.*", Some(false));
    config.facets.set_inherited("locale.*", Some(true));
    config.variants.set("debug.illumos", "false");
    config.set_property("signature-policy", "ignore");
    config
}

fn package(name: &str, text: &str) -> Package {
    let id = format!("pkg://a/{name},5.11:20200101T000000Z").parse().unwrap();
    Package::new(id, text.as_bytes()).unwrap()
}

fn time(seconds: i64) -> OperationTime {
    OperationTime::from_unix_seconds(seconds)
}

fn text(contents: &Contents, tree: &Tree, path: &str) -> String {
    let node = tree.get(&ImagePath::new(path).unwrap()).unwrap_or_else(|| panic!("{path}"));
    String::from_utf8(contents.store.read_blob(node.content().unwrap().blob()).unwrap()).unwrap()
}

/// An image that the client on illumos was told more of than we ever say.
#[test]
fn what_was_said_of_addresses_is_kept_as_long_as_they_are() {
    let origins = "origin_info = [{'uri': 'http://one/', 'proxy': 'http://p:1', 'disabled': 'false'}, {'uri': 'http://two/', \
        'proxy': '', 'disabled': 'true'}, {'uri': 'http://gone/', 'proxy': 'http://p:2', 'disabled': 'false'}]";
    let text = format!(
        "[image]\nversion = 4\n\n[authority_a]\nalias = None\nuuid = None\norigins = [u'http://one/', u'http://two/', \
         'http://three/']\n{origins}\nmirrors = None\nmirror_info = None\napproved_ca_certs = None\n\
         property.signature-policy = require-names\nproperty.signature-required-names = ['x']\n\n\
         [variant]\nvariant.arch = i386\nvariant.odd%2Fname = 1\n"
    );
    let mut config = ImageConfig::parse(&text).unwrap();
    let asked = |config: &ImageConfig| config.publishers[0].enabled_origins().collect::<Vec<_>>().join(" ");
    assert_eq!(asked(&config), "http://one/ http://three/");
    assert_eq!(config.publishers[0].mirrors, Vec::<String>::new());
    let name = config.publishers[0].name.clone();
    assert_eq!(config.publisher_property(&name, "signature-policy"), Some("require-names"));
    assert_eq!(config.publisher_property_list(&name, "signature-required-names"), ["x"]);
    assert_eq!(config.variants.get("odd/name"), Some("1"));
    let written = config.to_text();
    for expected in [
        "{'uri': 'http://one/', 'proxy': 'http://p:1', 'disabled': 'false'}, ",
        "{'uri': 'http://two/', 'proxy': '', 'disabled': 'true'}, ",
        "{'uri': 'http://three/', 'proxy': '', 'disabled': 'false'}]",
        "property.signature-policy = require-names",
        "variant.odd%2Fname = 1\n",
    ] {
        assert!(written.contains(expected), "{expected}\n{written}");
    }
    assert!(!written.contains("http://gone/"), "{written}");
    assert_eq!(ImageConfig::parse(&written).unwrap().to_text(), written);
    // Whoever names an address anew means it.
    config.publishers[0].set_origins(vec!["http://two/".to_owned()]);
    assert_eq!(asked(&config), "http://two/");
    assert!(config.to_text().contains("{'uri': 'http://two/', 'proxy': '', 'disabled': 'false'}]"));
}

#[test]
fn the_configuration_as_the_client_of_the_image_reads_it() {
    assert_eq!(
        config().to_text(),
        "[CONFIGURATION]\nversion = 3\n\n\
         [authority_a]\napproved_ca_certs = []\ndisabled = False\nmirror_info = [{'uri': 'http://m/', 'proxy': '', \
         'disabled': 'false'}]\nmirrors = ['http://m/']\norigin_info = [{'uri': 'https://a/x/', 'proxy': '', 'disabled': 'false'}, \
         {'uri': \"file:///it's/\", 'proxy': '', 'disabled': 'false'}]\norigins = ['https://a/x/', \"file:///it's/\"]\n\
         prefix = a\nsticky = False\n\n\
         [authority_b.org]\napproved_ca_certs = []\ndisabled = False\nmirror_info = []\nmirrors = []\n\
         origin_info = [{'uri': 'http://b.org/', 'proxy': '', 'disabled': 'false'}]\norigins = ['http://b.org/']\n\
         prefix = b.org\nsticky = True\n\n\
         [facet]\nfacet.doc.%2A = False\n\n[image]\nversion = 4\n\n[inherited_facet]\nfacet.locale.%2A = True\n\n\
         [property]\npublisher-search-order = ['b.org', 'a']\nsignature-policy = ignore\n\n\
         [variant]\nvariant.arch = i386\nvariant.debug.illumos = false\nvariant.opensolaris.imagetype = full\n\
         variant.opensolaris.zone = global\n\n"
    );
    let mut config = config();
    let read = ImageConfig::parse(&config.to_text()).unwrap();
    assert_eq!(read.to_text(), config.to_text());
    assert_eq!(read.publishers, config.publishers);
    assert_eq!((&read.variants, &read.facets), (&config.variants, &config.facets));
    // What nobody here understands is kept.
    let with_uuid = config.to_text().replace("prefix = a\n", "prefix = a\nuuid = 1-2-3\n") + "[linked_x]\nname = y\n";
    let read = ImageConfig::parse(&with_uuid).unwrap().to_text();
    assert!(read.contains("uuid = 1-2-3") && read.contains("[linked_x]\nname = y\n"));
    config.publishers.clear();
    let read = ImageConfig::parse(&config.to_text()).unwrap();
    assert!(read.publishers.is_empty());
}

#[test]
fn configurations_that_are_none() {
    let whole = config().to_text();
    for (from, to, expected) in [
        ("version = 4", "version = 3", "format 3"),
        ("[image]", "[other]", "format none"),
        ("prefix = a", "prefix", "line 11: it is no `name = value`"),
        ("[CONFIGURATION]\n", "", "line 1: it is in no section"),
        ("[CONFIGURATION]", " x", "line 1: there is nothing that it continues"),
        ("'b.org', 'a']", "'b.org'", "not a list of publishers"),
        ("['http://m/']", "[1]", "not a list of texts"),
        ("%2A = False", "%2A = maybe", "not `True` or `False`"),
    ] {
        assert!(whole.contains(from), "{from}");
        let error: ConfigError = ImageConfig::parse(&whole.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_image_is_written_and_read_back() {
    let contents = Contents::new();
    let mut image = Image::new(config());
    let link = "set name=pkg.summary value=A\nlink path=bin/py mediator=py mediator-version=3 target=py3\n\
        depend type=incorporate fmri=lib/b@1\n";
    let packages = vec![package("a@1", link), package("lib/b@1", "dir path=b mode=0755 owner=root group=root")];
    // Owners come from actions and tables; here are the tables.
    let mut tree = Tree::default();
    for (path, text) in [("/etc/passwd", "root:x:0:0::/:\n"), ("/etc/group", "root::0:\n")] {
        let metadata = Metadata::new(0, 0, 0o755);
        let path = ImagePath::new(path).unwrap();
        tree.create_dir(&path.parent().unwrap(), metadata.clone(), &metadata).unwrap();
        tree.insert(&path, Node::regular(contents.store.put_bytes(text.as_bytes()).unwrap(), metadata)).unwrap();
    }
    let (first, warnings) = image.change(&tree, packages.clone(), &contents, time(0)).unwrap();
    assert!(warnings.is_empty());
    let manifest = "/var/pkg/publisher/a/pkg/lib%2Fb/1%2C5.11%3A20200101T000000Z";
    assert_eq!(text(&contents, &first, manifest), "dir path=b mode=0755 owner=root group=root");
    let base = text(&contents, &first, "/var/pkg/state/installed/catalog.base.C");
    let entry = |sha1: &str, since: &str| {
        format!(
            "[{{\"metadata\":{{\"last-install\":\"{since}\",\"states\":[0,2,7]}},\"signature-sha-1\":\"{sha1}\",\
             \"version\":\"1,5.11:20200101T000000Z\"}}]"
        )
    };
    let sha1 = |package: &Package| {
        use sha1::Digest as _;
        ips::manifest::to_hex(&sha1::Sha1::digest(&package.text))
    };
    let epoch = "19700101T000000.000000Z";
    let expected = |since_b: &str| {
        format!(
            "{{\"a\":{{\"a\":{},\"lib/b\":{}}}}}\n",
            entry(&sha1(&packages[0]), epoch),
            entry(&sha1(&packages[1]), since_b)
        )
    };
    assert_eq!(base, expected(epoch));
    for (part, expected) in [
        (
            "dependency",
            "{\"a\":{\"a\":[{\"actions\":[\"depend fmri=lib/b@1 type=incorporate\"],\
             \"version\":\"1,5.11:20200101T000000Z\"}]}}\n",
        ),
        (
            "summary",
            "{\"a\":{\"a\":[{\"actions\":[\"set name=pkg.summary value=A\"],\
             \"version\":\"1,5.11:20200101T000000Z\"}]}}\n",
        ),
        ("base", &base),
    ] {
        for directory in ["installed", "known"] {
            assert_eq!(text(&contents, &first, &format!("/var/pkg/state/{directory}/catalog.{part}.C")), expected);
        }
    }
    assert_eq!(
        text(&contents, &first, "/var/pkg/state/installed/catalog.attrs"),
        format!(
            "{{\"created\":\"{epoch}\",\"last-modified\":\"{epoch}\",\"package-count\":2,\"package-version-count\":2,\
             \"parts\":{{\"catalog.base.C\":{{\"last-modified\":\"{epoch}\"}},\
             \"catalog.dependency.C\":{{\"last-modified\":\"{epoch}\"}},\
             \"catalog.summary.C\":{{\"last-modified\":\"{epoch}\"}}}},\"updates\":{{}},\"version\":1}}\n"
        )
    );
    for directory in
        ["cache/index", "cache/publisher", "cache/tmp", "gui_cache", "history", "license", "lost+found", "ssl"]
    {
        let node = first.get(&ImagePath::new(format!("/var/pkg/{directory}")).unwrap());
        let node = node.unwrap_or_else(|| panic!("{directory} is missing"));
        let Metadata { uid, gid, mode, .. } = node.metadata;
        assert!(node.is_directory() && (uid, gid, mode) == (0, 0, 0o755), "{directory}");
    }
    let modified = |tree: &Tree| tree.get(&ImagePath::new("/var/pkg/modified").unwrap()).unwrap().metadata.mtime.secs;
    assert_eq!(modified(&first), 0);
    let config = text(&contents, &first, "/var/pkg/pkg5.image");
    let mediator = "[mediators]\npy.implementation-source = system\npy.version = 3\npy.version-source = system\n\n";
    assert!(config.contains(mediator), "{config}");

    let mut read = Image::load(&first, &contents).unwrap().unwrap();
    assert_eq!(read.packages().map(|p| p.id.short()).collect::<Vec<_>>(), ["a@1", "lib/b@1"]);
    assert_eq!(read.config.to_text(), image.config.to_text());
    // The same again changes nothing; a new version has a time of its own beside the first, and the old manifest is gone.
    let (same, _) = read.change(&first, packages, &contents, time(0)).unwrap();
    assert_eq!(same, first);
    let newer = vec![package("a@1", link), package("lib/b@2", "")];
    let stem: Stem = "lib/x".parse().unwrap();
    read.avoided.insert(stem.clone(), AvoidReason::Obsolete);
    read.avoided.insert("lib/y".parse().unwrap(), AvoidReason::Unwanted);
    let (second, _) = read.change(&first, newer, &contents, time(86_400)).unwrap();
    assert!(second.get(&ImagePath::new(manifest).unwrap()).is_none());
    assert_eq!(modified(&second), 86_400);
    assert_eq!(
        text(&contents, &second, "/var/pkg/state/avoid_set"),
        "[1,{\"lib/x\":\"obsolete\",\"lib/y\":\"avoid\"}]"
    );
    let base = text(&contents, &second, "/var/pkg/state/installed/catalog.base.C");
    let replaced =
        format!("\"last-install\":\"{epoch}\",\"last-update\":\"19700102T000000.000000Z\",\"states\":[0,2,7]");
    assert_eq!((base.matches(epoch).count(), base.matches(&replaced).count()), (2, 1), "{base}");
    // Without anything left to say, a part is not left behind.
    let mut emptied = read.clone();
    let (third, _) = emptied.change(&second, vec![package("lib/b@2", "")], &contents, time(86_400)).unwrap();
    let dependencies = ImagePath::new("/var/pkg/state/installed/catalog.dependency.C").unwrap();
    assert!(second.get(&dependencies).is_some() && third.get(&dependencies).is_none());
    assert!(text(&contents, &third, "/var/pkg/state/installed/catalog.base.C").contains("last-update"));
    let read = Image::load(&second, &contents).unwrap().unwrap();
    assert_eq!(read.avoided[&stem], AvoidReason::Obsolete);
    assert_eq!(read.avoided.len(), 2);
}

/// The client writes the whole FMRI, and when and why.
#[test]
fn packages_that_the_client_froze_stay_at_their_versions() {
    let contents = Contents::new();
    let mut image = Image::new(config());
    let (mut tree, _) = image.change(&Tree::default(), vec![package("a@1.2", "")], &contents, time(0)).unwrap();
    let text = br#"[1, {"a": ["pkg:/a@1", "not tested", 1.5], "lib/b": ["lib/b@2,5.11-3", null, 2]}]"#;
    let node = Node::regular(contents.store.put_bytes(text).unwrap(), Metadata::new(0, 0, 0o644));
    tree.insert(&ImagePath::new("/var/pkg/state/frozen_dict").unwrap(), node).unwrap();
    let image = Image::load(&tree, &contents).unwrap().unwrap();
    assert_eq!(image.freezes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a@1", "lib/b@2,5.11-3"]);
    let mut universe = image.universe();
    for name in ["a@1.3", "a@2"] {
        universe.add_package(package(name, "").id, Vec::new());
    }
    let update = Request { update: true, ..Request::default() };
    let solution = resolve(&universe, &image.resolution_input().state(), &update).unwrap();
    assert_eq!(solution.packages.iter().map(ips::fmri::PackageId::short).collect::<Vec<_>>(), ["a@1.3"]);
}

#[test]
fn a_renamed_package_that_is_still_needed_is_marked() {
    let contents = Contents::new();
    let mut image = Image::new(config());
    let renamed = "set name=pkg.renamed value=true\ndepend type=require fmri=new";
    let packages = vec![package("old@1", renamed), package("new@1", "")];
    let (tree, _) = image.change(&Tree::default(), packages, &contents, time(0)).unwrap();
    let base = text(&contents, &tree, "/var/pkg/state/installed/catalog.base.C");
    let old = base.split("\"old\"").nth(1).unwrap();
    assert!(old.contains("\"states\":[0,2,7,9]") && base.matches(",9]").count() == 1, "{base}");
}

#[test]
fn the_next_request_begins_with_what_is_installed() {
    let contents = Contents::new();
    let mut image = Image::new(config());
    let installed = vec![package("e@1", "depend type=incorporate fmri=b@1")];
    let (tree, _) = image.change(&Tree::default(), installed, &contents, time(0)).unwrap();
    let image = Image::load(&tree, &contents).unwrap().unwrap();
    let mut universe = image.universe();
    for name in ["b@1.5", "b@2", "e@2"] {
        universe.add_package(package(name, "").id, Vec::new());
    }
    let input = image.resolution_input();
    let request = Request { install: vec!["b".parse().unwrap()], ..Request::default() };
    let solution = resolve(&universe, &input.state(), &request).unwrap();
    assert_eq!(solution.packages.iter().map(ips::fmri::PackageId::short).collect::<Vec<_>>(), ["b@1.5", "e@1"]);
}

#[test]
fn damaged_metadata_is_told() {
    let contents = Contents::new();
    assert!(Image::load(&Tree::default(), &contents).unwrap().is_none());
    let mut image = Image::new(config());
    let (tree, _) = image.change(&Tree::default(), vec![package("a@1", "")], &contents, time(0)).unwrap();
    let with = |path: &str, text: &[u8]| {
        let mut tree = tree.clone();
        let (at, root) = (ImagePath::new(path).unwrap(), Metadata::new(0, 0, 0o755));
        tree.create_dir(&at.parent().unwrap(), root.clone(), &root).unwrap();
        let node = Node::regular(contents.store.put_bytes(text).unwrap(), Metadata::new(0, 0, 0o644));
        tree.insert(&at, node).unwrap();
        Image::load(&tree, &contents)
    };
    let manifest = "/var/pkg/publisher/a/pkg/a/1%2C5.11%3A20200101T000000Z";
    assert!(matches!(with("/var/pkg/pkg5.image", b"\xff"), Err(ImageError::NotText { .. })));
    assert!(matches!(with("/var/pkg/pkg5.image", b"x"), Err(ImageError::Config(_))));
    assert!(matches!(with("/var/pkg/state/installed/catalog.base.C", b"["), Err(ImageError::State { .. })));
    assert!(matches!(with(manifest, b"x"), Err(ImageError::Manifest { .. })));
    let mut without = tree.clone();
    without.remove(&ImagePath::new(manifest).unwrap()).unwrap();
    let error = Image::load(&without, &contents).unwrap_err().to_string();
    assert!(error.contains("a@1 is installed, but its manifest"), "{error}");
    // What follows a parent image can be looked at, and not be changed.
    let mut child = with("/var/pkg/linked/linked_ppkgs", b"[]").unwrap().unwrap();
    assert_eq!(child.packages().count(), 1);
    let error = child.change(&tree, Vec::new(), &contents, time(1)).unwrap_err().to_string();
    assert!(error.contains("child of another one, whose packages /var/pkg/linked/linked_ppkgs lists"), "{error}");
}

/// The client takes both sources for granted, and a version of an implementation that stands alone for one that the
/// user left open.
#[test]
fn mediators_as_the_client_of_the_image_reads_and_writes_them() {
    let offers = ["6", "7"].map(|version| {
        format!("link path=bin/vi target=vim{version} mediator=vi mediator-implementation=vim@{version}\n")
    });
    let local = |implementation: &str| {
        format!(
            "[mediators]\nvi.implementation = {implementation}\nvi.implementation-source = local\n\
             vi.version-source = system\n"
        )
    };
    for (set, expected) in [
        (String::new(), "vi.implementation = vim@7\nvi.implementation-source = system\nvi.version-source = system\n"),
        (local("vim@6"), "vi.implementation = vim@6\nvi.implementation-source = local\nvi.version-source = system\n"),
        (
            local("vim"),
            "vi.implementation = vim\nvi.implementation-source = local\nvi.implementation-version = 7\n\
             vi.version-source = system\n",
        ),
        // Nobody offers that, and it is what the user wants.
        (local("emacs"), "vi.implementation = emacs\nvi.implementation-source = local\nvi.version-source = system\n"),
    ] {
        let contents = Contents::new();
        let mut image = Image::new(ImageConfig::parse(&(config().to_text() + &set)).unwrap());
        let packages = vec![package("vim@1", &offers.concat())];
        let mut tree = Tree::default();
        // What was written is read back as what it was, time and again.
        for _ in 0..2 {
            tree = image.change(&tree, packages.clone(), &contents, time(0)).unwrap().0;
            let written = text(&contents, &tree, "/var/pkg/pkg5.image");
            assert!(written.contains(&format!("[mediators]\n{expected}\n")), "{written}");
            image = Image::load(&tree, &contents).unwrap().unwrap();
        }
        // The older version is left alone where the user left the version open.
        let only_older = vec![package("vim@2", &offers[0])];
        let (tree, _) = image.change(&tree, only_older, &contents, time(0)).unwrap();
        let is_linked = tree.get(&ImagePath::new("/bin/vi").unwrap()).is_some();
        assert_eq!(is_linked, !set.contains("emacs"));
    }
}

#[test]
fn damaged_texts_are_errors_and_no_panics() {
    let lock = "ips-lock 1\npackage pkg://p/a@1,5.11:20200101T000000Z \
        sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    let state = "{\"a\":{\"b\":[{\"version\":\"1\",\"metadata\":{\"last-install\":\"x\",\"states\":[0,2,7]}}]}}";
    let config =
        config().to_text() + "[mediators]\nm.version = 1\nm.implementation = a\nm.implementation-version = 2\n";
    for seed in [lock, state, &config, "[1,{\"a\":\"obsolete\"}]", "[1,{\"a\":[\"1\",\"why\",0.5]}]"] {
        support::mutations(seed.as_bytes(), 4000, ips::contracts::image);
    }
}
