//! The content store: blobs addressed by their BLAKE3 hash, and small records.
//!
//! `docs/formats/content-store.md` describes the files. In short: every process appends to packs of its own
//! (one for each thread that writes at the same time), which it holds locked; closing the store seals them with
//! an index. A pack without an index whose lock is free belonged to a process that was killed; the
//! next one to open the store keeps its whole records and cuts off the rest.

mod append;
mod catalogue;
mod dry;
mod error;
mod files;
mod gc;
mod index;
mod lock;
mod pack;
mod reader;
mod records;
mod recover;

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use append::{Appender, Gathering};
pub use error::StoreError;
pub use gc::{GcReport, GcRoots};
pub use reader::{BlobReader, ContentReader};
pub use records::Record;
pub use recover::{Recovered, RecoveryCause};

use crate::hash::BlobHash;
use crate::node::Content;
use catalogue::{Catalogue, Location};
use lock::{AdminLock, StoreLock};
use pack::{Pack, PackWriter};

/// How much of a stream is held in memory; anything up to this size is written with a single call.
const BUFFER_BYTES: usize = 1 << 20;

/// How to open a store.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Whether sealing a pack waits until it is on the disk. Without it a crash of the machine (not of the
    /// process) may leave a pack with zeros in it that passes for whole: only for stores that are thrown away.
    pub sync: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { sync: true }
    }
}

/// What a store occupies on disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Contents, directory objects and tree objects, with their headers.
    pub packs: u64,
    /// The indexes of the packs.
    pub indexes: u64,
    /// Key-value records.
    pub records: u64,
}

impl DiskUse {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.packs + self.indexes + self.records
    }
}

/// A content store in a directory. It can be shared by threads, and several processes may have the same
/// directory open; each sees what the others had closed when it opened (or last [refreshed](Self::refresh)).
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    options: StoreOptions,
    /// None for a store that is only looked at and has no lock file.
    lock: Option<StoreLock>,
    recovered: Vec<Recovered>,
    catalogue: RwLock<Catalogue>,
    /// Packs of this process that no thread is writing to right now.
    idle_writers: Mutex<Vec<PackWriter>>,
    /// What is put is not kept; see [`open_dry`](Self::open_dry).
    is_dry: bool,
}

impl Store {
    /// Opens the store in `dir`, creating it (mode 0700) if there is none, and recovers packs of processes
    /// that were killed; see [`recovered`](Self::recovered).
    ///
    /// # Errors
    /// The directory cannot be created, read or locked, holds something else, or is of another version.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(dir, StoreOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let dir = dir.as_ref().to_path_buf();
        files::create(&dir, options)?;
        let admin = AdminLock::acquire(&dir)?;
        let lock = Some(StoreLock::shared(&dir, &admin)?);
        let (catalogue, idle_writers) = (RwLock::default(), Mutex::default());
        let mut store = Self { dir, options, lock, recovered: Vec::new(), catalogue, idle_writers, is_dry: false };
        store.recovered = store.take_up_all(&admin)?;
        Ok(store)
    }

    /// The directory of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The packs that opening found unfinished, and what could be kept of each.
    #[must_use]
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// Takes up what other processes have sealed since the store was opened.
    ///
    /// # Errors
    /// An index cannot be read.
    pub fn refresh(&self) -> Result<(), StoreError> {
        self.take_up_sealed().map(drop)
    }

    /// Stores `bytes`, unless they are there already.
    ///
    /// # Errors
    /// A pack cannot be written. The store remains whole.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Content, StoreError> {
        let hash = BlobHash::of(bytes);
        if !self.is_dry && !self.contains(hash) {
            self.with_writer(|writer| {
                let offset = writer.append(hash, bytes)?;
                self.register(writer, hash, offset, bytes.len() as u64)
            })?;
        }
        Ok(Content::plain(hash, bytes.len() as u64))
    }

    /// Stores everything that `reader` yields, unless it is there already, in bounded memory.
    ///
    /// # Errors
    /// The reader fails ([`StoreError::Source`]), or a pack cannot be written. The store remains whole.
    pub fn put_reader(&self, mut reader: impl Read) -> Result<Content, StoreError> {
        let mut buffer = Vec::new();
        fill(&mut buffer, &mut reader).map_err(|source| StoreError::Source { source })?;
        if buffer.len() < BUFFER_BYTES {
            return self.put_bytes(&buffer);
        }
        if self.is_dry {
            return Self::measure(buffer, &mut reader);
        }
        self.with_writer(|writer| {
            let (hash, offset, len) = writer.append_stream(&mut buffer, &mut reader)?;
            self.register(writer, hash, offset, len)?;
            Ok(Content::plain(hash, len))
        })
    }

    /// Whether the blob is in the store.
    #[must_use]
    pub fn contains(&self, hash: BlobHash) -> bool {
        hash == BlobHash::of(b"") || self.catalogue().blobs.contains_key(&hash)
    }

    /// The length of a blob in bytes; none if it is not in the store.
    #[must_use]
    pub fn blob_len(&self, hash: BlobHash) -> Option<u64> {
        if hash == BlobHash::of(b"") {
            return Some(0);
        }
        self.catalogue().blobs.get(&hash).map(|location| location.len)
    }

    /// A reader of the blob. It remains usable whatever happens to the store.
    ///
    /// # Errors
    /// The blob is missing, or its pack cannot be opened.
    pub fn open_blob(&self, hash: BlobHash) -> Result<BlobReader, StoreError> {
        if hash == BlobHash::of(b"") {
            return Ok(BlobReader::empty());
        }
        let catalogue = self.catalogue();
        let location = *catalogue.blobs.get(&hash).ok_or(StoreError::Missing { hash })?;
        let file = catalogue.open_pack(location.pack)?;
        Ok(BlobReader::new(file, location.offset, location.len))
    }

    /// A reader of a file's content, in which holes read as zeros.
    ///
    /// # Errors
    /// As for [`open_blob`](Self::open_blob), and when the blob is not as long as the content says.
    pub fn open_content(&self, content: &Content) -> Result<ContentReader, StoreError> {
        let blob = self.open_blob(content.blob())?;
        if blob.len() != content.data_len() {
            return Err(StoreError::Length { hash: content.blob(), len: blob.len(), wanted: content.data_len() });
        }
        Ok(ContentReader::new(blob, content))
    }

    /// The whole blob in memory: for objects and small files.
    ///
    /// # Errors
    /// As for [`open_blob`](Self::open_blob), or the pack cannot be read.
    pub fn read_blob(&self, hash: BlobHash) -> Result<Vec<u8>, StoreError> {
        let mut reader = self.open_blob(hash)?;
        // One call of the system is enough for what is small, and one byte more says that it is the end.
        let len = usize::try_from(reader.len()).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        let mut bytes = Vec::with_capacity(len + 1);
        reader.read_to_end(&mut bytes).map_err(|source| StoreError::ReadBlob { hash, source })?;
        Ok(bytes)
    }

    /// Reads the blob and compares it with its hash.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is something else now; it is missing or unreadable.
    pub fn verify(&self, hash: BlobHash) -> Result<(), StoreError> {
        let mut hasher = blake3::Hasher::new();
        let mut reader = self.open_blob(hash)?;
        hasher.update_reader(&mut reader).map_err(|source| StoreError::ReadBlob { hash, source })?;
        if BlobHash::from(hasher.finalize()) == hash { Ok(()) } else { Err(StoreError::Damaged { hash }) }
    }

    /// The number of blobs, the empty one not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.catalogue().blobs.len()
    }

    /// Whether there are no blobs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the store occupies now, the unsealed packs of all processes included.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn disk_use(&self) -> Result<DiskUse, StoreError> {
        files::disk_use(&self.dir)
    }

    /// Seals the packs written so far, so that other processes can see them; more can be put afterwards.
    ///
    /// # Errors
    /// An index cannot be written. The packs that remain unsealed are recovered by a later open.
    pub fn seal(&self) -> Result<(), StoreError> {
        let writers = std::mem::take(&mut *self.idle_writers());
        writers.into_iter().try_for_each(|writer| writer.seal(self.options))
    }

    /// Seals and closes. Dropping the store does the same but cannot report an error.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn close(self) -> Result<(), StoreError> {
        self.seal()
    }

    /// Recovers what is unfinished or damaged, and makes all sealed packs known.
    fn take_up_all(&self, admin: &AdminLock) -> Result<Vec<Recovered>, StoreError> {
        let mut recovered = recover::unfinished(&self.dir, self.options, admin)?;
        let unusable = self.take_up_sealed()?;
        if !unusable.is_empty() {
            recovered.extend(recover::reindex(&self.dir, &unusable, self.options, admin)?);
            self.take_up_sealed()?;
        }
        Ok(recovered)
    }

    /// Makes sealed packs known that are not yet, and returns those whose index cannot be used.
    fn take_up_sealed(&self) -> Result<Vec<u32>, StoreError> {
        let known: HashSet<u32> = self.catalogue().packs.iter().map(|pack| pack.number()).collect();
        let mut unusable = Vec::new();
        for number in files::sealed_packs(&self.dir)?.into_iter().filter(|number| !known.contains(number)) {
            match index::read(&self.dir, number)? {
                Some(index) => self.catalogue_mut().add_pack(Pack::new(&self.dir, number), &index),
                None => unusable.push(number),
            }
        }
        Ok(unusable)
    }

    /// Lends `work` a pack that no other thread writes to.
    fn with_writer<T>(&self, work: impl FnOnce(&mut PackWriter) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle_writers().pop();
        let mut writer = match idle {
            Some(writer) => writer,
            None => self.new_writer()?,
        };
        let result = work(&mut writer);
        if writer.is_usable() {
            self.idle_writers().push(writer);
        }
        result
    }

    fn new_writer(&self) -> Result<PackWriter, StoreError> {
        let admin = AdminLock::acquire(&self.dir)?;
        let (number, file) = files::create_pack(&self.dir, &admin)?;
        let pack = Pack::with_file(&self.dir, number, file);
        let mut catalogue = self.catalogue_mut();
        catalogue.packs.push(Arc::clone(&pack));
        PackWriter::new(pack, catalogue.packs.len() - 1)
    }

    /// Appends a batch and makes its blobs known.
    fn append_batch(&self, writer: &mut PackWriter, batch: &append::Batch) -> Result<(), StoreError> {
        let begin = writer.append_records(batch.records())?;
        let mut catalogue = self.catalogue_mut();
        for (hash, at, len) in batch.blobs() {
            let (offset, len) = (begin + *at as u64, *len as u64);
            // Where another thread was faster this one is a copy, as it is with another process.
            catalogue.blobs.entry(*hash).or_insert(Location { pack: writer.catalogue_index(), offset, len });
            writer.commit(*hash, offset, len);
        }
        Ok(())
    }

    /// Makes a record just appended known, or takes it back if another thread was faster.
    fn register(&self, writer: &mut PackWriter, hash: BlobHash, offset: u64, len: u64) -> Result<(), StoreError> {
        let location = Location { pack: writer.catalogue_index(), offset, len };
        let known = hash == BlobHash::of(b"") || {
            let mut catalogue = self.catalogue_mut();
            let known = catalogue.blobs.contains_key(&hash);
            if !known {
                catalogue.blobs.insert(hash, location);
            }
            known
        };
        if known {
            return writer.take_back();
        }
        writer.commit(hash, offset, len);
        Ok(())
    }

    // Every critical section leaves its data whole, so a panic elsewhere in one is no reason to stop.
    fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn catalogue_mut(&self) -> RwLockWriteGuard<'_, Catalogue> {
        self.catalogue.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle_writers(&self) -> MutexGuard<'_, Vec<PackWriter>> {
        self.idle_writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until the empty `buffer` is full or the reader at its end.
fn fill(buffer: &mut Vec<u8>, reader: &mut impl Read) -> io::Result<usize> {
    reader.take(BUFFER_BYTES as u64).read_to_end(buffer)
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`; what is not sealed here is recovered by the next open.
        let _ = self.seal();
    }
}
