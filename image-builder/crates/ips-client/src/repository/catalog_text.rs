//! The files of a catalog as they came, of one and the same state of the repository.

use std::collections::BTreeMap;

use ips::catalog::{ATTRS, BASE, Catalog, CatalogAttrs, CatalogError, CatalogText, DEPENDENCY, SUMMARY};
use ips::fmri::Publisher;

use super::RepositoryError;

/// All parts of a catalog.
pub(crate) const ALL: [&str; 3] = [BASE, DEPENDENCY, SUMMARY];
/// The parts that resolution needs.
pub(crate) const TO_RESOLVE: [&str; 2] = [BASE, DEPENDENCY];

/// How often a catalog is fetched that changes meanwhile.
const STATES_MAX: usize = 3;

/// `catalog.attrs` and parts that have the signatures that it states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogBytes {
    /// `catalog.attrs`.
    pub attrs: Vec<u8>,
    /// The parts by name.
    pub parts: BTreeMap<String, Vec<u8>>,
}

/// What brings a file of a catalog, if it is there.
type FetchFile<'f> = dyn Fn(&str) -> Result<Option<Vec<u8>>, RepositoryError> + 'f;

impl CatalogBytes {
    /// Fetches the parts named in `wanted` with `file`. What is `known` from before and has not changed is not fetched
    /// again. A repository that changes meanwhile is asked anew.
    ///
    /// # Errors
    /// A file cannot be read, is missing, or does not fit the others however often it is asked for.
    pub fn fetch(
        address: &str,
        publisher: &Publisher,
        known: Option<&Self>,
        wanted: &[&str],
        file: &FetchFile<'_>,
    ) -> Result<Self, RepositoryError> {
        let mut tries = 1;
        loop {
            match Self::fetch_once(address, publisher, known, wanted, file) {
                Err(RepositoryError::Catalog { .. }) if tries < STATES_MAX => tries += 1,
                other => return other,
            }
        }
    }

    fn fetch_once(
        address: &str,
        publisher: &Publisher,
        known: Option<&Self>,
        wanted: &[&str],
        file: &FetchFile<'_>,
    ) -> Result<Self, RepositoryError> {
        let fail = |source| catalog_error(address, publisher, source);
        let Some(attrs) = file(ATTRS)? else {
            return Err(RepositoryError::NoPublisher { address: address.to_owned(), publisher: publisher.clone() });
        };
        let listed = CatalogAttrs::parse(&attrs).map_err(fail)?;
        let mut parts = BTreeMap::new();
        for name in wanted.iter().filter(|name| listed.parts.contains_key(**name)) {
            let known = known.and_then(|known| known.parts.get(*name));
            let is_signed = listed.parts.get(*name).is_some_and(|info| info.signature_sha1.is_some());
            let unchanged = known.filter(|bytes| is_signed && listed.check_part(name, bytes).is_ok());
            let bytes = match unchanged {
                Some(bytes) => Some(bytes.clone()),
                None => file(name)?,
            };
            // What is missing is found out when the catalog is read.
            let Some(bytes) = bytes else { continue };
            listed.check_part(name, &bytes).map_err(fail)?;
            parts.insert((*name).to_owned(), bytes);
        }
        Ok(Self { attrs, parts })
    }

    /// Reads the catalog.
    ///
    /// # Errors
    /// It is damaged or not whole.
    pub fn parse(&self) -> Result<Catalog, CatalogError> {
        let part = |name| self.parts.get(name).map(Vec::as_slice);
        Catalog::parse(CatalogText {
            attrs: &self.attrs,
            base: part(BASE),
            dependency: part(DEPENDENCY),
            summary: part(SUMMARY),
        })
    }

    /// How many bytes all files have together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.attrs.len() + self.parts.values().map(Vec::len).sum::<usize>()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The whole catalog of a publisher, from one source.
///
/// # Errors
/// The source has nothing of the publisher, or its catalog cannot be read or is damaged.
pub fn whole_catalog(source: &dyn super::Source, publisher: &Publisher) -> Result<CatalogBytes, RepositoryError> {
    let file = |name: &str| source.catalog_file(publisher, name);
    CatalogBytes::fetch(source.address(), publisher, None, &ALL, &file)
}

pub(crate) fn catalog_error(address: &str, publisher: &Publisher, source: CatalogError) -> RepositoryError {
    RepositoryError::Catalog { address: address.to_owned(), publisher: publisher.to_string(), source: Box::new(source) }
}
