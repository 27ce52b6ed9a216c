//! The contents of packages in the content store: fetched once, found again by their hashes.

use std::io::Read;

use image_tree::{BlobHash, Content, Store, StoreError};

use super::{Repository, RepositoryError, Transport, VerifyingReader};
use ips::facet::Facets;
use ips::install::{ContentError, ContentSource, Package};
use ips::manifest::{Action, ActionKind, Payload};
use ips::variant::Variants;

/// The records of the store that lead from the hash of a payload to its content: `<blob> <length>`.
pub(crate) const NAMESPACE: &str = "ips-payload";

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
        let address = repository.address();
        if let Ok(Some(known)) = self.find(payload) {
            return Ok(known);
        }
        match repository.packed(&package.id.publisher, payload)? {
            Some(packed) => self.keep_packed(address, payload, packed),
            None => Err(RepositoryError::Unusable {
                address: address.to_owned(),
                path: format!("file {}", payload.name().unwrap_or_default()),
                reason: "there is no such file",
            }),
        }
    }

    /// Keeps a payload that came packed from the repository at `address`, if its content has the length and the
    /// strongest hash that the manifest says. Nothing is kept otherwise.
    ///
    /// # Errors
    /// The content is another, cannot be unpacked or read, or the store refuses.
    pub fn keep_packed(
        &self,
        address: &str,
        payload: &Payload<'_>,
        packed: impl Read,
    ) -> Result<Content, RepositoryError> {
        let unusable = |source| RepositoryError::Payload { address: address.to_owned(), source: Box::new(source) };
        let name = payload.name().map_err(unusable)?;
        let (hash, size) = (payload.strongest_hash().map_err(unusable)?, payload.size().map_err(unusable)?);
        let refused = |source| RepositoryError::Store {
            address: address.to_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        };
        let content = self.store.put_reader(VerifyingReader::new(packed, hash, size)).map_err(refused)?;
        let value = format!("{} {}", content.blob(), content.len());
        self.store.record_put(NAMESPACE, hash.to_string().as_bytes(), value.as_bytes()).map_err(refused)?;
        Ok(content)
    }

    /// The content of a payload, if it is in the store.
    ///
    /// # Errors
    /// The manifest says nothing usable of it, or the store cannot be read.
    pub fn find(&self, payload: &Payload<'_>) -> Result<Option<Content>, ContentError> {
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
