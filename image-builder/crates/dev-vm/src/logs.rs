//! `logs`: what the guest wrote to its serial console.

use crate::Vm;
use crate::config::RunRecord;
use crate::console_log::{Follower, PlainText};
use crate::error::StateError;
use std::io::{self, Write};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(200);

/// What is asked of `logs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Whether to go on until the machine stops.
    pub follow: bool,
    /// Whether earlier boots are shown too.
    pub all: bool,
    /// Whether terminal control is passed on.
    pub raw: bool,
}

impl Vm {
    /// Writes the console's log to `output`.
    ///
    /// # Errors
    /// [`StateError::NoVm`], [`StateError::Io`].
    pub fn logs(&self, options: LogOptions, output: &mut dyn Write) -> Result<(), StateError> {
        self.directory.require()?;
        let log = self.directory.console_log();
        let record = RunRecord::load(&self.directory)?.filter(|_| !options.all);
        let mut follower = Follower::new(&log, record.map_or(0, |record| record.console_offset));
        let mut filter = PlainText::default();
        loop {
            // Asked before reading: what a machine that just ended wrote last is still read.
            let more = options.follow && self.is_running()?;
            let new = follower.read_new();
            let written = new.and_then(|bytes| write(output, &bytes, options.raw, &mut filter));
            match written {
                Ok(()) if more => std::thread::sleep(POLL),
                // A reader that has seen enough, such as `head`, is not a failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                other => return other.map_err(|error| StateError::io("show", &log, error)),
            }
        }
    }
}

fn write(output: &mut dyn Write, bytes: &[u8], raw: bool, filter: &mut PlainText) -> io::Result<()> {
    if raw {
        output.write_all(bytes)?;
    } else {
        let mut plain = Vec::with_capacity(bytes.len());
        filter.push(bytes, &mut plain);
        output.write_all(&plain)?;
    }
    output.flush()
}
