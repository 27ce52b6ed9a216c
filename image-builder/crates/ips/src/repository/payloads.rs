//! The contents of packages in the content store: fetched once, found again by their hashes.

use image_tree::{BlobHash, Content, Store, StoreError};

use super::{Repository, RepositoryError, Transport};
use crate::facet::Facets;
use crate::install::{ContentError, ContentSource, Package};
use crate::manifest::{Action, ActionKind, Payload};
use crate::variant::Variants;

/// The records of the store that lead from the hash of a payload to its content: `<blob> <length>`.
const NAMESPACE: &str = "ips-payload";

/// Payloads in a content store.
#[derive(Debug, Clone, Copy)]
pub struct Payloads<'s> {
    store: &'s Store,
}

impl<'s> Payloads<'s> {
    /// The payloads that are in `store`, and those that will be.
    #[must_use]
    pub fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// The payloads of a package that installation asks for and that are not in the store yet, in the order of the manifest.
    pub fn missing<'p>(
        &self,
        package: &'p Package,
        variants: &Variants,
        facets: &Facets,
    ) -> impl Iterator<Item = Payload<'p>> {
        let wanted = package.manifest.actions.iter().filter(|action| {
            let is_installed = matches!(action.kind(), ActionKind::File | ActionKind::License);
            is_installed && variants.allow(action) && facets.allow(action)
        });
        wanted.filter_map(Action::payload).filter(|payload| !matches!(self.find(payload), Ok(Some(_))))
    }

    /// Fetches a payload into the store, unless it is there.
    ///
    /// # Errors
    /// The repository does not have it, or something else under its name; or the store refuses.
    pub fn fetch<T: Transport>(
        &self,
        repository: &Repository<T>,
        package: &Package,
        payload: &Payload<'_>,
    ) -> Result<Content, RepositoryError> {
        let address = || repository.address().to_owned();
        let unusable = |source| RepositoryError::Payload { address: address(), source: Box::new(source) };
        let name = payload.name().map_err(unusable)?;
        let key = payload.strongest_hash().map_err(unusable)?.to_string();
        let refused =
            |source| RepositoryError::Store { address: address(), name: name.to_owned(), source: Box::new(source) };
        if let Some(known) = self.look_up(&key).map_err(refused)? {
            return Ok(known);
        }
        let reader = repository.payload(&package.id.publisher, payload)?;
        let content = self.store.put_reader(reader).map_err(refused)?;
        let value = format!("{} {}", content.blob(), content.len());
        self.store.record_put(NAMESPACE, key.as_bytes(), value.as_bytes()).map_err(refused)?;
        Ok(content)
    }

    fn find(&self, payload: &Payload<'_>) -> Result<Option<Content>, ContentError> {
        let what = || payload.name().unwrap_or("a payload without a usable name").to_owned();
        let hash = payload.strongest_hash().map_err(|source| ContentError { what: what(), source: source.into() })?;
        self.look_up(&hash.to_string()).map_err(|source| ContentError { what: what(), source: source.into() })
    }

    fn look_up(&self, key: &str) -> Result<Option<Content>, StoreError> {
        let Some(value) = self.store.record_get(NAMESPACE, key.as_bytes())? else { return Ok(None) };
        let text = String::from_utf8_lossy(&value);
        let parsed = text.split_once(' ').and_then(|(blob, len)| Some((blob.parse().ok()?, len.parse().ok()?)));
        // A record whose content was collected is as good as none.
        Ok(parsed
            .filter(|(blob, _): &(BlobHash, u64)| self.store.contains(*blob))
            .map(|(blob, len)| Content::plain(blob, len)))
    }
}

impl ContentSource for Payloads<'_> {
    fn payload(&self, payload: &Payload<'_>) -> Result<Content, ContentError> {
        let what = payload.name().unwrap_or("a payload without a usable name").to_owned();
        self.find(payload)?.ok_or_else(|| ContentError { what, source: "it was not fetched".into() })
    }

    fn read(&self, content: &Content) -> Result<Vec<u8>, ContentError> {
        use std::io::Read as _;
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| ContentError {
            what: content.blob().to_string(),
            source,
        };
        let mut bytes = Vec::new();
        let mut reader = self.store.open_content(content).map_err(|source| fail(source.into()))?;
        reader.read_to_end(&mut bytes).map_err(|source| fail(source.into()))?;
        Ok(bytes)
    }

    fn keep(&self, bytes: &[u8]) -> Result<Content, ContentError> {
        let kept = self.store.put_bytes(bytes);
        kept.map_err(|source| ContentError { what: "a file that installation made".to_owned(), source: source.into() })
    }
}
