//! Writes to the system log through the C library's `syslog(3)`.
//!
//! How a message reaches `syslogd` is the C library's business and differs from system to system: a socket on Linux, a
//! STREAMS device with a door on illumos (`log(4D)`, `syslogd(8)`). So the function is called, and the protocol behind it
//! is not spoken. Calling it takes `unsafe`, which is in this crate for that reason only.

use std::ffi::{CStr, CString};

use sysconfig_protocol::Level;

/// The name that every message carries.
const IDENT: &CStr = c"sysconfig";

/// The opened log. There is one per process, because the C library has one.
#[derive(Debug)]
pub struct SystemLog(());

impl SystemLog {
    /// Opens the log for the facility `daemon`, with the process id in every message.
    pub fn open() -> Self {
        Self::open_with(0)
    }

    /// As [`SystemLog::open`], and writes every message to standard error besides.
    #[cfg(target_os = "linux")]
    pub fn open_loudly() -> Self {
        Self::open_with(libc::LOG_PERROR)
    }

    #[expect(unsafe_code, reason = "syslog(3) is a function of the C library")]
    fn open_with(options: libc::c_int) -> Self {
        // SAFETY: the identifier is a static string that ends with NUL; the C library keeps the pointer.
        unsafe { libc::openlog(IDENT.as_ptr(), libc::LOG_PID | options, libc::LOG_DAEMON) };
        Self(())
    }

    /// Writes a message, line by line, because a message of `syslog` is one line.
    pub fn write(&self, level: Level, message: &str) {
        let priority = match level {
            Level::Error => libc::LOG_ERR,
            Level::Warn => libc::LOG_WARNING,
            Level::Info => libc::LOG_INFO,
            Level::Debug | Level::Trace => libc::LOG_DEBUG,
        };
        for line in message.lines().filter(|line| !line.trim().is_empty()) {
            write_line(priority, line);
        }
    }
}

#[expect(unsafe_code, reason = "syslog(3) is a function of the C library")]
fn write_line(priority: libc::c_int, line: &str) {
    // A NUL would end the line for the C library.
    let Ok(line) = CString::new(line.replace('\0', "\u{fffd}")) else { return };
    // SAFETY: both strings end with NUL and live until the call returns; the format takes one string, so nothing in the
    // line is a format. The function may be called from any thread (POSIX, syslog()).
    unsafe { libc::syslog(priority, c"%s".as_ptr(), line.as_ptr()) };
}
