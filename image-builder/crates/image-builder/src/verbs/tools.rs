//! `image-builder schema`, `completions` and `man`: for editors, shells and readers.

use crate::arguments::{Arguments, Completions, Man};
use crate::failure::Failure;
use crate::output::print;
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
    // What else is there may have names like those of pages, and is not ours to read or write.
    let unfinished = tempfile::tempdir_in(directory)?;
    clap_mangen::generate_to(command, unfinished.path())?;
    for entry in std::fs::read_dir(unfinished.path())? {
        let entry = entry?;
        let page = std::fs::read(entry.path())?;
        std::fs::write(entry.path(), in_ascii(&page))?;
        std::fs::rename(entry.path(), directory.join(entry.file_name()))?;
    }
    Ok(())
}

/// A page in which characters beyond ASCII are named: troff takes the bytes of UTF-8 for single characters.
fn in_ascii(page: &[u8]) -> Vec<u8> {
    let named = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    String::from_utf8_lossy(page).chars().map(named).collect::<String>().into_bytes()
}
