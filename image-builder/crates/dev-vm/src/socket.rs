//! Connecting to a Unix socket whose path may be longer than the system's limit.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What fits into a socket address on every system (104 bytes on the BSDs), with the ending zero.
const MAX_PATH: usize = 103;

/// Connects to the socket at `path`.
///
/// A long path is reached through a symbolic link in a temporary directory: the
/// limit is on the text of the address, not on the path it leads to.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= MAX_PATH {
        return UnixStream::connect(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let short = tempfile::Builder::new().prefix("vm").tempdir()?;
    let link = short.path().join("d");
    std::os::unix::fs::symlink(directory, &link)?;
    UnixStream::connect(link.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_socket_deep_in_the_tree_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(90)).join("e".repeat(90));
        std::fs::create_dir_all(&deep).unwrap();
        let socket = deep.join("qmp.sock");
        // The listener, too, needs a short way in.
        let link = root.path().join("l");
        std::os::unix::fs::symlink(&deep, &link).unwrap();
        let listener = UnixListener::bind(link.join("qmp.sock")).unwrap();

        assert!(UnixStream::connect(&socket).is_err(), "the case is not too long");
        super::connect(&socket).unwrap();
        listener.accept().unwrap();
    }
}
