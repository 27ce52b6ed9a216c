//! What a plan tells about packages.

use serde::Serialize;

/// Which packages a step brings, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlannedPackages {
    /// Whether the packages are chosen; if not, the catalogs of the publishers are fetched first.
    pub is_known: bool,
    /// Why no packages can be chosen, where that is already known.
    pub problem: Option<String>,
    /// The packages that the image does not have yet: name and version.
    pub new: Vec<String>,
    /// How many bytes the files of the new packages have, unpacked.
    pub size_bytes: u64,
    /// Of how many files of the new packages their manifests do not say how large they are.
    pub size_unknown: usize,
    /// How many files have to be fetched for them.
    pub fetch_files: usize,
    /// How many bytes these files have: packed, or unpacked where a manifest does not say that.
    pub fetch_bytes: u64,
    /// Of how many of these files their manifests do not say how large they are.
    pub fetch_unknown: usize,
    /// How many new packages are of unknown size, because not even their manifests are here.
    pub unknown: usize,
    /// The publishers, and where each is asked.
    pub publishers: Vec<(String, Vec<String>)>,
}
