//! illumos' name service switch, of which host lookups need the source `dns`.
//!
//! Without a file on disk the library asks NIS first, so the file is always made.

use crate::Rows;
use std::collections::BTreeMap;

/// The switch.
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
/// The switch as illumos delivers it for machines that use DNS.
pub const TEMPLATE: &str = "/etc/nsswitch.dns";

/// The databases that DNS answers for.
pub const DATABASES: [&str; 2] = ["hosts", "ipnodes"];

/// The sources that those databases get.
pub const SOURCES: &str = "files dns";

/// A switch for a machine that has not even the template: local files for everything.
const FRESH_DATABASES: [&str; 17] = [
    "passwd",
    "group",
    "networks",
    "protocols",
    "rpc",
    "ethers",
    "netmasks",
    "bootparams",
    "publickey",
    "netgroup",
    "automount",
    "aliases",
    "services",
    "printers",
    "project",
    "auth_attr",
    "prof_attr",
];

/// The sources of a database; `None` when the switch has no row for it.
#[must_use]
pub fn sources(content: &str, database: &str) -> Option<Vec<String>> {
    content.lines().find(|row| is_row_of(row, database)).map(|row| {
        let row = row.split('#').next().unwrap_or_default();
        let sources = row.split_once(':').map_or("", |(_, sources)| sources);
        sources.split_whitespace().map(str::to_owned).collect()
    })
}

/// Whether lookups ask the local files and then DNS. More sources may stand between or behind, such as `mdns`; what shall
/// happen after one stands behind it in brackets (nsswitch.conf(5)), and can be that nobody else is asked.
#[must_use]
pub fn asks_dns(sources: &[String]) -> bool {
    let position = |name: &str| sources.iter().position(|source| source == name);
    let (Some(files), Some(dns)) = (position("files"), position("dns")) else { return false };
    files < dns && !ends_before_dns(&sources[files..dns])
}

/// Whether one of the sources says that nobody behind it is asked for what it does not know. mdns knows which names are its own.
fn ends_before_dns(sources: &[String]) -> bool {
    let text = sources.join(" ").to_lowercase();
    let mut source = "";
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('[') {
        source = before.split_whitespace().last().unwrap_or(source);
        let Some((criteria, behind)) = behind.split_once(']') else { return false };
        let ends = criteria.split_whitespace().any(|criterion| criterion == "notfound=return");
        if ends && !source.starts_with("mdns") {
            return true;
        }
        rest = behind;
    }
    false
}

/// The switch with DNS for the databases that lack it; everything else as it was. `content` is the present
/// switch, or the template when there is none.
#[must_use]
pub fn with_dns(content: Option<&[u8]>) -> Vec<u8> {
    let fresh: String = FRESH_DATABASES.iter().map(|database| format!("{database}:\tfiles\n")).collect();
    let mut file = Rows::parse(content.unwrap_or(fresh.as_bytes()));
    for database in DATABASES {
        let row = file.texts().find(|row| is_row_of(row, database));
        let present = row.and_then(|row| sources(&row, database));
        if !present.is_some_and(|sources| asks_dns(&sources)) {
            file.replace(|row| is_row_of(row, database), &[format!("{database}:\t{SOURCES}")]);
        }
    }
    file.into_bytes()
}

/// The switch with these sources for these databases, `None` for no row; everything else as it was.
#[must_use]
pub fn with_sources(content: &[u8], sources: &BTreeMap<String, Option<String>>) -> Vec<u8> {
    let mut file = Rows::parse(content);
    for (database, sources) in sources {
        let row = sources.as_ref().map(|sources| format!("{database}:\t{sources}"));
        file.replace(|row| is_row_of(row, database), row.as_slice());
    }
    file.into_bytes()
}

fn is_row_of(row: &str, database: &str) -> bool {
    row.split_once(':').is_some_and(|(name, _)| name.trim() == database)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &str = "# delivered\npasswd:     files\n\nhosts:      files # local\n\n# Note that IPv4 addresses are searched for in all\nipnodes:    nis [NOTFOUND=return] files\nnetworks:   files\n";

    #[test]
    fn only_the_two_rows_change() {
        let after = String::from_utf8(with_dns(Some(FILES.as_bytes()))).unwrap();
        assert_eq!(
            after,
            FILES
                .replace("hosts:      files # local", "hosts:\tfiles dns")
                .replace("ipnodes:    nis [NOTFOUND=return] files", "ipnodes:\tfiles dns")
        );
        assert_eq!(with_dns(Some(after.as_bytes())), after.as_bytes());
    }

    #[test]
    fn rows_can_be_put_back_and_taken_away() {
        let previous = BTreeMap::from([("hosts".to_owned(), Some("files".to_owned())), ("ipnodes".to_owned(), None)]);
        let after = with_sources(b"hosts: files dns\nipnodes: files dns\nrpc: files\n", &previous);
        assert_eq!(after, b"hosts:\tfiles\nrpc: files\n");
    }

    #[test]
    fn a_switch_that_asks_dns_stays_as_it_is() {
        let content = b"hosts:  files mdns dns\nipnodes: files   dns # both\n";
        assert_eq!(with_dns(Some(content)), content);
    }

    #[test]
    fn missing_rows_and_a_missing_file_are_made() {
        let after = with_dns(Some(b"passwd: files"));
        assert_eq!(after, b"passwd: files\nhosts:\tfiles dns\nipnodes:\tfiles dns\n");
        let fresh = String::from_utf8(with_dns(None)).unwrap();
        assert_eq!(sources(&fresh, "passwd").unwrap(), ["files"]);
        assert!(asks_dns(&sources(&fresh, "hosts").unwrap()));
        assert!(asks_dns(&sources(&fresh, "ipnodes").unwrap()));
    }

    #[test]
    fn the_order_of_sources_matters() {
        let list = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        assert!(asks_dns(&list("files dns")));
        assert!(!asks_dns(&list("dns files")));
        assert!(!asks_dns(&list("files")));
        assert!(!asks_dns(&list("dns")));
        assert!(!asks_dns(&list("files [NOTFOUND=return] dns")), "for what is not in the files, nobody is asked");
        assert!(!asks_dns(&list("files [SUCCESS=return NOTFOUND=return] dns")));
        assert!(asks_dns(&list("files [NOTFOUND=continue] dns")));
        assert!(asks_dns(&list("files mdns [NOTFOUND=return] dns")), "mdns knows which names are its own");
        for source in ["nis", "ldap [TRYAGAIN=3]", "mdns [NOTFOUND=return] ad [ SUCCESS=return ]"] {
            assert!(asks_dns(&list(&format!("files {source} dns"))), "{source}");
            assert!(!asks_dns(&list(&format!("files {source} [NOTFOUND=return] dns"))), "{source}");
        }
        assert_eq!(sources("#hosts: files\n", "hosts"), None);
    }
}
