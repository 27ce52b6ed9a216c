//! `image-builder schema`, `completions` and `man`: for editors, shells and readers.

use crate::arguments::{Arguments, Completions, Man};
use crate::failure::Failure;
use crate::inspect::print;
use clap::CommandFactory;
use std::io;
use std::path::Path;

/// `image-builder schema`.
pub(crate) fn schema() -> Result<(), Failure> {
    let text = format!("{}\n", serde_json::to_string_pretty(&template::schema()).expect("a schema is JSON"));
    print(|output| output.write_all(text.as_bytes()).map_err(Failure::from_output))
}

/// `image-builder completions`.
pub(crate) fn completions(arguments: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "image-builder", &mut script);
    print(|output| output.write_all(&script).map_err(Failure::from_output))
}

/// `image-builder man`.
pub(crate) fn man(arguments: &Man) -> Result<(), Failure> {
    let command = Arguments::command();
    match &arguments.directory {
        Some(directory) => {
            write_pages(command, directory).map_err(|source| Failure::File { path: directory.clone(), source })
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(Failure::from_output)?;
            let page = in_ascii(&page);
            print(|output| output.write_all(&page).map_err(Failure::from_output))
        }
    }
}

fn write_pages(command: clap::Command, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)?;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_ours = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"image-builder"));
        let page = if is_ours { std::fs::read(&path)? } else { continue };
        if !page.is_ascii() {
            std::fs::write(&path, in_ascii(&page))?;
        }
    }
    Ok(())
}

/// A page in which characters beyond ASCII are named: troff takes the bytes of UTF-8 for single characters.
fn in_ascii(page: &[u8]) -> Vec<u8> {
    let named = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    String::from_utf8_lossy(page).chars().map(named).collect::<String>().into_bytes()
}
