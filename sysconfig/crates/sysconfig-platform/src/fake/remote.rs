//! The programs of a simulated machine, run from another process: a plugin that a real daemon has started acts on the
//! machine that the test holds, and is killed by it where that is asked for.
//!
//! One line of JSON each way over a socket. Files are shared as they are, because the machine's root is a directory.

use super::KILLED;
use crate::{CommandError, Completed, Invocation, Runner};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Serialize, Deserialize)]
struct Question {
    /// Who asks, to be killed when the machine says so.
    pid: u32,
    program: String,
    args: Vec<String>,
}

/// What a program left behind; none when there is no such program.
#[derive(Serialize, Deserialize)]
struct Answer(Option<(i32, String, String)>);

/// Runs programs on a machine for whoever connects to `socket`, on threads that end with the test. Each takes
/// `duration`, so that something else can happen in the middle.
///
/// # Panics
/// When the socket cannot be made.
pub fn serve(machine: Arc<dyn Runner>, socket: &Path, duration: Duration) {
    let listener = UnixListener::bind(socket).expect("the socket can be made");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let machine = machine.clone();
            std::thread::spawn(move || {
                // Whoever was killed in between has no use for an answer.
                drop(answer(machine.as_ref(), &stream, duration));
            });
        }
    });
}

fn answer(machine: &dyn Runner, mut stream: &UnixStream, duration: Duration) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let Question { pid, program, args } = serde_json::from_str(&line)?;
    std::thread::sleep(duration / 2);
    let run = || machine.run(&Invocation::new(program, args)).ok();
    let completed = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(completed) => completed,
        // The machine kills whoever runs the command, which is not this thread. Its connection closes only after that.
        Err(payload) if payload.downcast_ref() == Some(&KILLED) => return kill(pid),
        // The machine itself is wrong. Who asked gets no answer, and its test fails.
        Err(payload) => resume_unwind(payload),
    };
    std::thread::sleep(duration / 2);
    let answer = Answer(completed.map(|completed| (completed.code, completed.stdout, completed.stderr)));
    stream.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes())
}

fn kill(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// The machine behind a socket of [`serve`].
#[derive(Clone, Debug)]
pub struct Remote {
    socket: PathBuf,
}

impl Remote {
    /// Nothing is connected before a program is run.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    fn ask(&self, invocation: &Invocation) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        let question =
            Question { pid: std::process::id(), program: invocation.program.clone(), args: invocation.args.clone() };
        stream.write_all(format!("{}\n", serde_json::to_string(&question)?).as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Runner for Remote {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let program = invocation.program.clone();
        match self.ask(invocation) {
            Ok(Answer(Some((code, stdout, stderr)))) => Ok(Completed { code, stdout, stderr }),
            Ok(Answer(None)) => Err(CommandError::NotFound { program, source: io::ErrorKind::NotFound.into() }),
            Err(source) => Err(CommandError::Start { command: invocation.to_string(), source }),
        }
    }
}
