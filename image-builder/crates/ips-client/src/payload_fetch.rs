//! Payloads: what an installation still needs, and fetching it with several connections.

use std::collections::{BTreeMap, BTreeSet};

use ips::fmri::PackageId;
use ips::image::{ImageConfig, PublisherConfig};
use ips::install::Package;
use ips::manifest::Payload;

use crate::client::{Client, publisher_of, twice};
use crate::error::ClientError;
use crate::parallel;
use crate::progress::{Amount, Count, shown_bytes};
use crate::repository::Payloads;

/// What has to be fetched for an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many files.
    pub files: usize,
    /// How many bytes they have: packed, or unpacked where the manifest does not say that.
    pub amount: Amount,
    /// How many packages they are of.
    pub packages: usize,
}

struct Wanted<'p> {
    package: &'p Package,
    payload: Payload<'p>,
    bytes: Option<u64>,
}

impl Client<'_> {
    /// What of the payloads of packages is not in the store, seen with the variants and facets of an image.
    #[must_use]
    pub fn missing(&self, config: &ImageConfig, packages: &[&Package]) -> Missing {
        let wanted = self.wanted(config, packages);
        let of: BTreeSet<_> = wanted.iter().map(|one| &one.package.id).collect();
        Missing { files: wanted.len(), amount: wanted.iter().map(|one| one.bytes).collect(), packages: of.len() }
    }

    /// Each content once.
    fn wanted<'p>(&self, config: &ImageConfig, packages: &[&'p Package]) -> Vec<Wanted<'p>> {
        let payloads = Payloads::new(self.store);
        let mut wanted: BTreeMap<String, Wanted<'p>> = BTreeMap::new();
        for package in packages.iter().copied() {
            for payload in payloads.missing(package, &config.variants, &config.facets) {
                let packed = payload.compressed_size().ok().flatten();
                let bytes = packed.or_else(|| payload.size().ok().flatten());
                // What the manifest says nothing usable of is refused when it is fetched.
                let key = payload.strongest_hash().map_or_else(|_| package.id.to_string(), |hash| hash.to_string());
                wanted.entry(key).or_insert(Wanted { package, payload, bytes });
            }
        }
        wanted.into_values().collect()
    }

    /// Fetches the payloads of packages that are not in the store. What was fetched before a failure stays there.
    pub(crate) fn fetch_payloads(&self, config: &ImageConfig, packages: &[&Package]) -> Result<(), ClientError> {
        let wanted = self.wanted(config, packages);
        if wanted.is_empty() {
            return Ok(());
        }
        self.announce(config, &wanted);
        let amount = wanted.iter().map(|one| one.bytes).collect();
        let count = Count::new(self.listener.as_ref(), "fetching files:", (wanted.len(), amount));
        let fetched = parallel::for_each(&wanted, self.network.connections, |one| {
            let file = count.begin(one.bytes.unwrap_or_default());
            self.fetch_payload(config, one, &|bytes| file.came(bytes))?;
            file.finish();
            Ok(())
        });
        let what = || "the files of packages".to_owned();
        self.store.seal().map_err(|source| ClientError::Store { operation: "keep", what: what(), source })?;
        fetched.map(drop)
    }

    fn announce(&self, config: &ImageConfig, wanted: &[Wanted<'_>]) {
        let mut of: BTreeMap<&str, (BTreeSet<&PackageId>, usize, Amount)> = BTreeMap::new();
        for one in wanted {
            let (packages, files, amount) = of.entry(one.package.id.publisher.as_str()).or_default();
            packages.insert(&one.package.id);
            *files += 1;
            amount.add(one.bytes);
        }
        for (publisher, (packages, files, amount)) in of {
            let known = config.publishers.iter().find(|known| known.name.as_str() == publisher);
            let uris = known.map(sources).unwrap_or_default();
            let shown: Vec<String> = uris.iter().map(|uri| shown(uri)).collect();
            self.listener.message(&format!(
                "fetching {files} files of {} packages of {publisher}, {}, from {}",
                packages.len(),
                amount.text(shown_bytes),
                shown.join(", ")
            ));
        }
    }

    fn fetch_payload(&self, config: &ImageConfig, one: &Wanted<'_>, came: &dyn Fn(u64)) -> Result<(), ClientError> {
        let what = || format!("{} of {}", one.payload.outline(), one.package.id.short());
        let publisher = publisher_of(config, &one.package.id.publisher, &what)?;
        if self.is_offline {
            return Err(ClientError::NoOrigin { publisher: publisher.name.clone(), what: what() });
        }
        let uris = sources(publisher);
        let payloads = Payloads::new(self.store);
        let fetched = twice(|| {
            self.first(&publisher.name, &uris, &what, &|source| {
                let Some(packed) = source.packed(&publisher.name, &one.payload, came)? else { return Ok(None) };
                payloads.keep_packed(source.address(), &one.payload, packed).map(Some)
            })
        });
        fetched.map(drop)
    }
}

/// Mirrors are asked first: they are there to spare the origin.
fn sources(publisher: &PublisherConfig) -> Vec<&str> {
    publisher.enabled_mirrors().chain(publisher.enabled_origins()).collect()
}

fn shown(uri: &str) -> String {
    uri.parse().map_or_else(|_| uri.to_owned(), |address: crate::Address| address.shown())
}
