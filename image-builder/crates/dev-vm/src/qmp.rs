//! A client for QEMU's machine protocol: one command at a time, events skipped.
//!
//! Facts: `docs/interop/qmp-spec.rst` of QEMU. Messages are JSON objects, one
//! on each line; the server greets, and takes commands after `qmp_capabilities`.

use crate::socket;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// The longest answer that is taken; real ones have a few hundred bytes.
const MAX_LINE: u64 = 1 << 20;

/// QEMU could not be asked.
#[derive(Debug, Error)]
pub enum QmpError {
    /// The socket is not there or nobody answers.
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The conversation broke off or took too long.
    #[error("no answer to {command}")]
    Broken {
        /// What was asked.
        command: String,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// Something else than the protocol was heard.
    #[error("{command} was answered by something that is not the protocol: {heard}")]
    Protocol {
        /// What was asked.
        command: String,
        /// What was heard.
        heard: String,
    },
    /// QEMU refused the command.
    #[error("{command} was refused: {description}")]
    Refused {
        /// What was asked.
        command: String,
        /// What QEMU said.
        description: String,
    },
}

/// A conversation with one QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects and ends the negotiation; each later answer may take `patience`.
    ///
    /// # Errors
    /// Every [`QmpError`].
    pub fn connect(path: &Path, patience: Duration) -> Result<Self, QmpError> {
        let stream = socket::connect(path)
            .and_then(|stream| {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Ok(stream)
            })
            .map_err(|source| QmpError::Connect { path: path.to_owned(), source })?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        let greeting = qmp.read("the connection")?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Protocol { command: "the connection".to_owned(), heard: greeting.to_string() });
        }
        qmp.execute("qmp_capabilities", None)?;
        Ok(qmp)
    }

    /// Runs one command and answers what it returned.
    ///
    /// # Errors
    /// Every [`QmpError`] but `Connect`.
    pub fn execute(&mut self, command: &str, arguments: Option<Value>) -> Result<Value, QmpError> {
        let mut message = json!({ "execute": command });
        if let Some(arguments) = arguments {
            message["arguments"] = arguments;
        }
        let line = format!("{message}\n");
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.map_err(|source| broken(command, source))?;
        loop {
            let mut answer = self.read(command)?;
            if answer.get("event").is_some() {
                continue;
            }
            if let Some(error) = answer.get("error") {
                let description = error["desc"].as_str().unwrap_or("without a reason");
                return Err(QmpError::Refused { command: command.to_owned(), description: description.to_owned() });
            }
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
            return Err(QmpError::Protocol { command: command.to_owned(), heard: answer.to_string() });
        }
    }

    fn read(&mut self, command: &str) -> Result<Value, QmpError> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.ends_with(b"\n") => {}
            Ok(_) => return Err(broken(command, io::ErrorKind::UnexpectedEof.into())),
            Err(source) => return Err(broken(command, source)),
        }
        serde_json::from_slice(&line).map_err(|_| QmpError::Protocol {
            command: command.to_owned(),
            heard: String::from_utf8_lossy(&line).trim().to_owned(),
        })
    }
}

fn broken(command: &str, source: io::Error) -> QmpError {
    QmpError::Broken { command: command.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A server that greets, then answers each line it reads with the next of `answers`.
    fn server(greeting: &'static str, answers: &'static [&'static str]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("q");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            stream.write_all(greeting.as_bytes()).unwrap();
            for answer in answers {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 {
                    return;
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (directory, path)
    }

    const GREETING: &str = "{\"QMP\": {\"capabilities\": []}}\r\n";

    #[test]
    fn events_are_skipped_and_returns_are_returned() {
        let answers = &[
            "{\"return\": {}}\r\n",
            "{\"event\": \"RESET\"}\r\n{\"event\": \"STOP\"}\r\n{\"return\": {\"status\": \"running\"}}\r\n",
        ];
        let (_directory, path) = server(GREETING, answers);
        let mut qmp = Qmp::connect(&path, Duration::from_secs(5)).unwrap();
        assert_eq!(qmp.execute("query-status", None).unwrap()["status"], "running");
    }

    #[test]
    fn refusals_silence_and_strangers_are_told_apart() {
        let refuse = &["{\"return\": {}}\n", "{\"error\": {\"class\": \"X\", \"desc\": \"no such thing\"}}\n"];
        let (_directory, path) = server(GREETING, refuse);
        let mut qmp = Qmp::connect(&path, Duration::from_secs(5)).unwrap();
        let error = qmp.execute("x", None).unwrap_err();
        assert!(matches!(&error, QmpError::Refused { description, .. } if description == "no such thing"));
        let error = qmp.execute("y", None).unwrap_err();
        assert!(matches!(error, QmpError::Broken { .. }), "{error}");

        let (_directory, path) = server("SSH-2.0-x\r\n", &[]);
        let error = Qmp::connect(&path, Duration::from_secs(5)).unwrap_err();
        assert!(matches!(error, QmpError::Protocol { .. }), "{error}");

        let (_directory, path) = server("", &["never"]);
        let error = Qmp::connect(&path, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, QmpError::Broken { .. }), "{error}");

        let error = Qmp::connect(&path.join("missing"), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, QmpError::Connect { .. }), "{error}");
    }
}
