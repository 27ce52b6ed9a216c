//! The choice of the forwarded port.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// The first port that is tried; the following ones are tried in order.
pub const FIRST_PORT: u16 = 2222;
/// How many ports in a row are tried before the system is asked for any.
const PORTS_TRIED: u16 = 100;

/// A port on 127.0.0.1 that nobody listens on: `wanted` when it is free, else another.
///
/// Somebody may take it between this answer and its use, so whoever uses it must be ready to ask again.
///
/// # Errors
/// The system's, when it has no free port at all.
pub fn free_port(wanted: Option<u16>) -> io::Result<u16> {
    if let Some(port) = wanted.filter(|port| is_free(*port)) {
        return Ok(port);
    }
    match (FIRST_PORT..FIRST_PORT + PORTS_TRIED).find(|port| is_free(*port)) {
        Some(port) => Ok(port),
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port()),
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_kept_and_a_taken_one_replaced() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let other = free_port(Some(taken)).unwrap();
        assert_ne!(other, taken);
        drop(listener);
        assert_eq!(free_port(Some(taken)).unwrap(), taken);
    }
}
