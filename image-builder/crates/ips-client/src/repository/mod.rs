//! Repositories: where packages come from.
//!
//! A [`Source`] is anything that answers for packages: a [`Repository`] of version 4 or older, whose bytes a [`Transport`] brings
//! from a directory or an archive, or a [`Depot`](crate::depot::Depot) on the network. [`Payloads`] keeps the contents of
//! files in the content store, where installation finds them without any repository, and lets nothing through
//! that does not have the hash it has to have.

mod archive;
mod catalog_text;
mod directory;
mod error;
mod layout;
mod payloads;
pub mod publish;
mod verify;

use std::io::Read;
use std::sync::Arc;

use sha1::{Digest, Sha1};

pub use archive::ArchiveTransport;
pub(crate) use catalog_text::TO_RESOLVE;
pub use catalog_text::{CatalogBytes, whole_catalog};
pub use directory::DirectoryTransport;
pub use error::RepositoryError;
pub(crate) use payloads::NAMESPACE as PAYLOADS;
pub use payloads::Payloads;
pub use verify::VerifyingReader;

use ips::catalog::{ATTRS, BASE, Catalog, CatalogEntry, CatalogFiles, CatalogText, DEPENDENCY};
use ips::fmri::{PackageId, Publisher, Stem};
use ips::manifest::{Manifest, Payload, to_hex};
use ips::text::unquote_component;
use ips::time::OperationTime;
use layout::{CONFIGS, Layout};

/// The largest file of a catalog, and the largest manifest, that are read.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 30;

/// Whatever answers for packages. None means each time that the source does not have it and says so.
pub trait Source: Send + Sync {
    /// Where it is, for messages.
    fn address(&self) -> &str;

    /// The publishers that have something in it, sorted.
    ///
    /// # Errors
    /// The source cannot be read, or a name in it is impossible.
    fn publishers(&self) -> Result<Vec<Publisher>, RepositoryError>;

    /// A file of a publisher's catalog.
    ///
    /// # Errors
    /// The source cannot be read.
    fn catalog_file(&self, publisher: &Publisher, name: &str) -> Result<Option<Vec<u8>>, RepositoryError>;

    /// The bytes of a manifest.
    ///
    /// # Errors
    /// The source cannot be read.
    fn manifest_text(&self, package: &PackageId) -> Result<Option<Vec<u8>>, RepositoryError>;

    /// A payload as it is kept: packed, and not compared with any hash yet. What takes its time to come is told to `came`:
    /// how many bytes there are of it, fewer than before if it began anew.
    ///
    /// # Errors
    /// The source cannot be read, or the manifest says nothing usable of the payload.
    fn packed(
        &self,
        publisher: &Publisher,
        payload: &Payload<'_>,
        came: &dyn Fn(u64),
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RepositoryError>;
}

/// How the bytes of a repository are reached. Paths are relative, their components quoted, without `..`.
pub trait Transport {
    /// The content of a file; none if there is no such file.
    ///
    /// # Errors
    /// The file is there, or may be, and cannot be read.
    fn fetch(&self, path: &str) -> Result<Option<Box<dyn Read + Send + '_>>, std::io::Error>;

    /// The names in a directory, sorted; none if there is no such directory, or it cannot be known.
    ///
    /// # Errors
    /// The directory is there, or may be, and cannot be read.
    fn names(&self, directory: &str) -> Result<Option<Vec<String>>, std::io::Error>;

    /// What messages call the repository: its address.
    fn address(&self) -> &str;
}

/// A repository behind a transport.
#[derive(Debug)]
pub struct Repository<T> {
    transport: T,
    layout: Layout,
    /// Catalogs that were made from manifests, because the repository has none.
    made: std::sync::Mutex<Vec<(Publisher, Arc<CatalogFiles>)>>,
}

impl<T: Transport> Repository<T> {
    /// The repository behind `transport`, which has to be of a known version.
    ///
    /// # Errors
    /// There is no repository, one of another version, or it cannot be read.
    pub fn open(transport: T) -> Result<Self, RepositoryError> {
        let mut repository = Self { transport, layout: Layout::ByPublisher, made: std::sync::Mutex::default() };
        let mut config = None;
        for name in CONFIGS {
            if config.is_none() {
                config = repository.read(name)?;
            }
        }
        let config = config.as_deref().map(String::from_utf8_lossy);
        let found = Layout::find(config.as_deref(), |name| Ok(repository.names(name)?.is_some()));
        repository.layout = found.map_err(|failure| match failure {
            NoLayout::Unreadable(error) => error,
            NoLayout::Reason(reason) => repository.error(CONFIGS[0], reason),
        })?;
        Ok(repository)
    }

    /// The transport behind the repository.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Where the repository is, for messages.
    pub fn address(&self) -> &str {
        self.transport.address()
    }

    /// The publishers that have something in it, sorted.
    ///
    /// # Errors
    /// The repository cannot be read, or a name in it is impossible.
    pub fn publishers(&self) -> Result<Vec<Publisher>, RepositoryError> {
        if let Layout::Single(publisher) = &self.layout {
            return match publisher {
                Some(publisher) => Ok(vec![publisher.clone()]),
                None => self.publishers_of_catalog(),
            };
        }
        let mut publishers = Vec::new();
        for name in self.names("publisher")?.unwrap_or_default() {
            // Whatever else people have there belongs to nobody who publishes.
            let Some(publisher) = unquote_component(&name).and_then(|name| name.parse::<Publisher>().ok()) else {
                continue;
            };
            let mut has_packages = false;
            for directory in ["catalog", "pkg"] {
                has_packages |= self.names(&self.layout.path(&publisher, directory))?.is_some();
            }
            if has_packages {
                publishers.push(publisher);
            }
        }
        Ok(publishers)
    }

    /// Who published what is in a repository that does not say whose it is.
    fn publishers_of_catalog(&self) -> Result<Vec<Publisher>, RepositoryError> {
        let file = |name: &str| self.read(&format!("catalog/{name}"));
        let Some(attrs) = file(ATTRS)? else { return Ok(Vec::new()) };
        let (base, dependency) = (file(BASE)?, file(DEPENDENCY)?);
        let text =
            CatalogText { attrs: &attrs, base: base.as_deref(), dependency: dependency.as_deref(), summary: None };
        let publishers = |catalog: Catalog| catalog.publishers().cloned().collect();
        Catalog::parse(text).map(publishers).map_err(|source| RepositoryError::Catalog {
            address: self.address().to_owned(),
            publisher: "its publisher".to_owned(),
            source: Box::new(source),
        })
    }

    /// The catalog of a publisher. If there is none, as in archives, it is made from the manifests.
    ///
    /// # Errors
    /// The repository cannot be read, or the catalog is damaged.
    pub fn catalog(&self, publisher: &Publisher) -> Result<Catalog, RepositoryError> {
        let file = |name: &str| self.catalog_file_of(publisher, name);
        let bytes = CatalogBytes::fetch(self.address(), publisher, None, &catalog_text::ALL, &file)?;
        let catalog = bytes.parse().map_err(|source| catalog_text::catalog_error(self.address(), publisher, source))?;
        Ok(catalog.of_publisher(publisher))
    }

    fn catalog_file_of(&self, publisher: &Publisher, name: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        if !self.layout.may_have(publisher) {
            return Ok(None);
        }
        let directory = self.layout.path(publisher, "catalog");
        if let Some(bytes) = self.read(&format!("{directory}/{name}"))? {
            return Ok(Some(bytes));
        }
        let has_catalog = name != ATTRS && self.read(&format!("{directory}/{ATTRS}"))?.is_some();
        if has_catalog {
            return Ok(None);
        }
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let files = match made.iter().find(|(of, _)| of == publisher) {
            Some((_, files)) => Arc::clone(files),
            None => {
                let catalog = self.catalog_of_manifests(publisher)?;
                if catalog.counts() == (0, 0) {
                    return Ok(None);
                }
                let files = Arc::new(CatalogFiles::new(&catalog, OperationTime::default()));
                made.push((publisher.clone(), Arc::clone(&files)));
                files
            }
        };
        Ok(files.get(name).map(<[u8]>::to_vec))
    }

    fn catalog_of_manifests(&self, publisher: &Publisher) -> Result<Catalog, RepositoryError> {
        let mut catalog = Catalog::default();
        let root = self.layout.path(publisher, "pkg");
        for quoted_stem in self.names(&root)?.unwrap_or_default() {
            let directory = format!("{root}/{quoted_stem}");
            // What has no name of a package, or no version, is none.
            let stem = unquote_component(&quoted_stem).and_then(|stem| stem.parse::<Stem>().ok());
            let Some(stem) = stem else { continue };
            for quoted_version in self.names(&directory)?.unwrap_or_default() {
                let path = format!("{directory}/{quoted_version}");
                let version = unquote_component(&quoted_version).and_then(|version| version.parse().ok());
                let Some(version) = version else { continue };
                let text = self.read(&path)?.unwrap_or_default();
                let manifest = Manifest::parse(&text).map_err(|source| self.manifest_error(&path, source))?;
                let mut entry = CatalogEntry::of_manifest(version, &manifest);
                entry.manifest_sha1 = Some(to_hex(&Sha1::digest(&text)));
                catalog.insert(publisher, &stem, entry);
            }
        }
        Ok(catalog)
    }

    /// The bytes of a manifest, which have to have the hash that the catalog says, if it says one.
    ///
    /// # Errors
    /// The manifest is not there, cannot be read, or is not the one of the catalog.
    pub fn manifest(&self, package: &PackageId, sha1: Option<&str>) -> Result<Vec<u8>, RepositoryError> {
        let path = self.layout.manifest_path(package);
        let Some(text) = self.read(&path)? else { return Err(self.error(&path, "there is no such file")) };
        match sha1 {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&to_hex(&Sha1::digest(&text))) => {
                Err(self.error(&path, "it is not the manifest that the catalog names: its hash differs"))
            }
            _ => Ok(text),
        }
    }

    /// A payload as it is kept: packed, and not compared with any hash yet; see [`Payloads::keep_packed`].
    ///
    /// # Errors
    /// The payload cannot be read, or the manifest says nothing usable of it.
    pub fn packed(
        &self,
        publisher: &Publisher,
        payload: &Payload<'_>,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RepositoryError> {
        let unusable =
            |source| RepositoryError::Payload { address: self.address().to_owned(), source: Box::new(source) };
        let name = payload.name().map_err(unusable)?;
        for path in &self.layout.payload_paths(publisher, name) {
            if let Some(reader) = self.transport.fetch(path).map_err(|source| self.io_error(path, source))? {
                return Ok(Some(reader));
            }
        }
        Ok(None)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        let fail = |source| self.io_error(path, source);
        let Some(reader) = self.transport.fetch(path).map_err(fail)? else { return Ok(None) };
        let mut bytes = Vec::new();
        reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(self.error(path, "it is larger than any such file"));
        }
        Ok(Some(bytes))
    }

    fn names(&self, directory: &str) -> Result<Option<Vec<String>>, RepositoryError> {
        self.transport.names(directory).map_err(|source| self.io_error(directory, source))
    }

    fn error(&self, path: &str, reason: &'static str) -> RepositoryError {
        RepositoryError::Unusable { address: self.address().to_owned(), path: path.to_owned(), reason }
    }

    fn io_error(&self, path: &str, source: std::io::Error) -> RepositoryError {
        RepositoryError::Io { address: self.address().to_owned(), path: path.to_owned(), source }
    }

    fn manifest_error(&self, path: &str, source: ips::manifest::ManifestError) -> RepositoryError {
        RepositoryError::Manifest {
            address: self.address().to_owned(),
            path: path.to_owned(),
            source: Box::new(source),
        }
    }
}

impl<T: Transport + Send + Sync> Source for Repository<T> {
    fn address(&self) -> &str {
        self.transport.address()
    }

    fn publishers(&self) -> Result<Vec<Publisher>, RepositoryError> {
        Self::publishers(self)
    }

    fn catalog_file(&self, publisher: &Publisher, name: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        self.catalog_file_of(publisher, name)
    }

    fn manifest_text(&self, package: &PackageId) -> Result<Option<Vec<u8>>, RepositoryError> {
        self.read(&self.layout.manifest_path(package))
    }

    fn packed(
        &self,
        publisher: &Publisher,
        payload: &Payload<'_>,
        _came: &dyn Fn(u64),
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RepositoryError> {
        Self::packed(self, publisher, payload)
    }
}

/// Why a repository has no layout.
enum NoLayout {
    Unreadable(RepositoryError),
    Reason(&'static str),
}

impl From<&'static str> for NoLayout {
    fn from(reason: &'static str) -> Self {
        Self::Reason(reason)
    }
}

impl From<RepositoryError> for NoLayout {
    fn from(error: RepositoryError) -> Self {
        Self::Unreadable(error)
    }
}
