//! `IMAGE[:DATASET[@SNAPSHOT]]`, as the command line writes it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An image, and maybe one dataset in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) image: PathBuf,
    /// Full name of a dataset or snapshot.
    pub(crate) dataset: Option<String>,
}

impl Place {
    /// Reads the argument. Both file names and dataset names may have colons, so the file system decides: the
    /// shortest beginning that ends at a colon and is a file is the image, unless all of the text is one.
    pub(crate) fn parse(text: impl AsRef<OsStr>) -> Self {
        Self::parse_by(text.as_ref(), Path::exists)
    }

    fn parse_by(text: &OsStr, exists: impl Fn(&Path) -> bool) -> Self {
        let bytes = text.as_bytes();
        let image = |at: usize| Path::new(OsStr::from_bytes(&bytes[..at]));
        let whole = Self { image: PathBuf::from(text), dataset: None };
        if exists(&whole.image) {
            return whole;
        }
        let mut colons = (0..bytes.len()).filter(|at| bytes[*at] == b':');
        // Where nothing is there, the likelier reading makes the better message.
        let split = colons.clone().find(|at| exists(image(*at))).or_else(|| colons.next());
        split.map_or(whole, |at| Self {
            image: image(at).to_owned(),
            // Names of datasets are ASCII, so that another one is just not found.
            dataset: Some(String::from_utf8_lossy(&bytes[at + 1..]).into_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_there_decides_which_colon_separates() {
        let files = ["disk.raw", "a:b.raw", "x"];
        let parse = |text: &str| {
            let place = Place::parse_by(OsStr::new(text), |path| files.iter().any(|file| Path::new(file) == path));
            (place.image.display().to_string(), place.dataset)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse("disk.raw"), ("disk.raw".into(), None));
        assert_eq!(parse("disk.raw:rpool/ROOT/be@s"), ("disk.raw".into(), some("rpool/ROOT/be@s")));
        assert_eq!(parse("disk.raw:rpool/a:b"), ("disk.raw".into(), some("rpool/a:b")));
        assert_eq!(parse("a:b.raw"), ("a:b.raw".into(), None));
        assert_eq!(parse("a:b.raw:rpool"), ("a:b.raw".into(), some("rpool")));
        assert_eq!(parse("missing:rpool"), ("missing".into(), some("rpool")));
        assert_eq!(parse("missing"), ("missing".into(), None));
    }
}
