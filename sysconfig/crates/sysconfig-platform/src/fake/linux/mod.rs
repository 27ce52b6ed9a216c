//! A simulated Linux machine: a node name that can be refused, a network, `systemctl`, networkd and dhcpcd.

pub mod network;

use super::storage::Storage;
use super::{failed, lock, printed};
use crate::hostname::NodeName;
use crate::{CommandError, Completed, Host, Invocation, Root, Runner, System};
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The machine; its state is behind a lock, so a test can look and interfere while a plugin holds a [`Host`].
#[derive(Debug)]
pub struct Machine {
    root: Root,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    may_set_name: bool,
    has_systemctl: bool,
    reloads: Vec<String>,
    commands: Vec<String>,
    network: network::Network,
    storage: Storage,
}

impl Machine {
    /// A machine named `localhost` as in a fresh container, its root in a temporary directory that lives as long as
    /// the first part of the answer.
    ///
    /// # Panics
    /// When the directory cannot be filled.
    #[must_use]
    pub fn start() -> (TempDir, Host, Arc<Self>) {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let root = Root::new(directory.path());
        fs::create_dir(root.locate("/etc")).expect("the temporary directory can be filled");
        fs::write(
            root.locate("/etc/fstab"),
            "# /etc/fstab: what is mounted at boot\n/dev/vda1 / ext4 errors=remount-ro 0 1\n",
        )
        .expect("the temporary directory can be filled");
        fs::write(root.locate("/etc/hosts"), "127.0.0.1\tlocalhost\n").expect("the temporary directory can be filled");
        let machine = Arc::new(Self {
            root: root.clone(),
            inner: Mutex::new(Inner {
                name: "localhost".to_owned(),
                may_set_name: true,
                has_systemctl: false,
                reloads: Vec::new(),
                commands: Vec::new(),
                network: network::Network::default(),
                storage: Storage::new(System::Linux, root.clone()),
            }),
        });
        let host = Host::assembled(System::Linux, root, machine.clone(), machine.clone()).with_stack(machine.clone());
        (directory, host, machine)
    }

    /// Makes systemd the machine's init.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn run_systemd(&self, root: &Root) {
        fs::create_dir_all(root.locate("/run/systemd/system")).expect("the root can be written");
        lock(&self.inner).has_systemctl = true;
    }

    /// Looks at the network, or interferes with it.
    pub fn network<T>(&self, look: impl FnOnce(&mut network::Network) -> T) -> T {
        look(&mut lock(&self.inner).network)
    }

    /// Lets a DHCP server begin to answer on a link; networkd hears it at once, where it runs.
    pub fn serve(&self, root: &Root, link: &str, server: network::Server) {
        self.network(|network| {
            network.servers.insert(link.to_owned(), server);
            if network.has_networkd {
                network.networkctl(&["reload"], root);
            }
        });
    }

    /// Looks at disks, datasets, mounts and swap, or interferes with them.
    pub fn storage<T>(&self, look: impl FnOnce(&mut Storage) -> T) -> T {
        let mut inner = lock(&self.inner);
        let result = look(&mut inner.storage);
        inner.storage.show();
        result
    }

    /// Every command line that was run, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        lock(&self.inner).commands.clone()
    }

    /// Takes the right to set the node name away, as a container does.
    pub fn refuse_names(&self) {
        lock(&self.inner).may_set_name = false;
    }

    /// The units that were made to read their configuration again, in order.
    #[must_use]
    pub fn reloads(&self) -> Vec<String> {
        lock(&self.inner).reloads.clone()
    }
}

impl NodeName for Machine {
    fn get(&self) -> io::Result<String> {
        Ok(lock(&self.inner).name.clone())
    }

    fn set(&self, name: &str) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        if !inner.may_set_name {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // __NEW_UTS_LEN, the kernel's own limit.
        if name.len() > 64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        name.clone_into(&mut inner.name);
        Ok(())
    }
}

impl Runner for Machine {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let mut inner = lock(&self.inner);
        inner.commands.push(invocation.to_string());
        let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
        inner.storage.give_up(invocation)?;
        if let Some(answer) = inner.storage.run(&invocation.program, &args) {
            return Ok(answer);
        }
        match invocation.program.as_str() {
            "/usr/bin/systemctl" if inner.has_systemctl => Ok(inner.systemctl(&args)),
            "/usr/bin/networkctl" if !inner.network.networkd_changes.is_empty() => {
                Ok(failed(1, "Failed to reload network settings: The name org.freedesktop.network1 was not provided\n"))
            }
            "/usr/bin/networkctl" if inner.network.has_networkd => Ok(inner.network.networkctl(&args, &self.root)),
            "/usr/bin/arping" if inner.network.has_arping => Ok(inner.network.arping(&args)),
            "/usr/sbin/dhcpcd" if inner.network.has_dhcpcd => Ok(inner.network.dhcpcd(&args, &self.root)),
            program => {
                Err(CommandError::NotFound { program: program.to_owned(), source: io::ErrorKind::NotFound.into() })
            }
        }
    }
}

impl Inner {
    fn systemctl(&mut self, args: &[&str]) -> Completed {
        match args {
            ["try-reload-or-restart", _] if self.network.reloads_fail > 0 => {
                self.network.reloads_fail -= 1;
                failed(1, "Failed to try-reload-or-restart the unit: Connection timed out\n")
            }
            ["try-reload-or-restart", unit] if unit.ends_with(".service") => {
                self.reloads.push((*unit).to_owned());
                printed("")
            }
            ["show", "--property=ActiveState,Job", unit] if unit.ends_with(".service") => {
                if self.network.systemd_is_dumb {
                    return failed(1, "Failed to get properties: Connection timed out\n");
                }
                let is_networkd = *unit == crate::networkd::UNIT;
                let runs =
                    if is_networkd { self.network.has_networkd } else { !self.network.stopped_units.contains(unit) };
                let changing = if is_networkd && runs { self.network.networkd_changes.pop_front() } else { None };
                let state = changing.unwrap_or(if runs { "active" } else { "inactive" });
                printed(format!("ActiveState={state}\n"))
            }
            _ => failed(1, format!("Unknown command verb {args:?}.\n")),
        }
    }
}
