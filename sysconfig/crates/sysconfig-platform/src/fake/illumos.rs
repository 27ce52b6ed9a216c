//! A simulated illumos machine: `hostname`, `svcs`, `svcadm` and `svcprop` over a small service repository.

use super::{failed, lock, printed};
use crate::hostname::KernelNodeName;
use crate::nwam::NWAM;
use crate::resolver::{DNS_CLIENT, NAME_CACHE, RESOLV_CONF};
use crate::smf::{InstanceState, State};
use crate::{CommandError, Completed, Host, Invocation, Root, Runner, System};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// How many times a starting service is seen offline before it is online.
const LOOKS_UNTIL_ONLINE: u32 = 2;

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

    /// Every command line that was run, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        lock(&self.inner).commands.clone()
    }
}

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
    fs::write(root.locate("/etc/nsswitch.conf"), switch("files"))?;
    fs::write(root.locate("/etc/nsswitch.dns"), switch("files dns"))
}

impl Runner for Machine {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let mut inner = lock(&self.inner);
        inner.commands.push(invocation.to_string());
        let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
        match invocation.program.as_str() {
            "/usr/bin/hostname" => Ok(inner.hostname(&args)),
            "/usr/bin/svcs" => Ok(inner.svcs(&args, &self.root)),
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

    fn svcs(&mut self, args: &[&str], root: &Root) -> Completed {
        let (columns, pattern) = match args {
            ["-H", "-o", columns, pattern] | ["-Ho", columns, pattern] => (*columns, *pattern),
            _ => {
                return failed(2, "Usage: svcs [-aHpv] [-o col[,col ... ]] [<service> ...]\n");
            }
        };
        let fmri = match self.find("svcs", pattern, "instances") {
            Ok(fmri) => fmri,
            Err(completed) => return completed,
        };
        let state = self.look(&fmri, root);
        let mut cells = Vec::new();
        for column in columns.split(',') {
            cells.push(match column {
                "state" if columns == "state" && state.next.is_some() => {
                    format!("{}*", state.state)
                }
                "state" => format!("{:<14}", state.state.to_string()),
                "nstate" => state.next.map_or("-".to_owned(), |next| next.to_string()),
                "fmri" => fmri.clone(),
                other => return failed(2, format!("svcs: Unknown column \"{other}\".\n")),
            });
        }
        printed(format!("{}\n", cells.join(" ")))
    }

    fn svcadm(&mut self, args: &[&str]) -> Completed {
        let usage = || failed(2, "Usage: svcadm [-S <state>] [-v] [-Z | -z zone] [cmd [args ... ]]\n");
        let Some((verb, rest)) = args.split_first() else {
            return usage();
        };
        let allowed: &[&str] = match *verb {
            "enable" => &["-r", "-s", "-t"],
            "disable" | "restart" | "refresh" => &["-s", "-t"],
            "clear" => &[],
            _ => return usage(),
        };
        let (options, patterns): (Vec<&str>, Vec<&str>) = rest.iter().partition(|argument| argument.starts_with('-'));
        if patterns.is_empty() || options.iter().any(|option| !allowed.contains(option)) {
            return usage();
        }
        for pattern in patterns {
            let fmri = match self.find("svcadm", pattern, "instances") {
                Ok(fmri) => fmri,
                Err(completed) => return completed,
            };
            if let Some(completed) = self.act(verb, &fmri) {
                return completed;
            }
        }
        printed("")
    }

    /// Does what `svcadm` was told; an answer only when it fails.
    fn act(&mut self, verb: &str, fmri: &str) -> Option<Completed> {
        let service = self.services.get_mut(fmri)?;
        match verb {
            // A service in maintenance stays there until it is cleared, enabled or not.
            "enable" if matches!(service.state, State::Disabled | State::Uninitialized) => {
                service.state = State::Offline;
                service.starting = Some(LOOKS_UNTIL_ONLINE);
            }
            "disable" => {
                service.state = State::Disabled;
                service.starting = None;
            }
            "restart" if service.state == State::Online => self.restarts.push(fmri.to_owned()),
            "clear" if service.state == State::Maintenance => {
                service.state = State::Offline;
                service.starting = Some(LOOKS_UNTIL_ONLINE);
            }
            "clear" => {
                let message = format!("svcadm: Instance \"{fmri}\" is not in a maintenance or degraded state.\n");
                return Some(failed(1, message));
            }
            _ => {}
        }
        None
    }

    fn svcprop(&mut self, args: &[&str]) -> Completed {
        let (property, pattern) = match args {
            ["-p", property, pattern] => (*property, *pattern),
            _ => {
                return failed(2, "Usage: svcprop [-fqtv] [-C | -c | -s snapshot] [-p [name/]name]... fmri\n");
            }
        };
        let fmri = match self.find("svcprop", pattern, "entities") {
            Ok(fmri) => fmri,
            Err(completed) => return completed,
        };
        match property {
            "restarter/state" => printed(format!("{}\n", self.services[&fmri].state)),
            _ => failed(1, format!("svcprop: Couldn't find property `{property}' for instance `{fmri}'.\n")),
        }
    }

    /// Resolves a name as the commands do: a full FMRI, or any trailing part of one, which must match just one.
    fn find(&self, program: &str, pattern: &str, kind: &str) -> Result<String, Completed> {
        if pattern.starts_with('-') {
            return Err(failed(2, format!("{program}: illegal option -- {pattern}\n")));
        }
        let matches: Vec<&String> = self
            .services
            .keys()
            .filter(|fmri| {
                let service = fmri.trim_end_matches(":default");
                [fmri.as_str(), service].iter().any(|name| *name == pattern || name.ends_with(&format!("/{pattern}")))
            })
            .collect();
        match matches.as_slice() {
            [fmri] => Ok((*fmri).clone()),
            [] => Err(failed(1, format!("{program}: Pattern '{pattern}' doesn't match any {kind}\n"))),
            _ => Err(failed(1, format!("{program}: Pattern '{pattern}' matches multiple {kind}\n"))),
        }
    }

    /// The state as a program sees it; every look brings a starting service closer to online.
    fn look(&mut self, fmri: &str, root: &Root) -> InstanceState {
        let service = self.services.get_mut(fmri).expect("the caller has found it");
        let satisfied = service.needs.is_none_or(|path| root.exists(path).unwrap_or(false));
        match service.starting {
            Some(0) if satisfied => {
                service.starting = None;
                service.state = State::Online;
            }
            Some(looks) if satisfied => service.starting = Some(looks - 1),
            // It waits for the file: offline, and going nowhere.
            Some(_) | None => {}
        }
        let on_its_way = service.starting.is_some() && satisfied;
        InstanceState { state: service.state, next: on_its_way.then_some(State::Online) }
    }
}
