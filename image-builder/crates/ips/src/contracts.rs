//! What every reader of text from outside promises, as functions for fuzzers and tests: any bytes are read or refused;
//! what was read is written and read again as the same. A broken promise is a panic.

use crate::catalog::{
    ATTRS, BASE, Catalog, CatalogAttrs, CatalogFiles, CatalogText, DEPENDENCY, SUMMARY, UpdateLog, sign,
};
use crate::fmri::{Fmri, PackageId, Pattern};
use crate::image::{ImageConfig, state};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::time::OperationTime;
use crate::version::Version;

/// Manifests. Errors have a place in the text.
///
/// # Panics
/// If the promise is broken.
pub fn manifest(bytes: &[u8]) {
    match Manifest::parse(bytes) {
        Ok(manifest) => {
            let printed = manifest.to_string();
            let again = Manifest::parse(printed.as_bytes());
            let again = again.unwrap_or_else(|error| panic!("{printed:?}: {error}"));
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error}");
        }
    }
}

/// All files of catalogs.
///
/// # Panics
/// If the promise is broken.
pub fn catalog(bytes: &[u8]) {
    let attrs = sign("{\"version\":1,\"parts\":{}}").0;
    let read = |base, dependency| {
        Catalog::parse(CatalogText { attrs: attrs.as_bytes(), base: Some(base), dependency, summary: None })
    };
    if let Ok(catalog) = read(bytes, None) {
        let files = CatalogFiles::new(&catalog, OperationTime::default());
        let text = CatalogText {
            attrs: files.get(ATTRS).unwrap_or_default(),
            base: files.get(BASE),
            dependency: files.get(DEPENDENCY),
            summary: files.get(SUMMARY),
        };
        let again = Catalog::parse(text).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(again.counts(), catalog.counts());
    }
    drop(read(b"{}", Some(bytes)));
    drop(CatalogAttrs::parse(bytes));
    drop(UpdateLog::parse("update.C", bytes));
}

/// Names, versions and patterns.
///
/// # Panics
/// If the promise is broken.
pub fn fmri(bytes: &[u8]) {
    fn round_trip<T: std::str::FromStr + ToString + PartialEq>(text: &str) {
        if let Ok(value) = text.parse::<T>() {
            let printed = value.to_string();
            assert!(printed.parse::<T>().is_ok_and(|again| again == value), "{text:?} became {printed:?}");
        }
    }
    let text = String::from_utf8_lossy(bytes);
    round_trip::<Fmri>(&text);
    round_trip::<PackageId>(&text);
    round_trip::<Pattern>(&text);
    round_trip::<Version>(&text);
}

/// What is read from an image: its configuration, its state, and locks.
///
/// # Panics
/// If the promise is broken.
pub fn image(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(config) = ImageConfig::parse(&text) {
        let printed = config.to_text();
        let again = ImageConfig::parse(&printed).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
        assert_eq!(again.to_text(), printed);
    }
    if let Ok(lock) = text.parse::<Lock>() {
        assert_eq!(lock.to_string().parse(), Ok(lock));
    }
    drop(state::parse(bytes));
    drop(state::parse_avoided(bytes));
    drop(state::parse_freezes(bytes));
}
