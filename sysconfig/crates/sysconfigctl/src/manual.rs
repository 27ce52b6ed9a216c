//! `completions` and `man`: made from the command line's own description, so that they cannot say something else.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Arguments;
use crate::command::{Failure, Session};
use crate::exit::Exit;

impl Session<'_> {
    pub(crate) fn completions(&mut self, shell: Shell) -> Result<Exit, Failure> {
        // The generator panics when it cannot write, so it writes into memory.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "sysconfigctl", &mut script);
        self.write(&script)?;
        Ok(Exit::Success)
    }

    /// The main page on standard output, or every page as a file of a directory.
    pub(crate) fn man(&mut self, directory: Option<&Path>) -> Result<Exit, Failure> {
        match directory {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
                self.write(&page)?;
            }
            Some(directory) => clap_mangen::generate_to(Arguments::command(), directory).map_err(|error| {
                let path = directory.display();
                Failure::said(format!("cannot write manual pages to {path}: {error}; name a directory that is there"))
            })?,
        }
        Ok(Exit::Success)
    }
}
