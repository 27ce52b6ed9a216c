//! Which processor architecture a root is for. Its packages are configured by running their own scripts, so it can
//! only be the host's.

use super::error::BootstrapError;
use process_runner::Command;
use std::sync::OnceLock;
use template::DebBootstrap;

/// In a template: the architecture of the building machine.
const HOST: &str = "host";
/// In a template's packages: the kernel of the architecture, whatever the distribution calls it there.
const KERNEL: &str = "linux-image";
/// Architectures that there is a systemd-boot for, and a way to say so in a partition table.
const SUPPORTED: [&str; 2] = ["amd64", "arm64"];

/// What `dpkg` calls this host's architecture; `None` on a host without it.
fn of_host() -> Option<&'static str> {
    static ANSWER: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        let output = Command::new("dpkg").arg("--print-architecture").env("LC_ALL", "C").run().ok()?;
        Some(output.stdout_text().trim().to_owned()).filter(|name| !name.is_empty())
    };
    ANSWER.get_or_init(ask).as_deref()
}

/// The architecture that a template wishes.
pub(super) fn of(wish: &DebBootstrap) -> Result<String, BootstrapError> {
    let missing = || BootstrapError::Missing { program: "dpkg", package: "dpkg" };
    match wish.architecture.as_str() {
        HOST => of_host().map(str::to_owned).ok_or_else(missing),
        named => Ok(named.to_owned()),
    }
}

/// Why a root of this architecture cannot be made here; a host without `dpkg` is told about that later.
pub(crate) fn unsupported(wish: &DebBootstrap) -> Option<String> {
    judge(&wish.architecture, of_host()?)
}

fn judge(wished: &str, host: &str) -> Option<String> {
    let architecture = if wished == HOST { host } else { wished };
    if !SUPPORTED.contains(&architecture) {
        return Some(format!(
            "deb_bootstrap cannot make images for {architecture}, only for {}",
            SUPPORTED.join(" and ")
        ));
    }
    let foreign = format!("deb_bootstrap cannot configure packages for {architecture} on this {host} host");
    (architecture != host).then_some(foreign)
}

/// The packages of a wish, the kernel by the name that it has for the architecture.
///
/// Debian names it after the architecture of `dpkg` (on those that are supported); Ubuntu's is the same on all.
pub(super) fn packages(wish: &DebBootstrap, architecture: &str, os_release: &str) -> Vec<String> {
    let is_ubuntu = os_release.lines().any(|line| line.trim() == "ID=ubuntu");
    let kernel = if is_ubuntu { format!("{KERNEL}-generic") } else { format!("{KERNEL}-{architecture}") };
    let name = |package: &String| if package == KERNEL { kernel.clone() } else { package.clone() };
    wish.packages.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_own_architecture_is_possible() {
        for (wished, host, expected) in [
            ("host", "amd64", None),
            ("amd64", "amd64", None),
            ("host", "arm64", None),
            ("arm64", "amd64", Some("cannot configure packages for arm64 on this amd64 host")),
            ("host", "riscv64", Some("cannot make images for riscv64, only for amd64 and arm64")),
        ] {
            let reason = judge(wished, host);
            assert_eq!(reason.is_some(), expected.is_some(), "{reason:?}");
            assert!(reason.unwrap_or_default().contains(expected.unwrap_or_default()), "{wished} on {host}");
        }
    }

    #[test]
    fn the_kernel_has_the_name_of_the_architecture() {
        let wish = DebBootstrap {
            suite: "host".to_owned(),
            architecture: "host".to_owned(),
            variant: "minbase".to_owned(),
            packages: vec!["linux-image".to_owned(), "less".to_owned()],
        };
        for (architecture, os_release, expected) in [
            ("amd64", "ID=debian\n", "linux-image-amd64"),
            ("arm64", "ID=debian\n", "linux-image-arm64"),
            ("arm64", "NAME=x\nID=ubuntu\nID_LIKE=debian\n", "linux-image-generic"),
        ] {
            assert_eq!(packages(&wish, architecture, os_release), [expected, "less"]);
        }
    }
}
