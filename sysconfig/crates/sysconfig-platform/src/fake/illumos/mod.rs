//! A simulated illumos machine: the service repository, the network, and the programs in front of them.

mod dladm;
mod ipadm;
pub mod network;
mod route;
mod smf;

use super::storage::Storage;
use super::{failed, lock, printed};
use crate::hostname::KernelNodeName;
use crate::nwam::NWAM;
use crate::resolver::{DNS_CLIENT, NAME_CACHE, RESOLV_CONF};
use crate::smf::State;
use crate::{CommandError, Completed, Host, Invocation, Root, Runner, System};
use std::collections::BTreeMap;
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
    services: BTreeMap<String, Service>,
    restarts: Vec<String>,
    commands: Vec<String>,
    network: network::Network,
    storage: Storage,
}

#[derive(Debug)]
struct Service {
    state: State,
    /// Set while the service is on its way to online: how many more looks that takes.
    starting: Option<u32>,
    /// A file that must exist for the service to come online.
    needs: Option<&'static str>,
}

impl Service {
    fn new(state: State) -> Self {
        Self { state, starting: None, needs: None }
    }
}

impl Machine {
    /// A freshly installed machine named `unknown`, its root in a temporary directory that lives as long as the
    /// first part of the answer.
    ///
    /// # Panics
    /// When the directory cannot be filled.
    #[must_use]
    pub fn start() -> (TempDir, Host, Arc<Self>) {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let root = Root::new(directory.path());
        fill(&root).expect("the temporary directory can be filled");
        let mut services = BTreeMap::from([
            (NWAM.to_owned(), Service::new(State::Disabled)),
            ("svc:/network/physical:default".to_owned(), Service::new(State::Online)),
            (NAME_CACHE.to_owned(), Service::new(State::Online)),
            ("svc:/milestone/sysconfig:default".to_owned(), Service::new(State::Online)),
            ("svc:/system/installer/sysconfig:default".to_owned(), Service::new(State::Online)),
        ]);
        let client = Service { needs: Some(RESOLV_CONF), ..Service::new(State::Disabled) };
        services.insert(DNS_CLIENT.to_owned(), client);
        let machine = Arc::new(Self {
            root: root.clone(),
            inner: Mutex::new(Inner {
                name: "unknown".to_owned(),
                services,
                restarts: Vec::new(),
                commands: Vec::new(),
                network: network::Network::default(),
                storage: Storage::new(System::Illumos, root.clone()),
            }),
        });
        let runner: Arc<dyn Runner> = machine.clone();
        let host = Host::assembled(System::Illumos, root, runner, Arc::new(KernelNodeName));
        (directory, host, machine)
    }

    /// The running host name.
    #[must_use]
    pub fn name(&self) -> String {
        lock(&self.inner).name.clone()
    }

    /// Puts a service into a state, adding it when it is not there.
    pub fn set_state(&self, fmri: &str, state: State) {
        let mut inner = lock(&self.inner);
        let service = inner.services.entry(fmri.to_owned()).or_insert_with(|| Service::new(state));
        service.state = state;
        service.starting = None;
    }

    /// The state of a service; `None` when it is not there.
    #[must_use]
    pub fn state(&self, fmri: &str) -> Option<State> {
        lock(&self.inner).services.get(fmri).map(|service| service.state)
    }

    /// Takes a service away.
    pub fn remove_service(&self, fmri: &str) {
        lock(&self.inner).services.remove(fmri);
    }

    /// The services that were restarted, in order.
    #[must_use]
    pub fn restarts(&self) -> Vec<String> {
        lock(&self.inner).restarts.clone()
    }

    /// Looks at the network, or interferes with it.
    pub fn network<T>(&self, look: impl FnOnce(&mut network::Network) -> T) -> T {
        look(&mut lock(&self.inner).network)
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
}

/// The boot table of a fresh installation, with the file systems that are always there.
const VFSTAB: &str = "#device\t\tdevice\t\tmount\t\tFS\tfsck\tmount\tmount\n\
    #to mount\tto fsck\t\tpoint\t\ttype\tpass\tat boot\toptions\n#\n\
    /devices\t-\t\t/devices\tdevfs\t-\tno\t-\n/proc\t\t-\t\t/proc\t\tproc\t-\tno\t-\n";

/// The files of a fresh installation.
fn fill(root: &Root) -> io::Result<()> {
    fs::create_dir_all(root.locate("/etc/inet"))?;
    fs::write(
        root.locate("/etc/inet/hosts"),
        "#\n# Internet host table\n#\n::1\tlocalhost\n127.0.0.1\tlocalhost loghost\n",
    )?;
    std::os::unix::fs::symlink("./inet/hosts", root.locate("/etc/hosts"))?;
    std::os::unix::fs::symlink("./hosts", root.locate("/etc/inet/ipnodes"))?;
    let switch = |hosts: &str| {
        format!("passwd:     files\ngroup:      files\nhosts:      {hosts}\nipnodes:    {hosts}\nnetworks:   files\n")
    };
    fs::write(root.locate("/etc/vfstab"), VFSTAB)?;
    fs::write(root.locate("/etc/nsswitch.conf"), switch("files"))?;
    fs::write(root.locate("/etc/nsswitch.dns"), switch("files dns"))
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
            "/usr/bin/hostname" => Ok(inner.hostname(&args)),
            "/usr/bin/svcs" => Ok(inner.svcs(&args, &self.root)),
            "/usr/sbin/dladm" => Ok(inner.network.dladm(&args)),
            "/usr/sbin/ipadm" => Ok(inner.network.ipadm(&args)),
            "/usr/sbin/route" => Ok(inner.network.route(&args)),
            "/usr/bin/netstat" => Ok(inner.network.netstat(&args)),
            "/sbin/dhcpinfo" => Ok(inner.network.dhcpinfo(&args)),
            "/usr/sbin/svcadm" => Ok(inner.svcadm(&args)),
            "/usr/bin/svcprop" => Ok(inner.svcprop(&args)),
            program => {
                Err(CommandError::NotFound { program: program.to_owned(), source: io::ErrorKind::NotFound.into() })
            }
        }
    }
}

impl Inner {
    fn hostname(&mut self, args: &[&str]) -> Completed {
        match args {
            [] => printed(format!("{}\n", self.name)),
            [option] if option.starts_with('-') && *option != "-s" => failed(1, "usage: hostname [-s] [system_name]\n"),
            ["-s"] => {
                let short = self.name.split('.').next().unwrap_or_default();
                printed(format!("{short}\n"))
            }
            [name] => {
                (*name).clone_into(&mut self.name);
                printed("")
            }
            _ => failed(1, "usage: hostname [-s] [system_name]\n"),
        }
    }
}
