//! The choice of UEFI firmware by the descriptors that distributions install with it.
//!
//! Facts: `docs/interop/firmware.json` of QEMU. Descriptors are JSON files; a
//! file in a directory of higher priority hides those of the same name in the
//! others, an empty one hides them without offering anything, and all that
//! remain are tried in the order of their file names.

use crate::image::DiskFormat;
use miette::Diagnostic;
use process_runner::Command;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Features that a plain boot of an unsigned image cannot live with.
const UNWANTED_FEATURES: [&str; 3] = ["secure-boot", "enrolled-keys", "requires-smm"];

/// Firmware in two flash chips: the code, only read, and the variables, copied for each machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// The descriptor that offers it.
    pub descriptor: PathBuf,
    /// The code.
    pub code: PathBuf,
    /// The format of the code.
    pub code_format: DiskFormat,
    /// The variables to start from.
    pub variables: PathBuf,
    /// The format of the variables.
    pub variables_format: DiskFormat,
}

/// No firmware could be chosen.
#[derive(Debug, Error, Diagnostic)]
pub enum FirmwareError {
    /// There is no descriptor at all, or none that fits.
    #[error("no UEFI firmware for {architecture} machines of type {machine}: {}", explain(searched, rejected))]
    #[diagnostic(help(
        "install it: `apt-get install ovmf` (Debian), `dnf install edk2-ovmf` (Fedora), `pkg install edk2-qemu-x64` (FreeBSD)"
    ))]
    None {
        /// The guest's processor.
        architecture: String,
        /// The machine type.
        machine: String,
        /// The directories that were searched.
        searched: Vec<PathBuf>,
        /// The descriptors that were found, and what speaks against each.
        rejected: Vec<(PathBuf, String)>,
    },
}

/// The machine types that QEMU knows, aliases included; empty when it cannot be asked.
///
/// `qemu -machine help` writes a heading, and then a type and its description on each line.
#[must_use]
pub(crate) fn machine_types(qemu: &OsStr) -> Vec<String> {
    let answer = Command::new(qemu).args(["-machine", "help"]).run().map(|output| output.stdout_text());
    let text = answer.unwrap_or_default();
    let lines = text.lines().skip_while(|line| !line.starts_with("Supported machines")).skip(1);
    lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

fn explain(searched: &[PathBuf], rejected: &[(PathBuf, String)]) -> String {
    if rejected.is_empty() {
        let searched: Vec<String> = searched.iter().map(|p| p.display().to_string()).collect();
        return format!("no descriptor in {}", searched.join(", "));
    }
    let reasons: Vec<String> = rejected.iter().map(|(path, reason)| format!("{} {reason}", path.display())).collect();
    reasons.join("; ")
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    mode: Option<String>,
    executable: Option<Flash>,
    nvram_template: Option<Flash>,
}

#[derive(Deserialize)]
struct Flash {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// Chooses the first descriptor that offers what is needed; `directories` come in falling priority.
///
/// # Errors
/// [`FirmwareError::None`], with a reason for every descriptor that was seen.
pub fn choose(directories: &[PathBuf], architecture: &str, machine: &str) -> Result<Firmware, FirmwareError> {
    let mut rejected = Vec::new();
    for path in descriptors(directories).into_values() {
        let offer = read(&path).and_then(|descriptor| judge(descriptor, &path, architecture, machine));
        match offer {
            Ok(firmware) => return Ok(firmware),
            Err(reason) => rejected.push((path, reason)),
        }
    }
    Err(FirmwareError::None {
        architecture: architecture.to_owned(),
        machine: machine.to_owned(),
        searched: directories.to_vec(),
        rejected,
    })
}

/// The descriptors by file name; of two with the same name, that of higher priority.
fn descriptors(directories: &[PathBuf]) -> BTreeMap<std::ffi::OsString, PathBuf> {
    let mut found = BTreeMap::new();
    for directory in directories {
        // A directory that is not there offers nothing.
        let Ok(entries) = fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                found.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    found
}

fn read(path: &Path) -> Result<Descriptor, String> {
    let text = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if text.is_empty() {
        return Err("is empty, which hides descriptors of the same name".to_owned());
    }
    serde_json::from_slice(&text).map_err(|error| format!("cannot be understood: {error}"))
}

/// Takes what a descriptor offers, or says what speaks against it.
fn judge(descriptor: Descriptor, path: &Path, architecture: &str, machine: &str) -> Result<Firmware, String> {
    if !descriptor.interface_types.iter().any(|kind| kind == "uefi") {
        return Err("is not UEFI".to_owned());
    }
    let full_name = full_machine_name(machine);
    let fits = |target: &Target| {
        target.architecture == architecture && target.machines.iter().any(|pattern| glob_matches(pattern, &full_name))
    };
    if !descriptor.targets.iter().any(fits) {
        return Err(format!("is not for {architecture} {machine}"));
    }
    for unwanted in UNWANTED_FEATURES {
        if descriptor.features.iter().any(|feature| feature == unwanted) {
            return Err(format!("has the feature {unwanted}"));
        }
    }
    let mapping = descriptor.mapping;
    if mapping.device != "flash" || mapping.mode.as_deref().unwrap_or("split") != "split" {
        return Err("does not come as code and variables in two flash chips".to_owned());
    }
    let (Some(code), Some(variables)) = (mapping.executable, mapping.nvram_template) else {
        return Err("names no code or no variables".to_owned());
    };
    for file in [&code.filename, &variables.filename] {
        if !file.is_file() {
            return Err(format!("names {}, which does not exist", file.display()));
        }
    }
    Ok(Firmware {
        descriptor: path.to_owned(),
        code_format: format_of(&code.format)?,
        code: code.filename,
        variables_format: format_of(&variables.format)?,
        variables: variables.filename,
    })
}

fn format_of(name: &str) -> Result<DiskFormat, String> {
    match name {
        "raw" => Ok(DiskFormat::Raw),
        "qcow2" => Ok(DiskFormat::Qcow2),
        other => Err(format!("has the unknown format {other}")),
    }
}

/// Descriptors name versioned machine types; the short names are aliases of the newest version.
fn full_machine_name(machine: &str) -> String {
    match machine {
        "pc" => "pc-i440fx-99.0".to_owned(),
        "q35" => "pc-q35-99.0".to_owned(),
        versioned => versioned.to_owned(),
    }
}

/// Whether `name` fits a pattern with `*` and `?`.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and where the name goes on there; a star before it need not be tried again.
    let mut retry = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, read));
            }
            Some(byte) if *byte == b'?' || *byte == name[read] => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((behind, from)) = retry else { return false };
                retry = Some((behind, from + 1));
                (at, read) = (behind, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
#[path = "firmware_tests.rs"]
mod tests;
