//! The sources of publishers: which there are, and which is asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use image_tree::Store;

use ips::fmri::Publisher;
use ips::image::{ImageConfig, PublisherConfig};

use crate::address::Address;
use crate::depot::Depot;
use crate::error::ClientError;
use crate::http::{ClientKey, HttpClient, Network};
use crate::parallel::lock;
use crate::progress::Listener;
use crate::repository::{ArchiveTransport, DirectoryTransport, Repository, RepositoryError, Source};

/// Fetches packages into a content store. One client serves a whole run: it remembers which sources are in trouble,
/// keeps connections open, and asks publishers for news once.
pub struct Client<'a> {
    pub(crate) store: &'a Store,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) network: Network,
    /// Publishers are asked for their catalogs even if the store has them.
    pub(crate) refresh: bool,
    /// Nothing may be fetched: what is not in the store is not known.
    pub(crate) is_offline: bool,
    /// The catalogs that were asked for in this run.
    pub(crate) refreshed: Mutex<BTreeSet<String>>,
    sources: Mutex<BTreeMap<String, Arc<Endpoint>>>,
    connections: Mutex<Vec<(Option<ClientKey>, Arc<HttpClient>)>>,
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("network", &self.network).field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

/// What a source gives: none if it does not have it.
type Answer<T> = Result<Option<T>, RepositoryError>;

/// An address, the source behind it once it was opened, and how often it has failed.
pub(crate) struct Endpoint {
    uri: String,
    opened: Mutex<Option<Arc<dyn Source>>>,
    failures: AtomicUsize,
}

impl<'a> Client<'a> {
    /// A client that keeps what it fetches in `store`.
    #[must_use]
    pub fn new(store: &'a Store, network: Network, listener: Arc<dyn Listener>) -> Self {
        Self {
            store,
            listener,
            network,
            refresh: false,
            is_offline: false,
            refreshed: Mutex::default(),
            sources: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// Asks publishers for their catalogs even if the store has them.
    #[must_use]
    pub fn with_refresh(mut self, refresh: bool) -> Self {
        self.refresh = refresh;
        self
    }

    /// Fetches nothing: what is not in the store is not known.
    #[must_use]
    pub fn offline(mut self, is_offline: bool) -> Self {
        self.is_offline = is_offline;
        self
    }

    /// Whether nothing may be fetched.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.is_offline
    }

    /// The source at an address.
    ///
    /// # Errors
    /// The address is none, or there is no repository at it.
    pub fn open(&self, uri: &str) -> Result<Arc<dyn Source>, RepositoryError> {
        self.endpoint(uri).open(self)
    }

    fn endpoint(&self, uri: &str) -> Arc<Endpoint> {
        let mut sources = lock(&self.sources);
        let endpoint = sources.entry(uri.to_owned()).or_insert_with(|| {
            let (opened, failures) = (Mutex::default(), AtomicUsize::new(0));
            Arc::new(Endpoint { uri: uri.to_owned(), opened, failures })
        });
        Arc::clone(endpoint)
    }

    fn connect(&self, base: String) -> Result<Depot, RepositoryError> {
        let keys = &self.network.client_keys;
        let key = keys.iter().filter(|key| base.starts_with(&key.prefix)).max_by_key(|key| key.prefix.len()).cloned();
        let mut connections = lock(&self.connections);
        let known = connections.iter().find(|(of, _)| *of == key).map(|(_, http)| Arc::clone(http));
        let http = match known {
            Some(http) => http,
            None => {
                let http = HttpClient::new(&self.network, key.as_ref()).map_err(|source| RepositoryError::Http {
                    address: Address::Depot(base.clone()).shown(),
                    path: "everything".to_owned(),
                    source: Box::new(source),
                })?;
                let http = Arc::new(http);
                connections.push((key, Arc::clone(&http)));
                http
            }
        };
        Ok(Depot::new(http, base))
    }

    /// What the first source gives that does not fail. Sources that have failed less come first, and among equals those
    /// that are named first; a source that says it does not have it counts as failed for this one thing only.
    pub(crate) fn first<T>(
        &self,
        publisher: &Publisher,
        uris: &[&str],
        what: &dyn Fn() -> String,
        ask: &dyn Fn(&dyn Source) -> Answer<T>,
    ) -> Result<T, ClientError> {
        let mut endpoints: Vec<Arc<Endpoint>> = uris.iter().map(|uri| self.endpoint(uri)).collect();
        endpoints.sort_by_key(|endpoint| endpoint.failures.load(Ordering::Relaxed));
        let mut reasons = Vec::new();
        for endpoint in endpoints {
            let answer = endpoint.open(self).and_then(|source| {
                let missing = || RepositoryError::Unusable {
                    address: source.address().to_owned(),
                    path: what(),
                    reason: "there is no such file",
                };
                ask(source.as_ref())?.ok_or_else(missing)
            });
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    if !matches!(error, RepositoryError::Unusable { .. } | RepositoryError::NoPublisher { .. }) {
                        endpoint.failures.fetch_add(1, Ordering::Relaxed);
                    }
                    reasons.push(error);
                }
            }
        }
        let mut reasons = reasons.into_iter();
        match reasons.next() {
            Some(first) => Err(ClientError::Fetch {
                what: what(),
                publisher: publisher.clone(),
                first: Box::new(first),
                others: reasons.collect(),
            }),
            None => Err(ClientError::NoOrigin { publisher: publisher.clone(), what: what() }),
        }
    }
}

/// Asks once more if what came was no good: it may have been damaged on its way.
pub(crate) fn twice<T>(ask: impl Fn() -> Result<T, ClientError>) -> Result<T, ClientError> {
    match ask() {
        Err(error) if error.is_damage() => ask(),
        first => first,
    }
}

impl Endpoint {
    fn open(&self, client: &Client<'_>) -> Result<Arc<dyn Source>, RepositoryError> {
        let mut opened = lock(&self.opened);
        if let Some(source) = &*opened {
            return Ok(Arc::clone(source));
        }
        let source: Arc<dyn Source> = match self.uri.parse()? {
            Address::Local(path) => open_local(&path)?,
            Address::Depot(base) => Arc::new(client.connect(base)?),
        };
        *opened = Some(Arc::clone(&source));
        Ok(source)
    }
}

fn open_local(path: &Path) -> Result<Arc<dyn Source>, RepositoryError> {
    if !path.is_file() {
        return Ok(Arc::new(Repository::open(DirectoryTransport::new(path))?));
    }
    let archive = ArchiveTransport::open(path).map_err(|source| RepositoryError::Io {
        address: path.display().to_string(),
        path: "the list of its files".to_owned(),
        source,
    })?;
    Ok(Arc::new(Repository::open(archive)?))
}

/// The publisher of an image.
pub(crate) fn publisher_of<'c>(
    config: &'c ImageConfig,
    name: &Publisher,
    what: &dyn Fn() -> String,
) -> Result<&'c PublisherConfig, ClientError> {
    let missing = || ClientError::NoPublisher { publisher: name.clone(), what: what() };
    config.publisher(name).ok_or_else(missing)
}
