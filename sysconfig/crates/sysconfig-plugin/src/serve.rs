//! The protocol loop of a plugin: a reader thread, and the thread that answers.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags};
use sysconfig_protocol::envelope::{MessageError, code};
use sysconfig_protocol::method::{Cancel, Notice};
use sysconfig_protocol::{ErrorObject, LineDecoder, MAX_LINE_BYTES, Message, Notification, Response, shape};

use crate::context::{Cancellations, Sink};
use crate::dispatch::{Next, Session};
use crate::plugin::Plugin;

/// Why a plugin stopped serving.
#[derive(Debug)]
pub(crate) enum End {
    /// The daemon asked for it.
    Shutdown,
    /// A signal asked for it.
    Signal,
    /// The daemon is gone.
    Disconnected,
    /// The connection cannot be used any further.
    Broken(String),
}

/// What the reader hands to the answering thread.
enum Input {
    Message(Message),
    Unreadable(MessageError),
    End(End),
}

/// Answers requests from `stream` until the daemon ends it, goes away, or `terminate` becomes readable.
pub(crate) fn serve<P: Plugin>(plugin: P, stream: UnixStream, terminate: Option<UnixStream>) -> std::io::Result<End> {
    let cancellations = Cancellations::default();
    let (sender, inputs) = channel();
    let reader = Reader { stream: stream.try_clone()?, terminate, cancellations: cancellations.clone(), sender };
    std::thread::Builder::new().name("reader".to_owned()).spawn(move || reader.run())?;

    let writer = Arc::new(Mutex::new(stream));
    let sink: Sink = Arc::new({
        let writer = writer.clone();
        // A notification that cannot be sent is lost with the connection, which the reader notices.
        move |message: &Message| drop(write_line(&writer, &message.to_line()))
    });
    let mut session = Session::new(plugin, sink, cancellations);
    let end = answer_all(&mut session, &inputs, &writer);
    // The reader holds the socket as well; without this neither it nor the daemon would hear of the end before the
    // process is gone. A connection that is closed already needs no closing.
    let stream = writer.lock().unwrap_or_else(PoisonError::into_inner);
    drop(stream.shutdown(std::net::Shutdown::Both));
    drop(stream);
    Ok(end)
}

fn answer_all<P: Plugin>(session: &mut Session<P>, inputs: &Receiver<Input>, writer: &Mutex<UnixStream>) -> End {
    for input in inputs {
        let (response, next) = match input {
            Input::Message(Message::Request(request)) => session.answer(request),
            // The daemon sends no notifications but `cancel`, which the reader keeps.
            Input::Message(_) => continue,
            Input::Unreadable(error) => {
                let causes = crate::error::causes(&error);
                let object = ErrorObject::new(error.code(), error.to_string()).causes(causes);
                (Response { id: None, result: Err(object) }, Next::Continue)
            }
            Input::End(end) => return end,
        };
        if write_line(writer, &answer_line(response)).is_err() {
            return End::Disconnected;
        }
        if next == Next::Stop {
            return End::Shutdown;
        }
    }
    End::Disconnected
}

/// The line of an answer. For one that is too long the daemon would end the plugin, again and again.
fn answer_line(response: Response) -> Vec<u8> {
    let id = response.id.clone();
    let line = Message::Response(response).to_line();
    if line.len() <= MAX_LINE_BYTES {
        return line;
    }
    let bytes = line.len();
    let message = format!("the answer is longer than a line of the protocol may be: {bytes} of {MAX_LINE_BYTES} bytes");
    Message::Response(Response { id, result: Err(ErrorObject::new(code::FAILED, message)) }).to_line()
}

fn write_line(writer: &Mutex<UnixStream>, line: &[u8]) -> std::io::Result<()> {
    let mut stream = writer.lock().unwrap_or_else(PoisonError::into_inner);
    stream.write_all(line)
}

/// The reader thread.
struct Reader {
    stream: UnixStream,
    terminate: Option<UnixStream>,
    cancellations: Cancellations,
    sender: Sender<Input>,
}

impl Reader {
    fn run(mut self) {
        let end = self.read_until_end();
        // The answering thread may be gone already, which is as good.
        drop(self.sender.send(Input::End(end)));
    }

    fn read_until_end(&mut self) -> End {
        let mut decoder = LineDecoder::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.wait() {
                Ok(Ready::Terminate) => return End::Signal,
                Ok(Ready::Stream) => (),
                Err(error) => return End::Broken(error.to_string()),
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return End::Disconnected,
                Ok(count) => decoder.push(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return End::Broken(error.to_string()),
            }
            loop {
                match decoder.next_line() {
                    Ok(Some(line)) => self.deliver(&line),
                    Ok(None) => break,
                    Err(error) => return End::Broken(error.to_string()),
                }
            }
        }
    }

    /// Waits for bytes from the daemon or for the termination signal.
    fn wait(&self) -> rustix::io::Result<Ready> {
        let Some(terminate) = &self.terminate else {
            return Ok(Ready::Stream);
        };
        let mut fds = [PollFd::new(terminate, PollFlags::IN), PollFd::new(&self.stream, PollFlags::IN)];
        loop {
            match rustix::event::poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(Ready::Terminate),
                Ok(_) if !fds[1].revents().is_empty() => return Ok(Ready::Stream),
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error),
            }
        }
    }

    fn deliver(&self, line: &[u8]) {
        let input = match Message::parse_call(line) {
            Ok(Some(Message::Notification(Notification { method, params }))) if method == Cancel::METHOD => {
                // A cancellation that cannot be read cancels nothing.
                if let Ok(cancel) = shape::from_value::<Cancel>(params) {
                    self.cancellations.add(cancel.id);
                }
                return;
            }
            Ok(Some(message)) => Input::Message(message),
            // A plugin asks nothing, so this answers nobody.
            Ok(None) => return,
            Err(error) => Input::Unreadable(error),
        };
        drop(self.sender.send(input));
    }
}

enum Ready {
    Stream,
    Terminate,
}
