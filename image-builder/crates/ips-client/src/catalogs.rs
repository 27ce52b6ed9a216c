//! Catalogs: fetched once, kept in the content store until somebody asks for news.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use image_tree::{BlobHash, StoreError};

use ips::catalog::Catalog;
use ips::fmri::Publisher;
use ips::image::{ImageConfig, PublisherConfig};

use crate::address::Address;
use crate::client::Client;
use crate::error::{ClientError, all_reasons};
use crate::parallel::lock;
use crate::progress::shown_bytes;
use crate::repository::CatalogBytes;

/// The records of the store that name the files of a catalog, by publisher and address.
pub(crate) const NAMESPACE: &str = "ips-catalog";

/// Which blobs of the store are the files of a catalog.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    attrs: BlobHash,
    parts: BTreeMap<String, BlobHash>,
}

/// What a record names; nothing if it cannot be read.
pub(crate) fn blobs(record: &[u8]) -> Vec<BlobHash> {
    let kept = serde_json::from_slice::<Kept>(record).ok();
    kept.map(|kept| kept.parts.into_values().chain([kept.attrs]).collect()).unwrap_or_default()
}

impl Client<'_> {
    /// The catalogs of all publishers of an image that are not disabled.
    ///
    /// Of a publisher with several origins, one catalog is enough; the failures of the others are told.
    ///
    /// # Errors
    /// No origin of a publisher gives a catalog.
    pub fn catalogs(&self, config: &ImageConfig) -> Result<Vec<Catalog>, ClientError> {
        let mut catalogs = Vec::new();
        let enabled = config.publishers.iter().filter(|publisher| !publisher.is_disabled);
        for publisher in enabled.filter(|publisher| publisher.enabled_origins().next().is_some()) {
            let mut failed = Vec::new();
            let before = catalogs.len();
            for origin in publisher.enabled_origins() {
                match self.catalog(publisher, origin) {
                    Ok(catalog) => catalogs.push(catalog),
                    Err(error) => failed.push(error),
                }
            }
            if catalogs.len() == before {
                if let Some(error) = failed.into_iter().next() {
                    return Err(error);
                }
                continue;
            }
            for error in failed {
                self.listener.message(&format!("an origin is left out: {}", all_reasons(&error)));
            }
        }
        Ok(catalogs)
    }

    fn catalog(&self, publisher: &PublisherConfig, origin: &str) -> Result<Catalog, ClientError> {
        let address = origin.parse().map_or_else(|_| origin.to_owned(), |address: Address| address.shown());
        let bytes = self.catalog_bytes(&publisher.name, origin, &address)?;
        let publisher = publisher.name.clone();
        match bytes.parse() {
            Ok(catalog) => Ok(catalog.of_publisher(&publisher)),
            Err(source) => Err(ClientError::Catalog { publisher, address, source: Box::new(source) }),
        }
    }

    fn catalog_bytes(&self, publisher: &Publisher, origin: &str, address: &str) -> Result<CatalogBytes, ClientError> {
        let key = format!("{publisher}\0{address}");
        let failed = |operation| {
            let what = format!("the catalog of {publisher}");
            move |source| ClientError::Store { operation, what: what.clone(), source }
        };
        let known = self.kept_catalog(&key).map_err(failed("read"))?;
        let wants_news = self.refresh && !self.is_offline && !lock(&self.refreshed).contains(&key);
        match known {
            Some(known) if !wants_news => return Ok(known),
            _ if self.is_offline => {
                let what = format!("the catalog of {publisher} from {address}");
                return Err(ClientError::NoOrigin { publisher: publisher.clone(), what });
            }
            _ => {}
        }
        self.listener.detail(&format!("asking {address} for the catalog of {publisher}"));
        let what = || format!("the catalog of {publisher}");
        let bytes = self.first(publisher, &[origin], &what, &|source| {
            let file = |name: &str| source.catalog_file(publisher, name);
            let wanted = crate::repository::TO_RESOLVE;
            CatalogBytes::fetch(source.address(), publisher, known.as_ref(), &wanted, &file).map(Some)
        })?;
        if known.as_ref() == Some(&bytes) {
            self.listener.message(&format!("the catalog of {publisher} at {address} has not changed"));
        } else {
            let size = shown_bytes(bytes.len() as u64);
            self.listener.message(&format!("took the catalog of {publisher} from {address}, {size}"));
            self.keep_catalog(&key, &bytes).map_err(failed("keep"))?;
        }
        lock(&self.refreshed).insert(key);
        Ok(bytes)
    }

    /// A catalog of which the store does not have everything any more is none.
    fn kept_catalog(&self, key: &str) -> Result<Option<CatalogBytes>, StoreError> {
        let record = self.store.record_get(NAMESPACE, key.as_bytes())?;
        let kept: Option<Kept> = record.and_then(|text| serde_json::from_slice(&text).ok());
        let Some(kept) = kept else { return Ok(None) };
        let blobs = kept.parts.values().chain([&kept.attrs]);
        if !blobs.copied().all(|blob| self.store.contains(blob)) {
            return Ok(None);
        }
        let mut parts = BTreeMap::new();
        for (name, blob) in kept.parts {
            parts.insert(name, self.store.read_blob(blob)?);
        }
        Ok(Some(CatalogBytes { attrs: self.store.read_blob(kept.attrs)?, parts }))
    }

    fn keep_catalog(&self, key: &str, bytes: &CatalogBytes) -> Result<(), StoreError> {
        let mut parts = BTreeMap::new();
        for (name, part) in &bytes.parts {
            parts.insert(name.clone(), self.store.put_bytes(part)?.blob());
        }
        let kept = Kept { attrs: self.store.put_bytes(&bytes.attrs)?.blob(), parts };
        self.store.seal()?;
        let value = serde_json::to_vec(&kept).expect("names and hashes are JSON");
        self.store.record_put(NAMESPACE, key.as_bytes(), &value)
    }
}
