//! What is told on standard output.

use crate::failure::Failure;
use crate::inspect::InspectError;
use std::io::{self, BufWriter, Write};

/// Standard output as the verbs write to it: whoever stops reading it ends the run without a complaint.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut output = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let done = write(&mut output).and_then(|()| output.flush().map_err(Failure::from_output));
    match done {
        Err(Failure::Inspect(InspectError::Output { source })) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The same for what fails with nothing but the output.
pub(crate) fn print_lines(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    print(|output| write(output).map_err(Failure::from_output))
}

impl Failure {
    /// Tells it on standard output, as JSON, unless what the verb has said there tells it.
    pub(crate) fn tell_machine(&self) {
        let is_told = matches!(
            self,
            Self::Check { .. }
                | Self::NotHere { .. }
                | Self::Damaged { .. }
                | Self::Different { .. }
                | Self::Inspect(InspectError::Output { .. })
        );
        if !is_told {
            // Nobody can be told that standard output does not take it.
            let _ = print(|output| writeln!(output, "{}", self.to_json()).map_err(Self::from_output));
        }
    }
}
