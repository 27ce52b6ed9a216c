//! The ways to run a command.

use crate::capture::{Capture, LineSink};
use crate::command::{Command, Input, Output, Stream};
use crate::pipes::{Feed, Tap};
use crate::{CommandError, ReadError, groups};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How much of each stream is kept.
const CAPTURE_LIMIT: usize = 64 << 20;
/// How long a stream is still read after the program itself has ended.
const STREAM_GRACE: Duration = Duration::from_millis(500);

impl Command {
    /// Runs the program to its end; an exit status other than 0 is an error.
    ///
    /// # Errors
    /// Every [`CommandError`].
    pub fn run(&self) -> Result<Output, CommandError> {
        self.judge(self.run_any())
    }

    /// Runs the program to its end; every exit status is an answer.
    ///
    /// # Errors
    /// Every [`CommandError`] but `Failed`.
    pub fn run_any(&self) -> Result<Output, CommandError> {
        self.run_feeding(|stdin| match &self.stdin {
            Input::Bytes(bytes) => stdin.write_all(bytes),
            Input::Null | Input::File(_) => Ok(()),
        })
    }

    /// Runs the program to its end while `feed`, in a thread of its own, writes its standard input.
    ///
    /// A program that stops reading early is not an error by itself: its exit status decides. What `feed` writes
    /// to fails with a broken pipe as soon as the program has ended or its time is up, so only a `feed` that waits
    /// for something else can take longer.
    ///
    /// # Errors
    /// Every [`CommandError`] but `Failed`; an error of `feed` other than a broken pipe as `Pipe`, and then the
    /// program was killed.
    pub fn run_feeding(
        &self,
        feed: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    ) -> Result<Output, CommandError> {
        let mut child = self.start(Stdio::piped(), Stdio::piped())?;
        let stdin = child.stdin.take();
        let (has_ended, has_failed) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                let failed = SetOnDrop(&has_failed);
                let fed = match stdin {
                    Some(stdin) => Feed::new(stdin, &has_ended).and_then(|mut pipe| feed(&mut pipe)),
                    None => Ok(()),
                };
                if fed.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                    std::mem::forget(failed);
                }
                fed
            });
            // Half an input may be one that the program never ends with: genext2fs reads at its end for ever.
            let output = self.collect(&mut child, &|| has_failed.load(Ordering::Acquire));
            has_ended.store(true, Ordering::Release);
            match (output, feeder.join()) {
                (_, Err(panic)) => std::panic::resume_unwind(panic),
                (_, Ok(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.pipe_error(error)),
                (output, _) => output,
            }
        })
    }

    /// Runs the program while `consume` reads its standard output as it comes; only standard error is captured.
    ///
    /// The output ends with the program: what a grandchild keeps open is not waited for.
    ///
    /// A program that fails by itself leaves its reader with half an output, so its own failure is the one to tell of.
    /// One that fails because nobody read on is not to blame. To tell them apart, a program whose reader gave up may
    /// write on for half a second: only if it has not come to its end by then is the pipe closed.
    ///
    /// # Errors
    /// Every [`ReadError`].
    pub fn run_reading<T, E>(&self, consume: impl FnOnce(&mut dyn Read) -> Result<T, E>) -> Result<T, ReadError<E>> {
        let mut child = self.start(Stdio::null(), Stdio::piped())?;
        let stdout = child.stdout.take().ok_or_else(|| self.pipe_error(io::ErrorKind::BrokenPipe.into()))?;
        let has_ended = AtomicBool::new(false);
        let mut stdout = Tap::new(stdout, &has_ended, STREAM_GRACE);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let output = self.collect(&mut child, &|| false);
                has_ended.store(true, Ordering::Release);
                output
            });
            let consumed = consume(&mut stdout);
            let came_to_its_end = consumed.is_ok() || stdout.drain(STREAM_GRACE);
            // A reader that gave up must not leave the program blocked on a full pipe.
            drop(stdout);
            let output = waiter.join().map_err(|_| self.pipe_error(io::ErrorKind::Other.into()))?;
            match (self.judge(output), consumed) {
                (Ok(_), consumed) => consumed.map_err(ReadError::Reader),
                (Err(command), Ok(_)) => Err(ReadError::Command(command)),
                (Err(CommandError::Failed { .. }), Err(reader)) if !came_to_its_end => Err(ReadError::Reader(reader)),
                (Err(command), Err(reader)) => Err(ReadError::Both { command, reader }),
            }
        })
    }

    /// Runs the program on the user's terminal, without deadline; answers its exit status (128 + n for signal n).
    ///
    /// # Errors
    /// `NotFound`, `Start` and `Pipe`.
    pub fn run_interactive(&self) -> Result<i32, CommandError> {
        let mut command = self.base();
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| self.start_error(error))?;
        let status = child.wait().map_err(|error| self.pipe_error(error))?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    /// Starts the program in a process group of its own, both streams appended to `log`, and leaves it running.
    ///
    /// # Errors
    /// `NotFound` and `Start`.
    pub fn spawn_detached(&self, log: &File) -> Result<Detached, CommandError> {
        let clone = || log.try_clone().map_err(|error| self.start_error(error));
        let mut command = self.base();
        command.stdin(Stdio::null()).stdout(clone()?).stderr(clone()?).process_group(0);
        let child = command.spawn().map_err(|error| self.start_error(error))?;
        Ok(Detached { child })
    }

    /// Makes an error of an exit status other than 0.
    fn judge(&self, ended: Result<Output, CommandError>) -> Result<Output, CommandError> {
        let output = ended?;
        if output.success() {
            return Ok(output);
        }
        let (command, tail) = (self.to_string(), output.tail());
        Err(CommandError::Failed { command, code: output.code, signal: output.signal, tail })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam that every other process start goes through")]
    fn base(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args);
        if self.env_clear {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.current_dir {
            command.current_dir(directory);
        }
        command
    }

    fn start(&self, stdin: Stdio, stdout: Stdio) -> Result<Child, CommandError> {
        let stdin = match &self.stdin {
            Input::File(path) => Stdio::from(File::open(path).map_err(|error| self.start_error(error))?),
            Input::Null | Input::Bytes(_) => stdin,
        };
        let mut command = self.base();
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let started = groups::start(&mut command).map_err(|error| self.start_error(error))?;
        started.ok_or_else(|| CommandError::Ending { command: self.to_string() })
    }

    /// Captures what is captured and waits, not longer than the deadline, and not once there is no use in it.
    fn collect(&self, child: &mut Child, is_useless: &dyn Fn() -> bool) -> Result<Output, CommandError> {
        let sink = |stream: Stream| -> Option<LineSink> {
            let on_line = self.on_line.clone()?;
            Some(Arc::new(move |line: &[u8]| {
                on_line(stream, &String::from_utf8_lossy(line));
            }))
        };
        let start = |pipe, stream| Capture::start(pipe, CAPTURE_LIMIT, sink(stream));
        let stdout = child.stdout.take().map(|pipe| start(Pipe::Out(pipe), Stream::Stdout));
        let stderr = child.stderr.take().map(|pipe| start(Pipe::Err(pipe), Stream::Stderr));
        let overflowed = || [&stdout, &stderr].into_iter().flatten().any(Capture::overflowed);
        let ending = self.wait(child, &overflowed, is_useless);
        let take = |capture: Option<Capture>| capture.map_or(Ok(Vec::new()), |capture| capture.finish(STREAM_GRACE));
        let (stdout, stderr) = (take(stdout), take(stderr));
        let stdout = stdout.map_err(|error| self.pipe_error(error))?;
        let stderr = stderr.map_err(|error| self.pipe_error(error))?;
        let mut output = Output { code: None, signal: None, stdout, stderr };
        match ending? {
            Ending::Exited(status) => {
                (output.code, output.signal) = (status.code(), status.signal());
                Ok(output)
            }
            Ending::Deadline => {
                Err(CommandError::Deadline { command: self.to_string(), deadline: self.deadline, tail: output.tail() })
            }
            Ending::TooMuch => Err(CommandError::TooMuchOutput { command: self.to_string(), limit: CAPTURE_LIMIT }),
        }
    }

    fn wait(
        &self,
        child: &mut Child,
        overflowed: &dyn Fn() -> bool,
        is_useless: &dyn Fn() -> bool,
    ) -> Result<Ending, CommandError> {
        let until = Instant::now() + self.deadline;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = groups::try_wait(child).map_err(|error| self.pipe_error(error))? {
                return Ok(Ending::Exited(status));
            }
            let verdict = match (overflowed(), Instant::now() >= until) {
                (true, _) => Some(Ending::TooMuch),
                (_, true) => Some(Ending::Deadline),
                _ => None,
            };
            if is_useless() {
                groups::kill(child).map_err(|error| self.pipe_error(error))?;
                continue;
            }
            if let Some(verdict) = verdict {
                groups::kill(child).map_err(|error| self.pipe_error(error))?;
                return Ok(verdict);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn start_error(&self, source: io::Error) -> CommandError {
        if source.kind() == io::ErrorKind::NotFound {
            CommandError::NotFound { program: self.program.to_string_lossy().into_owned(), source }
        } else {
            CommandError::Start { command: self.to_string(), source }
        }
    }

    fn pipe_error(&self, source: io::Error) -> CommandError {
        CommandError::Pipe { command: self.to_string(), source }
    }
}

/// A program that was started and left to itself.
///
/// Dropping it does not end the program. The caller that stays alive should
/// keep it and call [`Detached::try_wait`], or the ended program stays a zombie.
#[derive(Debug)]
pub struct Detached {
    child: Child,
}

impl Detached {
    /// The process id, which is also the id of its process group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program has ended, and how.
    ///
    /// # Errors
    /// The system's, when the process cannot be waited for.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills the whole process group and waits for its head.
    pub fn kill(&mut self) {
        let _ = groups::kill(&mut self.child);
    }
}

/// Says that its thread did not come to a good end, unless it is forgotten.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

enum Ending {
    Exited(ExitStatus),
    Deadline,
    TooMuch,
}

enum Pipe {
    Out(std::process::ChildStdout),
    Err(std::process::ChildStderr),
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Out(pipe) => pipe.read(buffer),
            Self::Err(pipe) => pipe.read(buffer),
        }
    }
}
