//! The command builder and the ways to run it.

use crate::capture::{Capture, LineSink};
use crate::{CommandError, shell_quote};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a program is given before it is killed, unless [`Command::deadline`] says otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// How much of each stream is kept.
const CAPTURE_LIMIT: usize = 64 << 20;
/// How many lines of output an error carries.
const TAIL_LINES: usize = 20;
/// How long a stream is still read after the program itself has ended.
const STREAM_GRACE: Duration = Duration::from_millis(500);

type OnLine = Arc<dyn Fn(Stream, &str) + Send + Sync>;

/// A program with its arguments and surroundings, ready to be run.
#[derive(Clone)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    env_clear: bool,
    current_dir: Option<PathBuf>,
    stdin: Input,
    deadline: Duration,
    on_line: Option<OnLine>,
}

/// What a program reads on its standard input.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// Nothing: `/dev/null`.
    #[default]
    Null,
    /// These bytes, then end of file.
    Bytes(Vec<u8>),
    /// This file from its beginning.
    File(PathBuf),
}

/// Which of the two output streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a program that ended has left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status; `None` when a signal ended the program.
    pub code: Option<i32>,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// Standard output, complete.
    pub stdout: Vec<u8>,
    /// Standard error, complete.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether the program ended with exit status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The last lines of standard error, or of standard output when that is empty.
    #[must_use]
    pub fn tail(&self) -> String {
        let stream = if self.stderr.iter().all(u8::is_ascii_whitespace) { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(stream);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
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
        kill_group(&self.child);
        let _ = self.child.wait();
    }
}

impl Command {
    /// A program by path, or by a name that is looked up on `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            env_clear: false,
            current_dir: None,
            stdin: Input::Null,
            deadline: DEFAULT_DEADLINE,
            on_line: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.args.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.current_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets what the program reads; without this it reads `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Sets how long the program may take; 60 s without this.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Calls `sink` with each line of output as it comes, from the threads that read the streams.
    #[must_use]
    pub fn on_line(mut self, sink: impl Fn(Stream, &str) + Send + Sync + 'static) -> Self {
        self.on_line = Some(Arc::new(sink));
        self
    }

    /// The program and its arguments.
    pub fn argv(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str))
    }

    /// Runs the program to its end; an exit status other than 0 is an error.
    ///
    /// # Errors
    /// Every [`CommandError`].
    pub fn run(&self) -> Result<Output, CommandError> {
        let output = self.run_any()?;
        if output.success() {
            return Ok(output);
        }
        Err(CommandError::Failed {
            command: self.to_string(),
            code: output.code,
            signal: output.signal,
            tail: output.tail(),
        })
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
    /// A program that stops reading early is not an error by itself: its exit status decides.
    ///
    /// # Errors
    /// Every [`CommandError`] but `Failed`; an error of `feed` other than a broken pipe as `Pipe`.
    pub fn run_feeding(
        &self,
        feed: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    ) -> Result<Output, CommandError> {
        let mut child = self.start(Stdio::piped(), Stdio::piped())?;
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            let feeder = scope.spawn(move || match stdin {
                Some(mut stdin) => feed(&mut stdin),
                None => Ok(()),
            });
            let output = self.collect(&mut child);
            match (output, feeder.join()) {
                (Err(error), _) => Err(error),
                (Ok(_), Ok(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.pipe_error(error)),
                (Ok(output), _) => Ok(output),
            }
        })
    }

    /// Runs the program while `consume` reads its standard output as it comes; only standard error is captured.
    ///
    /// # Errors
    /// Every [`CommandError`]; when the program succeeded, an error of `consume`, as `Err` inside `Ok`.
    pub fn run_reading<T, E>(
        &self,
        consume: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<Result<T, E>, CommandError> {
        let mut child = self.start(Stdio::null(), Stdio::piped())?;
        let mut stdout = child.stdout.take().ok_or_else(|| self.pipe_error(io::ErrorKind::BrokenPipe.into()))?;
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| self.collect(&mut child));
            let consumed = consume(&mut stdout);
            // A consumer that gave up must not leave the program blocked on a full pipe.
            drop(stdout);
            let output = waiter.join().map_err(|_| self.pipe_error(io::ErrorKind::Other.into()))??;
            match &consumed {
                Ok(_) if !output.success() => Err(CommandError::Failed {
                    command: self.to_string(),
                    code: output.code,
                    signal: output.signal,
                    tail: output.tail(),
                }),
                _ => Ok(consumed),
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
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).process_group(0);
        command.spawn().map_err(|error| self.start_error(error))
    }

    /// Captures what is captured and waits, not longer than the deadline.
    fn collect(&self, child: &mut Child) -> Result<Output, CommandError> {
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
        let ending = self.wait(child, &overflowed);
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

    fn wait(&self, child: &mut Child, overflowed: &dyn Fn() -> bool) -> Result<Ending, CommandError> {
        let until = Instant::now() + self.deadline;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = child.try_wait().map_err(|error| self.pipe_error(error))? {
                return Ok(Ending::Exited(status));
            }
            let verdict = match (overflowed(), Instant::now() >= until) {
                (true, _) => Some(Ending::TooMuch),
                (_, true) => Some(Ending::Deadline),
                _ => None,
            };
            if let Some(verdict) = verdict {
                kill_group(child);
                child.wait().map_err(|error| self.pipe_error(error))?;
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

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, argument) in self.argv().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}", shell_quote(argument))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    /// Names the argument vector only: environment and input may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command(`{self}`)")
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

fn kill_group(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended in this very moment: then there is nothing left to kill.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}
