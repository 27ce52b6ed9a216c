//! Writing repositories of version 4: for tests, and for packages that are made where they are used.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use sha1::{Digest, Sha1};
use sha2::Sha512_256;

use ips::catalog::{Catalog, CatalogEntry, CatalogFiles};
use ips::fmri::{PackageId, Publisher};
use ips::manifest::{Action, Manifest, ManifestErrorKind, to_hex};
use ips::text::quote_component;
use ips::time::OperationTime;

/// A repository that is being written.
#[derive(Debug)]
pub struct Publication {
    root: PathBuf,
    catalogs: BTreeMap<Publisher, Catalog>,
}

/// A package cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file cannot be written.
    #[error("{path} cannot be written")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An action cannot hold what has to be added to it.
    #[error("an action of {package} is impossible")]
    Action {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: ManifestErrorKind,
    },
}

impl Publication {
    /// A repository in `root`, which is made if it is not there.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), catalogs: BTreeMap::new() }
    }

    /// Publishes a package of these actions, each with its payload if it has one. The attributes that follow from the
    /// payload, and the package's own name, are added.
    ///
    /// # Errors
    /// A file cannot be written, or an action is impossible.
    pub fn publish(&mut self, id: &PackageId, actions: &[(Action, Option<&[u8]>)]) -> Result<(), PublishError> {
        let impossible = |source| PublishError::Action { package: id.to_string(), source };
        let publisher = format!("publisher/{}", quote_component(id.publisher.as_str()));
        let mut manifest = Manifest::default();
        for (action, payload) in actions {
            let mut action = action.clone();
            if let Some(plain) = payload {
                let packed = self.add_payload(&publisher, plain)?;
                describe(&mut action, plain, &packed).map_err(impossible)?;
            }
            manifest.actions.push(action);
        }
        manifest.sort();
        let text = format!("set name=pkg.fmri value={id}\n{manifest}");
        self.write(&format!("{publisher}/pkg/{}", id.manifest_path()), text.as_bytes())?;
        let mut entry = CatalogEntry::of_manifest(id.version.clone(), &manifest);
        entry.manifest_sha1 = Some(to_hex(&Sha1::digest(text.as_bytes())));
        self.catalogs.entry(id.publisher.clone()).or_default().insert(&id.publisher, &id.stem, entry);
        Ok(())
    }

    /// Writes the catalogs and what makes the directory a repository.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn finish(self, time: OperationTime) -> Result<(), PublishError> {
        let first = self.catalogs.keys().next().map_or("", Publisher::as_str);
        self.write(
            "pkg5.repository",
            format!("[publisher]\nprefix = {first}\n\n[repository]\nversion = 4\n\n").as_bytes(),
        )?;
        for (publisher, catalog) in &self.catalogs {
            let directory = format!("publisher/{}/catalog", quote_component(publisher.as_str()));
            for (name, text) in CatalogFiles::new(catalog, time).files {
                self.write(&format!("{directory}/{name}"), text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Adds a payload that no action delivers, such as a certificate, and answers its name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self, publisher: &Publisher, plain: &[u8]) -> Result<String, PublishError> {
        self.add_payload(&format!("publisher/{}", quote_component(publisher.as_str())), plain)?;
        Ok(to_hex(&Sha1::digest(plain)))
    }

    /// Writes a payload under its name; the result is the packed form.
    fn add_payload(&self, publisher: &str, plain: &[u8]) -> Result<Vec<u8>, PublishError> {
        let name = to_hex(&Sha1::digest(plain));
        let mut packer = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let packed = packer.write_all(plain).and_then(|()| packer.finish());
        let path = format!("{publisher}/file/{}/{name}", &name[..2]);
        let packed = packed.map_err(|source| PublishError::Io { path: self.root.join(&path), source })?;
        self.write(&path, &packed)?;
        Ok(packed)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), PublishError> {
        let path = self.root.join(path);
        let parent = path.parent().unwrap_or(Path::new(""));
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, bytes));
        written.map_err(|source| PublishError::Io { path, source })
    }
}

/// Adds what a manifest says of a payload.
fn describe(action: &mut Action, plain: &[u8], packed: &[u8]) -> Result<(), ManifestErrorKind> {
    action.set_hash(&to_hex(&Sha1::digest(plain)));
    let strong = |bytes: &[u8]| to_hex(&Sha512_256::digest(bytes));
    for (name, value) in [
        ("chash", to_hex(&Sha1::digest(packed))),
        ("pkg.content-hash", format!("file:sha512t_256:{}", strong(plain))),
        ("pkg.content-hash", format!("gzip:sha512t_256:{}", strong(packed))),
        ("pkg.csize", packed.len().to_string()),
        ("pkg.size", plain.len().to_string()),
    ] {
        action.push(name, &value)?;
    }
    Ok(())
}
