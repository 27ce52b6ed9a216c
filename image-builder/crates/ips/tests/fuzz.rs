//! Damaged texts of every kind that comes from outside: they are read or refused, and what was read is written and read
//! again as the same. The promises are in `ips::contracts`.

use ips::contracts;
use test_judge::Random;

/// Damaged copies of one of the seeds, most of them with something put in that matters to the grammar.
fn fuzz(seeds: &[&str], interesting: &[&str], check: fn(&[u8])) {
    test_judge::fuzz(4000, |random: &mut Random| {
        let mut bytes = random.pick(seeds).as_bytes().to_vec();
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len() + 1);
            bytes.splice(at..at, random.pick(interesting).bytes());
        }
        random.damage(&mut bytes);
        check(&bytes);
    });
}

#[test]
fn fuzz_manifests() {
    let seeds = [
        "set name=pkg.fmri value=pkg://p/a/b@1,5.11-2:20240101T000000Z\nset name=pkg.summary value=\"two words\"\n\
         depend fmri=pkg:/a@1 fmri=b type=require-any facet.doc=true\n\
         file 0123456789012345678901234567890123456789 path=usr/bin/x mode=0555 owner=root group=bin \\\n\
         \tpkg.size=7 pkg.content-hash=file:sha256:00 chash=ff\n# a comment\n",
        "user username=x gcos-field='it is \"it\"' password=\"\" group=g\nlink path=a target=b mediator=m \
         mediator-version=1.2\nset pkg.old=1\nlicense 00 license=\"CDDL 1.0\"\nsignature 00 value=\\\\ version=0",
        "driver name=d alias=pci1,2 perms=\"* 0600 root sys\" devlink=type=x\\ty\nlegacy pkg=SUNWx\n",
    ];
    fuzz(&seeds, &["\\\n", "\\", "\"", "'", "=", " ", "\n", "\0", "hash=", "path=../x", "é"], contracts::manifest);
}

#[test]
fn fuzz_catalogs() {
    let seeds = [
        r#"{"p":{"a/b":[{"version":"1,5.11-1:20240101T000000Z","signature-sha-1":"00"},{"version":"2"}]}}"#,
        r#"{"p":{"a":[{"version":"1","actions":["depend fmri=b type=require","set name=pkg.obsolete value=true"]}]}}"#,
        r#"{"p":{"a":[{"version":"1","op-type":"add","op-time":"20240101T000000.000000Z","catalog.base.C":{}}]}}"#,
    ];
    let interesting = ["{", "}", "[", "]", "\"", ":", ",", "\\u0000", "_SIGNATURE", "null", "1e9", "\u{7f}"];
    fuzz(&seeds, &interesting, contracts::catalog);
}

#[test]
fn fuzz_names() {
    let seeds =
        ["pkg://p.org/a/b-c@1.2.3,5.11-2024.0:20240101T000000Z", "*zfs*@latest", "/system/library@0.5", "[a-c]/?"];
    fuzz(&seeds, &["@", "/", "-", ",", ":", ".", "0", "*", "[", "pkg:/", "99999999999999999999"], contracts::fmri);
}

#[test]
fn fuzz_images_and_locks() {
    let seeds = [
        "[CONFIGURATION]\nversion = 3\n[image]\nversion = 4\n[property]\npublisher-search-order = ['a', 'b']\n\
         [authority_a]\nprefix = a\norigins = ['http://a/']\norigin_info = [{'uri': 'http://a/', 'proxy': ''}]\n\
         [facet]\nfacet.doc.%2A = False\n[mediators]\nm.version = 1\nm.version-source = local\n[variant]\nvariant.x = y\n",
        "ips-lock 1\npackage pkg://p/a@1,5.11-1:20240101T000000Z \
         sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\navoid b obsolete\n",
        r#"[1,{"a":["1.0","why",1700000000]}]"#,
        r#"{"p":{"a":[{"metadata":{"last-install":"x","states":[0,2,7]},"version":"1"}]}}"#,
    ];
    fuzz(&seeds, &["[", "]", "'", "\\", "%", "=", "\n", "avoid ", "{'", "u'"], contracts::image);
}
