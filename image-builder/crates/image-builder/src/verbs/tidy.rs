//! `image-builder workspace`, `gc` and `clean`.

#![expect(clippy::print_stdout, reason = "results of the command line")]

use crate::arguments::{Clean, Gc, WorkspaceArguments};
use crate::failure::Failure;
use crate::terminal;
use image_steps::{DiskUse, Location, Workspace};

const MIB: u64 = 1 << 20;

/// `image-builder workspace`.
pub(crate) fn workspace(arguments: &WorkspaceArguments) -> Result<(), Failure> {
    let location = Location::parse(&arguments.location.dataset);
    if arguments.disk_use {
        return tell_disk_use(&location, arguments.json);
    }
    let workspace = Workspace::make(&location)?;
    let path = if arguments.output { workspace.output() } else { workspace.root() };
    println!("{}", path.display());
    Ok(())
}

fn tell_disk_use(location: &Location, json: bool) -> Result<(), Failure> {
    let used = image_steps::disk_use(location)?;
    if json {
        println!("{}", serde_json::to_string(&used).expect("numbers are JSON"));
    } else {
        print_disk_use(&used);
    }
    Ok(())
}

fn print_disk_use(used: &DiskUse) {
    for (part, bytes) in [
        ("images and archives", used.output),
        ("cache", used.cache),
        ("packages of Debian roots", used.debian),
        ("locks of IPS packages", used.packages),
        ("unfinished", used.work),
    ] {
        println!("{part}: {} MiB", bytes.div_ceil(MIB));
    }
}

/// `image-builder gc`.
pub(crate) fn gc(arguments: &Gc) -> Result<(), Failure> {
    let location = Location::parse(&arguments.location.dataset);
    let collected = image_steps::collect(&location, &terminal::progress())?;
    let used = image_steps::disk_use(&location)?;
    if arguments.json {
        let mut told = serde_json::to_value(&collected).expect("numbers are JSON");
        told["disk_use"] = serde_json::to_value(used).expect("numbers are JSON");
        println!("{told}");
        return Ok(());
    }
    let freed = collected.bytes_before.saturating_sub(collected.bytes_after);
    println!("results of steps: {} kept, {} forgotten", collected.kept_steps, collected.forgotten_steps);
    println!("contents: {} kept, {} removed", collected.kept_contents, collected.removed_contents);
    println!("freed: {} MiB", freed / MIB);
    print_disk_use(&used);
    Ok(())
}

/// `image-builder clean`.
pub(crate) fn clean(arguments: &Clean) -> Result<(), Failure> {
    let freed = image_steps::clean(&Location::parse(&arguments.location.dataset))?;
    if arguments.json {
        println!("{}", serde_json::json!({ "freed_bytes": freed }));
    } else {
        println!("cache: removed, {} MiB freed; images, archives and package files are as they were", freed / MIB);
    }
    Ok(())
}
