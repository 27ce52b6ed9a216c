//! The seam through which programs run.

use process_runner::{Command, CommandError};
use std::fmt;
use std::time::Duration;

/// What a program is given unless its invocation says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// One program with its arguments: an absolute path, because the environment is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Absolute path of the program.
    pub program: String,
    /// Arguments, without the program's own name.
    pub args: Vec<String>,
    /// How long the program may take.
    pub deadline: Duration,
}

impl Invocation {
    /// `program` with `args`, 30 s to run.
    pub fn new<A: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        Self { program: program.into(), args: args.into_iter().map(Into::into).collect(), deadline: DEADLINE }
    }
}

/// The command line, quoted for people.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Command::new(&self.program).args(&self.args))
    }
}

/// What a program that ended by itself has left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// The exit status.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Completed {
    /// Turns an exit status other than 0 into an error that carries what the program said.
    ///
    /// # Errors
    /// [`CommandError::Failed`].
    pub fn success(self, invocation: &Invocation) -> Result<Self, CommandError> {
        if self.code == 0 {
            return Ok(self);
        }
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        Err(CommandError::Failed {
            command: invocation.to_string(),
            code: Some(self.code),
            signal: None,
            tail: said.trim().to_owned(),
        })
    }
}

/// Runs programs. The real one is [`ProcessRunner`]; tests use the machines of the module `fake`.
pub trait Runner: fmt::Debug + Send + Sync {
    /// Runs the program to its end; every exit status is an answer.
    ///
    /// # Errors
    /// The program could not be started, was ended by a signal or did not end in time.
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError>;
}

/// Really runs programs: clean environment, `LC_ALL=C`, nothing to read, a deadline.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessRunner;

impl Runner for ProcessRunner {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let command = Command::new(&invocation.program)
            .args(&invocation.args)
            .env_clear()
            .env("LC_ALL", "C")
            // Some tools are scripts that call others by name; this is what an SMF method gets too.
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .deadline(invocation.deadline);
        let output = command.run_any()?;
        match output.code {
            Some(code) => Ok(Completed { code, stdout: output.stdout_text(), stderr: output.stderr_text() }),
            None => Err(CommandError::Failed {
                command: command.to_string(),
                code: None,
                signal: output.signal,
                tail: output.tail(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_program_gets_a_clean_environment_and_its_status_is_an_answer() {
        let invocation = Invocation::new("/bin/sh", ["-c", "echo \"$HOME|$LC_ALL\"; echo no >&2; exit 3"]);
        let completed = ProcessRunner.run(&invocation).unwrap();
        assert_eq!(completed, Completed { code: 3, stdout: "|C\n".into(), stderr: "no\n".into() });
        let error = completed.success(&invocation).unwrap_err();
        assert!(error.to_string().contains("exit status 3"), "{error}");
        assert!(error.to_string().contains("no"), "{error}");
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = ProcessRunner.run(&Invocation::new("/nonexistent/program", ["x"])).unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
    }
}
