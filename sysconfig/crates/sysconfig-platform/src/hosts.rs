//! The hosts file, in which our rows are marked and nobody else's are touched.
//!
//! On illumos `/etc/hosts` and `/etc/inet/ipnodes` are links to
//! `/etc/inet/hosts`; [`crate::files`] follows them.

use crate::{Rows, System};
use std::net::IpAddr;

/// Where the hosts file is, by its common name.
pub const HOSTS: &str = "/etc/hosts";

/// The comment at the end of our rows.
const MARK: &str = "# sysconfig";

/// What a hosts file is when there is none: illumos' lookups of `localhost` and `loghost` depend on it.
const FRESH_ILLUMOS: &str = "::1\tlocalhost\n127.0.0.1\tlocalhost loghost\n";
/// See [`FRESH_ILLUMOS`]; the names that Debian's installer writes.
const FRESH_LINUX: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The rows that make the host's own `name` resolvable without a network.
///
/// Linux follows Debian: `127.0.1.1`, so that the name does not hide
/// `localhost`. illumos answers on `127.0.0.1` only, so there the name goes
/// to both loopback addresses. A name with dots is followed by its first part.
#[must_use]
pub fn own_rows(system: System, name: &str) -> Vec<String> {
    let names = match name.split_once('.') {
        Some((short, _)) => format!("{name} {short}"),
        None => name.to_owned(),
    };
    let addresses: &[&str] = match system {
        System::Linux => &["127.0.1.1"],
        System::Illumos => &["::1", "127.0.0.1"],
    };
    addresses.iter().map(|address| format!("{address}\t{names}\t{MARK}")).collect()
}

/// Whether a row is one of ours: that of an address of this machine, with the mark. With another one the mark is somebody's comment,
/// as about the host that runs this program.
#[must_use]
pub fn is_ours(row: &str) -> bool {
    let address = row.split_whitespace().next().and_then(|word| word.parse::<IpAddr>().ok());
    row.trim_end().ends_with(MARK) && address.is_some_and(|address| address.is_loopback())
}

/// Our rows in the file, in order.
#[must_use]
pub fn marked(content: &str) -> Vec<String> {
    content.lines().filter(|row| is_ours(row)).map(str::to_owned).collect()
}

/// The address that somebody else's row gives `name`; the first one counts, and case does not. A row that begins with no
/// address gives none to anybody: resolvers pass over it.
#[must_use]
pub fn foreign_address(content: &str, name: &str) -> Option<String> {
    content.lines().filter(|row| !is_ours(row)).find_map(|row| {
        let row = row.split('#').next().unwrap_or_default();
        let mut words = row.split_whitespace();
        let address = words.next().filter(|word| is_address(word))?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then(|| address.to_owned())
    })
}

/// Whether a word is an address, with or without the zone of a link-local one.
fn is_address(word: &str) -> bool {
    word.split('%').next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

/// The file with `rows` as our rows and everything else as it was; a new file when there is none.
#[must_use]
pub fn with_rows(system: System, content: Option<&[u8]>, rows: &[String]) -> Vec<u8> {
    let fresh = match system {
        System::Illumos => FRESH_ILLUMOS,
        System::Linux => FRESH_LINUX,
    };
    let mut file = Rows::parse(content.unwrap_or(fresh.as_bytes()));
    file.replace(is_ours, rows);
    file.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ILLUMOS: &str = "#\n# Internet host table\n#\n::1\tlocalhost\n127.0.0.1\tlocalhost loghost\n";

    #[test]
    fn rows_of_both_systems() {
        assert_eq!(own_rows(System::Linux, "dev"), ["127.0.1.1\tdev\t# sysconfig"]);
        assert_eq!(
            own_rows(System::Illumos, "dev.example.org"),
            ["::1\tdev.example.org dev\t# sysconfig", "127.0.0.1\tdev.example.org dev\t# sysconfig"]
        );
    }

    #[test]
    fn only_our_rows_change() {
        let first = with_rows(System::Illumos, Some(ILLUMOS.as_bytes()), &own_rows(System::Illumos, "old"));
        let second = with_rows(System::Illumos, Some(&first), &own_rows(System::Illumos, "new"));
        let text = String::from_utf8(second.clone()).unwrap();
        assert_eq!(text, format!("{ILLUMOS}::1\tnew\t# sysconfig\n127.0.0.1\tnew\t# sysconfig\n"));
        assert_eq!(marked(&text), own_rows(System::Illumos, "new"));
        assert_eq!(with_rows(System::Illumos, Some(&second), &[]), ILLUMOS.as_bytes());
    }

    #[test]
    fn a_missing_file_gets_localhost_too() {
        let text = String::from_utf8(with_rows(System::Linux, None, &own_rows(System::Linux, "dev"))).unwrap();
        assert!(text.contains("127.0.0.1\tlocalhost\n"), "{text}");
        assert!(text.ends_with("127.0.1.1\tdev\t# sysconfig\n"), "{text}");
    }

    #[test]
    fn rows_of_others_are_found_by_any_of_their_names() {
        let content = "127.0.0.1 localhost\n192.0.2.7\tDEV.example.org Dev # office\n# 192.0.2.8 other\n127.0.1.1 mine # sysconfig\n";
        assert_eq!(foreign_address(content, "dev").as_deref(), Some("192.0.2.7"));
        assert_eq!(foreign_address(content, "dev.example.org").as_deref(), Some("192.0.2.7"));
        assert_eq!(foreign_address(content, "other"), None, "a comment is no row");
        assert_eq!(
            foreign_address("a dev\nfe80::1%net0 dev\n", "dev").as_deref(),
            Some("fe80::1%net0"),
            "nor is this one"
        );
        assert_eq!(foreign_address(content, "mine"), None, "ours is not somebody else's");
        assert_eq!(foreign_address(content, "office"), None, "a comment is no name");
    }

    #[test]
    fn a_comment_line_with_the_mark_is_not_ours() {
        assert!(!is_ours("# rows below are managed by # sysconfig"));
        assert!(is_ours("127.0.1.1 dev # sysconfig  "));
        let of_the_build_host = "10.0.0.5 build # sysconfig\n";
        assert_eq!(with_rows(System::Linux, Some(of_the_build_host.as_bytes()), &[]), of_the_build_host.as_bytes());
    }
}
