//! Daemons that configure links and leave no word for other programs of which: wicked and ConnMan. What they take is read from
//! what they read.

use crate::processes::Running;
use crate::{FileError, Host, files, processes};

/// Where wicked keeps the configuration of a link (ifcfg(5)).
const IFCFG: &str = "/etc/sysconfig/network/ifcfg-";
/// Where wicked tells the leases that it has, fixed addresses among them.
const LEASES: &str = "/run/wicked";
/// The configuration of ConnMan (connman.conf(5)).
pub const CONNMAN_CONFIGURATION: &str = "/etc/connman/main.conf";
/// What ConnMan leaves alone unless its configuration says otherwise (connman.conf(5)).
const CONNMAN_LEAVES: &str = "vmnet,vboxnet,virbr,ifb,ve-,vb-,ham,veth";

/// What of wicked's holds a link: the file that configures it, or a lease that is left. None where wicked does not run, or leaves
/// it alone.
///
/// # Errors
/// [`FileError`].
pub fn wicked_holds(host: &Host, link: &str) -> Result<Option<String>, FileError> {
    if processes::running(host, &["wickedd"]).is_empty() {
        return Ok(None);
    }
    let path = format!("{IFCFG}{link}");
    // One that is started by hand only is nobody's before that, and has a lease after it.
    let is_idle = |content: &str| ["off", "manual"].contains(&start_mode(content).as_str());
    if files::read_text(&host.root, &path)?.is_some_and(|content| !is_idle(&content)) {
        return Ok(Some(path));
    }
    let of_link = format!("leaseinfo.{link}.");
    let names = std::fs::read_dir(host.root.locate(LEASES)).into_iter().flatten().flatten();
    let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.find(|name| name.starts_with(&of_link)).map(|name| format!("{LEASES}/{name}")))
}

/// Whether ConnMan runs and does not leave a link alone.
///
/// # Errors
/// [`FileError`].
pub fn connman_holds(host: &Host, link: &str) -> Result<bool, FileError> {
    let running = processes::running(host, &["connmand"]);
    if running.is_empty() {
        return Ok(false);
    }
    let content = files::read_text(&host.root, CONNMAN_CONFIGURATION)?.unwrap_or_default();
    let left_alone = value(&content, "NetworkInterfaceBlacklist").unwrap_or_else(|| CONNMAN_LEAVES.to_owned());
    let mut left_alone = left_alone.split([',', ';']).map(str::trim).filter(|start| !start.is_empty());
    Ok(!left_alone.any(|start| link.starts_with(start)) && running.iter().all(|process| takes(process, link)))
}

/// Whether ConnMan takes a link as far as its arguments say (connman(8)): patterns of links that are its own, and of those that
/// are not.
fn takes(connman: &Running, link: &str) -> bool {
    let words: Vec<&str> = connman.words().skip(1).collect();
    let patterns = |short: &str, long: &str| -> Vec<&str> {
        let behind = words.windows(2).filter(|pair| pair[0] == short || pair[0] == long).map(|pair| pair[1]);
        let within = words.iter().filter_map(|word| word.strip_prefix(long)?.strip_prefix('='));
        behind.chain(within).flat_map(|list| list.split(',')).collect()
    };
    let fits = |patterns: &[&str]| patterns.iter().any(|pattern| is_match(pattern.as_bytes(), link.as_bytes()));
    let own = patterns("-i", "--device");
    (own.is_empty() || fits(&own)) && !fits(&patterns("-I", "--nodevice"))
}

/// Whether a pattern with `*` and `?` fits.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|at| is_match(rest, &name[at..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => is_match(pattern, name),
        ([first, pattern @ ..], [byte, name @ ..]) => first == byte && is_match(pattern, name),
        ([], _) => name.is_empty(),
        (_, []) => false,
    }
}

/// When wicked starts a link (ifcfg(5)).
fn start_mode(content: &str) -> String {
    let value = value(content, "STARTMODE").unwrap_or_default();
    value.trim_matches(['\'', '"']).to_lowercase()
}

/// The last value with a name.
fn value(content: &str, name: &str) -> Option<String> {
    let mut values = content.lines().filter_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    });
    values.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_links() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth01", true),
            ("e*0", "enp0s0", true),
            ("eth?", "eth", false),
            ("*", "", true),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn when_wicked_starts_a_link() {
        for (content, expected) in [
            ("STARTMODE='auto'\nBOOTPROTO='dhcp'\n", "auto"),
            ("# STARTMODE=off\nSTARTMODE=\"Off\"\n", "off"),
            ("STARTMODE=auto\nSTARTMODE=manual\n", "manual"),
            ("BOOTPROTO=static\n", ""),
        ] {
            assert_eq!(start_mode(content), expected, "{content}");
        }
    }
}
