//! How much memory a machine has, and how large its pages are.

use crate::storage::StorageError;
use crate::{Host, Invocation, System, files};

/// The installed memory in bytes.
///
/// # Errors
/// [`StorageError`].
pub fn installed(host: &Host) -> Result<u64, StorageError> {
    let operation = "find out how much memory there is";
    let (text, parse): (_, fn(&str) -> Option<u64>) = match host.system() {
        System::Illumos => {
            // prtconf(8): -m prints the memory in MiB and nothing else.
            let answer = host.run(&Invocation::new("/usr/sbin/prtconf", ["-m"]));
            (answer.map_err(StorageError::command(operation))?.stdout, parse_prtconf)
        }
        System::Linux => {
            let text = files::read_text(&host.root, "/proc/meminfo").map_err(StorageError::file(operation))?;
            (text.unwrap_or_default(), parse_meminfo)
        }
    };
    parse(&text).ok_or_else(|| StorageError::Answer { operation: operation.to_owned(), answer: first_line(&text) })
}

/// The page size in bytes.
///
/// # Errors
/// [`StorageError`].
pub fn page_size(host: &Host) -> Result<u64, StorageError> {
    let operation = "find out the page size";
    match host.system() {
        System::Illumos => {
            let answer = host.run(&Invocation::new::<&str>("/usr/bin/pagesize", []));
            let text = answer.map_err(StorageError::command(operation))?.stdout;
            let size = text.trim().parse().ok().filter(|size: &u64| size.is_power_of_two());
            size.ok_or_else(|| StorageError::Answer { operation: operation.to_owned(), answer: first_line(&text) })
        }
        System::Linux => Ok(u64::try_from(rustix::param::page_size()).unwrap_or(4096)),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// `prtconf -m`.
#[must_use]
pub fn parse_prtconf(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok()?.checked_mul(1024 * 1024)
}

/// `/proc/meminfo`; its `kB` are KiB, proc_meminfo(5).
#[must_use]
pub fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_systems() {
        assert_eq!(parse_prtconf("4096\n"), Some(4 << 30));
        assert_eq!(parse_prtconf("prtconf: no\n"), None);
        assert_eq!(parse_meminfo("MemTotal:       24684124 kB\nMemFree: 1 kB\n"), Some(24_684_124 * 1024));
        assert_eq!(parse_meminfo("MemFree: 1 kB\n"), None);
    }
}
