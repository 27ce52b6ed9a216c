//! Signatures of packages: who vouches for a manifest, and whether the image believes them.
//!
//! The chain of certificates and the signature itself are checked by `webpki`. Certificates have to be valid at the time
//! at which the package was published, as its version states: images are made of old packages, too, and nothing here
//! asks a clock.

pub(crate) mod policy;

pub use policy::{Policy, PolicyError, SignatureError};

use std::io::Read;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime, alg_id,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use image_tree::{Follow, ImagePath, NodeKind, Tree};

use ips::fmri::Publisher;
use ips::image::ImageConfig;
use ips::install::{ContentSource, Package};
use ips::manifest::{Action, ActionKind, parse_hex, signed_texts};
use ips::text::quote_component;

use crate::client::{Client, publisher_of};
use crate::common_names::common_names;
use crate::error::ClientError;
use crate::repository::Payloads;

/// Where an image has the certificates that it trusts, unless `trust-anchor-directory` says otherwise.
const ANCHORS: &str = "etc/certs/CA";
/// The longest certificate that is read, in bytes.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;
/// 1.3.6.1.5.5.7.3.3, what a certificate may be used for: signing code.
const CODE_SIGNING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 3];

/// The certificates that are trusted for the packages of a publisher.
#[derive(Debug, Default)]
struct Anchors(Vec<TrustAnchor<'static>>);

impl Client<'_> {
    /// Checks the signatures of packages as the image in `tree` demands it.
    ///
    /// # Errors
    /// A package is not signed as it has to be, or a certificate cannot be fetched.
    pub(crate) fn check_signatures(
        &self,
        config: &ImageConfig,
        tree: &Tree,
        packages: &[Package],
    ) -> Result<(), ClientError> {
        for package in packages {
            let publisher = &package.id.publisher;
            let policy = Policy::of(config, publisher)?;
            if policy == Policy::Ignore {
                continue;
            }
            let is_signed = package.manifest.of_kind(ActionKind::Signature).next().is_some();
            let anchors = if is_signed { self.anchors(config, tree, publisher) } else { Anchors::default() };
            self.check_package(config, package, &policy, &anchors)?;
        }
        Ok(())
    }

    fn check_package(
        &self,
        config: &ImageConfig,
        package: &Package,
        policy: &Policy,
        anchors: &Anchors,
    ) -> Result<(), ClientError> {
        let refuse = |source| ClientError::Signature { package: package.id.short(), source };
        let mut names = Vec::new();
        let mut is_vouched_for = false;
        let mut unknown = None;
        for action in package.manifest.of_kind(ActionKind::Signature) {
            // One that is for other variants is nobody's business.
            if action.attributes().any(|(name, _)| name.starts_with(ips::variant::PREFIX)) {
                continue;
            }
            // One of a kind that came up later says nothing to us, and is as good as none.
            let Some(kind) = SignatureKind::of(action) else {
                unknown = action.get("algorithm").map(str::to_owned);
                continue;
            };
            let chain = self.certificates(config, package, action)?;
            names.extend(verify(package, action, kind, &chain, anchors).map_err(refuse)?);
            is_vouched_for |= !chain.is_empty();
        }
        let unsigned = unknown.map_or(SignatureError::Unsigned, |algorithm| SignatureError::Algorithm { algorithm });
        match policy {
            Policy::Ignore | Policy::Verify => Ok(()),
            _ if !is_vouched_for => Err(refuse(unsigned)),
            Policy::RequireSignatures => Ok(()),
            Policy::RequireNames(wanted) => match wanted.iter().find(|name| !names.contains(name)) {
                Some(name) => Err(refuse(SignatureError::Name { name: name.clone() })),
                None => Ok(()),
            },
        }
    }

    /// The signing certificate and those that lead to its authority.
    fn certificates(
        &self,
        config: &ImageConfig,
        package: &Package,
        action: &Action,
    ) -> Result<Vec<CertificateDer<'static>>, ClientError> {
        let Some(own) = action.hash() else { return Ok(Vec::new()) };
        let above = action.values("chain").flat_map(str::split_whitespace);
        let mut chain = Vec::new();
        for hash in std::iter::once(own).chain(above) {
            let wrong = |reason: String| ClientError::Signature {
                package: package.id.short(),
                source: SignatureError::Certificate { hash: hash.to_owned(), reason },
            };
            let text = self.certificate(config, &package.id.publisher, hash)?;
            chain.push(CertificateDer::from_pem_slice(&text).map_err(|error| wrong(error.to_string()))?);
        }
        Ok(chain)
    }

    /// A certificate by the SHA-1 of its text. It proves nothing by itself, so this hash is enough.
    fn certificate(&self, config: &ImageConfig, publisher: &Publisher, hash: &str) -> Result<Vec<u8>, ClientError> {
        let what = || format!("certificate {hash}");
        let action: Action =
            format!("license {} license=certificate", quote_component(hash)).parse().map_err(|_| {
                let (package, source) = (publisher.to_string(), SignatureError::Value);
                ClientError::Signature { package, source }
            })?;
        let Some(payload) = action.payload() else { return Ok(Vec::new()) };
        let payloads = Payloads::new(self.store);
        if let Ok(Some(kept)) = payloads.find(&payload) {
            if let Ok(text) = payloads.read(&kept) {
                return Ok(text);
            }
        }
        let publisher = publisher_of(config, publisher, &what)?;
        if self.is_offline {
            return Err(ClientError::NoOrigin { publisher: publisher.name.clone(), what: what() });
        }
        let uris: Vec<&str> = publisher.enabled_mirrors().chain(publisher.enabled_origins()).collect();
        let content = self.first(&publisher.name, &uris, &what, &|source| {
            let Some(packed) = source.packed(&publisher.name, &payload, &|_| ())? else { return Ok(None) };
            payloads.keep_packed(source.address(), &payload, packed.take(CERTIFICATE_BYTES_MAX)).map(Some)
        })?;
        payloads
            .read(&content)
            .map_err(|source| ClientError::Image(ips::image::ImageError::Content { path: what(), source }))
    }

    /// What the image in `tree` trusts for a publisher: its own certificates, and those that were approved. What is there
    /// and is no certificate of an authority is passed over: nothing is trusted by it.
    fn anchors(&self, config: &ImageConfig, tree: &Tree, publisher: &Publisher) -> Anchors {
        let mut anchors = Anchors::default();
        let directory = config.property("trust-anchor-directory").unwrap_or(ANCHORS).trim_matches('/').to_owned();
        if let Ok(path) = ImagePath::from_relative(&directory) {
            let names = tree.read_dir(&path).into_iter().flatten();
            for path in names.filter_map(|(name, _)| path.join(name).ok()) {
                anchors.add(&self.file(tree, &path));
            }
        }
        let known = config.publisher(publisher);
        for hash in known.into_iter().flat_map(|known| &known.approved_ca_certs) {
            let path =
                format!("var/pkg/publisher/{}/certs/{}", quote_component(publisher.as_str()), quote_component(hash));
            if let Ok(path) = ImagePath::from_relative(path) {
                anchors.add(&self.file(tree, &path));
            }
        }
        anchors
    }

    fn file(&self, tree: &Tree, path: &ImagePath) -> Vec<u8> {
        let found = tree.lookup(path, Follow::Yes).ok().map(|(_, node)| node);
        let content = found.and_then(|node| match &node.kind {
            NodeKind::Regular(content) if content.len() <= CERTIFICATE_BYTES_MAX => Some(content),
            _ => None,
        });
        content.and_then(|content| Payloads::new(self.store).read(content).ok()).unwrap_or_default()
    }
}

impl Anchors {
    fn add(&mut self, text: &[u8]) {
        for certificate in CertificateDer::pem_slice_iter(text).flatten() {
            if let Ok(anchor) = anchor_from_trusted_cert(&certificate) {
                self.0.push(anchor.to_owned());
            }
        }
    }
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignatureKind {
    /// A mere hash of what is signed.
    Hash,
    /// RSA PKCS #1 v1.5, by the key of the certificate that the signature comes with.
    Rsa(AlgorithmIdentifier),
}

impl SignatureKind {
    /// The kind of a signature; none if it is not known.
    fn of(action: &Action) -> Option<Self> {
        if !matches!(action.get("version"), None | Some("0")) {
            return None;
        }
        match (action.get("algorithm")?, action.hash().is_some()) {
            ("sha256" | "sha384" | "sha512", false) => Some(Self::Hash),
            ("rsa-sha256", true) => Some(Self::Rsa(alg_id::RSA_PKCS1_SHA256)),
            ("rsa-sha384", true) => Some(Self::Rsa(alg_id::RSA_PKCS1_SHA384)),
            ("rsa-sha512", true) => Some(Self::Rsa(alg_id::RSA_PKCS1_SHA512)),
            _ => None,
        }
    }
}

/// Checks one signature; answers the names in the certificates on the way to one that is trusted.
fn verify(
    package: &Package,
    action: &Action,
    kind: SignatureKind,
    chain: &[CertificateDer<'static>],
    anchors: &Anchors,
) -> Result<Vec<String>, SignatureError> {
    let texts = signed_texts(&package.manifest, action);
    let value = action.get("value").and_then(parse_hex).ok_or(SignatureError::Value)?;
    let (SignatureKind::Rsa(wanted), Some((own, above))) = (kind, chain.split_first()) else {
        let algorithm = action.get("algorithm").unwrap_or_default();
        let is_good = texts.iter().any(|text| digest(algorithm, text).as_ref() == Some(&value));
        return if is_good { Ok(Vec::new()) } else { Err(SignatureError::Value) };
    };
    let broken = |error: webpki::Error| SignatureError::Certificate {
        hash: action.hash().unwrap_or_default().to_owned(),
        reason: error.to_string(),
    };
    if !crate::http::processor_can() {
        return Err(SignatureError::Processor);
    }
    let certificate = EndEntityCert::try_from(own).map_err(broken)?;
    let time = package.id.version.timestamp.map_or(0, |time| time.unix_seconds());
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time).unwrap_or(0)));
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    let path = certificate.verify_for_usage(algorithms(), &anchors.0, above, time, usage, None, None);
    let path = path.map_err(|error| SignatureError::Chain { reason: error.to_string() })?;
    let with = algorithms()
        .iter()
        .find(|known| known.signature_alg_id() == wanted && known.public_key_alg_id() == alg_id::RSA_ENCRYPTION);
    let is_good =
        with.is_some_and(|with| texts.iter().any(|text| certificate.verify_signature(*with, text, &value).is_ok()));
    if !is_good {
        return Err(SignatureError::Value);
    }
    let between = path.intermediate_certificates().map(webpki::Cert::subject);
    let ends = [certificate.subject(), path.anchor().subject.as_ref()];
    Ok(ends.into_iter().chain(between).flat_map(common_names).collect())
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    rustls_graviola::default_provider().signature_verification_algorithms.all
}

fn digest(algorithm: &str, text: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        "sha256" => Some(Sha256::digest(text).to_vec()),
        "sha384" => Some(Sha384::digest(text).to_vec()),
        "sha512" => Some(Sha512::digest(text).to_vec()),
        _ => None,
    }
}

/// The one certificate in `text` in the form of PEM that has nothing but its content: lines of 64 characters. Images know
/// certificates by the hash of this form.
///
/// # Errors
/// There is no certificate, or more than one.
pub fn plain_pem(text: &[u8]) -> Result<String, String> {
    const LINE: usize = 64;
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    let mut blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let block = blocks.next().ok_or("there is no certificate in it")?;
    if blocks.next().is_some() {
        return Err("there is more than one certificate in it".to_owned());
    }
    let (content, _) = block.split_once("-----END CERTIFICATE-----").ok_or("the certificate has no end")?;
    let digits: String = content.split_whitespace().collect();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    if digits.is_empty() || digits.len() % 4 != 0 || !digits.bytes().all(is_digit) {
        return Err("its content is not base64".to_owned());
    }
    let lines: Vec<&str> =
        (0..digits.len()).step_by(LINE).map(|at| &digits[at..(at + LINE).min(digits.len())]).collect();
    Ok(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
}
