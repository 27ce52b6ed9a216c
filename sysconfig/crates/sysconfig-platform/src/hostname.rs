//! The machine's name: what is valid, what runs now, and what is kept for the next boot.

use crate::files::{self, Written};
use crate::{CommandError, FileError, Host, Invocation, System};
use std::fmt;
use std::io;

/// Where illumos keeps the name for `svc:/system/identity:node`.
const NODENAME: &str = "/etc/nodename";
/// Where Linux distributions keep the name.
const HOSTNAME: &str = "/etc/hostname";
/// illumos' program for the running name.
const HOSTNAME_PROGRAM: &str = "/usr/bin/hostname";

/// Longest name in bytes: Linux' `HOST_NAME_MAX`. illumos takes more, and most software does not.
pub const LONGEST_NAME: usize = 64;
/// Longest part between dots in bytes (RFC 1123, RFC 1035).
pub const LONGEST_LABEL: usize = 63;

/// The name could not be found out or set.
#[derive(Debug, thiserror::Error)]
pub enum HostnameError {
    /// The running name could not be found out.
    #[error("cannot find out the running host name")]
    Get(#[source] NodeNameError),
    /// The running name could not be set.
    #[error("cannot set the running host name to {name}")]
    Set {
        /// The name.
        name: String,
        /// The reason.
        #[source]
        source: NodeNameError,
    },
    /// The file with the name for the next boot could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why the kernel, or the program in front of it, did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NodeNameError {
    /// A system call failed.
    #[error("the kernel refused")]
    Kernel(#[source] io::Error),
    /// The program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl HostnameError {
    /// What the operator can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::File(error) => error.help(),
            Self::Set { source: NodeNameError::Kernel(error), .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some(
                    "this needs root, and in a container the right to change the host name (CAP_SYS_ADMIN); \
                 most container engines set the name from outside",
                )
            }
            _ => None,
        }
    }
}

/// The kernel's node name on Linux, where no program is needed for it.
pub trait NodeName: fmt::Debug + Send + Sync {
    /// The running name.
    ///
    /// # Errors
    /// The kernel's.
    fn get(&self) -> io::Result<String>;
    /// Sets the running name.
    ///
    /// # Errors
    /// The kernel's; mostly that the caller may not.
    fn set(&self, name: &str) -> io::Result<()>;
}

/// The kernel that this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelNodeName;

impl NodeName for KernelNodeName {
    fn get(&self) -> io::Result<String> {
        let uname = rustix::system::uname();
        Ok(uname.nodename().to_string_lossy().into_owned())
    }

    #[cfg(target_os = "linux")]
    fn set(&self, name: &str) -> io::Result<()> {
        Ok(rustix::system::sethostname(name.as_bytes())?)
    }

    #[cfg(not(target_os = "linux"))]
    fn set(&self, _name: &str) -> io::Result<()> {
        // illumos goes through its program, which checks the caller's privileges and tells more.
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What is wrong with `name` as a host name by RFC 1123, as a lowercase fragment; `None` when it is right.
#[must_use]
pub fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name is empty".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Some(format!("the name has {} characters, more than {LONGEST_NAME}", name.len()));
    }
    if let Some(fault) = name.split('.').find_map(label_fault) {
        return Some(fault);
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("the last part {last:?} is a number, so the name can be mistaken for an address"));
    }
    None
}

/// What is wrong with one part between dots of a host or domain name.
#[must_use]
pub fn label_fault(label: &str) -> Option<String> {
    if label.is_empty() {
        return Some("a part between dots is empty".to_owned());
    }
    if let Some(wrong) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return Some(format!("the character {wrong:?} is not allowed; letters, digits and hyphens are"));
    }
    if label.len() > LONGEST_LABEL {
        return Some(format!("the part {label:?} has {} characters, more than {LONGEST_LABEL}", label.len()));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Some(format!("the part {label:?} starts or ends with a hyphen"));
    }
    None
}

/// The file that keeps the name for the next boot.
#[must_use]
pub fn persistent_path(system: System) -> &'static str {
    match system {
        System::Illumos => NODENAME,
        System::Linux => HOSTNAME,
    }
}

/// The name in the content of [`persistent_path`]: the first line that is neither empty nor a comment.
#[must_use]
pub fn parse_persistent(content: &str) -> Option<&str> {
    content.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The command that prints the running name on illumos, or sets it when one is given.
#[must_use]
pub fn hostname_command(name: Option<&str>) -> Invocation {
    Invocation::new(HOSTNAME_PROGRAM, name)
}

/// The name that the machine runs under now.
///
/// # Errors
/// [`HostnameError::Get`].
pub fn running(host: &Host) -> Result<String, HostnameError> {
    match host.system() {
        System::Linux => host.node_name.get().map_err(|error| HostnameError::Get(NodeNameError::Kernel(error))),
        System::Illumos => host
            .run(&hostname_command(None))
            .map(|completed| completed.stdout.trim().to_owned())
            .map_err(|error| HostnameError::Get(error.into())),
    }
}

/// Sets the name that the machine runs under.
///
/// # Errors
/// [`HostnameError::Set`].
pub fn set_running(host: &Host, name: &str) -> Result<(), HostnameError> {
    let result = match host.system() {
        System::Linux => host.node_name.set(name).map_err(NodeNameError::Kernel),
        System::Illumos => host.run(&hostname_command(Some(name))).map(drop).map_err(NodeNameError::from),
    };
    result.map_err(|source| HostnameError::Set { name: name.to_owned(), source })
}

/// The name kept for the next boot; `None` when there is none.
///
/// # Errors
/// [`HostnameError::File`].
pub fn persistent(host: &Host) -> Result<Option<String>, HostnameError> {
    let content = files::read_text(&host.root, persistent_path(host.system()))?;
    Ok(content.and_then(|content| parse_persistent(&content).map(str::to_owned)))
}

/// Keeps the name for the next boot.
///
/// # Errors
/// [`HostnameError::File`].
pub fn set_persistent(host: &Host, name: &str) -> Result<Written, HostnameError> {
    let content = format!("{name}\n");
    Ok(files::replace(&host.root, persistent_path(host.system()), content.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_rfc_1123() {
        for name in ["dev", "DEV", "3com", "a", "dev-1.example.org", &"a".repeat(63), &format!("{}.b", "a".repeat(62))]
        {
            assert_eq!(fault(name), None, "{name}");
        }
        for (name, part) in [
            ("", "empty"),
            ("dev.", "empty"),
            (".dev", "empty"),
            ("a..b", "empty"),
            ("under_score", "'_'"),
            ("sp ace", "' '"),
            ("new\nline", "'\\n'"),
            ("bücher", "'ü'"),
            ("-dev", "hyphen"),
            ("a.dev-", "hyphen"),
            ("10.0.2.3", "address"),
            ("12345", "address"),
        ] {
            let fault = fault(name).unwrap_or_else(|| panic!("{name:?} must be refused"));
            assert!(fault.contains(part), "{name:?}: {fault}");
        }
        assert!(fault(&"a".repeat(64)).unwrap().contains("63"));
        assert!(fault(&format!("{}.b", "a".repeat(63))).unwrap().contains("64"));
    }

    #[test]
    fn the_kept_name_may_stand_below_comments() {
        assert_eq!(parse_persistent("dev\n"), Some("dev"));
        assert_eq!(parse_persistent("# made by us\n\n  dev \nother\n"), Some("dev"));
        assert_eq!(parse_persistent("\n"), None);
    }

    #[test]
    fn the_running_kernel_has_a_name() {
        assert!(!KernelNodeName.get().unwrap().is_empty());
    }
}
