//! What the steps mean for the configuration of an image, and what they ask of its packages.

use super::{PackageError, time};
use image_tree::{ImagePath, Metadata, Node, Timestamp, Tree};
use ips::fmri::{Pattern, Publisher};
use ips::image::{Image, ImageConfig, PublisherConfig, with_slash};
use ips::install::ContentSource;
use ips::manifest::to_hex;
use ips::resolve::Request;
use ips::text::quote_component;
use ips_client::{Address, Wish};
use sha1::{Digest, Sha1};
use std::path::PathBuf;
use template::{
    Onu, PkgApproveCaCert, PkgChangeFacet, PkgImageCreate, PkgInstall, PkgSetProperty, PkgSetPublisher, Step,
};

/// What x86 is called by packages, in 32 and in 64 bits.
const ARCHITECTURE: &str = "i386";
/// The publisher of what was built on this machine; `onu` takes it before all others.
const ON_NIGHTLY: &str = "on-nightly";

/// Properties that are either true or false.
const SWITCHES: [&str; 5] = [
    "check-certificate-revocation",
    "flush-content-cache-on-success",
    "mirror-discovery",
    "send-uuid",
    "use-system-repo",
];

/// Properties that are lists of texts.
const LISTS: [&str; 2] = ["dehydrated", "signature-required-names"];

/// What is demanded of the signatures of packages, by the image and by each publisher.
const SIGNATURE_POLICY: &str = "signature-policy";

const POLICIES: [&str; 4] = ["ignore", "verify", "require-signatures", "require-names"];

pub(super) fn create(step: &PkgImageCreate) -> Result<Image, PackageError> {
    let mut config = ImageConfig::new(ARCHITECTURE);
    if let Some(first) = &step.publisher {
        let name = publisher(&first.publisher)?;
        config.publishers.push(PublisherConfig::new(name, &[&origin(&first.uri)?]));
    }
    Ok(Image::new(config))
}

/// Changes the configuration as the step says. If the step is about packages, what it asks of them is answered.
pub(super) fn configure(step: &Step, image: &mut Image) -> Result<Option<Wish>, PackageError> {
    match step {
        Step::PkgSetPublisher(step) => set_publisher(step, image).map(|()| None),
        Step::PkgSetProperty(step) => set_property(step, image).map(|()| None),
        Step::PkgInstall(step) => install(step),
        Step::PkgUninstall(step) => Ok(Some(patterns(&step.pkgs)?).filter(|gone| !gone.is_empty()).map(Wish::remove)),
        Step::PkgChangeVariant(step) => {
            image.config.variants.set(&step.variant, &step.value);
            Ok(Some(Wish::default()))
        }
        Step::PkgChangeFacet(step) => change_facet(step, image).map(|()| Some(Wish::default())),
        Step::Onu(step) => onu(step, image).map(Some),
        _ => Ok(None),
    }
}

fn install(step: &PkgInstall) -> Result<Option<Wish>, PackageError> {
    let patterns = patterns(&step.pkgs)?;
    Ok((!patterns.is_empty()).then(|| Wish {
        with_optional: step.include_optional,
        from_any_publisher: step.strip_optional_publishers,
        ..Wish::install(patterns)
    }))
}

fn set_publisher(step: &PkgSetPublisher, image: &mut Image) -> Result<(), PackageError> {
    let name = publisher(&step.publisher)?;
    let addresses = |uris: &[String]| uris.iter().map(|uri| origin(uri)).collect::<Result<Vec<_>, _>>();
    let (origins, mirrors) = (addresses(&step.origins)?, addresses(&step.mirrors)?);
    let known = image.config.publishers.iter().position(|known| known.name == name);
    let at = known.unwrap_or_else(|| {
        image.config.publishers.push(PublisherConfig::new(name, &[]));
        image.config.publishers.len() - 1
    });
    let publisher = &mut image.config.publishers[at];
    if !origins.is_empty() {
        publisher.set_origins(origins);
    }
    if !mirrors.is_empty() {
        publisher.set_mirrors(mirrors);
    }
    publisher.is_sticky = step.sticky.unwrap_or(publisher.is_sticky);
    if let Some(policy) = step.signature_policy {
        let name = publisher.name.clone();
        image.config.set_publisher_property(&name, SIGNATURE_POLICY, policy.name());
    }
    Ok(())
}

fn set_property(step: &PkgSetProperty, image: &mut Image) -> Result<(), PackageError> {
    let refuse = |reason| {
        let (what, value) = (format!("property {}", step.name), step.value.clone());
        Err(PackageError::Value { what, value, reason })
    };
    if step.name == "publisher-search-order" {
        return refuse("the order is that in which the steps name the publishers");
    }
    if step.name == SIGNATURE_POLICY && !POLICIES.contains(&step.value.as_str()) {
        return refuse("it is one of ignore, verify, require-signatures and require-names");
    }
    let value = match step.value.to_ascii_lowercase().as_str() {
        "true" if SWITCHES.contains(&step.name.as_str()) => "True",
        "false" if SWITCHES.contains(&step.name.as_str()) => "False",
        _ if SWITCHES.contains(&step.name.as_str()) => return refuse("it is either true or false"),
        _ => &step.value,
    };
    if LISTS.contains(&step.name.as_str()) {
        image.config.set_property_list(&step.name, std::slice::from_ref(&step.value));
    } else {
        image.config.set_property(&step.name, value);
    }
    Ok(())
}

fn change_facet(step: &PkgChangeFacet, image: &mut Image) -> Result<(), PackageError> {
    let value = match step.value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        "none" => None,
        _ => {
            let what = format!("facet {}", step.facet);
            let reason = "a facet is True, False or None";
            return Err(PackageError::Value { what, value: step.value.clone(), reason });
        }
    };
    image.config.facets.set(&step.facet, value);
    Ok(())
}

/// Packages of the publisher may now come from the build, which goes first; then everything becomes as new as it can.
fn onu(step: &Onu, image: &mut Image) -> Result<Wish, PackageError> {
    let replaced = publisher(&step.publisher)?;
    let origin = origin(&step.repo)?;
    let config = &mut image.config;
    let known = config.publishers.iter_mut().find(|known| known.name == replaced);
    known.ok_or_else(|| PackageError::NoPublisher { publisher: step.publisher.clone() })?.is_sticky = false;
    config.publishers.retain(|known| known.name.as_str() != ON_NIGHTLY);
    config.publishers.insert(0, PublisherConfig::new(publisher(ON_NIGHTLY)?, &[&origin]));
    config.facets.set("onu.ooceonly", Some(false));
    let request = Request { reject: patterns(&step.uninstall)?, update: true, ..Request::default() };
    Ok(Wish { request, ..Wish::default() })
}

/// Puts a certificate where the image keeps those that are approved for a publisher.
pub(super) fn approve(
    step: &PkgApproveCaCert,
    image: &mut Image,
    tree: &Tree,
    content: &dyn ContentSource,
) -> Result<Tree, PackageError> {
    let name = publisher(&step.publisher)?;
    let known = image.config.publishers.iter_mut().find(|known| known.name == name);
    let known = known.ok_or_else(|| PackageError::NoPublisher { publisher: step.publisher.clone() })?;
    let wrong = |reason: String| PackageError::Certificate { path: step.path.clone(), reason };
    let text = std::fs::read(&step.path).map_err(|error| wrong(error.to_string()))?;
    let pem = ips_client::signature::plain_pem(&text).map_err(wrong)?;
    let hash = to_hex(&Sha1::digest(&pem));
    let path = format!("/var/pkg/publisher/{}/certs/{hash}", quote_component(name.as_str()));
    if !known.approved_ca_certs.contains(&hash) {
        known.approved_ca_certs.push(hash);
    }
    let kept = content.keep(pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let failed = |source| PackageError::Tree { path: path.clone(), source: Box::new(source) };
    let at = ImagePath::new(&path).expect("quoted names make a plain path");
    let mtime = Timestamp { secs: time().unix_seconds(), nanos: 0 };
    let metadata = |mode| Metadata { mtime, ..Metadata::new(0, 0, mode) };
    let mut tree = tree.clone();
    let parent = at.parent().expect("it has one");
    tree.create_dir(&parent, metadata(0o755), &metadata(0o755)).map_err(failed)?;
    tree.insert(&at, Node::regular(kept, metadata(0o644))).map_err(failed)?;
    Ok(tree)
}

fn publisher(text: &str) -> Result<Publisher, PackageError> {
    text.parse().map_err(|source| PackageError::Name { text: text.to_owned(), source })
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, PackageError> {
    let parse = |text: &String| text.parse().map_err(|source| PackageError::Name { text: text.clone(), source });
    texts.iter().map(parse).collect()
}

/// An address as images keep it: local ones as `file://`, which is also what the client of a running image reads.
fn origin(uri: &str) -> Result<String, PackageError> {
    match uri.parse().map_err(|error| PackageError::Address(Box::new(error)))? {
        Address::Depot(_) => Ok(with_slash(uri)),
        Address::Local(path) => {
            let absolute = std::path::absolute(&path).unwrap_or_else(|_| PathBuf::from(&path));
            let names = absolute.to_string_lossy();
            let quoted: Vec<String> = names.split('/').map(quote_component).collect();
            Ok(with_slash(&format!("file://{}", quoted.join("/"))))
        }
    }
}
