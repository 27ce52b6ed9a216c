//! `console`: the guest's serial console on the user's terminal.

use crate::Vm;
use crate::error::GuestError;
use crate::hypervisor::Hypervisor;
use crate::libvirt::CONNECTION;
use crate::lock::RunLock;
use crate::socket;
use process_runner::Command;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ctrl-]: detaches. The guest never sees it.
pub const ESCAPE: u8 = 0x1d;
/// With input that is not a terminal, how long the guest may be silent after the input's end.
const SILENCE: Duration = Duration::from_secs(1);

impl Vm {
    /// Connects standard input and output to the console until [`ESCAPE`] is typed or the machine stops.
    ///
    /// # Errors
    /// [`GuestError::ConsoleBusy`], [`GuestError::Console`], [`GuestError::State`].
    pub fn console(&self) -> Result<(), GuestError> {
        if self.running_record()?.hypervisor == Hypervisor::Libvirt {
            let virsh =
                Command::new("virsh").args(["--connect", CONNECTION, "--quiet", "console", &self.domain_name()]);
            return virsh.run_interactive().map(drop).map_err(GuestError::Ask);
        }
        // QEMU takes one connection at a time and lets a second one hang.
        let lock = RunLock::try_acquire(&self.directory.console_lock())?;
        let _lock = lock.ok_or(GuestError::ConsoleBusy)?;
        let error = |operation| move |source| GuestError::Console { operation, source };
        let stream = socket::connect(&self.directory.serial_socket()).map_err(error("connect to"))?;
        let terminal = RawTerminal::enter().map_err(error("set the terminal for"))?;
        let sender = stream.try_clone().map_err(error("connect to"))?;
        let is_terminal = terminal.is_some();
        // The thread ends with the program: a read of standard input cannot be interrupted.
        let input_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&input_ended);
        std::thread::spawn(move || {
            send(io::stdin(), sender, is_terminal);
            ended.store(true, Ordering::Relaxed);
        });
        receive(stream, io::stdout(), &input_ended).map_err(error("read"))
    }
}

/// Copies what the guest writes until the connection ends, or until it is silent after the input's end.
fn receive(mut stream: UnixStream, mut output: impl Write, input_ended: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                output.write_all(&buffer[..length])?;
                output.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if input_ended.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Copies the input to the guest until its end, or until the escape, which ends the connection too.
fn send(mut input: impl Read, mut stream: UnixStream, is_terminal: bool) {
    let mut buffer = [0; 256];
    // A connection that is gone is noticed, and told, by the other direction.
    while let Ok(length @ 1..) = input.read(&mut buffer) {
        let typed = &buffer[..length];
        let escape = typed.iter().position(|byte| is_terminal && *byte == ESCAPE);
        let sent = stream.write_all(&typed[..escape.unwrap_or(length)]);
        if escape.is_some() || sent.is_err() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// The terminal without line editing and signals; as it was before when dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// `None` when standard input is not a terminal.
    fn enter() -> io::Result<Option<Self>> {
        let input = io::stdin();
        if !isatty(&input) {
            return Ok(None);
        }
        let before = tcgetattr(&input)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&input, OptionalActions::Now, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_ends_the_connection_and_stays_here() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        send(&b"ls\r\x1dmore"[..], ours, true);
        let mut heard = Vec::new();
        guest.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"ls\r");
    }

    #[test]
    fn piped_input_passes_whole_and_the_answer_is_waited_for() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        send(&b"a\x1db"[..], ours.try_clone().unwrap(), false);
        let mut heard = [0; 3];
        guest.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"a\x1db");
        guest.write_all(b"answer").unwrap();
        let mut output = Vec::new();
        receive(ours, &mut output, &AtomicBool::new(true)).unwrap();
        assert_eq!(output, b"answer");
    }
}
