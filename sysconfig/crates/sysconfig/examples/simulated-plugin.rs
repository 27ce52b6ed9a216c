//! The real plugins on a simulated illumos machine, for the daemon's tests.
//!
//! A test copies this program to `sysconfig-plugin-NAME`, which says which plugin it is, and appends
//! `MACHINE{"root": …, "socket": …}`: the machine's root directory, and where its programs are run
//! (`sysconfig_platform::fake::remote`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sysconfig_platform::fake::remote::Remote;
use sysconfig_platform::hostname::KernelNodeName;
use sysconfig_platform::{Host, Root, System};
use sysconfig_plugin_dns::DnsPlugin;
use sysconfig_plugin_filesystem::FilesystemPlugin;
use sysconfig_plugin_hostname::HostnamePlugin;
use sysconfig_plugin_interfaces::InterfacesPlugin;
use sysconfig_plugin_swap::SwapPlugin;
use sysconfig_plugin_zpool::ZpoolPlugin;

#[derive(Deserialize)]
struct Machine {
    root: PathBuf,
    socket: PathBuf,
    /// How often links and leases are looked at, in milliseconds, where that is not to be as usual.
    watch_ms: Option<u64>,
}

fn main() -> ExitCode {
    let machine = read_machine();
    let watch = machine.watch_ms.map(Duration::from_millis);
    let runner = Arc::new(Remote::new(machine.socket));
    // On illumos the name is set by a program; the kernel's is never asked.
    let host = Host::assembled(System::Illumos, Root::new(machine.root), runner, Arc::new(KernelNodeName));
    let name = std::env::args().next().unwrap_or_default();
    match Path::new(&name).file_name().unwrap_or_default().to_str() {
        Some("sysconfig-plugin-interfaces") => {
            let plugin = InterfacesPlugin::new(host);
            sysconfig_plugin::run(match watch {
                Some(interval) => plugin.watching_every(interval),
                None => plugin,
            })
        }
        Some("sysconfig-plugin-dns") => sysconfig_plugin::run(DnsPlugin::new(host)),
        Some("sysconfig-plugin-hostname") => sysconfig_plugin::run(HostnamePlugin::new(host)),
        Some("sysconfig-plugin-zpool") => sysconfig_plugin::run(ZpoolPlugin::new(host)),
        Some("sysconfig-plugin-filesystem") => sysconfig_plugin::run(FilesystemPlugin::new(host)),
        Some("sysconfig-plugin-swap") => sysconfig_plugin::run(SwapPlugin::new(host)),
        _ => panic!("no plugin is called {name}"),
    }
}

/// What stands behind the last marker of the running executable.
fn read_machine() -> Machine {
    // In two pieces, because the marker must occur once only.
    let marker = ["MACH", "INE{"].concat();
    let executable = std::env::current_exe().expect("the executable is known");
    let bytes = std::fs::read(executable).expect("the executable can be read");
    let at = bytes.windows(marker.len()).rposition(|window| window == marker.as_bytes()).expect("the marker is there");
    serde_json::from_slice(&bytes[at + marker.len() - 1..]).expect("the machine is described")
}
