//! One question to the daemon, and its answer.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sysconfig_protocol::admin::Problem;
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, ErrorObject, Id, LineDecoder, Message, Request};

/// The daemon could not be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("{}: nobody listens on {}", match holder_beside(socket) {
        Some(_) => "the daemon cannot be asked",
        None => "the daemon does not run",
    }, socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// What is named as the socket is none.
    #[error("{} is no socket, so no daemon listens there", socket.display())]
    NoSocket {
        /// What was named.
        socket: PathBuf,
    },
    /// The socket cannot be used, mostly because the caller may not.
    #[error("cannot connect to {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// The reason given by the system.
        #[source]
        source: io::Error,
    },
    /// The connection broke while the daemon was asked.
    #[error("the connection to the daemon broke during {method}")]
    Broken {
        /// The request's method.
        method: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The daemon took too long.
    #[error("the daemon did not answer {method} within {} s", deadline.as_secs())]
    Late {
        /// The request's method.
        method: &'static str,
        /// How long it was given.
        deadline: Duration,
    },
    /// Somebody answered, and not in the daemon's way.
    #[error("the answer to {method} is not a daemon's: {reason}")]
    NotOurs {
        /// The request's method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The daemon said no.
    #[error("{}", .0.message)]
    Refused(ErrorObject),
}

impl ClientError {
    /// Whether the daemon was not reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. }
                | Self::NoSocket { .. }
                | Self::Connect { .. }
                | Self::Broken { .. }
                | Self::Late { .. }
        )
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotRunning { socket, .. } => Some(match holder_beside(socket) {
                Some(pid) => format!(
                    "process {pid} holds the lock beside it, and makes a socket that was removed anew within seconds: try again, and see \
                     what removes files there"
                ),
                None => start_help().to_owned(),
            }),
            Self::NoSocket { .. } => {
                Some("give --socket the path of one: it is sysconfig.sock in the daemon's --run-dir".to_owned())
            }
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run it as root".to_owned())
            }
            Self::Late { method: "ping" | "status", .. } => Some(
                "that is answered at once, whatever the daemon does: see whether its process is stopped or the machine overloaded, or \
                 restart its service"
                    .to_owned(),
            ),
            Self::Late { .. } => Some(
                "allow more with --timeout SECONDS; `sysconfigctl status` says what the daemon is doing".to_owned(),
            ),
            Self::Refused(error) => {
                let help = error.data.as_ref().and_then(|data| data.help.clone());
                help.or_else(|| refusal_help(error.code).map(str::to_owned))
            }
            _ => None,
        }
    }

    /// The faults of the configuration that the daemon has read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Refused(ErrorObject { data: Some(data), .. }) => &data.problems,
            _ => &[],
        }
    }

    /// The chain of causes, the nearest first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        match self {
            Self::Refused(error) => error.data.as_ref().map(|data| data.causes.clone()).unwrap_or_default(),
            error => std::error::Error::source(error).map(ToString::to_string).into_iter().collect(),
        }
    }
}

/// The process that its lock names beside the socket, when it lives.
fn holder_beside(socket: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(socket.parent()?.join("lock")).ok()?;
    let pid = text.trim().parse::<u32>().ok()?;
    // One that ended and that nobody has waited for is still in there, and has no program any more.
    let process = Path::new("/proc").join(pid.to_string());
    // The link of illumos may be unreadable where the file is gone, proc(5); there it counts that it is mapped.
    let is_running = process.join("exe").read_link().is_ok() || process.join("object/a.out").symlink_metadata().is_ok();
    is_running.then_some(pid)
}

/// How the daemon is started here.
fn start_help() -> &'static str {
    if cfg!(target_os = "illumos") {
        "start it with `svcadm enable svc:/system/installer/sysconfig:default`; \
         `svcs -xv svc:/system/installer/sysconfig:default` says why it does not run"
    } else if !Path::new("/run/systemd/system").exists() {
        "start it with `/usr/lib/sysconfig`, or target/release/sysconfig of a checkout, as root; for a daemon with another --run-dir \
         give --socket"
    } else {
        "start it with `systemctl start sysconfig`; `systemctl status sysconfig` says why it does not run; \
         for a daemon with another --run-dir give --socket"
    }
}

fn refusal_help(code: i64) -> Option<&'static str> {
    match code {
        code::PLAN_CHANGED => Some("look at the new plan with `sysconfigctl plan`"),
        code::NO_SUCH_PLUGIN => Some("`sysconfigctl plugins` lists the plugins"),
        code::NOT_PERMITTED => Some("run it as root"),
        code::TOO_MANY_CONNECTIONS => Some("end some of those that ask it, then try again"),
        code::METHOD_NOT_FOUND => {
            Some("the daemon is of another version than sysconfigctl; build both from the same source")
        }
        _ => None,
    }
}

/// How long a daemon is asked again that has too many connections: it sees a moment later that one has ended.
const CROWD_PATIENCE: Duration = Duration::from_secs(2);
/// And the pause before that.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks the daemon on `socket` and waits for the answer, not longer than `deadline`.
///
/// # Errors
/// Every [`ClientError`].
pub fn ask<C: Call>(socket: &Path, call: &C, deadline: Duration) -> Result<C::Answer, ClientError> {
    let began = Instant::now();
    loop {
        match ask_once(socket, call, (began + deadline, deadline)) {
            Err(ClientError::Refused(error))
                if error.code == code::TOO_MANY_CONNECTIONS
                    && began.elapsed() + PAUSE < deadline.min(CROWD_PATIENCE) =>
            {
                std::thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

fn ask_once<C: Call>(
    socket: &Path,
    call: &C,
    (until, deadline): (Instant, Duration),
) -> Result<C::Answer, ClientError> {
    let broken = |source| ClientError::Broken { method: C::METHOD, source };
    let not_ours = |reason: String| ClientError::NotOurs { method: C::METHOD, reason };
    let mut stream = connect(socket)?;
    let params = serde_json::to_value(call).map_err(|error| not_ours(error.to_string()))?;
    let request = Message::Request(Request { id: Id::Number(1), method: C::METHOD.to_owned(), params });
    stream.set_write_timeout(Some(deadline)).map_err(broken)?;
    // Who is refused is told so before he has asked. Then this fails, and the reason is there to be read.
    let sent = stream.write_all(&request.to_line());
    let mut decoder = LineDecoder::new();
    loop {
        let line = read_line(&mut stream, &mut decoder, until).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ClientError::Late { method: C::METHOD, deadline },
            _ => broken(sent.as_ref().err().map_or(error, |sent| io::Error::from(sent.kind()))),
        })?;
        match Message::parse(&line) {
            Ok(Message::Response(response)) => {
                let value = response.result.map_err(ClientError::Refused)?;
                return serde_json::from_value(value).map_err(|error| not_ours(error.to_string()));
            }
            // A newer daemon may tell more than the answer.
            Ok(Message::Notification(_)) => {}
            Ok(Message::Request(_)) => return Err(not_ours("it is a request".to_owned())),
            Err(error) => return Err(not_ours(error.to_string())),
        }
    }
}

fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    UnixStream::connect(socket).map_err(|source| {
        let socket = socket.to_owned();
        // Linux says of any other file that it refuses the connection.
        let is_other = || std::fs::metadata(&socket).is_ok_and(|found| !found.file_type().is_socket());
        match source.kind() {
            io::ErrorKind::NotFound => ClientError::NotRunning { socket, source },
            _ if is_other() => ClientError::NoSocket { socket },
            io::ErrorKind::ConnectionRefused => ClientError::NotRunning { socket, source },
            _ => ClientError::Connect { socket, source },
        }
    })
}

fn read_line(stream: &mut UnixStream, decoder: &mut LineDecoder, until: Instant) -> io::Result<Vec<u8>> {
    let mut chunk = [0; 16 * 1024];
    loop {
        let line = decoder.next_line().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(line) = line {
            return Ok(line);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => decoder.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
