//! Who is at the other end of an admin connection.

use std::os::unix::net::UnixStream;

/// Root and the daemon's own user may do everything, others nothing.
///
/// Where the system tells the peer only through an interface that has no safe binding (illumos: `getpeerucred`), the
/// socket's mode and that of its directory decide alone; both are checked by `connect` there.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn check(stream: &UnixStream) -> Result<(), String> {
    let peer =
        rustix::net::sockopt::socket_peercred(stream).map_err(|errno| format!("its user is unknown: {errno}"))?;
    if peer.uid.is_root() || peer.uid == rustix::process::geteuid() {
        return Ok(());
    }
    Err(format!("user {} may not administer this system", peer.uid.as_raw()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn check(_: &UnixStream) -> Result<(), String> {
    Ok(())
}
