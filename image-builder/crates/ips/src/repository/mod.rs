//! Repositories: where packages come from. This module reads files; everything else in the crate does not.
//!
//! A [`Transport`] brings the bytes of a path, from a directory or an archive (from a server: not yet). A [`Repository`] knows
//! which paths there are, and lets nothing through that does not have the hash it has to have. [`Payloads`]
//! keeps the contents of files in the content store, where installation finds them without any repository.

mod archive;
mod directory;
mod error;
mod payloads;
pub mod publish;
mod verify;

use std::io::Read;

use sha1::{Digest, Sha1};

pub use archive::ArchiveTransport;
pub use directory::DirectoryTransport;
pub use error::RepositoryError;
pub use payloads::Payloads;
pub use verify::VerifyingReader;

use crate::catalog::{ATTRS, BASE, Catalog, CatalogAttrs, CatalogEntry, CatalogText, DEPENDENCY, SUMMARY};
use crate::fmri::{PackageId, Publisher, Stem};
use crate::manifest::{Manifest, Payload, to_hex};
use crate::text::{quote_component, unquote_component};

/// The largest file of a catalog, and the largest manifest, that are read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// How the bytes of a repository are reached. Paths are relative, their components quoted, without `..`.
pub trait Transport {
    /// The content of a file; none if there is no such file.
    ///
    /// # Errors
    /// The file is there, or may be, and cannot be read.
    fn fetch(&self, path: &str) -> Result<Option<Box<dyn Read + '_>>, std::io::Error>;

    /// The names in a directory, sorted; none if there is no such directory, or it cannot be known.
    ///
    /// # Errors
    /// The directory is there, or may be, and cannot be read.
    fn names(&self, directory: &str) -> Result<Option<Vec<String>>, std::io::Error>;

    /// What messages call the repository: its address.
    fn address(&self) -> &str;
}

/// A repository of version 4 behind a transport.
#[derive(Debug)]
pub struct Repository<T> {
    transport: T,
}

impl<T: Transport> Repository<T> {
    /// The repository behind `transport`, which has to be of a known version.
    ///
    /// # Errors
    /// There is no repository, one of another version, or it cannot be read.
    pub fn open(transport: T) -> Result<Self, RepositoryError> {
        let repository = Self { transport };
        let Some(text) = repository.read("pkg5.repository")? else {
            return Err(repository.error("pkg5.repository", "there is no repository here"));
        };
        let text = String::from_utf8_lossy(&text);
        let version = text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "version");
        match version.map(|(_, version)| version.trim()) {
            Some("4") => Ok(repository),
            _ => Err(repository.error("pkg5.repository", "it is not a repository of version 4")),
        }
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
        let names = self.names("publisher")?.unwrap_or_default();
        let parsed = names.iter().map(|name| {
            let name = unquote_component(name).unwrap_or_default();
            name.parse().map_err(|source| self.named_error("publisher", source))
        });
        parsed.collect()
    }

    /// The catalog of a publisher. If there is none, as in archives, it is made from the manifests.
    ///
    /// # Errors
    /// The repository cannot be read, or the catalog is damaged.
    pub fn catalog(&self, publisher: &Publisher) -> Result<Catalog, RepositoryError> {
        let path = |name: &str| format!("publisher/{}/catalog/{name}", quote_component(publisher.as_str()));
        let Some(attrs) = self.read(&path(ATTRS))? else { return self.catalog_of_manifests(publisher) };
        let fail = |source| RepositoryError::Catalog {
            address: self.address().to_owned(),
            publisher: publisher.to_string(),
            source: Box::new(source),
        };
        let listed = CatalogAttrs::parse(&attrs).map_err(fail)?.parts;
        let mut parts = [None, None, None];
        for (part, name) in parts.iter_mut().zip([BASE, DEPENDENCY, SUMMARY]) {
            if listed.contains_key(name) {
                *part = self.read(&path(name))?;
            }
        }
        let [base, dependency, summary] = parts.each_ref().map(Option::as_deref);
        Catalog::parse(CatalogText { attrs: &attrs, base, dependency, summary }).map_err(fail)
    }

    fn catalog_of_manifests(&self, publisher: &Publisher) -> Result<Catalog, RepositoryError> {
        let mut catalog = Catalog::default();
        let root = format!("publisher/{}/pkg", quote_component(publisher.as_str()));
        for quoted_stem in self.names(&root)?.unwrap_or_default() {
            let directory = format!("{root}/{quoted_stem}");
            let stem = unquote_component(&quoted_stem).unwrap_or_default();
            let stem: Stem = stem.parse().map_err(|source| self.named_error(&directory, source))?;
            for quoted_version in self.names(&directory)?.unwrap_or_default() {
                let path = format!("{directory}/{quoted_version}");
                let version = unquote_component(&quoted_version).unwrap_or_default();
                let version = version.parse().map_err(|_| self.error(&path, "its name is not a version"))?;
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
        let publisher = quote_component(package.publisher.as_str());
        let path = format!("publisher/{publisher}/pkg/{}", package.manifest_path());
        let Some(text) = self.read(&path)? else { return Err(self.error(&path, "there is no such file")) };
        match sha1 {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&to_hex(&Sha1::digest(&text))) => {
                Err(self.error(&path, "it is not the manifest that the catalog names: its hash differs"))
            }
            _ => Ok(text),
        }
    }

    /// The plain content of a payload. The reader fails at the end if the content has not the strongest hash and the
    /// length that the manifest says, so that nothing may be used before it was read to its end.
    ///
    /// # Errors
    /// The payload is not there or cannot be read, or the manifest says nothing usable of it.
    pub fn payload(
        &self,
        publisher: &Publisher,
        payload: &Payload<'_>,
    ) -> Result<VerifyingReader<Box<dyn Read + '_>>, RepositoryError> {
        let unusable =
            |source| RepositoryError::Payload { address: self.address().to_owned(), source: Box::new(source) };
        let name = payload.name().map_err(unusable)?;
        let (hash, size) = (payload.strongest_hash().map_err(unusable)?, payload.size().map_err(unusable)?);
        let root = format!("publisher/{}/file", quote_component(publisher.as_str()));
        // Old repositories have a directory more.
        let paths = [format!("{root}/{}/{name}", &name[..2]), format!("{root}/{}/{}/{name}", &name[..2], &name[2..8])];
        for path in &paths {
            if let Some(reader) = self.transport.fetch(path).map_err(|source| self.io_error(path, source))? {
                return Ok(VerifyingReader::new(reader, hash, size));
            }
        }
        Err(self.error(&paths[0], "there is no such file"))
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

    fn named_error(&self, path: &str, source: crate::fmri::FmriError) -> RepositoryError {
        RepositoryError::Name { address: self.address().to_owned(), path: path.to_owned(), source: Box::new(source) }
    }

    fn manifest_error(&self, path: &str, source: crate::manifest::ManifestError) -> RepositoryError {
        RepositoryError::Manifest {
            address: self.address().to_owned(),
            path: path.to_owned(),
            source: Box::new(source),
        }
    }
}
