//! Steps about software packages: IPS for illumos, and the base system of a Debian guest.

use std::path::PathBuf;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Span};
use crate::field::{Empty, FLAG, FieldSet, Fields, HOST_PATH, Keyword, Kind, NOT_EMPTY, SOURCE_PATH, TEXT, field_set};
use crate::json::Value;

field_set! {
    /// Makes the base system of a Debian guest.
    pub struct DebBootstrap {
        /// The release's code name, or `host` for that of the building machine.
        suite: String = NOT_EMPTY.expanded().or("host");
        /// Debian's name of the processor architecture.
        architecture: String = NOT_EMPTY.or("amd64");
        /// The set of packages that make the base.
        variant: String = NOT_EMPTY.or("minbase");
        /// Further packages.
        packages: Vec<String> = NOT_EMPTY.list().multi_valued().required();
    }
}

/// A publisher with its first origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublisherOrigin {
    /// The publisher's name.
    pub publisher: String,
    /// Where its packages are.
    pub uri: String,
}

/// Makes an empty package image at the image root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PkgImageCreate {
    /// The publisher to start with.
    pub publisher: Option<PublisherOrigin>,
}

field_set! {
    /// The arguments of `pkg_image_create` as they are written.
    pub(crate) struct PkgImageCreateFields {
        /// The first publisher's name; needs `uri`.
        publisher: Option<String> = NOT_EMPTY.expanded().optional();
        /// Where its packages are; needs `publisher`.
        uri: Option<String> = NOT_EMPTY.expanded().optional();
    }
}

pub(super) fn read_image_create(fields: &mut Fields<'_, '_, '_>) -> Option<PkgImageCreate> {
    let given = PkgImageCreateFields::read(fields)?;
    match (given.publisher, given.uri) {
        (None, None) => Some(PkgImageCreate { publisher: None }),
        (Some(publisher), Some(uri)) => Some(PkgImageCreate { publisher: Some(PublisherOrigin { publisher, uri }) }),
        (Some(_), None) => missing_partner(fields, "publisher", "uri"),
        (None, Some(_)) => missing_partner(fields, "uri", "publisher"),
    }
}

fn missing_partner<T>(fields: &mut Fields<'_, '_, '_>, present: &str, absent: &str) -> Option<T> {
    let message = format!("{} has `{present}` without `{absent}`", fields.what());
    let error = Diagnostic::error("template::missing-key", message).help("give both or neither");
    fields.fail(key_span(fields, present), "", error)
}

fn key_span(fields: &Fields<'_, '_, '_>, key: &str) -> Span {
    fields.member(key).map_or(fields.place().span(), |member| member.key_span)
}

/// Sets the origins and mirrors of a publisher, in place of those it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PkgSetPublisher {
    /// The publisher's name.
    pub publisher: String,
    /// Its origins, in order; empty leaves them as they are.
    pub origins: Vec<String>,
    /// Its mirrors, in order; empty leaves them as they are.
    pub mirrors: Vec<String>,
    /// Whether its installed packages are only replaced by its own; none leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
    /// What is demanded of the signatures of its packages; none leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_policy: Option<SignaturePolicy>,
}

/// What is demanded of the signatures of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignaturePolicy {
    /// Nothing.
    Ignore,
    /// Those that are there have to be good.
    Verify,
    /// There has to be a good one.
    RequireSignatures,
}

impl SignaturePolicy {
    const ALL: [(&'static str, Self); 3] =
        [("ignore", Self::Ignore), ("verify", Self::Verify), ("require-signatures", Self::RequireSignatures)];

    /// The policy as images write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Verify => "verify",
            Self::RequireSignatures => "require-signatures",
        }
    }
}

field_set! {
    /// The arguments of `pkg_set_publisher` as they are written.
    pub(crate) struct PkgSetPublisherFields {
        /// The publisher's name.
        publisher: String = NOT_EMPTY.expanded().required();
        /// Its only origin; not together with `uris`.
        uri: Option<String> = NOT_EMPTY.expanded().optional();
        /// Its origins, in order.
        uris: Option<Vec<String>> = NOT_EMPTY.list().multi_valued().optional();
        /// Its only mirror; not together with `mirror_uris`.
        mirror_uri: Option<String> = NOT_EMPTY.expanded().optional();
        /// Its mirrors, in order.
        mirror_uris: Option<Vec<String>> = NOT_EMPTY.list().multi_valued().optional();
        /// Whether its installed packages are only replaced by its own, as they are from the start.
        sticky: Option<bool> = FLAG.optional();
        /// What is demanded of the signatures of its packages, if the image does not demand more.
        signature_policy: Option<SignaturePolicy> = Keyword(&SignaturePolicy::ALL).optional();
    }
}

field_set! {
    /// The arguments of `pkg_set_p5p_publisher`.
    pub(crate) struct PkgSetP5pPublisherFields {
        /// The package archive, an absolute path of the building host.
        archive: String = HOST_PATH.expanded().required();
        /// The publisher's name.
        publisher: String = NOT_EMPTY.expanded().required();
    }
}

/// An archive is an origin like any other.
pub(super) fn read_set_p5p_publisher(fields: &mut Fields<'_, '_, '_>) -> Option<PkgSetPublisher> {
    let PkgSetP5pPublisherFields { archive, publisher } = FieldSet::read(fields)?;
    Some(PkgSetPublisher {
        publisher,
        origins: vec![archive],
        mirrors: Vec::new(),
        sticky: None,
        signature_policy: None,
    })
}

pub(super) fn read_set_publisher(fields: &mut Fields<'_, '_, '_>) -> Option<PkgSetPublisher> {
    let unambiguous = [refuse_both(fields, "uri", "uris"), refuse_both(fields, "mirror_uri", "mirror_uris")];
    let given = PkgSetPublisherFields::read(fields)?;
    if unambiguous.contains(&None) {
        return None;
    }
    let origins: Vec<String> = given.uri.into_iter().chain(given.uris.into_iter().flatten()).collect();
    let mirrors: Vec<String> = given.mirror_uri.into_iter().chain(given.mirror_uris.into_iter().flatten()).collect();
    if origins.is_empty() && mirrors.is_empty() {
        let start = fields.place().span().start;
        let message = "step `pkg_set_publisher` gives no origin and no mirror";
        let error = Diagnostic::error("template::missing-key", message)
            .help("give one of `uri`, `uris`, `mirror_uri` and `mirror_uris` that is not empty after expansion");
        return fields.fail(Span::new(start, start + 1), "", error);
    }
    let PkgSetPublisherFields { publisher, sticky, signature_policy, .. } = given;
    Some(PkgSetPublisher { publisher, origins, mirrors, sticky, signature_policy })
}

fn refuse_both(fields: &mut Fields<'_, '_, '_>, one: &str, many: &str) -> Option<()> {
    let given = |key| fields.member(key).filter(|member| member.node.value != Value::Null);
    let (Some(first), Some(second)) = (given(one), given(many)) else {
        return Some(());
    };
    let message = format!("{} has both `{one}` and `{many}`", fields.what());
    let help = format!("write them all in `{many}`");
    let error = Diagnostic::error("template::conflicting-keys", message).help(help);
    fields.fail(second.key_span, "", error.also(first.key_span, ""))
}

/// Trusts a certificate for a publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PkgApproveCaCert {
    /// The publisher's name.
    pub publisher: String,
    /// The certificate as the template gives it, below `files/`.
    pub certfile: String,
    /// The file that was found.
    #[serde(skip)]
    pub path: PathBuf,
}

field_set! {
    /// The arguments of `pkg_approve_ca_cert` as they are written.
    pub(crate) struct PkgApproveCaCertFields {
        /// The publisher's name.
        publisher: String = NOT_EMPTY.required();
        /// The certificate, kept beside the templates below `files/`.
        certfile: String = SOURCE_PATH.required();
    }
}

pub(super) fn read_approve_ca_cert(fields: &mut Fields<'_, '_, '_>) -> Option<PkgApproveCaCert> {
    let given = PkgApproveCaCertFields::read(fields)?;
    let path = fields.find_template_file("certfile", &given.certfile)?;
    Some(PkgApproveCaCert { publisher: given.publisher, certfile: given.certfile, path })
}

field_set! {
    /// Sets a property of the package image.
    pub struct PkgSetProperty {
        /// The property.
        name: String = NOT_EMPTY.required();
        /// Its value.
        value: String = TEXT.required();
    }
}

field_set! {
    /// Installs packages, all at once.
    pub struct PkgInstall {
        /// The packages; none left after expansion means nothing to do.
        pkgs: Vec<String> = NOT_EMPTY.list().multi_valued().required();
        /// Installs what they depend on optionally, too.
        include_optional: bool = FLAG.or(false);
        /// Takes optional dependencies from any publisher.
        strip_optional_publishers: bool = FLAG.or(true);
    }
}

field_set! {
    /// Uninstalls packages, all at once.
    pub struct PkgUninstall {
        /// The packages; none left after expansion means nothing to do.
        pkgs: Vec<String> = NOT_EMPTY.list().multi_valued().required();
    }
}

field_set! {
    /// Changes a variant unless it has the value already.
    pub struct PkgChangeVariant {
        /// The variant without `variant.`.
        variant: String = NOT_EMPTY.required();
        /// Its value.
        value: String = NOT_EMPTY.required();
    }
}

field_set! {
    /// Changes a facet unless it has the value already.
    pub struct PkgChangeFacet {
        /// The facet without `facet.`.
        facet: String = NOT_EMPTY.required();
        /// Its value, compared as text.
        value: String = NOT_EMPTY.required();
    }
}

field_set! {
    /// Forgets the history of package operations.
    pub struct PkgPurgeHistory {}
}

field_set! {
    /// Updates to a locally built operating system, as the tool of the same name does.
    pub struct Onu {
        /// The repository of the build.
        repo: String = NOT_EMPTY.expanded().required();
        /// The publisher that it replaces.
        publisher: String = NOT_EMPTY.expanded().required();
        /// Packages to uninstall before the update.
        uninstall: Vec<String> = NOT_EMPTY.list().or(Empty);
    }
}
