//! The devices of the `vio9p` driver: `/dev/9p/N`, one for each share.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Where devfsadm makes the links.
pub const DIRECTORY: &str = "/dev/9p";

/// Where devices come from: the driver, or a test's imitation of it.
pub trait Driver: Debug + Send {
    /// An open device.
    type File: Read + Write + Debug + Send + 'static;

    /// The devices that there are, in numeric order.
    ///
    /// # Errors
    ///
    /// What the operating system says. That there is no directory means that there are no devices.
    fn devices(&self) -> io::Result<Vec<PathBuf>>;

    /// Opens a device; this program with [`OPEN_FLAGS`].
    ///
    /// # Errors
    ///
    /// `EINVAL` for other flags, and `EBUSY` while somebody else has it: the driver has one consumer for each share.
    fn open(&self, device: &Path, flags: OFlags) -> io::Result<Self::File>;

    /// The mount tag of a device's share, cut to 32 bytes; none when the device has none.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn tag(&self, file: &Self::File) -> io::Result<Option<String>>;
}

/// The driver wants reading, writing and exclusive use together. It cannot be polled, so reading must not block.
pub const OPEN_FLAGS: OFlags = OFlags::RDWR.union(OFlags::EXCL).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// The driver of the running system.
#[derive(Debug, Clone)]
pub struct System {
    directory: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self { directory: PathBuf::from(DIRECTORY) }
    }
}

impl Driver for System {
    type File = File;

    fn devices(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers.iter().map(|number| self.directory.join(number.to_string())).collect())
    }

    fn open(&self, device: &Path, flags: OFlags) -> io::Result<File> {
        Ok(File::from(rustix::fs::open(device, flags, Mode::empty())?))
    }

    fn tag(&self, file: &File) -> io::Result<Option<String>> {
        vio9p_tag::mount_tag(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_by_number() {
        let directory = tempfile::tempdir().unwrap();
        let system = System { directory: directory.path().join("9p") };
        assert!(system.devices().unwrap().is_empty(), "no driver, no devices");
        std::fs::create_dir(&system.directory).unwrap();
        for name in ["10", "2", "0", "other"] {
            std::fs::write(system.directory.join(name), "").unwrap();
        }
        let expected: Vec<_> = ["0", "2", "10"].iter().map(|name| system.directory.join(name)).collect();
        assert_eq!(system.devices().unwrap(), expected);
    }
}
