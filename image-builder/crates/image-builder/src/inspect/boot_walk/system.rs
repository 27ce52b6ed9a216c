//! What the running system reads before its first service: tables of drivers and of mounts, and the services' repository.
//!
//! Facts: illumos-gate's `driver_aliases(5)` and `name_to_major`, `vfstab(5)` and `filesystem/local`, svc.configd.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use image_steps::{DISK_DRIVERS, REQUIRED_FOR_BOOT};

use super::archive::same_content;
use super::files::Files;
use crate::inspect::findings::Findings;

const MAJORS: &str = "/etc/name_to_major";
/// Tables whose lines begin with a driver that must have a number.
const DRIVER_TABLES: [&str; 2] = ["/etc/driver_aliases", "/etc/driver_classes"];
/// Drivers of a guest's devices: where the module is, the driver has to be known.
const GUEST_DRIVERS: [&str; 2] = ["/kernel/drv/amd64/vio9p", "/kernel/drv/amd64/vioif"];
const MOUNTS: &str = "/etc/vfstab";
/// Where `mount -F TYPE` looks for the type's own program.
const MOUNT_HELPERS: [&str; 2] = ["/usr/lib/fs", "/etc/fs"];
/// Without it the first boot begins with an empty repository.
const REPOSITORY: &str = "/etc/svc/repository.db";
const SEED: &str = "/lib/svc/seed/global.db";
const REPOSITORY_MAGIC: &[u8] = b"** This file contains an SQLite 2.1 database **";
const REPOSITORY_MODE: u64 = 0o600;
const GENERIC_PROFILE: &str = "/etc/svc/profile/generic.xml";
const RECONFIGURE: &str = "/reconfigure";

pub(super) fn check(files: &dyn Files, findings: &mut Findings) -> io::Result<()> {
    let mut problems = Vec::new();
    check_drivers(files, &mut problems)?;
    check_mounts(files, &mut problems)?;
    check_repository(files, &mut problems)?;
    if problems.is_empty() {
        findings.good.push("boot: tables of drivers and mounts and the services' repository are sound".to_owned());
    }
    if files.look(RECONFIGURE)?.is_some() {
        findings.good.push(format!("boot: {RECONFIGURE} is there, so the first boot makes the boot archive anew"));
    }
    findings.bad.extend(problems.into_iter().map(|problem| format!("boot: {problem}")));
    Ok(())
}

/// The words of each line that is no comment, with its number.
fn rows(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(at, line)| (at, words(line)))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Every driver has one number, no number has two drivers, and what a boot or a guest needs is among them.
fn check_drivers(files: &dyn Files, problems: &mut Vec<String>) -> io::Result<()> {
    // That a table is missing is told where everything that is missing is.
    let Some(text) = files.text(MAJORS)? else { return Ok(()) };
    let (mut names, mut majors) = (BTreeSet::new(), BTreeMap::new());
    for (line, row) in rows(&text) {
        let [name, number] = row[..] else {
            problems.push(format!("{MAJORS}:{line}: it is not a driver and its number"));
            continue;
        };
        let Ok(number) = number.parse::<u32>() else {
            problems.push(format!("{MAJORS}:{line}: {number} is no number"));
            continue;
        };
        if !names.insert(name) {
            problems.push(format!("{MAJORS}:{line}: {name} has a number already"));
        } else if let Some(other) = majors.insert(number, name) {
            problems.push(format!("{MAJORS}:{line}: {name} has the number {number} of {other}"));
        }
    }
    for table in DRIVER_TABLES {
        let text = files.text(table)?.unwrap_or_default();
        let unknown: BTreeSet<_> = rows(&text).map(|(_, row)| row[0]).filter(|name| !names.contains(name)).collect();
        problems
            .extend(unknown.into_iter().map(|name| format!("{table} names {name}, which has no number in {MAJORS}")));
    }
    let disks = DISK_DRIVERS.iter().flat_map(|driver| driver.needs.iter().chain([&driver.module]));
    let modules = disks.map(|(path, _)| *path).chain(REQUIRED_FOR_BOOT.iter().map(|(path, ..)| *path));
    let modules: BTreeSet<_> = modules.chain(GUEST_DRIVERS).collect();
    for path in modules {
        let Some((directory, name)) = path.rsplit_once('/') else { continue };
        if directory.ends_with("/drv/amd64") && !names.contains(name) && files.has_file(path)? {
            problems.push(format!(
                "{path} is there, and {MAJORS} has no number for it; its package's driver action adds it"
            ));
        }
    }
    Ok(())
}

/// A row that is mounted at boot and cannot be sends `filesystem/local` to maintenance, and nobody can log in.
fn check_mounts(files: &dyn Files, problems: &mut Vec<String>) -> io::Result<()> {
    let text = files.text(MOUNTS)?.unwrap_or_default();
    for (line, row) in rows(&text) {
        let [_, _, place, kind, _, at_boot, _] = row[..] else {
            problems.push(format!("{MOUNTS}:{line}: it has {} words instead of 7", row.len()));
            continue;
        };
        if at_boot != "yes" || place == "-" {
            continue;
        }
        let mut has_helper = false;
        for directory in MOUNT_HELPERS {
            has_helper |= !kind.contains('/') && files.has_file(&format!("{directory}/{kind}/mount"))?;
        }
        if !has_helper {
            problems.push(format!(
                "{MOUNTS}:{line}: {place} is to be mounted at boot, and nothing in the image mounts the type {kind} \
                 ({}/{kind}/mount); write no instead of yes",
                MOUNT_HELPERS[0]
            ));
        }
    }
    Ok(())
}

fn check_repository(files: &dyn Files, problems: &mut Vec<String>) -> io::Result<()> {
    let Some(entry) = files.look(REPOSITORY)? else {
        problems.push(format!("{REPOSITORY} is missing, so the first boot has no service; seed_smf makes it"));
        return Ok(());
    };
    if !files.has_file(REPOSITORY)? {
        problems.push(format!("{REPOSITORY} is no file"));
        return Ok(());
    }
    if entry.mode != REPOSITORY_MODE {
        problems.push(format!("{REPOSITORY} has the mode {:o} instead of {REPOSITORY_MODE:o}", entry.mode));
    }
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(files.open(REPOSITORY)?, REPOSITORY_MAGIC.len() as u64), &mut start)?;
    if start != REPOSITORY_MAGIC {
        problems.push(format!("{REPOSITORY} is no repository: it does not begin as an SQLite 2.1 database"));
    }
    let is_seed = files.has_file(SEED)? && same_content(&mut *files.open(REPOSITORY)?, &mut *files.open(SEED)?)?;
    // A repository that svccfg has made had its profiles applied.
    if is_seed && !files.has_file(GENERIC_PROFILE)? {
        problems.push(format!(
            "{GENERIC_PROFILE} leads nowhere, so the first boot enables no service; make it a link to \
             generic_limited_net.xml or generic_open.xml"
        ));
    }
    Ok(())
}
