//! Manifests: fetched once, found again by the names of their packages.

use sha1::{Digest, Sha1};

use image_tree::{BlobHash, StoreError};

use ips::fmri::PackageId;
use ips::image::ImageConfig;
use ips::install::Package;
use ips::manifest::{FileHash, to_hex};

use crate::client::{Client, publisher_of, twice};
use crate::error::ClientError;
use crate::parallel;
use crate::progress::{Amount, Count};
use crate::repository::{RepositoryError, Source};

/// The records of the store that lead from an FMRI to the blob of its manifest.
pub(crate) const NAMESPACE: &str = "ips-manifest";

/// A package whose manifest is wanted, and what it has to be.
#[derive(Debug, Clone)]
pub(crate) struct WantedManifest {
    pub(crate) id: PackageId,
    /// SHA-1 of the manifest according to the catalog.
    pub(crate) sha1: Option<String>,
    /// The hash of the manifest according to a lock.
    pub(crate) locked: Option<FileHash>,
}

impl WantedManifest {
    fn is(&self, text: &[u8]) -> bool {
        let fits = |sha1: &String| sha1.eq_ignore_ascii_case(&to_hex(&Sha1::digest(text)));
        self.sha1.as_ref().is_none_or(fits) && self.locked.is_none_or(|locked| locked.is_of(text))
    }
}

impl Client<'_> {
    /// The packages with their manifests, in the order asked for.
    pub(crate) fn packages(
        &self,
        config: &ImageConfig,
        wanted: &[WantedManifest],
    ) -> Result<Vec<Package>, ClientError> {
        let mut texts: Vec<Option<Vec<u8>>> = Vec::new();
        for one in wanted {
            texts.push(self.kept_manifest(one)?);
        }
        let missing: Vec<(usize, &WantedManifest)> =
            wanted.iter().enumerate().filter(|(at, _)| texts[*at].is_none()).collect();
        if !missing.is_empty() {
            let count = Count::new(self.listener.as_ref(), "fetching manifests:", (missing.len(), Amount::default()));
            let fetched = parallel::for_each(&missing, self.network.connections, |(_, one)| {
                let file = count.begin(0);
                let text = self.fetch_manifest(config, one)?;
                file.finish();
                Ok::<_, ClientError>(text)
            })?;
            self.store.seal().map_err(failed("keep"))?;
            for ((at, one), (text, blob)) in missing.into_iter().zip(fetched) {
                let key = one.id.to_string();
                let kept = self.store.record_put(NAMESPACE, key.as_bytes(), blob.to_string().as_bytes());
                kept.map_err(failed("keep"))?;
                texts[at] = Some(text);
            }
        }
        let package = |(one, text): (&WantedManifest, Option<Vec<u8>>)| {
            let package = Package::new(one.id.clone(), text.unwrap_or_default());
            package.map_err(|source| ClientError::Manifest { package: one.id.to_string(), source: Box::new(source) })
        };
        wanted.iter().zip(texts).map(package).collect()
    }

    /// Those of the packages whose manifests are in the store.
    #[must_use]
    pub fn kept_packages(&self, ids: &[&PackageId]) -> Vec<Package> {
        let kept = |id: &&PackageId| {
            let wanted = WantedManifest { id: (*id).clone(), sha1: None, locked: None };
            Package::new((*id).clone(), self.kept_manifest(&wanted).ok()??).ok()
        };
        ids.iter().filter_map(kept).collect()
    }

    fn fetch_manifest(&self, config: &ImageConfig, one: &WantedManifest) -> Result<(Vec<u8>, BlobHash), ClientError> {
        let what = || format!("the manifest of {}", one.id.short());
        let publisher = publisher_of(config, &one.id.publisher, &what)?;
        if self.is_offline {
            return Err(ClientError::NoOrigin { publisher: publisher.name.clone(), what: what() });
        }
        let origins: Vec<&str> = publisher.enabled_origins().collect();
        let ask = |source: &dyn Source| {
            let Some(text) = source.manifest_text(&one.id)? else { return Ok(None) };
            if one.is(&text) {
                return Ok(Some(text));
            }
            let reason = if one.locked.is_some_and(|locked| !locked.is_of(&text)) {
                "it is another one than the one that is locked"
            } else {
                "it is not the one that the catalog names: its hash differs"
            };
            Err(RepositoryError::Differs { address: source.address().to_owned(), path: what(), reason })
        };
        let text = twice(|| self.first(&publisher.name, &origins, &what, &ask))?;
        let blob = self.store.put_bytes(&text).map_err(failed("keep"))?.blob();
        Ok((text, blob))
    }

    /// A manifest that is another one than wanted counts as none.
    fn kept_manifest(&self, one: &WantedManifest) -> Result<Option<Vec<u8>>, ClientError> {
        let record = self.store.record_get(NAMESPACE, one.id.to_string().as_bytes()).map_err(failed("read"))?;
        let blob = record.and_then(|value| String::from_utf8_lossy(&value).parse::<BlobHash>().ok());
        let Some(blob) = blob.filter(|blob| self.store.contains(*blob)) else { return Ok(None) };
        let text = self.store.read_blob(blob).map_err(failed("read"))?;
        Ok(Some(text).filter(|text| one.is(text)))
    }
}

fn failed(operation: &'static str) -> impl Fn(StoreError) -> ClientError {
    move |source| ClientError::Store { operation, what: "a manifest".to_owned(), source }
}
