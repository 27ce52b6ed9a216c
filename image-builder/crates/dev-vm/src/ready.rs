//! The line by which a guest says that it is up, and what it says there of its services.
//!
//! `dev-vm: ready NAME=STATE …`, written to the console when everything was started, whether that worked or not. The
//! states are the words of the guest's own service manager: `systemctl is-active` on Linux, `svcs -o state` on illumos.

use crate::console_log::{Follower, PlainText};
use serde::Serialize;
use std::io;
use std::path::Path;

/// How the line begins; what is before it on the same line belongs to another program.
pub const READY_MARKER: &str = "dev-vm: ready";
/// A line that is longer than this is cut: it comes from the guest.
const LINE_LIMIT: usize = 4096;
/// More services than this are not listened to.
const SERVICE_LIMIT: usize = 16;
/// The words of `svcs -o state`; all others are taken for those of systemd.
const SMF_STATES: [&str; 7] =
    ["online", "offline", "disabled", "maintenance", "degraded", "uninitialized", "legacy_run"];
/// What makes the share appear. In a machine without one it has nothing to do, and fails.
const SHARE_SERVICE: &str = "dev-9p-mount";
/// The words for a service that does its work.
const HEALTHY: [&str; 3] = ["active", "reloading", "online"];

/// A service of the guest, as it was when the guest became ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name, of letters, digits and `@._-` only.
    pub name: String,
    /// The service manager's word for its state.
    pub state: String,
    /// Whether that is a state in which it does its work; also where the machine has none for it.
    pub healthy: bool,
}

impl Service {
    fn parse(word: &str) -> Option<Self> {
        let (name, state) = word.split_once('=')?;
        // It is shown as a part of commands, so it may hold nothing that a shell would understand.
        let is_plain = |text: &str, more: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte);
            (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
        };
        let healthy = HEALTHY.contains(&state);
        let service = Self { name: name.to_owned(), state: state.to_owned(), healthy };
        (is_plain(name, "@._-") && is_plain(state, "_-")).then_some(service)
    }

    /// Commands for the guest: one that shows what the service wrote, and one that shows how it is now.
    #[must_use]
    pub fn commands(&self) -> [String; 2] {
        let name = &self.name;
        if SMF_STATES.contains(&self.state.as_str()) {
            [format!("sh -c 'tail -n 50 $(svcs -L {name})'"), format!("svcs -xv {name}")]
        } else {
            [format!("journalctl -b -n 50 --no-pager -u {name}"), format!("systemctl status --no-pager {name}")]
        }
    }
}

/// Watches the log for the line.
#[derive(Debug)]
pub struct ReadyWatch {
    follower: Follower,
    /// The end of what was read: it may be the beginning of the line.
    carry: Vec<u8>,
    has_share: bool,
    seen: Option<Vec<Service>>,
}

impl ReadyWatch {
    /// Watches what is written to the log at `path` after `offset`, of a machine with or without a share.
    #[must_use]
    pub fn new(path: &Path, offset: u64, has_share: bool) -> Self {
        Self { follower: Follower::new(path, offset), carry: Vec::new(), has_share, seen: None }
    }

    /// The services of the last line that was written since the watch began; `None` as long as there is no line.
    ///
    /// # Errors
    /// The system's.
    pub fn poll(&mut self) -> io::Result<Option<Vec<Service>>> {
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.append(&mut self.follower.read_new()?);
        let mut rest = bytes.as_slice();
        while let Some(begin) = find(rest, READY_MARKER.as_bytes()) {
            let after = &rest[begin + READY_MARKER.len()..];
            let end = after.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n');
            let Some(end) = end.or((after.len() >= LINE_LIMIT).then_some(LINE_LIMIT)) else {
                self.carry = rest[begin..].to_vec();
                return Ok(self.seen.clone());
            };
            let mut found = services(&after[..end]);
            found.iter_mut().for_each(|service| service.healthy |= !self.has_share && service.name == SHARE_SERVICE);
            self.seen = Some(found);
            rest = &after[end..];
        }
        self.carry = rest[rest.len().saturating_sub(READY_MARKER.len() - 1)..].to_vec();
        Ok(self.seen.clone())
    }
}

/// The services in what follows the marker. Words of other kinds are for people.
fn services(line: &[u8]) -> Vec<Service> {
    let mut plain = Vec::new();
    PlainText::default().push(line, &mut plain);
    String::from_utf8_lossy(&plain).split_whitespace().filter_map(Service::parse).take(SERVICE_LIMIT).collect()
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console_log::length;
    use std::io::Write;

    fn words(services: &[Service]) -> String {
        let word =
            |service: &Service| format!("{}={}{}", service.name, service.state, if service.healthy { "" } else { "!" });
        services.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_states_are_read_and_nothing_else() {
        for (line, expected) in [
            ("", ""),
            (" debian", ""),
            (" sysconfig=active dev-9p-mount=active\r", "sysconfig=active dev-9p-mount=active"),
            (" sysconfig=failed dev-9p-mount=activating\r", "sysconfig=failed! dev-9p-mount=activating!"),
            (" sysconfig=online dev-9p-mount=maintenance", "sysconfig=online dev-9p-mount=maintenance!"),
            (" sysconfig=unknown", "sysconfig=unknown!"),
            (
                " sysconfig=\x1b[31mfailed\x1b[0m [   12.3] usb=1;reboot a=$(b) -x=active =failed x=",
                "sysconfig=failed!",
            ),
        ] {
            assert_eq!(words(&services(line.as_bytes())), expected, "{line:?}");
        }
        assert_eq!(services("a=active ".repeat(100).as_bytes()).len(), SERVICE_LIMIT);
    }

    #[test]
    fn the_line_is_found_in_this_boot_only_and_in_pieces() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        log.write_all(b"dev-vm: ready\n").unwrap();
        let mut watch = ReadyWatch::new(log.path(), length(log.path()).unwrap(), true);
        assert_eq!(watch.poll().unwrap(), None);
        for (piece, seen) in [
            ("x dev-", None),
            ("vm: re", None),
            ("ady a=fai", None),
            ("led\r\nlogin: ", Some("a=failed!")),
            ("", Some("a=failed!")),
            // The guest was restarted from inside.
            ("\ndev-vm: ready a=active\ndev-vm: re", Some("a=active")),
            ("ady\n", Some("")),
        ] {
            log.write_all(piece.as_bytes()).unwrap();
            let found = watch.poll().unwrap();
            assert_eq!(found.as_deref().map(words).as_deref(), seen, "{piece}");
        }
    }

    /// On illumos the service is in maintenance then, on Linux it has failed.
    #[test]
    fn without_a_share_nobody_waits_for_it() {
        for (has_share, state, expected) in [
            (false, "maintenance", "sysconfig=offline! dev-9p-mount=maintenance"),
            (false, "failed", "sysconfig=offline! dev-9p-mount=failed"),
            (true, "maintenance", "sysconfig=offline! dev-9p-mount=maintenance!"),
        ] {
            let mut log = tempfile::NamedTempFile::new().unwrap();
            writeln!(log, "dev-vm: ready sysconfig=offline dev-9p-mount={state}").unwrap();
            let found = ReadyWatch::new(log.path(), 0, has_share).poll().unwrap();
            assert_eq!(found.as_deref().map(words).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        write!(log, "dev-vm: ready a=active {}", "x".repeat(LINE_LIMIT)).unwrap();
        let found = ReadyWatch::new(log.path(), 0, true).poll().unwrap();
        assert_eq!(found.as_deref().map(words).as_deref(), Some("a=active"));
    }

    #[test]
    fn each_service_manager_is_asked_in_its_own_words() {
        let [log, now] = Service::parse("sysconfig=failed").unwrap().commands();
        assert!(log.contains("journalctl") && now.contains("systemctl status"), "{log} {now}");
        let [log, now] = Service::parse("sysconfig=maintenance").unwrap().commands();
        assert!(log.contains("svcs -L sysconfig") && now.contains("svcs -xv sysconfig"), "{log} {now}");
    }
}
