//! Daemons that configure links and leave no word for other programs of which: wicked and ConnMan. What they take is read from
//! what they read.

use crate::processes::Running;
use crate::{FileError, Host, files, processes};

/// Where wicked keeps the configuration of a link (ifcfg(5)).
const IFCFG: &str = "/etc/sysconfig/network/ifcfg-";
/// Where wicked tells the leases that it has, fixed addresses among them.
const LEASES: &str = "/run/wicked";
/// The configuration of ConnMan unless it is told another one (connman.conf(5)).
const CONNMAN_CONFIGURATION: &str = "/etc/connman/main.conf";
/// What ConnMan leaves alone unless its configuration says otherwise (connman.conf(5)).
const CONNMAN_LEAVES: &str = "vmnet,vboxnet,virbr,ifb,ve-,vb-,ham,veth";

/// The daemons that run.
#[derive(Debug)]
pub struct LinkDaemons {
    has_wicked: bool,
    connman: Vec<Running>,
}

/// How ConnMan is made to leave a link alone that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The configuration that it reads.
    pub file: String,
    /// The value of `NetworkInterfaceBlacklist` that has the link beside what is left alone now.
    pub blacklist: String,
}

impl LinkDaemons {
    /// The daemons that run. All processes are looked at, so whoever asks about several links does that once.
    #[must_use]
    pub fn look(host: &Host) -> Self {
        let found = processes::running(host, &["wickedd", "connmand"]);
        let is_wicked = |process: &Running| process.words().next().is_some_and(|program| program.ends_with("wickedd"));
        let (wicked, connman): (Vec<_>, Vec<_>) = found.into_iter().partition(is_wicked);
        Self { has_wicked: !wicked.is_empty(), connman }
    }

    /// What of wicked's holds a link: the file that configures it, or a lease that is left. None where wicked does not run, or
    /// leaves it alone.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn wicked_holds(&self, host: &Host, link: &str) -> Result<Option<String>, FileError> {
        if !self.has_wicked {
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

    /// How the ConnMan that takes a link is made to leave it alone; none where none runs, or it does so already.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn connman_holds(&self, host: &Host, link: &str) -> Result<Option<Release>, FileError> {
        for process in self.connman.iter().filter(|process| takes(process, link)) {
            let file = option(process, "-c", "--config").unwrap_or(CONNMAN_CONFIGURATION);
            let content = files::read_text(&host.root, file)?.unwrap_or_default();
            let value = value(&content, "NetworkInterfaceBlacklist").unwrap_or_else(|| CONNMAN_LEAVES.to_owned());
            let left_alone: Vec<_> = value.split([',', ';']).map(str::trim).filter(|start| !start.is_empty()).collect();
            if !left_alone.iter().any(|start| link.starts_with(start)) {
                let blacklist = [&left_alone[..], &[link]].concat().join(",");
                return Ok(Some(Release { file: file.to_owned(), blacklist }));
            }
        }
        Ok(None)
    }
}

/// Whether ConnMan takes a link as far as its arguments say (connman(8)): patterns of links that are its own, and of those that
/// are not.
fn takes(connman: &Running, link: &str) -> bool {
    let fits = |patterns: &str| patterns.split(',').any(|pattern| is_match(pattern.as_bytes(), link.as_bytes()));
    option(connman, "-i", "--device").is_none_or(fits) && !option(connman, "-I", "--nodevice").is_some_and(fits)
}

/// The value of an option, in the next word or in its own, the last where there are several.
fn option<'a>(process: &'a Running, short: &str, long: &str) -> Option<&'a str> {
    let mut words = process.words().skip(1);
    let mut found = None;
    while let Some(word) = words.next() {
        if word == short || word == long {
            found = words.next().or(found);
            continue;
        }
        let within = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
        found = within.or_else(|| word.strip_prefix(short)).or(found);
    }
    found
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
    // As a shell reads it: to the other quotation mark, or to the space before a comment.
    let word = match value.chars().next() {
        Some(quote @ ('\'' | '"')) => value[1..].split(quote).next(),
        _ => value.split_whitespace().next(),
    };
    word.unwrap_or_default().to_lowercase()
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
            ("STARTMODE='off' # why\n", "off"),
            ("STARTMODE=manual # why\n", "manual"),
            ("STARTMODE=\n", ""),
            ("STARTMODE='\n", ""),
        ] {
            assert_eq!(start_mode(content), expected, "{content}");
        }
    }
}
