//! Manifests: the grammar in tables, round trips, and what a hostile text may not do.

mod support;

use ips::contracts;
use ips::manifest::{ACTION_BYTES_MAX, Action, ActionKind, FileHash, Manifest, ManifestErrorKind};
use proptest::prelude::*;

const HASH: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

fn action(text: &str) -> Action {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn values_and_their_quotes() {
    for (text, value) in [
        ("set name=a value=b", "b"),
        ("set name=a value=\"b\"", "b"),
        ("set name=a value='b c'", "b c"),
        ("set name=a value=\"\"", ""),
        ("set name=a value=b=c", "b=c"),
        ("set name=a value=b\"c'", "b\"c'"),
        (r#"set name=a value="b \"c\" d""#, "b \"c\" d"),
        (r"set name=a value='it\'s'", "it's"),
        (r#"set name=a value="it's""#, "it's"),
        (r#"set name=a value="C:\dir \\ \n""#, r"C:\dir \ \n"),
        (r"set name=a value=C:\\dir\x", r"C:\\dir\x"),
        ("set\tname=a  \t value=b \t", "b"),
        ("   set name=a value=b\r", "b"),
        ("set name=a \\\n    value=b", "b"),
        ("set name=a value=b\\\n  c", "bc"),
        ("set name=a value=\"b \\\n  c\"", "b c"),
        ("set name=a value=ü€𝄞", "ü€𝄞"),
        ("set a=b", "b"),
        ("# comment\n\n  # another\nset name=a value=b\n", "b"),
        ("# continued \\\nset name=x value=y\nset name=a value=b", "b"),
    ] {
        let parsed = action(text);
        assert_eq!((parsed.get("name"), parsed.get("value")), (Some("a"), Some(value)), "{text}");
        assert_eq!(action(&parsed.to_string()), parsed, "{text}");
    }
}

#[test]
fn lists_keep_their_order() {
    let parsed = action("driver name=e1000 alias=pciex8086,1 perms='* 0666 root sys' alias=pci8086,2 alias=pci8086,2");
    assert_eq!(parsed.values("alias").collect::<Vec<_>>(), ["pciex8086,1", "pci8086,2", "pci8086,2"]);
    let canonical = "driver alias=pciex8086,1 alias=pci8086,2 alias=pci8086,2 name=e1000 perms=\"* 0666 root sys\"";
    assert_eq!(parsed.to_string(), canonical);
    let old = action("set variant.arch=i386 variant.arch=sparc");
    assert_eq!(old.to_string(), "set name=variant.arch value=i386 value=sparc");
}

#[test]
fn every_kind_of_action_reads_and_prints() {
    let text = format!(
        "set name=pkg.summary value=\"A summary\"\n\
         depend fmri=pkg:/a@1 fmri=pkg:/b type=require-any\n\
         group gid=50 groupname=gdm\n\
         user gcos-field=\"\" group=gdm uid=50 username=gdm\n\
         dir group=sys mode=0755 owner=root path=usr\n\
         file {HASH} group=bin mode=0555 owner=root path=usr/bin/ls pkg.size=0\n\
         hardlink path=usr/bin/dir target=ls\n\
         link mediator=python mediator-version=3.9 path=usr/bin/python target=python3.9\n\
         driver name=sd\n\
         unknown a=b\n\
         license {HASH} license=\"lic_CDDL and more\"\n\
         legacy arch=i386 pkg=SUNWcs\n\
         signature {HASH} algorithm=rsa-sha256 value=00 version=0\n"
    );
    let manifest: Manifest = text.parse().unwrap();
    let kinds: Vec<ActionKind> = manifest.actions.iter().map(Action::kind).collect();
    assert_eq!(kinds, ActionKind::ALL);
    assert_eq!(manifest.to_string(), text);
    assert_eq!(manifest.summary(), Some("A summary"));
    let mut sorted = manifest.clone();
    sorted.actions.reverse();
    sorted.sort();
    assert_eq!(sorted, manifest);
}

#[test]
fn errors_say_where() {
    for (text, line, column, expected) in [
        ("file path=a\nfiel path=b", 2, 1, "no action `fiel`"),
        ("dir path=a mode", 1, 12, "`mode` is not an attribute"),
        ("dir path=a mode=", 1, 17, "`mode` has no value"),
        ("dir path= mode=0755", 1, 10, "`path` has no value"),
        ("dir =a", 1, 5, "cannot be the name"),
        ("dir path=a \"x\"=a", 1, 12, "cannot be the name"),
        ("dir path=\"a", 1, 10, "not closed"),
        ("dir path=\"a\\\"", 1, 10, "not closed"),
        ("dir path=\"a\"b", 1, 13, "right after"),
        ("dir da39 path=a", 1, 5, "`da39` is not an attribute"),
        ("file path=a da39", 1, 13, "`da39` is not an attribute"),
        ("file da39 hash=da40 path=a", 1, 11, "two payload hashes"),
        ("  dir mode=0755", 1, 3, "no attribute `path`"),
        ("dir path=a path=b", 1, 12, "more than one value for `path`"),
        ("link path=a", 1, 1, "no attribute `target`"),
        ("depend fmri=a", 1, 1, "no attribute `type`"),
        ("dir path=ä \\\n   ö=b \\\n  x", 3, 3, "`x` is not an attribute"),
        ("dir path=ä ö \\\n b=c", 1, 12, "`ö` is not an attribute"),
    ] {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    let error = Manifest::parse(b"dir path=a\ndir path=\xc3\xa4\xff").unwrap_err();
    assert_eq!((error.line, error.column, error.kind), (2, 11, ManifestErrorKind::NotUtf8));
}

#[test]
fn an_endless_action_is_refused() {
    let long = format!("dir path={}", "a".repeat(ACTION_BYTES_MAX));
    assert_eq!(Manifest::parse(long.as_bytes()).unwrap_err().kind, ManifestErrorKind::ActionTooLong);
    let continued = "x\\\n".repeat(ACTION_BYTES_MAX + 1);
    assert_eq!(Manifest::parse(continued.as_bytes()).unwrap_err().kind, ManifestErrorKind::ActionTooLong);
    let empty = "\\\n".repeat(1_000_000);
    assert_eq!(Manifest::parse(empty.as_bytes()), Ok(Manifest::default()));
}

#[test]
fn typed_values() {
    let dir = action("dir path=/usr/ mode=02755 owner=root group=sys");
    assert_eq!(dir.path().unwrap().to_string(), "/usr");
    assert_eq!(dir.mode(), Ok(0o2755));
    for mode in ["", "0", "0000", "8", "17777", "+755", "-1", "0x1"] {
        assert!(action(&format!("dir path=a mode=\"{mode}\"")).mode().is_err(), "{mode}");
    }
    for path in ["../a", "a/../../b", "a\0b", "/"] {
        assert!(action(&format!("file path=\"{path}\"")).path().is_err(), "{path}");
    }
    assert_eq!(action("user username=a uid=70000").number::<u32>("uid"), Ok(Some(70_000)));
    assert!(action("user username=a uid=-1").number::<u32>("uid").is_err());
    assert!(action("user username=a uid=1 uid=2").number::<u32>("uid").is_err());
}

#[test]
fn the_strongest_known_hash_of_the_content_counts() {
    // Of the empty content; each is a published test vector of its function.
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let sha512t = "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a";
    let gelf = "1".repeat(64);
    for (attributes, expected) in [
        (String::new(), format!("sha1:{HASH}")),
        (format!("pkg.hash.sha256={sha256}"), format!("sha256:{sha256}")),
        (format!("pkg.content-hash=file:sha256:{sha256}"), format!("sha256:{sha256}")),
        (
            format!(
                "pkg.content-hash=file:sha512t_256:{sha512t} pkg.content-hash=gzip:sha512t_256:{gelf} \
                 pkg.content-hash=gelf:sha512t_256:{gelf} pkg.content-hash=file:sha256:{sha256}"
            ),
            format!("sha512t_256:{sha512t}"),
        ),
        (format!("pkg.content-hash=file:sha512_256:{gelf}"), format!("sha1:{HASH}")),
        (format!("elfhash={HASH} pkg.content-hash=file:sha256:zz"), format!("sha1:{HASH}")),
    ] {
        let file = action(&format!("file {HASH} path=a {attributes}"));
        let hash = file.payload().unwrap().strongest_hash().unwrap();
        assert_eq!(hash.to_string(), expected);
        assert!(hash.is_of(b"") && !hash.is_of(b"x"));
    }
    assert!(action("file ../../etc/passwd path=a").payload().unwrap().name().is_err());
    assert!(action("file path=a").payload().is_none());
    assert_eq!(FileHash::from_hex("sha256", HASH), None);
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ab \\\\\"'=\t#]{0,8}", "[^\n]{0,8}"]
}

fn actions() -> impl Strategy<Value = Action> {
    let attributes = prop::collection::vec(("[a-z][a-z.-]{0,3}|path|value", values()), 0..6);
    let hash = prop::option::of("[0-9a-f]{4}|[a-z =\"'\\\\]{0,6}");
    (prop::sample::select(&ActionKind::ALL[..]), hash, attributes).prop_map(|(kind, hash, attributes)| {
        let mut action = action("unknown");
        let mut text = kind.name().to_owned();
        for name in kind.required_attributes() {
            text += &format!(" {name}=x");
        }
        if let Ok(parsed) = text.parse::<Action>() {
            action = parsed;
        }
        if let Some(hash) = hash.filter(|_| kind.has_payload()) {
            action.set_hash(&hash);
        }
        for (name, value) in attributes {
            if !kind.is_single(&name) && name != "hash" {
                action.push(&name, &value).unwrap();
            }
        }
        action
    })
}

proptest! {
    #[test]
    fn printed_actions_read_as_the_same(action in actions()) {
        let printed = action.to_string();
        let read: Action = printed.parse().map_err(|error| TestCaseError::fail(format!("{printed:?}: {error}")))?;
        prop_assert_eq!(read.to_string(), printed);
        prop_assert_eq!(read.hash(), action.hash());
        let mut expected: Vec<_> = action.attributes().collect();
        expected.sort_by_key(|(name, _)| *name);
        prop_assert_eq!(read.attributes().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_text_is_a_surprise(text in "([a-z]{0,4}[ =\"'\\\\\n#]{0,2}){0,20}|\\PC{0,40}") {
        contracts::manifest(text.as_bytes());
    }
}

#[test]
fn damaged_manifests_are_errors_and_no_panics() {
    let seed = format!(
        "set name=pkg.fmri value=pkg://p/a@1\nfile {HASH} path=\"usr/a b\" mode=0644 owner=root group='b\\'in' \\\n  x=y\n\
         # comment\nlink path=a target=\"\\\\\"\nlicense {HASH} license=ü\n"
    );
    support::mutations(seed.as_bytes(), 20_000, contracts::manifest);
}
