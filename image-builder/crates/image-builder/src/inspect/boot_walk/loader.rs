//! The loader's configuration, read as the loader reads it.
//!
//! Facts: illumos-gate's `boot/forth/loader.4th` and `support.4th`, and `boot/conf/loader.conf`: the order of the files,
//! `name="value"` with quotation marks, later ones win, and what a module is.

use std::collections::BTreeMap;
use std::io;

use super::files::{Files, Kind};

/// Without it the loader takes the dataset for one that does not boot.
pub(super) const DEFAULTS: &str = "/boot/defaults/loader.conf";
const BOOT_ENVIRONMENT: &str = "/boot/solaris/bootenv.rc";
/// Read sorted by name, whatever the names are.
const PIECES: &str = "/boot/conf.d";

/// What the loader knows when it has read everything.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, String>,
    /// The files that were there.
    pub(super) files: Vec<String>,
    pub(super) problems: Vec<String>,
}

/// Something that the loader loads beside the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) path: String,
    pub(super) kind: String,
}

impl Settings {
    pub(super) fn read(files: &dyn Files) -> io::Result<Self> {
        let mut settings = Self::default();
        let mut paths = vec![DEFAULTS.to_owned(), BOOT_ENVIRONMENT.to_owned()];
        paths.extend(["/boot/loader.conf", "/boot/loader.conf.local"].map(str::to_owned));
        if files.look(PIECES)?.is_some_and(|entry| entry.kind == Kind::Directory) {
            paths.extend(files.names(PIECES)?.into_iter().map(|name| format!("{PIECES}/{name}")));
        }
        paths.push("/boot/transient.conf".to_owned());
        for path in paths {
            let Some(text) = files.text(&path)? else { continue };
            for (number, line) in text.lines().enumerate() {
                let parsed = if path == BOOT_ENVIRONMENT { property(line) } else { assignment(line) };
                match parsed {
                    Ok(Some((name, value))) => drop(settings.values.insert(name, value)),
                    Ok(None) => (),
                    Err(why) => settings.problems.push(format!("{path}:{}: {why}", number + 1)),
                }
            }
            settings.files.push(path);
        }
        Ok(settings)
    }

    /// A value with its variables replaced; those of nobody stay as they are.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut value = self.values.get(name)?.clone();
        // A variable may name another one; a circle ends here.
        for _ in 0..8 {
            let Some((before, rest)) = value.split_once("${") else { break };
            let Some((variable, after)) = rest.split_once('}') else { break };
            let inner = match variable {
                "ISADIR" => Some("amd64"),
                variable => self.values.get(variable).map(String::as_str),
            };
            let Some(inner) = inner else { break };
            value = format!("{before}{inner}{after}");
        }
        Some(value)
    }

    fn get_or(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or_else(|| default.to_owned())
    }

    /// The kernel's program.
    pub(super) fn kernel(&self) -> String {
        format!("/platform/{}/{}", self.get_or("kernel", "i86pc/kernel/amd64"), self.get_or("bootfile", "unix"))
    }

    pub(super) fn modules(&self) -> Vec<Module> {
        let directory = self.get_or("module_path", "/platform/i86pc/amd64/");
        let wanted = self.values.iter().filter(|(_, value)| value.eq_ignore_ascii_case("yes"));
        let names = wanted.filter_map(|(name, _)| name.strip_suffix("_load"));
        names
            .map(|name| {
                let file = self.get_or(&format!("{name}_name"), name);
                let path = match file.starts_with('/') {
                    true => file,
                    false => format!("{}/{file}", directory.trim_end_matches('/')),
                };
                let usual = match name {
                    "boot_archive" => "rootfs",
                    "boot_archive.hash" => "hash",
                    _ => "file",
                };
                Module { path, kind: self.get_or(&format!("{name}_type"), usual) }
            })
            .collect()
    }

    /// The kernel's console, with its speed where it is a serial line.
    pub(super) fn console(&self) -> String {
        let first = self.get("console").and_then(|list| list.split([',', ' ']).next().map(str::to_owned));
        let console = self.get("os_console").or(first).unwrap_or_else(|| "text".to_owned());
        match self.get(&format!("{console}-mode")) {
            Some(mode) => format!("{console} at {mode}"),
            None => console,
        }
    }
}

/// A line of a configuration file: `name="value"`, nothing, or a comment.
fn assignment(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let wrong = || format!("`{}` is not name=\"value\"", shortened(line));
    let (name, rest) = line.split_once('=').ok_or_else(wrong)?;
    let is_name = !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char));
    let mut rest = rest.strip_prefix('"').filter(|_| is_name).ok_or_else(wrong)?.chars();
    let mut value = String::new();
    loop {
        match rest.next().ok_or_else(wrong)? {
            '"' => break,
            '\\' => value.push(rest.next().ok_or_else(wrong)?),
            other => value.push(other),
        }
    }
    let rest = rest.as_str().trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(Some((name.to_owned(), value))) } else { Err(wrong()) }
}

/// A line of `bootenv.rc`: `setprop NAME VALUE`, the value in quotation marks where it has spaces.
fn property(line: &str) -> Result<Option<(String, String)>, String> {
    let Some(rest) = line.trim().strip_prefix("setprop").filter(|rest| rest.starts_with([' ', '\t'])) else {
        return Ok(None);
    };
    let (name, value) = rest.trim().split_once([' ', '\t']).unwrap_or((rest.trim(), ""));
    Ok(Some((name.to_owned(), value.trim().trim_matches(['\'', '"']).to_owned())))
}

/// As much of a line as is worth showing.
fn shortened(line: &str) -> String {
    line.chars().filter(|char| !char.is_control()).take(60).collect()
}
