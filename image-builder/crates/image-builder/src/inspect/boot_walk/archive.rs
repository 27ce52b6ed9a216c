//! Whether the boot archive holds what the kernel needs, as the boot environment has it, and whether the first boot will
//! leave it alone.

use std::collections::BTreeSet;
use std::io::{self, Read};

use zfs_format::nvlist::{NvValue, decode_xdr};

use super::cpio;
use super::files::{Files, Kind};
use crate::inspect::verify::Findings;

/// What names the archived files; the second is the administrator's.
const FILE_LISTS: [&str; 2] = ["/boot/solaris/filelist.ramdisk", "/etc/boot/solaris/filelist.ramdisk"];
/// What the kernel reads before it has the pool.
const NEEDED: [&str; 5] =
    ["kernel/amd64/genunix", "kernel/fs/amd64/zfs", "etc/name_to_major", "etc/driver_aliases", "etc/system"];
/// Disks that a machine may have: block devices of virtio and NVMe, SCSI and SATA, IDE.
const DISK_DRIVERS: [&str; 3] = ["kernel/drv/amd64/blkdev", "kernel/drv/amd64/sd", "kernel/drv/amd64/cmdk"];
/// The newest file that `bootadm` leaves, and the sizes and times of the archived ones.
const TIMESTAMP: &str = "/boot/solaris/timestamp.cache";
const FILE_STATES: &str = "/boot/solaris/filestat.ramdisk";
/// Archives of older systems, which the boot would take for its own.
const STALE: [&str; 2] = ["/platform/i86pc/boot_archive", "/platform/i86pc/archive_cache"];
/// Deeper directories, and more files, are a circle or an attack; systems have some thousands.
const DEPTH_MAX: usize = 64;
const LISTED_MAX: usize = 200_000;
const HASH_CHARACTERS: usize = 40;

/// Looks at the archive, and at its hash where the loader passes one on.
pub(super) fn check(files: &dyn Files, path: &str, hash: Option<&str>, findings: &mut Findings) -> io::Result<()> {
    let mut problems = Vec::new();
    let mut archived = BTreeSet::new();
    let read = cpio::read(files.open(path)?, |member, content| {
        if member.name.starts_with('/') || member.name.starts_with("./") {
            problems.push(format!("the name {} in it is not found by the kernel", member.name));
        }
        if member.is_file() {
            problems.extend(difference(files, &member.name, content)?);
        }
        archived.insert(member.name.clone());
        Ok(())
    });
    let summary = match read {
        Ok(summary) => summary,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            findings.bad.push(format!("boot: {path}: {error}{cause}"));
            return Ok(());
        }
    };
    missing(files, &archived, &mut problems)?;
    if let Some(hash) = hash {
        problems.extend(wrong_hash(files, hash, &summary.sha1)?);
    }
    problems.extend(would_be_made_anew(files, path)?);
    match problems.is_empty() {
        true => findings.good.push(format!(
            "boot: {path}: {} entries, {} KiB unpacked, as the boot environment has them, and the first boot finds it current",
            summary.members,
            summary.bytes.div_ceil(1024)
        )),
        false => findings.bad.extend(problems.into_iter().map(|problem| format!("boot: {path}: {problem}"))),
    }
    Ok(())
}

/// How an archived file differs from that of the boot environment.
fn difference(files: &dyn Files, name: &str, content: &mut dyn Read) -> io::Result<Option<String>> {
    let path = format!("/{name}");
    if !files.has_file(&path)? {
        return Ok(Some(format!("{path} is in it, and not in the boot environment")));
    }
    let mut original = files.open(&path)?;
    let (mut ours, mut theirs) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = read_full(content, &mut ours)?;
        if read_full(&mut *original, &mut theirs)? != count || ours[..count] != theirs[..count] {
            return Ok(Some(format!("{path} in it is another one than in the boot environment")));
        }
        if count == 0 {
            return Ok(None);
        }
    }
}

/// Fills the buffer, but at the end.
fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// What the kernel needs or the lists name, and is not archived.
fn missing(files: &dyn Files, archived: &BTreeSet<String>, problems: &mut Vec<String>) -> io::Result<()> {
    let absent = |name: &str| format!("{name} is not in it");
    problems.extend(NEEDED.iter().filter(|name| !archived.contains(**name)).map(|name| absent(name)));
    if !DISK_DRIVERS.iter().any(|driver| archived.contains(*driver)) {
        problems.push(format!("no driver of a disk is in it ({})", DISK_DRIVERS.join(", ")));
    }
    let (mut listed, mut left) = (BTreeSet::new(), LISTED_MAX);
    for list in FILE_LISTS {
        for line in files.text(list)?.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()) {
            collect(files, line.trim_start_matches('/'), DEPTH_MAX, &mut left, &mut listed)?;
        }
    }
    let unarchived = listed.iter().filter(|name| !archived.contains(*name) && !NEEDED.contains(&name.as_str()));
    problems.extend(unarchived.map(|name| absent(name)));
    Ok(())
}

/// The files and links at and below a path; links are not followed.
fn collect(
    files: &dyn Files,
    name: &str,
    depth: usize,
    left: &mut usize,
    listed: &mut BTreeSet<String>,
) -> io::Result<()> {
    let too_many = || io::Error::other(format!("the boot archive's list names more than {LISTED_MAX} files"));
    *left = left.checked_sub(1).ok_or_else(too_many)?;
    match files.look_at(&format!("/{name}"), false)?.map(|entry| entry.kind) {
        Some(Kind::File | Kind::Link) => drop(listed.insert(name.to_owned())),
        Some(Kind::Directory) if depth > 0 => {
            for child in files.names(&format!("/{name}"))? {
                collect(files, &format!("{name}/{child}"), depth - 1, left, listed)?;
            }
        }
        _ => (),
    }
    Ok(())
}

/// A file without a whole hash is passed over; a wrong one stops the boot before the kernel starts.
fn wrong_hash(files: &dyn Files, path: &str, sha1: &str) -> io::Result<Option<String>> {
    let Some(text) = files.text(path)? else { return Ok(None) };
    let hash = text.get(..HASH_CHARACTERS).map(str::to_ascii_lowercase);
    Ok(hash.filter(|hash| hash != sha1).map(|hash| format!("its SHA-1 is {sha1}, and {path} says {hash}")))
}

/// Why the first boot would make the archive anew and start again.
fn would_be_made_anew(files: &dyn Files, archive: &str) -> io::Result<Vec<String>> {
    let mut reasons = Vec::new();
    let again = "so the first boot makes the archive anew and starts again";
    for stale in STALE {
        if files.look(stale)?.is_some() {
            reasons.push(format!("{stale} of an older system is there"));
        }
    }
    let age = files.look(archive)?.map(|entry| entry.mtime);
    match files.look(TIMESTAMP)? {
        None => reasons.push(format!("{TIMESTAMP} is missing, {again}")),
        Some(entry) if age.is_some_and(|age| age > entry.mtime) => {
            reasons.push(format!("it is newer than {TIMESTAMP}, {again}"));
        }
        Some(_) => (),
    }
    let states = files.bytes(FILE_STATES)?.and_then(|bytes| decode_xdr(&bytes).ok());
    let Some(states) = states else {
        reasons.push(format!("{FILE_STATES} is missing or makes no sense, {again}"));
        return Ok(reasons);
    };
    for (name, value) in states.pairs() {
        let NvValue::U64Array(pair) = value else { continue };
        let entry = files.look(&format!("/{name}"))?;
        let is_same = match &entry {
            Some(entry) if entry.kind == Kind::File => pair[..] == [entry.size, entry.mtime.max(0).unsigned_abs()],
            Some(_) => true,
            None => false,
        };
        if !is_same {
            reasons.push(format!("/{name} changed since {FILE_STATES} was written, {again}"));
        }
    }
    Ok(reasons)
}
