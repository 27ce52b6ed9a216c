//! What of `zfs` concerns root datasets.

use super::{World, failed, printed};
use std::fmt::Write;
use sysconfig_platform::Completed;

/// Properties with their defaults; `mountpoint` depends on the name.
const KNOWN: &[(&str, &str)] = &[
    ("atime", "on"),
    ("canmount", "on"),
    ("casesensitivity", "sensitive"),
    ("compression", "off"),
    ("copies", "1"),
    ("mountpoint", ""),
    ("normalization", "none"),
    ("quota", "0"),
    ("recordsize", "131072"),
    ("reservation", "0"),
    ("utf8only", "off"),
];

impl World {
    pub(super) fn zfs(&mut self, args: &[&str]) -> Completed {
        match args {
            ["get", "-Hp", "-o", "name,property,value,source", "all", name] => self.get_root(name),
            ["set", assignment, name] => self.set_root(assignment, name),
            ["inherit", property, name] => match self.pools.get_mut(*name) {
                Some(pool) => {
                    pool.root.remove(*property);
                    printed("")
                }
                None => absent(name),
            },
            _ => failed(2, "usage: zfs command args ...\n"),
        }
    }

    fn get_root(&self, name: &str) -> Completed {
        let Some(pool) = self.pools.get(name) else { return absent(name) };
        let mut text = format!("{name}\ttype\tfilesystem\t-\n");
        for (property, default) in KNOWN {
            let default = if *property == "mountpoint" { format!("/{name}") } else { (*default).to_owned() };
            let _ = match pool.root.get(*property) {
                Some(value) => writeln!(text, "{name}\t{property}\t{value}\tlocal"),
                None => writeln!(text, "{name}\t{property}\t{default}\tdefault"),
            };
        }
        for (property, value) in pool.root.iter().filter(|(property, _)| property.contains(':')) {
            let _ = writeln!(text, "{name}\t{property}\t{value}\tlocal");
        }
        printed(text)
    }

    fn set_root(&mut self, assignment: &str, name: &str) -> Completed {
        let Some((property, value)) = assignment.split_once('=') else {
            return failed(2, "missing '=' for property=value argument\n");
        };
        let checked = check_root(property, value);
        let Some(pool) = self.pools.get_mut(name) else { return absent(name) };
        match checked {
            Err(why) => failed(1, format!("cannot set property for '{name}': {why}\n")),
            Ok(_) if matches!(property, "casesensitivity" | "normalization" | "utf8only") => {
                failed(1, format!("cannot set property for '{name}': '{property}' is readonly\n"))
            }
            Ok(value) => {
                pool.root.insert(property.to_owned(), value);
                printed("")
            }
        }
    }
}

/// The value as it is stored, sizes in bytes; or why it is refused.
pub(super) fn check_root(property: &str, value: &str) -> Result<String, String> {
    if property.contains(':') {
        return Ok(value.to_owned());
    }
    if !KNOWN.iter().any(|(known, _)| *known == property) {
        return Err(format!("invalid property '{property}'"));
    }
    let allowed: Option<&[&str]> = match property {
        "atime" | "utf8only" => Some(&["on", "off"]),
        "canmount" => Some(&["on", "off", "noauto"]),
        "compression" => Some(&["on", "off", "lz4", "gzip", "zle"]),
        "copies" => Some(&["1", "2", "3"]),
        _ => None,
    };
    if allowed.is_some_and(|words| !words.contains(&value)) {
        return Err(format!("'{property}' must be one of '{}'", allowed.unwrap_or_default().join(" | ")));
    }
    match property {
        "quota" | "reservation" | "recordsize" => match crate::properties::parse_size(value) {
            Some(bytes) => Ok(bytes.to_string()),
            None => Err(format!("bad numeric value '{value}'")),
        },
        _ => Ok(value.to_owned()),
    }
}

fn absent(name: &str) -> Completed {
    failed(1, format!("cannot open '{name}': dataset does not exist\n"))
}
