//! Repositories in archives, `.p5p`: a tar of the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Transport;
use super::directory::check;

/// An archive with a repository. Its list of members is read once; each file is read from the archive when it is wanted.
#[derive(Debug, Clone)]
pub struct ArchiveTransport {
    path: PathBuf,
    address: String,
    /// Where the content of each member begins, and its length, in bytes.
    members: BTreeMap<String, (u64, u64)>,
}

impl ArchiveTransport {
    /// Opens an archive and reads what it has.
    ///
    /// # Errors
    /// The file cannot be read, or is no tar. Members whose names would leave the repository are errors, too.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let mut archive = tar::Archive::new(BufReader::new(File::open(&path)?));
        let mut members = BTreeMap::new();
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let kind = entry.header().entry_type();
            if kind.is_file() {
                members.insert(member_name(&entry.path_bytes())?, (entry.raw_file_position(), entry.size()));
            } else if kind.is_hard_link() {
                // Files that the packed repository had under several names are in the archive once.
                let target = member_name(&entry.link_name_bytes().unwrap_or_default())?;
                if let Some(place) = members.get(&target).copied() {
                    members.insert(member_name(&entry.path_bytes())?, place);
                }
            }
        }
        Ok(Self { address: path.display().to_string(), path, members })
    }
}

fn member_name(bytes: &[u8]) -> io::Result<String> {
    let name = std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let name = name.strip_prefix("./").unwrap_or(name);
    check(name)?;
    Ok(name.to_owned())
}

impl Transport for ArchiveTransport {
    fn fetch(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        let Some((position, length)) = self.members.get(path) else { return Ok(None) };
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(*position))?;
        Ok(Some(Box::new(BufReader::new(file.take(*length)))))
    }

    fn names(&self, directory: &str) -> io::Result<Option<Vec<String>>> {
        let prefix = format!("{directory}/");
        let below = self.members.range(prefix.clone()..).map_while(|(name, _)| name.strip_prefix(&prefix));
        let names: BTreeSet<&str> = below.filter_map(|rest| rest.split('/').next()).collect();
        Ok((!names.is_empty()).then(|| names.into_iter().map(str::to_owned).collect()))
    }

    fn address(&self) -> &str {
        &self.address
    }
}
