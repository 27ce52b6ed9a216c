//! Who uses a device or file, by what the kernel says.

use super::identity::all_others;
use super::{Looks, Names, locate, lun, maps};
use crate::mount_table::{Mount, holding, may_wait};
use crate::{Host, Invocation, System, files};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Linux: its block devices.
const BLOCK_DEVICES: &str = "/sys/block";
/// How many devices that lie on each other are looked through.
const DEEPEST: u32 = 16;
/// illumos: the driver of lofi(4D), which a zone need not have.
const LOFI: &str = "/dev/lofictl";

/// What uses a device or file: on Linux whoever opens a device exclusively, on illumos the mount table and the list of swap
/// areas; of a file on both the devices that are made of it, and swap.
pub(super) fn used(looks: &Looks<'_>, path: &str) -> io::Result<Option<String>> {
    let host = looks.host;
    let located = locate(looks, path)?;
    // On illumos a whole disk need not have a node of its own name.
    let metadata = match fs::metadata(&located) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_block_device = metadata.as_ref().is_some_and(|metadata| metadata.file_type().is_block_device());
    let by_kernel = match host.system() {
        System::Linux if is_block_device => return used_by_any_path(looks, path, &located),
        System::Linux => None,
        System::Illumos => used_on_illumos(looks, path)?,
    };
    match metadata.filter(|metadata| by_kernel.is_none() && metadata.is_file()) {
        Some(metadata) => used_file(looks, path, &metadata),
        None => Ok(by_kernel),
    }
}

/// The kernel does not know that several paths lead to one disk, so that what uses another one is asked about, too.
fn used_by_any_path(looks: &Looks<'_>, path: &str, located: &Path) -> io::Result<Option<String>> {
    let (host, names) = (looks.host, looks.names(path));
    if let Some(used) = used_exclusively(located)? {
        let instead = lun::map_instead(host, &names);
        return Ok(Some(instead.map_or(used, |map| format!("it is one of the paths to {map}"))));
    }
    if let Some(used) = used_by_other_path(host, &names)? {
        return Ok(Some(used));
    }
    match made_of_it(looks, &names)? {
        Some(device) => Ok(Some(format!("{device} is made of it"))),
        None => used_below(looks, &names, DEEPEST),
    }
}

/// Whether what a device lies on is in use apart from it, however many loop devices and maps lie between.
fn used_below(looks: &Looks<'_>, names: &Names, depth: u32) -> io::Result<Option<String>> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(format!("more than {DEEPEST} devices lie on each other below it")));
    };
    if let Some(used) = used_by_loop(looks, names, depth)? {
        return Ok(Some(used));
    }
    if let Some(used) = used_by_map(looks.host, names)? {
        return Ok(Some(used));
    }
    // A map holds what it lies on itself, so that only what lies further below tells anything.
    let Some(map) = names.own.strip_prefix("/dev/").filter(|own| own.starts_with("dm-")) else { return Ok(None) };
    for below in all_others(looks.host, map, "slaves")? {
        if let Some(used) = used_below(looks, &looks.names(&format!("/dev/{below}")), depth)? {
            return Ok(Some(format!("it lies on /dev/{below}, of which: {used}")));
        }
    }
    Ok(None)
}

/// Whether a map over the same sectors is in use.
fn used_by_map(host: &Host, names: &Names) -> io::Result<Option<String>> {
    for (map, below) in maps::over_the_same(host, names)? {
        if is_busy(host, &format!("/dev/{map}"))? {
            return Ok(Some(format!("it lies on sectors of /dev/{below} that /dev/{map} has, too, which is in use")));
        }
    }
    Ok(None)
}

/// Whether something holds a device; nothing holds one that is gone.
fn is_busy(host: &Host, device: &str) -> io::Result<bool> {
    match used_exclusively(&host.root.locate(device)) {
        Err(error) if super::is_absent(&error) => Ok(false),
        used => used.map(|used| used.is_some()),
    }
}

/// The loop device that is made of a block device, or of one that it has a part of.
fn made_of_it<'a>(looks: &'a Looks<'_>, names: &Names) -> io::Result<Option<&'a str>> {
    let is_own = |device: &str| names.own == device || names.any_disk.as_deref() == Some(device);
    let is_it = |file: &String| file.starts_with("/dev/") && looks.names(file).overlaps_disk(names);
    let mut made = looks.made()?.iter().filter(|(device, _)| !is_own(device));
    Ok(made.find(|(_, files)| files.iter().any(is_it)).map(|(device, _)| device.as_str()))
}

/// A loop device does not hold the block device or file that it is made of, so that the kernel lets everybody write on one while
/// the other one is mounted, or is swap.
fn used_by_loop(looks: &Looks<'_>, names: &Names, depth: u32) -> io::Result<Option<String>> {
    let is_own = |device: &str| names.own == device || names.any_disk.as_deref() == Some(device);
    for below in looks.made()?.iter().filter(|(device, _)| is_own(device)).flat_map(|(_, files)| files) {
        if !below.starts_with("/dev/") {
            if let Some(area) = swap_in(looks, below)? {
                return Ok(Some(format!("it is made of {below}, which is swap, as {area}")));
            }
            continue;
        }
        let below_names = looks.names(below);
        if is_busy(looks.host, &below_names.own)? || used_by_other_path(looks.host, &below_names)?.is_some() {
            return Ok(Some(format!("it is made of {below}, which is in use")));
        }
        if let Some(used) = used_below(looks, &below_names, depth)? {
            return Ok(Some(format!("it is made of {below}, of which: {used}")));
        }
    }
    for other in lun::loops_of_the_same_file(looks.host, names) {
        if is_busy(looks.host, &other)? {
            return Ok(Some(format!("it is in use as {other}, which has a part of the same file")));
        }
    }
    Ok(None)
}

/// Whether something uses a disk by another path than this one.
pub(super) fn used_by_other_path(host: &Host, names: &Names) -> io::Result<Option<String>> {
    for other in lun::other_paths(host, names) {
        // A path that is down has no node, or one that says so.
        if is_busy(host, &other)? {
            let by = names.lun.as_ref().map(|lun| format!(" {}", lun.describe())).unwrap_or_default();
            return Ok(Some(format!("it is in use as {other}, which is another path to it{by}")));
        }
    }
    Ok(None)
}

/// On a block device of Linux, `O_EXCL` without `O_CREAT` fails while a file system, md, LVM or ZFS has it (open(2)).
fn used_exclusively(located: &Path) -> io::Result<Option<String>> {
    let exclusive = i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap_or_default();
    match OpenOptions::new().read(true).custom_flags(exclusive).open(located) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(Some("it is in use".to_owned())),
        Err(error) => Err(error),
    }
}

/// By the mount table and the list of swap areas; whether a pool has it, who is asked about pools has to see to.
fn used_on_illumos(looks: &Looks<'_>, path: &str) -> io::Result<Option<String>> {
    let own = looks.names(path);
    // Another path may lie where looking at it waits for a server.
    let overlaps =
        |device: &str| device == path || (device.starts_with("/dev/") && own.overlaps_disk(&looks.names(device)));
    first_user_of_illumos(looks, &own, overlaps)
}

/// What uses a disk of illumos by another path than this one.
pub(super) fn used_by_other_path_of_illumos(looks: &Looks<'_>, path: &str) -> io::Result<Option<String>> {
    let own = looks.names(path);
    let overlaps = |device: &str| {
        let other = looks.names(device);
        other.any_disk != own.any_disk && own.overlaps_disk(&other)
    };
    first_user_of_illumos(looks, &own, |device| device.starts_with("/dev/") && overlaps(device))
}

fn first_user_of_illumos(looks: &Looks<'_>, own: &Names, is_it: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
    let told = |device: &str, what: &str| {
        let other = looks.names(device);
        let by = own.lun.as_ref().filter(|_| other.any_disk != own.any_disk).map(super::Lun::describe);
        let by = by.map(|by| format!(", and is another path to it {by}")).unwrap_or_default();
        Some(format!("{device} is {what}{by}"))
    };
    let mounts = looks.mounts()?;
    if let Some(Mount { device, mount_point, .. }) = mounts.iter().find(|mount| is_it(&mount.device)) {
        return Ok(told(device, &format!("mounted on {mount_point}")));
    }
    let area = looks.areas()?.iter().find(|area| is_it(&area.path));
    Ok(area.and_then(|area| told(&area.path, "swap")))
}

/// A file by whatever name: what is mounted is not the file but a device that is made of it.
fn used_file(looks: &Looks<'_>, path: &str, metadata: &Metadata) -> io::Result<Option<String>> {
    let is_it = |other: &String| is_file(looks, other, path, metadata);
    for (device, files) in looks.made()? {
        if files.iter().map(is_it).collect::<io::Result<Vec<_>>>()?.contains(&true) {
            return Ok(Some(format!("{device} is made of it")));
        }
    }
    Ok(swap_in_file(looks, path, metadata)?.map(|area| format!("it is swap, as {area}")))
}

/// Whether a name leads to a file that is known by another one.
fn is_file(looks: &Looks<'_>, other: &str, path: &str, metadata: &Metadata) -> io::Result<bool> {
    // Looking there could wait for a server for ever, and then the name has to do.
    let is_remote = holding(looks.mounts()?, other).is_some_and(may_wait);
    let other_file = || fs::metadata(locate(looks, other).ok()?).ok();
    let is_same = |other: Metadata| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino());
    Ok(other == path || (!is_remote && other_file().is_some_and(is_same)))
}

/// The swap area that a file is, as the system calls it.
fn swap_in_file<'a>(looks: &'a Looks<'_>, path: &str, metadata: &Metadata) -> io::Result<Option<&'a str>> {
    for area in looks.areas()?.iter().filter(|area| !area.path.starts_with("/dev/")) {
        if is_file(looks, &area.path, path, metadata)? {
            return Ok(Some(&area.path));
        }
    }
    Ok(None)
}

/// As [`swap_in_file`]; where the file cannot be seen, as in another namespace, or can be waited for, its name has to do.
fn swap_in<'a>(looks: &'a Looks<'_>, path: &str) -> io::Result<Option<&'a str>> {
    let is_remote = holding(looks.mounts()?, path).is_some_and(may_wait);
    match locate(looks, path).ok().filter(|_| !is_remote).and_then(|located| fs::metadata(located).ok()) {
        Some(metadata) => swap_in_file(looks, path, &metadata),
        None => Ok(looks.areas()?.iter().map(|area| area.path.as_str()).find(|area| *area == path)),
    }
}

/// Devices that are made of files, each with what the name of its file may be.
pub(super) type MadeOfFiles = Vec<(String, Vec<String>)>;

/// What the loop devices of Linux are made of.
pub(super) fn loop_devices(host: &Host) -> io::Result<MadeOfFiles> {
    let entries = match fs::read_dir(host.root.locate(BLOCK_DEVICES)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let backing = format!("{BLOCK_DEVICES}/{name}/loop/backing_file");
        let file = files::read_text(&host.root, backing).map_err(io::Error::other)?;
        found.extend(file.map(|file| (format!("/dev/{name}"), vec![file.trim_end_matches('\n').to_owned()])));
    }
    Ok(found)
}

/// What the devices of lofiadm(8) are made of.
pub(super) fn lofi_devices(host: &Host) -> io::Result<MadeOfFiles> {
    if !host.root.exists(LOFI).map_err(io::Error::other)? {
        return Ok(Vec::new());
    }
    let listed = host.run(&Invocation::new::<&str>("/usr/sbin/lofiadm", [])).map_err(io::Error::other)?;
    Ok(parse_lofiadm(&listed.stdout))
}

/// Takes apart the list of `lofiadm`: device, file, and in newer versions a word about options.
fn parse_lofiadm(text: &str) -> MadeOfFiles {
    let row = |line: &str| {
        let (device, rest) = line.split_once(char::is_whitespace).filter(|(device, _)| device.starts_with('/'))?;
        let rest = rest.trim();
        let file = rest.rsplit_once(char::is_whitespace).map(|(file, _)| file.trim_end().to_owned());
        Some((device.to_owned(), [rest.to_owned()].into_iter().chain(file).collect()))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Machine;

    #[test]
    fn lists_of_lofiadm() {
        let text = "Block Device             File                           Options\n\
                    /dev/lofi/1              /srv/a disk.img                -\n\
                    /dev/lofi/2              /srv/b.iso                     Encrypted\n";
        let found = parse_lofiadm(text);
        assert_eq!((found[0].0.as_str(), found[0].1[1].as_str()), ("/dev/lofi/1", "/srv/a disk.img"));
        assert_eq!((found.len(), found[1].1[1].as_str()), (2, "/srv/b.iso"));
        assert_eq!(parse_lofiadm("/dev/lofi/1 /srv/old\n"), [("/dev/lofi/1".into(), vec!["/srv/old".into()])]);
    }

    #[test]
    fn a_file_is_in_use_by_any_of_its_names() {
        for system in [System::Illumos, System::Linux] {
            let (_directory, host, machine) = Machine::start(system);
            machine.storage(|storage| {
                storage.add_file("/srv/disk", 8 << 20);
                storage.add_file("/srv/other", 8 << 20);
                storage.add_loop(1, "/srv/disk");
            });
            fs::hard_link(host.root.locate("/srv/disk"), host.root.locate("/srv/too")).unwrap();
            let device = if system == System::Linux { "/dev/loop1" } else { "/dev/lofi/1" };
            let said = Some(format!("{device} is made of it"));
            assert_eq!(used(&Looks::new(&host), "/srv/disk").unwrap(), said);
            assert_eq!(used(&Looks::new(&host), "/srv/too").unwrap(), said);
            assert_eq!(used(&Looks::new(&host), "/srv/other").unwrap(), None);
        }
    }

    #[test]
    fn use_is_followed_through_all_that_lies_below() {
        let (_directory, host, machine) = Machine::start(System::Linux);
        machine.storage(|storage| {
            storage.add_file("/srv/swap", 8 << 20);
            storage.add_file("/srv/other", 8 << 20);
            for (number, below) in
                [(0, "/srv/too"), (1, "/dev/loop0"), (2, "/srv/other"), (3, "/dev/loop4"), (4, "/dev/loop3")]
            {
                storage.add_loop(number, below);
                storage.add_file(&format!("/dev/loop{number}"), 8 << 20);
            }
        });
        fs::hard_link(host.root.locate("/srv/swap"), host.root.locate("/srv/too")).unwrap();
        for (map, below) in [("dm-0", "loop1"), ("dm-1", "loop2")] {
            for directory in [format!("{map}/slaves/{below}"), format!("{below}/holders/{map}")] {
                fs::create_dir_all(host.root.locate(format!("/sys/class/block/{directory}"))).unwrap();
            }
        }
        let area = crate::fake::storage::UsedSwap { path: "/srv/swap".to_owned(), bytes: 8 << 20, priority: -1 };
        machine.storage(|storage| storage.swaps.push(area));
        let looks = Looks::new(&host);
        let below = |device: &str| used_below(&looks, &looks.names(device), DEEPEST);
        for (device, is_used) in [("/dev/loop0", true), ("/dev/loop1", true), ("/dev/dm-0", true), ("/dev/dm-1", false)]
        {
            let said = below(device).unwrap();
            assert_eq!(said.is_some_and(|said| said.contains("/srv/swap")), is_used, "{device}");
        }
        assert!(below("/dev/loop3").unwrap_err().to_string().contains("lie on each other"));
    }
}
