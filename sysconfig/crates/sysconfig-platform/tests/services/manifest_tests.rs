//! The manifests of the image, and manifests that are not as they should be.

use std::path::Path;

use test_judge::approve;

use crate::graph::known_services;
use crate::manifest::{DTD, problems};
use crate::{FILES, bundles};

#[test]
fn the_images_manifests_are_as_svccfg_wants_them() {
    for (path, text) in bundles() {
        assert_eq!(problems(&text, &known_services()), [""; 0], "{}", path.display());
    }
}

/// No package of Linux holds the DTD: illumos has it, and elsewhere `SERVICE_BUNDLE_DTD` names it.
#[test]
fn xmllint_takes_them_by_the_dtd() {
    let dtd = std::env::var("SERVICE_BUNDLE_DTD").unwrap_or_else(|_| DTD.to_owned());
    if !Path::new(&dtd).exists() {
        test_judge::lack("the DTD of SMF's manifests is not here; SERVICE_BUNDLE_DTD names one");
        return;
    }
    for (path, _) in bundles() {
        let arguments = ["--nonet", "--noout", "--dtdvalid", &dtd, path.to_str().expect("a path of ours")];
        approve("xmllint", "libxml2-utils", &arguments);
    }
}

/// The form alone, everywhere.
#[test]
fn xmllint_takes_their_form() {
    for (path, _) in bundles() {
        approve("xmllint", "libxml2-utils", &["--nonet", "--noout", path.to_str().expect("a path of ours")]);
    }
}

#[test]
fn what_svccfg_would_refuse_is_found() {
    let text = std::fs::read_to_string(format!("{FILES}/openindiana/sysconfig.xml")).expect("the manifest");
    for (from, to, expected) in [
        ("<single_instance/>", "", ""),
        ("service_bundle.dtd.1\"", "service_bundle.dtd\"", "the document type is not /usr/share/lib/xml/dtd/"),
        ("</service_bundle>", "", "not well-formed: "),
        ("<single_instance/>", "<single_instance/><single_instance/>", "service holds 2 of single_instance"),
        ("</service>", "<property_group name=\"a\" type=\"b\"/></service>", "property_group is in the wrong place"),
        ("<stability value=\"Unstable\"/>", "<stabillity/>", "stabillity is in the wrong place in service"),
        ("value=\"Unstable\"", "value=\"unstable\"", "value of stability is unstable"),
        ("grouping=\"optional_all\"", "grouping=\"optional\"", "grouping of dependency is optional"),
        (" restart_on=\"none\"", "", "dependency has no restart_on"),
        ("timeout_seconds=\"300\"", "timeout_seconds=\"5m\"", "5m is no number of seconds"),
        ("timeout_seconds=\"300\"", "timeout=\"300\"", "exec_method has no timeout_seconds"),
        (
            "svc:/system/filesystem/minimal",
            "svc:/system/filesystem/minimum",
            "svc:/system/filesystem/minimum is no service",
        ),
        ("\"/lib/svc/method/sysconfig start\"", "\"sysconfig start\"", "sysconfig is no absolute path"),
        ("\"contract\"", "\"transient\"", "system/installer/sysconfig is transient, and has no contract to kill"),
        ("name=\"stop\"", "name=\"end\"", "system/installer/sysconfig has no stop method"),
        ("\"ip_management\"", "\"filesystem_minimal\"", "two dependencies are called filesystem_minimal"),
        (
            "name=\"system/installer",
            "name=\"svc:/system/installer",
            "the name of a service is not the FMRI svc:/system",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let found = problems(&text.replacen(from, to, 1), &known_services());
        match expected {
            "" => assert_eq!(found, [""; 0]),
            _ => assert!(found.iter().any(|problem| problem.starts_with(expected)), "{from} as {to}: {found:?}"),
        }
    }
}
