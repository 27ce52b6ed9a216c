//! Whether the boot archive holds what the kernel needs, as the boot environment has it, and whether the first boot will
//! leave it alone.

use std::collections::BTreeSet;
use std::io::{self, Read};

use image_steps::{DISK_DRIVERS, REQUIRED_FOR_BOOT, missing_disk_modules};
use zfs_format::nvlist::{NvValue, decode_xdr};

use super::cpio;
use super::files::{Files, Kind};
use crate::inspect::findings::Findings;

/// What names the archived files; the second is the administrator's.
const FILE_LISTS: [&str; 2] = ["/boot/solaris/filelist.ramdisk", "/etc/boot/solaris/filelist.ramdisk"];
/// What the kernel reads before it has the pool, of what every boot needs; modules of disks are beside it.
const NEEDED: [&str; 10] = [
    "boot/solaris/bootenv.rc",
    "etc/driver_aliases",
    "etc/name_to_major",
    "etc/path_to_inst",
    "etc/system",
    "kernel/amd64/genunix",
    "kernel/fs/amd64/zfs",
    "platform/i86pc/kernel/drv/amd64/isa",
    "platform/i86pc/kernel/drv/amd64/npe",
    "platform/i86pc/kernel/drv/amd64/pci",
];
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
    let is_same = same_content(content, &mut *files.open(&path)?)?;
    Ok((!is_same).then(|| format!("{path} in it is another one than in the boot environment")))
}

/// Whether both end at the same place with the same bytes.
pub(super) fn same_content(one: &mut dyn Read, other: &mut dyn Read) -> io::Result<bool> {
    let (mut ours, mut theirs) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = read_full(one, &mut ours)?;
        if read_full(other, &mut theirs)? != count || ours[..count] != theirs[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
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
    for name in NEEDED.iter().filter(|name| !archived.contains(**name)) {
        let required = REQUIRED_FOR_BOOT.iter().find(|(path, ..)| path[1..] == **name);
        problems.push(absent(files, name, required.map_or("the base", |(.., package)| *package))?);
    }
    let modules = missing_disk_modules(|path| Ok::<_, io::Error>(archived.contains(&path[1..])))?;
    match modules.len() == DISK_DRIVERS.len() {
        true => {
            let paths: Vec<_> = modules.iter().map(|(path, _)| &path[1..]).collect();
            problems.push(format!("no driver of a disk is in it ({})", paths.join(", ")));
        }
        false => {
            for (path, package) in &modules {
                problems.push(absent(files, &path[1..], package)?);
            }
        }
    }
    let (mut listed, mut left) = (BTreeSet::new(), LISTED_MAX);
    for list in FILE_LISTS {
        for line in files.text(list)?.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()) {
            for name in named_by(files, line.trim_start_matches('/'))? {
                collect(files, &name, DEPTH_MAX, &mut left, &mut listed)?;
            }
        }
    }
    let told = |name: &str| NEEDED.contains(&name) || modules.iter().any(|(path, _)| path[1..] == *name);
    let unarchived = listed.iter().filter(|name| !archived.contains(*name) && !told(name));
    problems.extend(unarchived.map(|name| format!("{name} is not in it")));
    Ok(())
}

/// That something is not archived, and what has to change so that it will be.
fn absent(files: &dyn Files, name: &str, package: &str) -> io::Result<String> {
    Ok(match files.has_file(&format!("/{name}"))? {
        true => {
            format!("{name} is not in it, although the boot environment has it: {} does not name it", FILE_LISTS[0])
        }
        false => format!("{name} is not in it; the package {package} has it"),
    })
}

/// The paths that a line of a list names: itself, but for the one that stands for the kernels of all machines.
fn named_by(files: &dyn Files, line: &str) -> io::Result<Vec<String>> {
    if line != "platform" || files.look("/platform")?.is_none_or(|entry| entry.kind != Kind::Directory) {
        return Ok(vec![line.to_owned()]);
    }
    Ok(files.names("/platform")?.into_iter().map(|machine| format!("platform/{machine}/kernel")).collect())
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
