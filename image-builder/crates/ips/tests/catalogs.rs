//! Catalogs: what is read, what is refused, and that what is written reads back.

mod support;

use ips::catalog::{
    ATTRS, BASE, Catalog, CatalogAttrs, CatalogEntry, CatalogErrorKind, CatalogFiles, CatalogText, DEPENDENCY, SUMMARY,
    UpdateLog, UpdateOperation, check_signature, sign,
};
use ips::contracts;
use ips::time::OperationTime;
use proptest::prelude::*;

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (publisher, stem, version, dependency) in [
        ("p", "a", "1,5.11-1:20200101T000000Z", "depend fmri=b type=require"),
        ("p", "a", "1.10,5.11-1:20200101T000000Z", "set name=pkg.obsolete value=true"),
        ("p", "a", "1.9,5.11-1:20200101T000000Z", ""),
        ("p", "b/c", "2,5.11:20200101T000000Z", ""),
        ("q", "a", "3,5.11:20200101T000000Z", ""),
    ] {
        let mut entry = CatalogEntry::new(version.parse().unwrap());
        entry.manifest_sha1 = Some("da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned());
        entry.dependency.extend((!dependency.is_empty()).then(|| dependency.to_owned()));
        entry.summary.push("set name=pkg.summary value=\"Some \\\"thing\\\" ü\"".to_owned());
        catalog.insert(&publisher.parse().unwrap(), &stem.parse().unwrap(), entry);
    }
    catalog
}

fn files() -> CatalogFiles {
    CatalogFiles::new(&catalog(), OperationTime::from_unix_seconds(1_600_000_000))
}

fn text(files: &CatalogFiles) -> CatalogText<'_> {
    CatalogText {
        attrs: files.get(ATTRS).unwrap(),
        base: files.get(BASE),
        dependency: files.get(DEPENDENCY),
        summary: files.get(SUMMARY),
    }
}

#[test]
fn what_is_written_reads_back() {
    let files = files();
    let read = Catalog::parse(text(&files)).unwrap();
    assert_eq!(read, catalog());
    assert_eq!(read.counts(), (3, 5));
    let versions: Vec<String> =
        read.entries(&"p".parse().unwrap(), &"a".parse().unwrap()).iter().map(|e| e.version.short()).collect();
    assert_eq!(versions, ["1-1", "1.9-1", "1.10-1"]);
    let attrs = CatalogAttrs::parse(files.get(ATTRS).unwrap()).unwrap();
    assert_eq!(attrs.last_modified.as_deref(), Some("20200913T122640.000000Z"));
}

#[test]
fn a_catalog_as_a_publisher_writes_it() {
    // Signed by hand: the SHA-1 of the text with the last member replaced by a closing brace and a newline.
    let base = b"{\"p\":{\"a\":[{\"version\":\"1,5.11:20200101T000000Z\",\"signature-sha-1\":\"x\"}]},\
        \"_SIGNATURE\":{\"sha-1\":\"5f2c2a1b\"}}\n";
    let signed = check_signature(base);
    assert_eq!(signed.stated.as_deref(), Some("5f2c2a1b"));
    let unsigned = b"{\"p\":{\"a\":[{\"version\":\"1,5.11:20200101T000000Z\",\"signature-sha-1\":\"x\"}]}}\n";
    assert_eq!(signed.computed, check_signature(unsigned).computed);
    assert_eq!(check_signature(unsigned).stated, None);
    let (text, sha1) = sign("{}");
    assert_eq!(text, format!("{{\"_SIGNATURE\":{{\"sha-1\":\"{sha1}\"}}}}\n"));
    assert_eq!(check_signature(text.as_bytes()).computed, sha1);
}

/// OmniOS writes names as UTF-8 and says so in each file.
#[test]
fn features_of_a_file_are_no_publisher() {
    let files = files();
    let unsigned = |name: &str| files.files[name].split(",\"_SIGNATURE\"").next().unwrap().to_owned() + "}";
    let feature = |name: &str| unsigned(name).replacen('{', "{\"_FEATURE\": [\"utf8\"], ", 1);
    let (base, sha1) = sign(&feature(BASE));
    let known = CatalogAttrs::parse(files.get(ATTRS).unwrap()).unwrap();
    let old = known.parts[BASE].signature_sha1.clone().unwrap();
    let (attrs, _) = sign(&feature(ATTRS).replace(&old, &sha1));
    let text = CatalogText { attrs: attrs.as_bytes(), base: Some(base.as_bytes()), ..text(&files) };
    assert_eq!(Catalog::parse(text).unwrap(), catalog());
    assert_eq!(ips::image::state::parse(base.as_bytes()).unwrap().len(), 5);
}

#[test]
fn parts_that_are_absent_are_empty_unless_they_are_listed() {
    let mut catalog = Catalog::default();
    let entry = CatalogEntry::new("1,5.11:20200101T000000Z".parse().unwrap());
    catalog.insert(&"p".parse().unwrap(), &"a".parse().unwrap(), entry);
    let small = CatalogFiles::new(&catalog, OperationTime::default());
    assert_eq!(small.files.keys().collect::<Vec<_>>(), [ATTRS, BASE]);
    assert_eq!(Catalog::parse(text(&small)).unwrap(), catalog);
    let files = files();
    let without_summary = CatalogText { summary: None, ..text(&files) };
    assert_eq!(Catalog::parse(without_summary).unwrap().counts(), (3, 5));
    let error = Catalog::parse(CatalogText { dependency: None, ..text(&files) }).unwrap_err();
    assert!(matches!(error.kind, CatalogErrorKind::Missing) && error.file == DEPENDENCY);
}

/// Whatever the order of versions in each part is.
#[test]
fn parts_are_joined_by_version() {
    let names =
        |versions: &[u32]| -> Vec<String> { versions.iter().map(|n| format!("{n},5.11:20200101T000000Z")).collect() };
    let base: Vec<String> =
        names(&[3, 1, 10, 2]).iter().map(|version| format!("{{\"version\":\"{version}\"}}")).collect();
    let dependency: Vec<String> = names(&[10, 2, 1])
        .iter()
        .map(|version| format!("{{\"version\":\"{version}\",\"actions\":[\"set name=of value={version}\"]}}"))
        .collect();
    let part = |entries: &[String]| format!("{{\"p\":{{\"a\":[{}]}}}}", entries.join(","));
    let (base, dependency) = (part(&base), part(&dependency));
    let attrs = "{\"version\":1,\"parts\":{}}";
    let text = CatalogText {
        attrs: attrs.as_bytes(),
        base: Some(base.as_bytes()),
        dependency: Some(dependency.as_bytes()),
        summary: None,
    };
    let catalog = Catalog::parse(text).unwrap();
    let entries = catalog.entries(&"p".parse().unwrap(), &"a".parse().unwrap());
    let joined: Vec<String> =
        entries.iter().map(|entry| format!("{} {}", entry.version.short(), entry.dependency.join(""))).collect();
    let with = |version| format!("{version} set name=of value={version},5.11:20200101T000000Z");
    assert_eq!(joined, [with(1), with(2), "3 ".to_owned(), with(10)]);
}

#[test]
fn damage_is_noticed_by_the_signatures() {
    let files = files();
    let damaged = |name: &str| files.files[name].replace("20200", "20210").into_bytes();
    let attrs = files.files[ATTRS].replace("20200913T122640.000000Z", "20200913T122641.000000Z");
    let base = damaged(BASE);
    for (text, file) in [
        (CatalogText { attrs: attrs.as_bytes(), ..text(&files) }, ATTRS),
        (CatalogText { base: Some(&base), ..text(&files) }, BASE),
    ] {
        let error = Catalog::parse(text).unwrap_err();
        assert!(matches!(error.kind, CatalogErrorKind::Signature { .. }) && error.file == file, "{error:?}");
    }
    // Whole in itself, but from another time.
    let (other, _) = sign("{\"p\":{}}");
    let error = Catalog::parse(CatalogText { base: Some(other.as_bytes()), ..text(&files) }).unwrap_err();
    assert!(matches!(error.kind, CatalogErrorKind::Signature { .. }));
}

#[test]
fn what_is_no_catalog() {
    let attrs = |parts: &str| sign(&format!("{{\"version\":1,\"parts\":{parts}}}")).0;
    for (base, dependency, expected) in [
        ("[]", None, "Json"),
        ("{\"p\":{\"a\":[{}]}}", None, "Json"),
        ("{\"p\":{\"a\":[{\"version\":1}]}}", None, "Json"),
        ("{\"p\":{\"a b\":[]}}", None, "Name"),
        ("{\"p/q\":{}}", None, "Name"),
        ("{\"p\":{\"a\":[{\"version\":\"01\"}]}}", None, "PackageVersion"),
        ("{}", Some("{\"p\":{\"a\":[{\"version\":\"1\",\"actions\":[]}]}}"), "NotInBase"),
        (&"[".repeat(100_000), None, "Json"),
    ] {
        let attrs = attrs("{}");
        let dependency = dependency.map(str::as_bytes);
        let text = CatalogText { attrs: attrs.as_bytes(), base: Some(base.as_bytes()), dependency, summary: None };
        let error = format!("{:?}", Catalog::parse(text).unwrap_err().kind);
        assert!(error.starts_with(expected), "{error}");
    }
    for attrs in ["", "{}", "{\"version\":2}", "{\"version\":1,\"parts\":[]}"] {
        assert!(CatalogAttrs::parse(attrs.as_bytes()).is_err(), "{attrs}");
    }
}

#[test]
fn update_logs_lead_from_one_catalog_to_the_next() {
    let mut old = catalog();
    let removed = "pkg://q/a@3,5.11:20200101T000000Z".parse().unwrap();
    let mut entry = CatalogEntry::new("4,5.11:20210101T000000Z".parse().unwrap());
    entry.dependency.push("depend fmri=x type=require".to_owned());
    entry.manifest_sha1 = Some("00".to_owned());
    let operations = [
        UpdateOperation::Add { publisher: "r".parse().unwrap(), stem: "n".parse().unwrap(), entry },
        UpdateOperation::Remove(removed),
    ];
    let text = UpdateLog::write("20210101T010101.000001Z", &operations);
    let log = UpdateLog::parse("update.20210101T01Z.C", text.as_bytes()).unwrap();
    assert_eq!(log.operations().count(), 2);
    let unchanged = {
        let mut catalog = old.clone();
        log.apply(&mut catalog, Some("20210101T010101.000001Z"));
        catalog
    };
    assert_eq!(unchanged, old);
    log.apply(&mut old, Some("20210101T000000.000000Z"));
    let publishers: Vec<String> = old.publishers().map(ToString::to_string).collect();
    assert_eq!(publishers, ["p", "r"]);
    let added = old.get(&"pkg://r/n@4,5.11:20210101T000000Z".parse().unwrap()).unwrap();
    assert_eq!(added.dependency, ["depend fmri=x type=require"]);
    let unknown = text.replace("remove", "forget");
    assert!(UpdateLog::parse("update.C", unknown.as_bytes()).is_err());
}

#[test]
fn damaged_catalogs_are_errors_and_no_panics() {
    let files = files();
    for seed in files.files.values() {
        let body = seed.split(",\"_SIGNATURE\"").next().unwrap();
        support::mutations(format!("{body}}}").as_bytes(), 3000, contracts::catalog);
    }
}

proptest! {
    #[test]
    fn no_text_is_a_surprise(text in "[{}\\[\\]\":,a-z0-9_.-]{0,60}") {
        contracts::catalog(text.as_bytes());
    }
}
