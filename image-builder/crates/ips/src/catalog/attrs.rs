//! `catalog.attrs`: what files a catalog has, and from when they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{CatalogError, CatalogErrorKind};
use super::signature::check_signature;

/// The content of `catalog.attrs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogAttrs {
    /// When the catalog was made: `YYYYMMDDTHHMMSS.ffffffZ`.
    #[serde(default)]
    pub created: Option<String>,
    /// When it changed last.
    #[serde(default)]
    pub last_modified: Option<String>,
    /// How many names of packages there are.
    #[serde(default)]
    pub package_count: u64,
    /// How many packages there are in all versions.
    #[serde(default)]
    pub package_version_count: u64,
    /// The parts by file name.
    #[serde(default)]
    pub parts: BTreeMap<String, FileInfo>,
    /// The update logs by file name.
    #[serde(default)]
    pub updates: BTreeMap<String, FileInfo>,
    /// The version of the format, 1.
    pub version: u64,
}

/// What `catalog.attrs` says of another file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileInfo {
    /// When the file changed last.
    #[serde(default)]
    pub last_modified: Option<String>,
    /// Its signature, in hexadecimal digits; the catalogs inside images have none.
    #[serde(default, rename = "signature-sha-1", skip_serializing_if = "Option::is_none")]
    pub signature_sha1: Option<String>,
}

impl CatalogAttrs {
    /// Reads `catalog.attrs` and checks its own signature, if it has one.
    ///
    /// # Errors
    /// The text is no such JSON, of another version of the format, or does not fit its signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, CatalogError> {
        let fail = |kind| CatalogError::new(super::ATTRS, kind);
        let attrs: Self = serde_json::from_slice(bytes).map_err(|error| fail(CatalogErrorKind::Json(error)))?;
        if attrs.version != 1 {
            return Err(fail(CatalogErrorKind::Version { found: attrs.version }));
        }
        compare(super::ATTRS, bytes, None)?;
        Ok(attrs)
    }

    /// Compares a file with what is said of it here, and with its own signature.
    ///
    /// # Errors
    /// The signature differs.
    pub fn check_part(&self, name: &str, bytes: &[u8]) -> Result<(), CatalogError> {
        let info = self.parts.get(name).or_else(|| self.updates.get(name));
        compare(name, bytes, info.and_then(|info| info.signature_sha1.as_deref()))
    }
}

fn compare(name: &str, bytes: &[u8], wanted: Option<&str>) -> Result<(), CatalogError> {
    let signed = check_signature(bytes);
    for stated in [signed.stated.as_deref(), wanted].into_iter().flatten() {
        if !stated.eq_ignore_ascii_case(&signed.computed) {
            let (computed, stated) = (signed.computed, stated.to_owned());
            return Err(CatalogError::new(name, CatalogErrorKind::Signature { computed, stated }));
        }
    }
    Ok(())
}
