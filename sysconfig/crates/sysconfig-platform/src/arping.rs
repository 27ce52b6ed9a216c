//! arping of iputils: asks a link whether another machine has an IPv4 address (RFC 5227), which Linux' kernel does for
//! IPv6 only.

use crate::network::NetworkError;
use crate::{Host, Invocation};
use std::net::Ipv4Addr;

/// The program. Another of that name, Thomas Habets', takes other options and answers the other way round.
pub const PROGRAM: &str = "/usr/bin/arping";
/// What ours says of itself.
const MAKER: &str = "iputils";
/// The exit status when another machine has answered.
const ANSWERED: i32 = 1;

/// The command that says whose arping it is.
#[must_use]
pub fn version_command() -> Invocation {
    Invocation::new(PROGRAM, ["-V"])
}

/// The command that asks for an address, twice within two seconds; its exit status is the answer.
#[must_use]
pub fn probe_command(link: &str, address: Ipv4Addr) -> Invocation {
    Invocation::new(PROGRAM, ["-D", "-q", "-c", "2", "-w", "2", "-I", link, &address.to_string()])
}

/// Whether there is an arping that can be asked.
///
/// # Errors
/// [`NetworkError::Command`].
pub fn is_there(host: &Host) -> Result<bool, NetworkError> {
    match host.run_any(&version_command()) {
        Ok(completed) => Ok(completed.stdout.contains(MAKER)),
        Err(error) if error.is_not_found() => Ok(false),
        Err(source) => Err(NetworkError::Command { operation: "ask for the version of arping".to_owned(), source }),
    }
}

/// Refuses an address that another machine on the link has. The link must be switched on.
///
/// # Errors
/// [`NetworkError::Duplicate`], and [`NetworkError::Command`] when the question could not be asked.
pub fn refuse_duplicate(host: &Host, link: &str, address: Ipv4Addr) -> Result<(), NetworkError> {
    let operation = || format!("ask on {link} who has {address}");
    let command = probe_command(link, address);
    let completed = host.run_any(&command).map_err(NetworkError::command(operation()))?;
    if completed.code == ANSWERED {
        return Err(NetworkError::Duplicate { address: address.to_string(), link: link.to_owned() });
    }
    completed.success(&command).map(drop).map_err(NetworkError::command(operation()))
}
