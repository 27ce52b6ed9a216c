//! A finished image for reading, whatever form it has: the bytes that a machine would see.

mod form;
mod pool_source;
mod qcow2;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use qcow2::Qcow2File;
pub use qcow2::Qcow2ReadError;

/// An image that is open for reading; any number of threads may read it at once.
#[derive(Debug)]
pub struct ImageFile {
    form: Form,
    length: u64,
}

#[derive(Debug)]
enum Form {
    Raw(File),
    Qcow2(Box<Qcow2File>),
}

/// An image cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenImageError {
    /// The file system refused.
    #[error("cannot open {}", path.display())]
    Open {
        /// The image.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is a qcow2 file that cannot be read here.
    #[error("cannot read {}", path.display())]
    Qcow2 {
        /// The image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Qcow2ReadError,
    },
    /// It is an image of a form that is not read here.
    #[error("{} is {form}, which is not read here", path.display())]
    Form {
        /// The image.
        path: PathBuf,
        /// What it is, with its article.
        form: &'static str,
    },
}

impl ImageFile {
    /// Opens a raw or qcow2 image; the first bytes tell which it is. A fixed VHD is a raw image and a footer.
    ///
    /// # Errors
    /// When it cannot be opened, is a qcow2 file that needs more than itself, or an image of another known form.
    pub fn open(path: &Path) -> Result<Self, OpenImageError> {
        let failed = |source| OpenImageError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        // A block device has no length of its own, but an end.
        let length = (&file).seek(SeekFrom::End(0)).map_err(failed)?;
        let mut magic = [0; 4];
        if length < 4 || file.read_exact_at(&mut magic, 0).is_err() || magic != qcow2::MAGIC {
            if let Some(form) = form::foreign(&file) {
                return Err(OpenImageError::Form { path: path.to_owned(), form });
            }
            let length = form::fixed_vhd_bytes(&file, length).unwrap_or(length);
            return Ok(Self { form: Form::Raw(file), length });
        }
        let qcow2 =
            Qcow2File::open(file, length).map_err(|source| OpenImageError::Qcow2 { path: path.to_owned(), source })?;
        Ok(Self { length: qcow2.virtual_bytes(), form: Form::Qcow2(Box::new(qcow2)) })
    }

    /// Bytes of the image as a machine sees it.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether the file is a qcow2 one.
    #[must_use]
    pub fn is_qcow2(&self) -> bool {
        matches!(self.form, Form::Qcow2(_))
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` when the image ends before; `InvalidData` for a damaged qcow2 file.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &self.form {
            Form::Raw(file) => file.read_exact_at(buffer, offset),
            Form::Qcow2(file) => file.read_exact_at(buffer, offset),
        }
    }

    /// The image as a stream of its own, for readers that want one.
    #[must_use]
    pub fn stream(&self) -> ImageStream<'_> {
        ImageStream { image: self, position: 0 }
    }
}

/// Reads an [`ImageFile`] from a position that it keeps.
#[derive(Debug)]
pub struct ImageStream<'a> {
    image: &'a ImageFile,
    position: u64,
}

impl Read for ImageStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.image.length.saturating_sub(self.position);
        let count = left.min(buffer.len() as u64) as usize;
        self.image.read_exact_at(&mut buffer[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ImageStream<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.image.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
