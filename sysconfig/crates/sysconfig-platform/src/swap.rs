//! Swap: illumos' `swap`, Linux' `/proc/swaps`, `swapon`, `swapoff` and `mkswap`.

use crate::storage::StorageError;
use crate::{Host, Invocation, System, files};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Linux' list.
pub const PROC_SWAPS: &str = "/proc/swaps";
/// The largest page that an area made by `mkswap` can be for; its signature stands at the end of the first page.
const LARGEST_PAGE: usize = 65536;

/// One area in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapArea {
    /// The file or device.
    pub path: String,
    /// Its size in bytes, as the system counts it: a little less than that of the file or device on Linux.
    pub bytes: u64,
    /// Whether it is being removed.
    pub leaving: bool,
    /// Linux: its priority.
    pub priority: Option<i32>,
}

/// The areas in use.
///
/// # Errors
/// [`StorageError`].
pub fn areas(host: &Host) -> Result<Vec<SwapArea>, StorageError> {
    let operation = "list the swap areas";
    match host.system() {
        System::Illumos => {
            let invocation = Invocation::new("/usr/sbin/swap", ["-l"]);
            let answer = host.run_any(&invocation).map_err(StorageError::command(operation))?;
            // Having none is told as a failure.
            if answer.code != 0 && format!("{}{}", answer.stdout, answer.stderr).contains("No swap devices configured")
            {
                return Ok(Vec::new());
            }
            Ok(parse_list(&answer.success(&invocation).map_err(StorageError::command(operation))?.stdout))
        }
        System::Linux => {
            let text = files::read_text(&host.root, PROC_SWAPS).map_err(StorageError::file(operation))?;
            Ok(parse_proc_swaps(&text.unwrap_or_default()))
        }
    }
}

/// `swap -l`: path, device numbers, start, blocks of 512 bytes, free blocks.
#[must_use]
pub fn parse_list(text: &str) -> Vec<SwapArea> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [path, _device, start, blocks, _free, rest @ ..] = &columns[..] else { return None };
        let (start, blocks) = (start.parse::<u64>().ok()?, blocks.parse::<u64>().ok()?);
        let bytes = start.checked_add(blocks)?.checked_mul(512)?;
        let path = path.starts_with('/').then(|| (*path).to_owned())?;
        Some(SwapArea { path, bytes, leaving: rest.contains(&"INDEL"), priority: None })
    };
    text.lines().filter_map(line).collect()
}

/// What the kernel of Linux appends to the name of a file that was removed while it is in use.
const REMOVED: &str = " (deleted)";

/// `/proc/swaps`: path with octal escapes, type, size in KiB, used, priority.
///
/// A file that was removed keeps what is appended to its name: what is at its path by now is another one.
#[must_use]
pub fn parse_proc_swaps(text: &str) -> Vec<SwapArea> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [path, _kind, size, _used, priority] = columns[..] else { return None };
        let path = crate::mount_table::unescape(path);
        let bytes = size.parse::<u64>().ok()?.checked_mul(1024)?;
        path.starts_with('/').then_some(SwapArea { path, bytes, leaving: false, priority: priority.parse().ok() })
    };
    text.lines().filter_map(line).collect()
}

/// Takes an area into use, and looks whether it is: exit statuses of illumos' `swap` are not uniform.
///
/// # Errors
/// [`StorageError`].
pub fn add(host: &Host, path: &str, priority: Option<i32>) -> Result<(), StorageError> {
    let invocation = match (host.system(), priority) {
        (System::Illumos, _) => Invocation::new("/usr/sbin/swap", ["-a", path]),
        (System::Linux, None) => Invocation::new("/usr/sbin/swapon", [path]),
        (System::Linux, Some(priority)) => Invocation::new("/usr/sbin/swapon", ["-p", &priority.to_string(), path]),
    };
    change(host, format!("use {path} as swap"), &invocation, path, true)
}

/// Takes an area out of use, which moves what is in it elsewhere, and looks whether it is out. What is not done within that time is
/// given up, and the area stays in use.
///
/// # Errors
/// [`StorageError`]; mostly because there is not enough memory for what is in it.
pub fn remove(host: &Host, path: &str, within: Duration) -> Result<(), StorageError> {
    let mut invocation = match host.system() {
        System::Illumos => Invocation::new("/usr/sbin/swap", ["-d", path]),
        System::Linux => Invocation::new("/usr/sbin/swapoff", [path]),
    };
    invocation.deadline = within;
    change(host, format!("stop using {path} as swap"), &invocation, path, false)
}

fn change(host: &Host, operation: String, run: &Invocation, path: &str, wanted: bool) -> Result<(), StorageError> {
    let answer = host.run_any(run).map_err(StorageError::command(operation.clone()))?;
    if is_used(host, path)? == wanted {
        return Ok(());
    }
    let said = match answer.clone().success(run) {
        Err(source) => return Err(StorageError::Command { operation, source }),
        Ok(_) if wanted => "it is not in the list afterwards",
        Ok(_) => "it is still in the list",
    };
    Err(StorageError::NotSo { operation, said: said.to_owned() })
}

/// Whether an area in use is a file that was at this path, and was removed: until the machine restarts, nothing takes it out
/// of use.
#[must_use]
pub fn was_removed(area: &SwapArea, path: &str) -> bool {
    area.path.strip_suffix(REMOVED) == Some(path)
}

/// Whether an area is in the list, perhaps on its way out: then what is in it is swap.
///
/// # Errors
/// [`StorageError`].
pub fn is_listed(host: &Host, path: &str) -> Result<bool, StorageError> {
    let identity = crate::device_name::node(host, path);
    Ok(areas(host)?.iter().any(|area| area.path == path || area.path == identity))
}

/// Whether an area is in use, and not on its way out.
///
/// # Errors
/// [`StorageError`].
pub fn is_used(host: &Host, path: &str) -> Result<bool, StorageError> {
    let identity = crate::device_name::node(host, path);
    Ok(areas(host)?.iter().any(|area| !area.leaving && (area.path == path || area.path == identity)))
}

/// Linux: writes the header of a swap area, over whatever was there. One that was there keeps its UUID and label, by which a row
/// of the boot table may name it.
///
/// # Errors
/// [`StorageError`].
pub fn make(host: &Host, path: &str) -> Result<(), StorageError> {
    let names = header(host, path)?.and_then(|header| Names::of(&header));
    let mut args: Vec<&str> = Vec::new();
    if let Some(Names { uuid, label }) = &names {
        args.extend(["-U", uuid.as_str()]);
        args.extend(label.as_ref().into_iter().flat_map(|label| ["-L", label.as_str()]));
    }
    args.push(path);
    let invocation = Invocation::new("/usr/sbin/mkswap", args);
    host.run(&invocation).map_err(StorageError::command(format!("make a swap area of {path}"))).map(drop)
}

/// What a swap area is called.
struct Names {
    uuid: String,
    label: Option<String>,
}

impl Names {
    /// By its header, where the UUID stands at 1036, and the label behind it (`swap.h` of Linux); none where there is no header, or
    /// it was made without a UUID.
    fn of(start: &[u8]) -> Option<Self> {
        header_size(start)?;
        let uuid = u128::from_be_bytes(*start.get(1036..)?.first_chunk()?);
        let label = start.get(1052..1068)?.split(|byte| *byte == 0).next().unwrap_or_default();
        let label = std::str::from_utf8(label).ok().filter(|label| !label.is_empty()).map(str::to_owned);
        let digits = format!("{uuid:032x}");
        let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &digits[group]);
        (uuid != 0).then(|| Self { uuid: groups.join("-"), label })
    }
}

/// Linux: the size in bytes for which a file or device bears the header of a swap area; none without a header.
///
/// # Errors
/// [`StorageError`].
pub fn made_for(host: &Host, path: &str) -> Result<Option<u64>, StorageError> {
    Ok(header(host, path)?.and_then(|start| header_size(&start)))
}

/// The beginning of a file or device, where the header of a swap area would be; none when there is no such thing.
fn header(host: &Host, path: &str) -> Result<Option<Vec<u8>>, StorageError> {
    use std::io::Read;
    let operation = format!("look at the beginning of {path}");
    let resolved = host.root.resolve(path).map_err(StorageError::file(operation.clone()))?;
    let mut start = Vec::new();
    let file = match std::fs::File::open(host.root.locate(resolved)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::kernel(operation)(error)),
    };
    let limit = u64::try_from(LARGEST_PAGE).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut start).map_err(StorageError::kernel(operation))?;
    Ok(Some(start))
}

/// The size that the header at the beginning of a file or device tells: some page ends with a signature, and at 1024
/// stand the version and the number of the last page, in the byte order of the machine (mkswap(8), `swap.h` of Linux).
#[must_use]
pub fn header_size(start: &[u8]) -> Option<u64> {
    let pages = [4096, 8192, 16384, 32768, LARGEST_PAGE];
    let page = pages.into_iter().find(|page| start.get(page - 10..*page) == Some(b"SWAPSPACE2"))?;
    let number = |at: usize| Some(u32::from_ne_bytes(start.get(at..at + 4)?.try_into().ok()?));
    (number(1024)? == 1).then_some(())?;
    (u64::from(number(1028)?) + 1).checked_mul(u64::try_from(page).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_systems() {
        let text = "swapfile             dev    swaplo   blocks     free\n\
                    /dev/zvol/dsk/rpool/swap 228,1         8  4194296  4194296\n\
                    /var/swapfile         -         8     2040     2040 INDEL\n";
        let areas = parse_list(text);
        assert_eq!((areas[0].path.as_str(), areas[0].bytes), ("/dev/zvol/dsk/rpool/swap", 2 << 30));
        assert_eq!((areas[1].bytes, areas[1].leaving), (1 << 20, true));
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/my\\040swap  file\t\t16380\t\t0\t\t-2\n/dev/sdb1 partition 1048572 12 5\n";
        let areas = parse_proc_swaps(text);
        assert_eq!((areas[0].path.as_str(), areas[0].bytes, areas[0].priority), ("/my swap", 16380 * 1024, Some(-2)));
        assert_eq!(areas[1].priority, Some(5));
        let removed = &parse_proc_swaps("/var/swap\\040(deleted) file 1020 0 -2\n")[0];
        assert!(
            removed.path != "/var/swap" && was_removed(removed, "/var/swap") && !was_removed(removed, "/var/other")
        );
    }

    #[test]
    fn headers_are_found_at_every_page_size() {
        let mut start = vec![0; LARGEST_PAGE];
        assert_eq!((header_size(&start), header_size(b"SWAPSPACE2")), (None, None));
        start[8182..8192].copy_from_slice(b"SWAPSPACE2");
        assert_eq!(header_size(&start), None, "another version is another format");
        start[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
        start[1028..1032].copy_from_slice(&9_u32.to_ne_bytes());
        assert_eq!(header_size(&start), Some(10 * 8192));
        assert!(Names::of(&start).is_none(), "nothing names it");
        start[1036..1052].copy_from_slice(&0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes());
        start[1052..1056].copy_from_slice(b"work");
        let names = Names::of(&start).unwrap();
        assert_eq!(
            (names.uuid.as_str(), names.label.as_deref()),
            ("01234567-89ab-cdef-0123-456789abcdef", Some("work"))
        );
    }
}
