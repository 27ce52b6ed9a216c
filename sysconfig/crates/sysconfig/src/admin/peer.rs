//! Who is at the other end of an admin connection.

use std::os::unix::net::UnixStream;

/// Root and the daemon's own user may do everything, others nothing.
///
/// The socket's mode and that of its directory keep others out already (`connect` looks at both, on illumos too); this
/// is the second lock.
pub(super) fn check(stream: &UnixStream) -> Result<(), String> {
    match effective_user(stream) {
        Ok(None) => Ok(()),
        Ok(Some(user)) if may(user, rustix::process::geteuid().as_raw()) => Ok(()),
        Ok(Some(user)) => Err(format!("user {user} may not administer this system")),
        Err(error) => Err(format!("its user is unknown: {error}")),
    }
}

/// Whether `user` may administer a daemon that runs as `own`.
fn may(user: u32, own: u32) -> bool {
    user == 0 || user == own
}

/// The effective user that the peer had when it connected; none where the system is not asked.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn effective_user(stream: &UnixStream) -> std::io::Result<Option<u32>> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(Some(peer.uid.as_raw()))
}

#[cfg(target_os = "illumos")]
fn effective_user(stream: &UnixStream) -> std::io::Result<Option<u32>> {
    use uds::UnixStreamExt;

    stream.initial_peer_credentials().map(|peer| Some(peer.euid()))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "illumos")))]
fn effective_user(_: &UnixStream) -> std::io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_daemons_own_user_may_and_nobody_else() {
        for (user, own, expected) in [
            (0, 0, true),
            (0, 1000, true),
            (1000, 1000, true),
            (1000, 0, false),
            (1000, 1001, false),
            (1, 0, false),
            (65534, 0, false),
            (u32::MAX, 0, false),
        ] {
            assert_eq!(may(user, own), expected, "{user} at the daemon of {own}");
        }
    }

    #[test]
    fn oneself_may_and_the_system_knows_who_that_is() {
        let (stream, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(effective_user(&stream).unwrap(), Some(rustix::process::geteuid().as_raw()));
        assert_eq!(check(&stream), Ok(()));
    }
}
