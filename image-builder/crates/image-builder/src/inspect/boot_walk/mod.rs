//! The way of a boot of illumos through a finished image: from the pool's `bootfs` over the loader's configuration to the
//! kernel, the boot archive and what else is loaded, and to what the system needs before its first service.
//!
//! The firmware's part, boot blocks and the EFI system partition, is looked at in [`super::boot`].

mod archive;
mod cpio;
mod drivers;
mod files;
mod loader;
mod pool;
mod scripts;
mod system;
#[cfg(test)]
mod tests;

use std::io;

use disk_image::gpt::Table;
use image_steps::{REQUIRED_FOR_BOOT, Wanted};
use zfs_image::reader::{Pool, ReadError};

use self::files::{Files, Kind};
use self::loader::{DEFAULTS, Settings};
use super::findings::{Findings, chain};
use super::long::shown;

/// Where only an illumos has something.
const TRACES: [&str; 3] = [DEFAULTS, "/platform", "/kernel"];
const MENU: &str = "/boot/menu.lst";

/// Walks the way of the dataset that boots; nothing when none does.
pub(super) fn check(pool: &Pool<'_>, table: Option<&Table>, findings: &mut Findings) -> Result<(), ReadError> {
    let Some(dataset) = pool.boot_dataset()? else { return Ok(()) };
    let files = pool.file_system(&dataset)?;
    let mut found = Findings::default();
    if is_illumos(&files) {
        pool::check(pool, &dataset.name, table, &mut found)?;
    }
    if let Err(error) = walk(&files, &dataset.name, &mut found) {
        found.bad.push(format!("boot: {}: {}", dataset.name, chain(&error)));
    }
    let menu = check_menu(pool, &mut found);
    // Names and values are the image's, and a terminal would obey some of them.
    let plain = |list: Vec<String>| list.into_iter().map(|text| shown(text.as_bytes()));
    findings.good.extend(plain(found.good));
    findings.bad.extend(plain(found.bad));
    findings.unread.extend(plain(found.unread));
    menu
}

/// What cannot be read counts: the walk tells why.
fn is_illumos(files: &dyn Files) -> bool {
    TRACES.iter().any(|path| !matches!(files.look(path), Ok(None)))
}

fn walk(files: &dyn Files, dataset: &str, findings: &mut Findings) -> io::Result<()> {
    if !is_illumos(files) {
        findings.unread.push(format!("boot: {dataset}, which has nothing of illumos"));
        return Ok(());
    }
    let settings = Settings::read(files)?;
    findings.bad.extend(settings.problems.iter().map(|problem| format!("boot: {problem}")));
    findings.good.push(format!(
        "boot: the loader reads {} files of {dataset}; the console is {}",
        settings.files.len(),
        settings.console()
    ));
    scripts::check(files, findings)?;
    check_loaded(files, &settings, findings)?;
    check_required(files, findings)?;
    system::check(files, findings)?;
    drivers::check(files, findings)
}

/// The kernel, and the modules beside it.
fn check_loaded(files: &dyn Files, settings: &Settings, findings: &mut Findings) -> io::Result<()> {
    let kernel = settings.kernel();
    match files.has_file(&kernel)? {
        true => findings.good.push(format!("boot: the kernel is {kernel}")),
        false => findings.bad.push(format!("boot: the loader is to load the kernel {kernel}, which is missing")),
    }
    let modules = settings.modules();
    let hash = modules.iter().find(|module| module.kind == "hash").map(|module| module.path.as_str());
    // The loader goes on without a hash.
    for module in modules.iter().filter(|module| module.kind != "hash") {
        if !files.has_file(&module.path)? {
            findings.bad.push(format!("boot: the loader is to load {}, which is missing", module.path));
        } else if module.kind == "rootfs" {
            archive::check(files, &module.path, hash, findings)?;
        }
    }
    if !modules.iter().any(|module| module.kind == "rootfs") {
        findings.bad.push("boot: the loader's configuration names no boot archive".to_owned());
    }
    Ok(())
}

/// What the loader and the kernel want at fixed places.
fn check_required(files: &dyn Files, findings: &mut Findings) -> io::Result<()> {
    let mut missing = 0;
    for (path, wanted, package) in REQUIRED_FOR_BOOT {
        let wanted = match wanted {
            Wanted::File => Kind::File,
            Wanted::Directory => Kind::Directory,
        };
        match files.look(path)?.map(|entry| entry.kind) {
            Some(kind) if kind == wanted => continue,
            Some(_) => findings.bad.push(format!("boot: {path} is there, and no {wanted:?}").to_lowercase()),
            None => findings.bad.push(format!("boot: {path} is missing; the package {package} has it")),
        }
        missing += 1;
    }
    if missing == 0 {
        let count = REQUIRED_FOR_BOOT.len();
        findings.good.push(format!("boot: all {count} files and mount points that a boot needs are there"));
    }
    Ok(())
}

/// The entries of the loader's menu lead to datasets.
fn check_menu(pool: &Pool<'_>, findings: &mut Findings) -> Result<(), ReadError> {
    let Some(root) = pool.datasets()?.into_iter().next() else { return Ok(()) };
    let text = match pool.file_system(&root)?.text(MENU) {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            findings.bad.push(format!("boot: {MENU}: {}", chain(&error)));
            return Ok(());
        }
    };
    for name in text.lines().filter_map(|line| line.trim().strip_prefix("bootfs ")) {
        if pool.dataset(name.trim()).is_err() {
            findings.bad.push(format!("boot: {MENU} of {} names {}, which is no dataset", root.name, name.trim()));
        }
    }
    Ok(())
}
