//! `image-builder workspace`, `gc` and `clean`.

use crate::arguments::{Clean, Gc, WorkspaceArguments};
use crate::failure::Failure;
use crate::output::print_lines;
use crate::terminal;
use image_steps::{DiskUse, Location, Workspace};
use std::io::{self, Write};

const MIB: u64 = 1 << 20;

/// `image-builder workspace`.
pub(crate) fn workspace(arguments: &WorkspaceArguments) -> Result<(), Failure> {
    let location = Location::parse(&arguments.location.dataset);
    if arguments.disk_use {
        return tell_disk_use(&location, arguments.json);
    }
    let workspace = Workspace::make(&location)?;
    let path = if arguments.output { workspace.output() } else { workspace.root() };
    print_lines(|output| writeln!(output, "{}", path.display()))
}

fn tell_disk_use(location: &Location, json: bool) -> Result<(), Failure> {
    let used = image_steps::disk_use(location)?;
    print_lines(|output| match json {
        true => writeln!(output, "{}", serde_json::to_string(&used).expect("numbers are JSON")),
        false => print_disk_use(output, &used),
    })
}

fn print_disk_use(output: &mut dyn Write, used: &DiskUse) -> io::Result<()> {
    let parts = [
        ("images and archives", used.output),
        ("cache", used.cache),
        ("packages of Debian roots", used.debian),
        ("locks of IPS packages", used.packages),
        ("unfinished", used.work),
    ];
    parts.into_iter().try_for_each(|(part, bytes)| writeln!(output, "{part}: {} MiB", bytes.div_ceil(MIB)))
}

/// `image-builder gc`.
pub(crate) fn gc(arguments: &Gc) -> Result<(), Failure> {
    let location = Location::parse(&arguments.location.dataset);
    let collected = image_steps::collect(&location, &terminal::progress())?;
    let used = image_steps::disk_use(&location)?;
    if arguments.json {
        let mut told = serde_json::to_value(&collected).expect("numbers are JSON");
        told["disk_use"] = serde_json::to_value(used).expect("numbers are JSON");
        return print_lines(|output| writeln!(output, "{told}"));
    }
    let freed = collected.bytes_before.saturating_sub(collected.bytes_after);
    print_lines(|output| {
        writeln!(output, "results of steps: {} kept, {} forgotten", collected.kept_steps, collected.forgotten_steps)?;
        writeln!(output, "contents: {} kept, {} removed", collected.kept_contents, collected.removed_contents)?;
        writeln!(output, "freed: {} MiB", freed / MIB)?;
        print_disk_use(output, &used)
    })
}

/// `image-builder clean`.
pub(crate) fn clean(arguments: &Clean) -> Result<(), Failure> {
    let freed = image_steps::clean(&Location::parse(&arguments.location.dataset))?;
    let freed_mib = freed / MIB;
    print_lines(|output| match arguments.json {
        true => writeln!(output, "{}", serde_json::json!({ "freed_bytes": freed })),
        false => {
            writeln!(
                output,
                "cache: removed, {freed_mib} MiB freed; images, archives and package files are as they were"
            )
        }
    })
}
