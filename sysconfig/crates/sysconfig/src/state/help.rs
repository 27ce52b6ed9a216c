//! What to do about a state directory that cannot be read or written.

use std::error::Error;

use rustix::io::Errno;

/// The help that fits what the operating system says, which may lie behind other causes.
pub(super) fn of(error: &(dyn Error + 'static)) -> &'static str {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    let codes = causes.filter_map(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error());
    codes.map(Errno::from_raw_os_error).next().map_or(UNKNOWN, of_errno)
}

const UNKNOWN: &str = "see that root can make a file in the directory, and read those that are there";

fn of_errno(errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC | Errno::DQUOT => "make room on its file system: `df`, `df -i`, and quotas show what is used up",
        Errno::ROFS => "make its file system writable: it is mounted read-only, as also after a fault of its disk",
        Errno::ACCESS => {
            "see with `ls -ld` that root may read and write it and every directory above; a share must not take root for \
             somebody else"
        }
        Errno::PERM => IMMUTABLE,
        Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY | Errno::LOOP | Errno::FBIG => {
            "something else is in its place, or in that of a file beside it that ends in .new: `ls -l` shows it, and it has to go"
        }
        Errno::NOENT => "it was removed: see what removes it, and that a file system that belongs there is mounted",
        Errno::MFILE | Errno::NFILE => {
            "too many files are open: see what holds them (`sysconfigctl doctor`, `lsof`, `pfiles`), then restart the service"
        }
        Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH => {
            "its file system is a share, and the server has lost it or does not answer: mount it anew, or see to the server"
        }
        Errno::IO | Errno::NXIO => "its disk has a fault: `zpool status` or `dmesg` say more",
        Errno::NOLCK => "its file system gives no locks: name a local directory with --state-dir",
        _ => UNKNOWN,
    }
}

/// What to do about what even root may not change.
const IMMUTABLE: &str = if cfg!(target_os = "illumos") {
    "root may not change it, so that it or its directory may be immutable: `ls -/ v` shows that, and `chmod S-vimmutable` ends \
     it"
} else {
    "root may not change it, so that it or its directory may be immutable: `lsattr` shows an i then, and `chattr -i` ends it"
};

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::service::instance::InstanceError;
    use crate::state::StateError;

    #[test]
    fn the_help_fits_what_the_operating_system_says() {
        for (errno, fits) in [
            (Errno::NOSPC, "make room"),
            (Errno::DQUOT, "quotas"),
            (Errno::ROFS, "mounted read-only"),
            (Errno::ACCESS, "root may read and write it"),
            (Errno::PERM, "immutable"),
            (Errno::NOTDIR, "in its place"),
            (Errno::ISDIR, "in its place"),
            (Errno::FBIG, "in its place"),
            (Errno::NOENT, "was removed"),
            (Errno::MFILE, "too many files are open"),
            (Errno::STALE, "a share"),
            (Errno::IO, "has a fault"),
            (Errno::NOLCK, "--state-dir"),
            (Errno::PIPE, "make a file"),
        ] {
            let path = Path::new("/state");
            let plain = StateError::new("write", path, errno.into());
            // As where the directory has to be taken first.
            let taking = InstanceError::Directory { path: path.to_owned(), source: errno.into() };
            let behind = StateError::new("use", path, io::Error::other(taking));
            for error in [plain, behind] {
                assert!(error.help().contains(fits), "{errno}: {}", error.help());
            }
        }
    }
}
