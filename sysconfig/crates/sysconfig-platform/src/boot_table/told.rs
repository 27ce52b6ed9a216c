//! Telling systemd of the table. It makes a unit of each row when it starts and when it is told to, and goes by the old ones until
//! then: it unmounts what comes to a place whose unit is of a device that is not there.

use super::path;
use crate::device_name::spelled_out;
use crate::{Host, StorageError, System, files, systemd};
use serde::{Deserialize, Serialize};

/// Holds the boot in which the table was changed and systemd is not known to have heard of it; the next one reads the table.
const UNTOLD: &str = "/var/lib/sysconfig/fstab-untold";
/// Where systemd notes in which kind of container it runs.
const CONTAINER: &str = "/run/systemd/container";
/// Where Linux tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn boot(host: &Host) -> Result<Vec<u8>, StorageError> {
    let read = files::read(&host.root, BOOT_ID).map_err(StorageError::file("look which boot this is"))?;
    Ok(read.unwrap_or_default())
}

/// Whether there is a systemd to tell.
fn listens(host: &Host) -> Result<bool, StorageError> {
    let runs = || systemd::is_running(&host.root).map_err(StorageError::file("look for systemd"));
    Ok(host.system() == System::Linux && runs()?)
}

/// Whether systemd is told behind the change of a row, and behind taking that back: it reads all units for that, which takes long
/// where there are many, so of all rows that are changed one after the other only the last one tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tells {
    /// Behind the change.
    pub forth: bool,
    /// Behind taking it back.
    pub back: bool,
}

impl Default for Tells {
    /// A row that is changed by itself.
    fn default() -> Self {
        Self { forth: true, back: true }
    }
}

/// Lets systemd be told once of rows that are changed in this order, and once when that is taken back, in the other order. What stops
/// in between has to tell by itself, or the next look finds it.
pub fn tell_once<'a>(rows: impl IntoIterator<Item = &'a mut Tells>) {
    let mut rows: Vec<&mut Tells> = rows.into_iter().collect();
    let last = rows.len().saturating_sub(1);
    for (at, tells) in rows.iter_mut().enumerate() {
        **tells = Tells { forth: at == last, back: at == 0 };
    }
}

/// What a step says that tells systemd what it was not told.
#[must_use]
pub fn summary(system: System) -> String {
    format!("tell systemd of {}, which an interrupted step has changed", path(system))
}

/// Whether systemd may not have heard of the last change of the table, because whoever made it has ended before.
///
/// # Errors
/// [`StorageError::File`].
pub fn is_untold(host: &Host) -> Result<bool, StorageError> {
    if !listens(host)? {
        return Ok(false);
    }
    let noted = files::read(&host.root, UNTOLD).map_err(StorageError::file("look what systemd was told"))?;
    Ok(noted.is_some_and(|noted| boot(host).is_ok_and(|boot| boot == noted)))
}

/// Notes that the table is about to change.
pub(super) fn begin(host: &Host) -> Result<(), StorageError> {
    if !listens(host)? {
        return Ok(());
    }
    let failed = || StorageError::file("note that systemd has to be told");
    let directory = UNTOLD.rsplit_once('/').map_or("/", |(directory, _)| directory);
    files::make_directory(&host.root, directory).map_err(failed())?;
    files::replace(&host.root, UNTOLD, &boot(host)?).map(drop).map_err(failed())
}

/// Tells systemd of the table, where it may not have heard of it.
///
/// # Errors
/// [`StorageError`].
pub fn tell(host: &Host) -> Result<files::Written, StorageError> {
    if !is_untold(host)? {
        return Ok(files::Written::AlreadySo);
    }
    let operation = format!("tell systemd of {}, which is changed", path(host.system()));
    systemd::daemon_reload(host).map_err(StorageError::command(operation))?;
    files::remove(&host.root, UNTOLD).map_err(StorageError::file("note that systemd was told"))?;
    Ok(files::Written::Changed)
}

/// As [`tell`] where nothing depends on it; answers what is to be warned of.
#[must_use]
pub fn tell_or_later(host: &Host) -> Option<String> {
    tell(host).err().map(|error| format!("{error}; the next apply tries again"))
}

/// Which of these devices are not there, so that systemd lets nothing else be mounted in the place of a row about one. In a
/// container it has no units of devices, and unmounts nothing for that.
///
/// # Errors
/// [`StorageError::File`].
pub fn missing_devices<'a>(
    host: &Host,
    devices: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<String>, StorageError> {
    let in_container = || host.root.exists(CONTAINER).map_err(StorageError::file("look whether this is a container"));
    if !listens(host)? || in_container()? {
        return Ok(Vec::new());
    }
    let is_missing = |device: &&String| {
        // What lies elsewhere may lie on a server that is away, where looking takes for ever.
        let node = spelled_out(device);
        node.starts_with("/dev/") && matches!(host.root.exists(&*node), Ok(false))
    };
    Ok(devices.into_iter().filter(is_missing).cloned().collect())
}
