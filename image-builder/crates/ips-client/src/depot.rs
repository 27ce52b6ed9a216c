//! Repositories on the network: the depot protocol of pkg(7), as far as installing needs it.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde::Deserialize;
use tempfile::SpooledTempFile;

use ips::fmri::{PackageId, Publisher};
use ips::manifest::{MANIFEST_BYTES_MAX, Payload};
use ips::text::quote_component;

use crate::address::Address;
use crate::http::{Form, HttpClient, HttpError, Wanted};
use crate::parallel::lock;
use crate::repository::{FILE_BYTES_MAX, RepositoryError, Source};

/// The longest answer to a question about the depot itself, in bytes.
const ABOUT_BYTES_MAX: u64 = 16 << 20;

/// A depot.
#[derive(Debug)]
pub struct Depot {
    http: Arc<HttpClient>,
    /// The address without a slash at the end.
    base: String,
    shown: String,
    /// Whether paths may begin with a publisher.
    has_prefixes: OnceLock<bool>,
    /// Held by whoever asks for that, so that one of several connections does it.
    asking: Mutex<()>,
    /// Whether the last one who asked got no answer: then nobody waits in a queue to learn the same.
    is_silent: AtomicBool,
}

#[derive(Deserialize)]
struct P5i {
    #[serde(default)]
    publishers: Vec<P5iPublisher>,
}

#[derive(Deserialize)]
struct P5iPublisher {
    name: String,
}

impl Depot {
    pub(crate) fn new(http: Arc<HttpClient>, base: String) -> Self {
        let shown = Address::Depot(base.clone()).shown();
        Self {
            http,
            base,
            shown,
            has_prefixes: OnceLock::new(),
            asking: Mutex::default(),
            is_silent: AtomicBool::new(false),
        }
    }

    fn fetch(&self, path: &str, wanted: &Wanted<'_>) -> Result<Option<SpooledTempFile>, RepositoryError> {
        let url = format!("{}/{path}", self.base);
        self.http.fetch(&url, wanted).map_err(|source| self.error(path, source))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, RepositoryError> {
        let wanted = Wanted { form: Form::Text, limit, check: &|_| Ok(()), came: &|_| () };
        let Some(mut answer) = self.fetch(path, &wanted)? else { return Ok(None) };
        let mut bytes = Vec::new();
        answer.read_to_end(&mut bytes).map_err(|source| self.error(path, HttpError::Temporary(source)))?;
        Ok(Some(bytes))
    }

    fn error(&self, path: &str, source: HttpError) -> RepositoryError {
        RepositoryError::Http { address: self.shown.clone(), path: path.to_owned(), source: Box::new(source) }
    }

    /// A path below the publisher, where the depot knows such paths; else its default publisher answers.
    fn path(&self, publisher: &Publisher, path: &str) -> Result<String, RepositoryError> {
        if self.base.rsplit('/').next() == Some(publisher.as_str()) || !self.has_prefixes()? {
            return Ok(path.to_owned());
        }
        Ok(format!("{}/{path}", quote_component(publisher.as_str())))
    }

    /// `versions/0` has lines of an operation and its versions; `publisher 1` stands for paths with publishers, too.
    fn has_prefixes(&self) -> Result<bool, RepositoryError> {
        if let Some(known) = self.has_prefixes.get() {
            return Ok(*known);
        }
        let asking = lock(&self.asking);
        if let Some(known) = self.has_prefixes.get() {
            return Ok(*known);
        }
        let alone = Some(asking).filter(|_| !self.is_silent.load(Ordering::Relaxed));
        let answer = self.read("versions/0", ABOUT_BYTES_MAX);
        self.is_silent.store(answer.is_err(), Ordering::Relaxed);
        drop(alone);
        let text = answer?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let found = lines.any(|words| words.first() == Some(&"publisher") && words[1..].contains(&"1"));
        Ok(*self.has_prefixes.get_or_init(|| found))
    }
}

impl Source for Depot {
    fn address(&self) -> &str {
        &self.shown
    }

    fn publishers(&self) -> Result<Vec<Publisher>, RepositoryError> {
        let path = "publisher/0";
        let text = self.read(path, ABOUT_BYTES_MAX)?.unwrap_or_default();
        let wrong = |reason: String| self.error(path, HttpError::Content { reason });
        let p5i: P5i =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("it does not list publishers: {error}")))?;
        let names = p5i.publishers.into_iter().map(|publisher| publisher.name.parse());
        let mut names: Vec<Publisher> =
            names.collect::<Result<_, _>>().map_err(|error: ips::fmri::FmriError| wrong(error.to_string()))?;
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn catalog_file(&self, publisher: &Publisher, name: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        let path = self.path(publisher, &format!("catalog/1/{}", quote_component(name)))?;
        self.read(&path, FILE_BYTES_MAX)
    }

    fn manifest_text(&self, package: &PackageId) -> Result<Option<Vec<u8>>, RepositoryError> {
        let stem = quote_component(package.stem.as_str());
        let version = quote_component(&package.version.to_string());
        let path = self.path(&package.publisher, &format!("manifest/0/{stem}@{version}"))?;
        self.read(&path, MANIFEST_BYTES_MAX as u64)
    }

    fn packed(
        &self,
        publisher: &Publisher,
        payload: &Payload<'_>,
        came: &dyn Fn(u64),
    ) -> Result<Option<Box<dyn Read + Send + '_>>, RepositoryError> {
        let unusable = |source| RepositoryError::Payload { address: self.shown.clone(), source: Box::new(source) };
        let name = payload.name().map_err(unusable)?;
        let limit = packed_bytes_max(payload.compressed_size().map_err(unusable)?, payload.size().map_err(unusable)?);
        let hash = payload.strongest_compressed_hash();
        let path = self.path(publisher, &format!("file/1/{name}"))?;
        let check = |answer: &mut SpooledTempFile| {
            let Some(wanted) = &hash else { return Ok(()) };
            let mut hasher = wanted.hasher();
            read_all(answer, &mut |part| hasher.update(part)).map_err(|error| error.to_string())?;
            let found = hasher.finish();
            if found == *wanted { Ok(()) } else { Err(format!("it has the hash {found} instead of {wanted}")) }
        };
        let wanted = Wanted { form: Form::Payload, limit, check: &check, came };
        let answer = self.fetch(&path, &wanted)?;
        Ok(answer.map(|answer| Box::new(answer) as Box<dyn Read + Send>))
    }
}

/// How long a packed content may be: as long as the manifest says; where it gives the length of the plain content only,
/// that and what gzip adds where nothing can be packed; else as long as any file that is taken whole.
fn packed_bytes_max(packed: Option<u64>, plain: Option<u64>) -> u64 {
    const HEADERS: u64 = 64 << 10;
    packed.or(plain.map(|plain| plain.saturating_add(plain / 64).saturating_add(HEADERS))).unwrap_or(FILE_BYTES_MAX)
}

fn read_all(answer: &mut SpooledTempFile, take: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
    use std::io::Seek as _;
    answer.rewind()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match answer.read(&mut buffer)? {
            0 => return Ok(()),
            count => take(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_depot_answers_without_end() {
        assert_eq!(packed_bytes_max(Some(20), Some(7)), 20);
        assert_eq!(packed_bytes_max(None, Some(0)), 64 << 10);
        assert_eq!(packed_bytes_max(None, Some(6400)), 6500 + (64 << 10));
        assert_eq!(packed_bytes_max(None, Some(u64::MAX)), u64::MAX);
        assert_eq!(packed_bytes_max(None, None), FILE_BYTES_MAX);
    }
}
