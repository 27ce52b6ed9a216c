//! Connections that are kept for the next request. A server may end one at any time, also while a request is on its way to
//! it: that says nothing of the request, which is made again on another connection (RFC 9112, section 9.3.1), and costs no
//! attempt.

use std::cell::Cell;
use std::io::ErrorKind;

use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

thread_local! {
    /// How many connections this thread has begun to make.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// Begins a chain of connectors: counts the connections that a thread makes, by which its request is known to go over one
/// that was kept.
#[derive(Debug)]
pub(super) struct CountConnector;

impl<In: Transport> Connector<In> for CountConnector {
    type Out = In;

    fn connect(&self, _details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, Error> {
        BEGUN.set(BEGUN.get() + 1);
        Ok(chained)
    }
}

/// Makes a request, and once more for each kept connection that turns out to be ended, `kept` times at most.
pub(super) fn call<T>(kept: usize, request: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..kept {
        let before = BEGUN.get();
        match request() {
            Err(error) if BEGUN.get() == before && is_disconnect(&error) => {}
            answer => return answer,
        }
    }
    request()
}

fn is_disconnect(error: &Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error, Error::Io(error) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Error {
        Error::Io(std::io::Error::from(ErrorKind::UnexpectedEof))
    }

    /// What each request meets, whether it makes a connection, how many are made, and whether the last one is answered.
    #[test]
    fn only_what_was_kept_is_made_up_for() {
        type Case = (&'static [(bool, fn() -> Option<Error>)], usize, bool);
        let cases: &[Case] = &[
            (&[(true, || None)], 1, true),
            (&[(true, || Some(ended()))], 1, false),
            (&[(false, || Some(ended())), (true, || None)], 2, true),
            (&[(false, || Some(ended())), (false, || Some(ended())), (true, || Some(ended()))], 3, false),
            (
                &[(false, || Some(ended())), (false, || Some(ended())), (false, || Some(ended())), (true, || None)],
                3,
                false,
            ),
            (&[(false, || Some(Error::HostNotFound))], 1, false),
        ];
        for (at, (requests, expected, is_answered)) in cases.iter().enumerate() {
            let made = Cell::new(0);
            let answer = call(2, || {
                let (is_new, outcome) = requests[made.get()];
                made.set(made.get() + 1);
                BEGUN.set(BEGUN.get() + u64::from(is_new));
                outcome().map_or(Ok(()), Err)
            });
            assert_eq!((made.get(), answer.is_ok()), (*expected, *is_answered), "{at}");
        }
    }
}
