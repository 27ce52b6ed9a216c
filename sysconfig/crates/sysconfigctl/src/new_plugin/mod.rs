//! `plugin new`: a plugin crate that builds, has a test, and does something harmless.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::command::{Failure, Session};
use crate::exit::Exit;

/// The files of a new plugin, with the words that are replaced in them.
const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("src/main.rs", include_str!("template/main.rs.in")),
    ("tests/files.rs", include_str!("template/files.rs.in")),
];

/// A plugin's name has no more characters than this; it becomes part of file names.
const MAX_NAME: usize = 40;

#[derive(Debug, Serialize)]
struct Created {
    directory: PathBuf,
    files: Vec<PathBuf>,
}

impl Session<'_> {
    pub(crate) fn new_plugin(&mut self, name: &str, checkout: &Path) -> Result<Exit, Failure> {
        check_name(name)?;
        let created = create(name, checkout)?;
        let text = format!(
            "Made the plugin {name} in {dir}. It keeps the text of [{name}] text in a file.\n\n\
             Build it:      cargo build --release -p sysconfig-plugin-{name}\n\
             Test it:       cargo test -p sysconfig-plugin-{name}\n\
             Configure it:  [{name}]\n               file = \"/var/tmp/{name}\"\n               text = \"hello\"\n",
            dir = created.directory.display(),
        );
        self.answer(&created, text)?;
        Ok(Exit::Success)
    }
}

/// The daemon takes `a`–`z`, `0`–`9` and `-`; Cargo wants a letter first.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins_well && !name.ends_with('-') && name.len() <= MAX_NAME && name.bytes().all(is_good) {
        return Ok(());
    }
    let advice = "write small letters, digits and hyphens, a letter first, as in \"ntp\" or \"user-accounts\"";
    Err(Failure::said(format!("{name:?} is not a plugin's name; {advice}")))
}

fn create(name: &str, checkout: &Path) -> Result<Created, Failure> {
    let plugins = plugins_directory(checkout)?;
    let directory = plugins.join(name);
    let cannot = |what: &Path, error: &io::Error| Failure::said(format!("cannot make {}: {error}", what.display()));
    // Made first and alone, so that nothing that is there is ever written over.
    fs::create_dir(&directory).map_err(|error| cannot(&directory, &error))?;
    let mut files = Vec::new();
    for (path, template) in FILES {
        let path = directory.join(path);
        let parent = path.parent().unwrap_or(&directory);
        fs::create_dir_all(parent).map_err(|error| cannot(parent, &error))?;
        fs::write(&path, fill_in(template, name)).map_err(|error| cannot(&path, &error))?;
        files.push(path);
    }
    Ok(Created { directory, files })
}

fn fill_in(template: &str, name: &str) -> String {
    let camel: String = name
        .split('-')
        .flat_map(|word| {
            let (head, tail) = word.split_at(word.len().min(1));
            [head.to_ascii_uppercase(), tail.to_owned()]
        })
        .collect();
    template.replace("@NAME@", name).replace("@CRATE@", &name.replace('-', "_")).replace("@TYPE@", &camel)
}

/// `sysconfig/plugins` of a checkout, from its top, from `sysconfig`, or from anywhere below.
fn plugins_directory(start: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(start).unwrap_or_else(|_| start.to_owned());
    let candidates = absolute.ancestors().flat_map(|above| [above.join("sysconfig"), above.to_owned()]);
    for workspace in candidates {
        let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("\"plugins/*\"") && workspace.join("plugins").is_dir() {
            return Ok(workspace.join("plugins"));
        }
    }
    Err(Failure::said(format!(
        "{} is not in a checkout: there is no workspace with \"plugins/*\" among its members above it; name one with --checkout",
        absolute.display()
    )))
}
