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
            print(|output| output.write_all(&page).map_err(Failure::from_output))
        }
    }
}

fn write_pages(command: clap::Command, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}
