//! Signatures that OpenSSL made, over what it was given by us.

use std::path::Path;
use std::sync::Arc;

use image_tree::{ImagePath, Metadata, Node, Store, StoreOptions, Tree};
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::manifest::{Action, Manifest, signed_texts, to_hex};
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_client::{Client, ClientError, Network, Policy, Silent, Wish, all_reasons};
use process_runner::Command;

const FMRI: &str = "pkg://p/app@1,5.11-1:20300601T000000Z";
const ACTIONS: &str = "set name=pkg.summary value=\"An application\"\ndir path=opt mode=0755 owner=root group=root\n\
    group groupname=root gid=0\nuser username=root uid=0 group=root\n";
const TABLES: [(&str, &str); 3] =
    [("etc/passwd", "root:x:0:0::/:\n"), ("etc/shadow", "root:NP:1::::::\n"), ("etc/group", "root::0:\n")];

struct Authority {
    scratch: tempfile::TempDir,
}

impl Authority {
    /// An authority, one between, and a certificate for signing; none without OpenSSL.
    fn new() -> Option<Self> {
        test_judge::find("openssl", "openssl")?;
        let authority = Self { scratch: tempfile::tempdir().unwrap() };
        let ca = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
        let leaf = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n";
        std::fs::write(authority.path("ca.ext"), ca).unwrap();
        std::fs::write(authority.path("leaf.ext"), leaf).unwrap();
        authority.certificate("root", "root", "ca.ext");
        authority.certificate("between", "root", "ca.ext");
        authority.certificate("signer", "between", "leaf.ext");
        authority.certificate("stranger", "stranger", "ca.ext");
        Some(authority)
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    fn openssl(&self, arguments: &[&str]) -> Vec<u8> {
        let run = Command::new("openssl").args(arguments).run();
        run.unwrap_or_else(|error| panic!("{}", all_reasons(&error))).stdout
    }

    /// Valid for a hundred years from now on, issued by `by`.
    fn certificate(&self, name: &str, by: &str, extensions: &str) {
        let file = |name: &str, kind: &str| self.path(&format!("{name}.{kind}"));
        let subject = format!("/O=Made up/CN={name}");
        let (key, request, pem) = (file(name, "key"), file(name, "csr"), file(name, "pem"));
        self.openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", &subject]);
        let extensions = self.path(extensions);
        let mut arguments = vec!["x509", "-req", "-in", &request, "-extfile", &extensions, "-out", &pem];
        arguments.extend(["-set_serial", "7", "-days", "36500"]);
        let (issuer, issuer_key) = (file(by, "pem"), file(by, "key"));
        if name == by {
            arguments.extend(["-signkey", &key]);
        } else {
            arguments.extend(["-CA", &issuer, "-CAkey", &issuer_key]);
        }
        self.openssl(&arguments);
    }

    fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(&format!("{name}.pem"))).unwrap()
    }

    fn sign(&self, text: &[u8]) -> String {
        let file = self.path("text");
        std::fs::write(&file, text).unwrap();
        to_hex(&self.openssl(&["dgst", "-sha256", "-sign", &self.path("signer.key"), &file]))
    }
}

/// Publishes the package with a signature, after `change` of its text.
fn publish(root: &Path, authority: &Authority, change: impl Fn(&str) -> String) {
    let mut publication = Publication::new(root);
    let actions: Vec<(Action, Option<&[u8]>)> = ACTIONS.lines().map(|line| (line.parse().unwrap(), None)).collect();
    let (signer, between) = (authority.pem("signer"), authority.pem("between"));
    let keep = |publication: &mut Publication, pem: &[u8]| publication.keep(&"p".parse().unwrap(), pem).unwrap();
    let (own, above) = (keep(&mut publication, &signer), keep(&mut publication, &between));
    publication.publish(&FMRI.parse().unwrap(), &actions).unwrap();
    publication.finish(OperationTime::from_unix_seconds(1)).unwrap();
    let manifests = root.join("publisher/p/pkg/app");
    let path = std::fs::read_dir(manifests).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&path).unwrap();
    let unsigned = format!("signature {own} algorithm=rsa-sha256 chain={above} version=0 value=\"\"");
    let whole: Manifest = format!("{text}{unsigned}\n").parse().unwrap();
    let [signed, _] = signed_texts(&whole, whole.actions.last().unwrap());
    let value = authority.sign(&signed);
    std::fs::write(&path, change(&format!("{text}{}\n", unsigned.replace("value=\"\"", &format!("value={value}")))))
        .unwrap();
    // The catalog is made anew from the manifest.
    std::fs::remove_dir_all(root.join("publisher/p/catalog")).unwrap();
}

/// Installs the package into an image that has these properties and trusts these certificates.
fn install(root: &Path, policy: &[(&str, &str)], trusted: &[&[u8]]) -> Result<Tree, ClientError> {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open_with(scratch.path().join("store"), StoreOptions { sync: false }).unwrap();
    let mut tree = Tree::default();
    let metadata = Metadata::new(0, 0, 0o755);
    let mut put = |path: &str, bytes: &[u8]| {
        let path = ImagePath::from_relative(path).unwrap();
        tree.create_dir(&path.parent().unwrap(), metadata.clone(), &metadata).unwrap();
        let content = store.put_bytes(bytes).unwrap();
        tree.insert(&path, Node::regular(content, Metadata::new(0, 0, 0o644))).unwrap();
    };
    TABLES.iter().for_each(|(path, text)| put(path, text.as_bytes()));
    for (at, pem) in trusted.iter().enumerate() {
        put(&format!("etc/certs/CA/{at}.pem"), pem);
    }
    let mut config = ImageConfig::new("i386");
    config.publishers.push(PublisherConfig::new("p".parse().unwrap(), &[&root.display().to_string()]));
    for (name, value) in policy {
        match name.strip_prefix("p:") {
            Some(name) => config.set_publisher_property(&"p".parse().unwrap(), name, value),
            None => config.set_property(name, value),
        }
    }
    let mut image = Image::new(config);
    let client = Client::new(&store, Network::default(), Arc::new(Silent));
    let lock = client.choose(&image, &Wish::install(vec!["app".parse().unwrap()]))?;
    client.install(&tree, &mut image, &lock, OperationTime::from_unix_seconds(1))
}

/// Properties of the image, and after `p:` of the publisher; the certificates that the image trusts, and why it is refused.
type PolicyCase<'a> = (Vec<(&'a str, &'a str)>, &'a [&'a [u8]], Option<&'a str>);

#[test]
fn policies_are_kept_by_signatures_of_openssl() {
    let Some(authority) = Authority::new() else { return };
    let root = authority.scratch.path().join("repository");
    publish(&root, &authority, str::to_owned);
    let (trusted, stranger) = (authority.pem("root"), authority.pem("stranger"));
    let policy = |name: &'static str| vec![("signature-policy", name)];
    let names = |names: &'static str| [policy("require-names"), vec![("signature-required-names", names)]].concat();
    let cases: [PolicyCase<'_>; 12] = [
        (policy("verify"), &[&trusted], None),
        (Vec::new(), &[&stranger, &trusted], None),
        (policy("require-signatures"), &[&trusted], None),
        (policy("ignore"), &[], Some("leads to none that the image trusts")),
        ([policy("ignore"), vec![("p:signature-policy", "ignore")]].concat(), &[], None),
        (names("['signer']"), &[&trusted], None),
        (names("['signer', 'between', 'root']"), &[&trusted], None),
        (names("['signer', 'stranger']"), &[&trusted], Some("`stranger` is neither who signed it")),
        (policy("verify"), &[], Some("leads to none that the image trusts")),
        (policy("verify"), &[&stranger], Some("leads to none that the image trusts")),
        (policy("verify"), &[b"no certificate"], Some("leads to none that the image trusts")),
        (policy("verify"), &[b""], Some("leads to none that the image trusts")),
    ];
    for (policy, trusted, expected) in cases {
        match (install(&root, &policy, trusted), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                let text = all_reasons(&error);
                assert!(text.starts_with("app@1-1 cannot be trusted: ") && text.contains(expected), "{text}");
                assert!(error.help().unwrap().contains("pkg_approve_ca_cert"));
            }
            (Ok(_), Some(expected)) => panic!("{policy:?}: not {expected}"),
            (Err(error), None) => panic!("{policy:?}: {}", all_reasons(&error)),
        }
    }
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    let Some(authority) = Authority::new() else { return };
    let trusted = authority.pem("root");
    type Change = fn(&str) -> String;
    let cases: [(Change, &str); 5] = [
        (|text| text.replace("An application", "Another"), "does not fit what it signs"),
        (|text| text.replace("mode=0755", "mode=0777"), "does not fit what it signs"),
        (|text| text.replace("rsa-sha256", "rsa-md5"), "`rsa-md5` of a signature is not known"),
        (|text| text.replace("version=0 value=", "version=0 value=ff"), "does not fit what it signs"),
        (
            |text| text.lines().filter(|line| !line.starts_with("signature")).map(|line| format!("{line}\n")).collect(),
            "it is not signed",
        ),
    ];
    for (at, (change, expected)) in cases.into_iter().enumerate() {
        let root = authority.scratch.path().join(format!("repository-{at}"));
        publish(&root, &authority, change);
        let error = install(&root, &[("signature-policy", "require-signatures")], &[&trusted]).unwrap_err();
        let text = all_reasons(&error);
        assert!(text.contains(expected), "{text}");
    }
    // An unsigned package is nothing that `verify` minds, nor is a signature of a kind that it does not know.
    for at in [2, 4] {
        let root = authority.scratch.path().join(format!("repository-{at}"));
        install(&root, &[("signature-policy", "verify")], &[]).unwrap();
    }
}

/// What the image says of a publisher can only ask for more than what it says of all, and a publisher of which it says
/// nothing is one whose signatures are verified.
#[test]
fn the_stricter_of_two_policies_counts() {
    let names = |names: &[&str]| Policy::RequireNames(names.iter().map(|name| (*name).to_owned()).collect());
    for (of_image, of_publisher, expected) in [
        ("", "", Policy::Verify),
        ("signature-policy = ignore", "", Policy::Verify),
        ("", "property.signature-policy = ignore", Policy::Verify),
        ("signature-policy = ignore", "property.signature-policy = ignore", Policy::Ignore),
        ("signature-policy = ignore", "property.signature-policy = require-signatures", Policy::RequireSignatures),
        ("signature-policy = DEFAULT", "property.signature-policy = DEFAULT", Policy::Verify),
        ("signature-policy = ignore", "property.signature-policy = verify", Policy::Verify),
        ("", "property.signature-policy = require-signatures", Policy::RequireSignatures),
        ("signature-policy = require-signatures", "property.signature-policy = verify", Policy::RequireSignatures),
        (
            "signature-policy = require-names\nsignature-required-names = ['a']",
            "property.signature-policy = require-names\nproperty.signature-required-names = ['b', 'c']",
            names(&["a", "b", "c"]),
        ),
        ("", "property.signature-policy = require-names\nproperty.signature-required-names = ['b']", names(&["b"])),
    ] {
        let text = format!("[image]\nversion = 4\n[property]\n{of_image}\n[authority_p]\nprefix = p\n{of_publisher}\n");
        let config = ImageConfig::parse(&text).unwrap();
        assert_eq!(Policy::of(&config, &"p".parse().unwrap()), Ok(expected), "{text}");
    }
}

/// A word that nobody knows may be a stricter policy of a newer client, or a slip in one: nothing is taken for it.
#[test]
fn an_unknown_policy_is_refused_by_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let mut publication = Publication::new(scratch.path());
    let actions: Vec<(Action, Option<&[u8]>)> = ACTIONS.lines().map(|line| (line.parse().unwrap(), None)).collect();
    publication.publish(&FMRI.parse().unwrap(), &actions).unwrap();
    publication.finish(OperationTime::from_unix_seconds(1)).unwrap();
    for (property, of, step) in [
        ("signature-policy", "the image", "pkg_set_property"),
        ("p:signature-policy", "publisher p", "pkg_set_publisher"),
    ] {
        install(scratch.path(), &[(property, "DEFAULT")], &[]).unwrap();
        let error = install(scratch.path(), &[(property, "require-signature")], &[]).unwrap_err();
        let expected = format!("the signature-policy of {of} is `require-signature`, which is no policy");
        assert_eq!(error.to_string(), expected);
        assert!(error.help().unwrap().contains(step), "{:?}", error.help());
    }
}
