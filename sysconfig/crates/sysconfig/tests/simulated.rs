//! The daemon and the real plugins as processes, on a simulated illumos machine that the test holds.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bench, PATIENCE};
use serde_json::json;
use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::fake::illumos::network::Server;
use sysconfig_platform::fake::remote;
use sysconfig_platform::{Host, Invocation, Runner};
use sysconfig_protocol::admin::Health;
use test_judge::{Random, soak};

/// How long each program of the machine takes.
const PROGRAM: Duration = Duration::from_millis(2);

const PLUGINS: [&str; 6] = ["interfaces", "dns", "hostname", "zpool", "filesystem", "swap"];

struct Simulation {
    bench: Bench,
    host: Host,
    machine: Arc<Machine>,
    root: tempfile::TempDir,
}

impl Simulation {
    fn new() -> Self {
        let (root, host, machine) = Machine::start();
        machine.network(|network| {
            network.add_link("net0", 0xf);
            network.add_link("net1", 0x10);
            let options = [("DNSserv", vec!["10.0.2.3".to_owned()])].into();
            let router = Some("10.0.2.2".parse().unwrap());
            let server = Server { address: "10.0.2.15/24".parse().unwrap(), router, options, looks: 1 };
            network.servers.insert("net1".to_owned(), server);
        });
        let simulation = Self { bench: Bench::new(), host, machine, root };
        remote::serve(simulation.machine.clone(), &simulation.bench.path("machine.sock"), PROGRAM);
        for name in PLUGINS {
            simulation.install(name, None);
        }
        simulation
    }

    fn install(&self, name: &str, watch_ms: Option<u64>) {
        let (root, socket) = (self.root.path(), self.bench.path("machine.sock"));
        self.bench.install_simulated(name, &json!({ "root": root, "socket": socket, "watch_ms": watch_ms }));
    }

    /// Somebody attaches a new disk and takes the pool away, so that it is to be made anew.
    fn replace_disk(&self, disk: &str) {
        self.machine.storage(|storage| storage.add_disk(disk, 128 << 20));
        if self.machine.storage(|storage| storage.pools.contains_key("tank")) {
            let invocation = Invocation::new("/usr/sbin/zpool", ["destroy", "tank"]);
            let completed = self.machine.run(&invocation).unwrap();
            assert_eq!(completed.code, 0, "{completed:?}");
        }
    }

    fn file(&self, path: &str) -> String {
        std::fs::read_to_string(self.host.root.locate(path)).unwrap_or_default()
    }
}

/// What a machine is to be like, in the words of its configuration and of its own programs.
#[derive(Debug)]
struct Wish {
    name: String,
    server: String,
    address: String,
    router: Option<&'static str>,
    mtu: u32,
    leases: bool,
    storage: WishedStorage,
}

/// The part of it that is about disks.
#[derive(Debug, Clone)]
struct WishedStorage {
    disk: String,
    comment: String,
    compression: &'static str,
    mount_point: &'static str,
    swap_gib: u64,
    scratch_mib: u64,
}

impl WishedStorage {
    fn at_random(random: &mut Random, point: usize, disk: String) -> Self {
        Self {
            disk,
            comment: format!("as at {point}"),
            compression: *random.pick(&["lz4", "gzip", "off"]),
            mount_point: *random.pick(&["/data", "/export/data"]),
            swap_gib: 1 + random.next_u64() % 3,
            scratch_mib: *random.pick(&[64, 128, 256]),
        }
    }

    fn configuration(&self) -> String {
        let Self { disk, comment, compression, mount_point, swap_gib, scratch_mib } = self;
        format!(
            "[[storage.pool]]\nname = \"tank\"\nvdevs = [\"/dev/dsk/{disk}\"]\nproperties = {{ comment = \"{comment}\" }}\n\
             [[storage.dataset]]\nname = \"tank/data\"\n\
             properties = {{ mountpoint = \"{mount_point}\", compression = \"{compression}\" }}\n\
             [[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/scratch\"\ntype = \"tmpfs\"\noptions = [\"size={scratch_mib}m\"]\n\
             [[storage.swap]]\nvolume = \"rpool/swap\"\nsize = \"{swap_gib} GiB\"\n"
        )
    }

    fn assert_true(&self, simulation: &Simulation) {
        let table = simulation.file("/etc/vfstab");
        let rows: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        let row = |at: usize, value: &str| rows.iter().filter(move |row| row.get(at) == Some(&value)).count();
        assert_eq!((row(2, "/scratch"), row(0, "/dev/zvol/dsk/rpool/swap")), (1, 1), "{table}");
        assert!(table.contains(&format!("size={}m", self.scratch_mib)), "{table}");
        simulation.machine.storage(|storage| {
            let pool = &storage.pools["tank"];
            assert_eq!(pool.properties.get("comment"), Some(&self.comment));
            assert!(pool.drawing().contains(&self.disk), "{}", pool.drawing());
            let dataset = &storage.datasets["tank/data"];
            assert_eq!(dataset.local("compression"), Some(self.compression));
            assert_eq!(dataset.local("mountpoint"), Some(self.mount_point));
            let mounted = storage.mounted();
            let count = |what: &str| mounted.iter().filter(|mount| mount.contains(what)).count();
            assert_eq!(count(&format!("tank/data on {} zfs", self.mount_point)), 1, "{mounted:?}");
            assert_eq!(count("tank/data on "), 1, "{mounted:?}");
            assert_eq!(count("swap on /scratch tmpfs"), 1, "{mounted:?}");
            let swaps: Vec<_> = storage.swaps.iter().map(|swap| (swap.path.as_str(), swap.bytes >> 20)).collect();
            assert!(
                matches!(swaps[..], [("/dev/zvol/dsk/rpool/swap", mib)] if mib == self.swap_gib << 10),
                "{swaps:?}"
            );
        });
    }
}

impl Wish {
    fn at_random(random: &mut Random, point: usize, disk: String) -> Self {
        Self {
            storage: WishedStorage::at_random(random, point, disk),
            name: format!("host{point}"),
            server: format!("192.0.2.{}", 53 + point % 100),
            address: format!("192.0.2.{}/24", 10 + random.below(30)),
            router: *random.pick(&[None, Some("192.0.2.1"), Some("192.0.2.2")]),
            mtu: *random.pick(&[1280, 1400, 1500]),
            leases: random.below(2) == 1,
        }
    }

    fn configuration(&self) -> String {
        let Self { name, server, address, mtu, .. } = self;
        let gateway = self.router.map(|router| format!("gateway = \"{router}\"\n")).unwrap_or_default();
        let leased = match self.leases {
            true => "[[network.interface]]\nmatch = { name = \"net1\" }\naddresses = [\"dhcp\"]\n",
            false => "",
        };
        let servers = if self.leases { "\"dhcp\", " } else { "" };
        format!(
            "[system]\nhostname = \"{name}\"\n[network.dns]\nservers = [{servers}\"{server}\"]\nsearch = [\"example.org\"]\n\
             [[network.interface]]\nmatch = {{ name = \"net0\" }}\naddresses = [\"{address}\"]\nmtu = {mtu}\n{gateway}{leased}{}",
            self.storage.configuration()
        )
    }

    /// Compares the machine itself, whatever the plugins think of it.
    fn assert_true(&self, simulation: &Simulation) {
        self.storage.assert_true(simulation);
        assert_eq!(simulation.machine.name(), self.name);
        assert_eq!(simulation.file("/etc/nodename").trim(), self.name);
        assert!(simulation.file("/etc/inet/hosts").contains(&self.name));
        let resolver = simulation.file("/etc/resolv.conf");
        let servers: Vec<_> = resolver.lines().filter_map(|line| line.strip_prefix("nameserver ")).collect();
        let leased = ["10.0.2.3", &self.server];
        assert_eq!(servers, leased[usize::from(!self.leases)..], "{resolver}");
        let (addresses, kept, kernel, mtu) = simulation.machine.network(|network| {
            let shown =
                |routes: &[sysconfig_platform::Route]| routes.iter().map(ToString::to_string).collect::<Vec<_>>();
            (network.addresses(), shown(&network.kept), shown(&network.kernel), network.mtu("net0"))
        });
        let fixed = addresses.iter().filter(|address| address.starts_with("net0/")).collect::<Vec<_>>();
        assert!(matches!(&fixed[..], [one] if one.ends_with(&format!(" {}", self.address))), "{addresses:?}");
        assert_eq!(addresses.iter().any(|address| address == "net1/scdhcp dhcp"), self.leases, "{addresses:?}");
        let wanted: Vec<_> = self.router.iter().map(|router| format!("default via {router}")).collect();
        assert_eq!(kept, wanted);
        assert!(wanted.iter().all(|route| kernel.contains(route)), "{kernel:?}");
        assert_eq!(mtu, Some(self.mtu));
    }
}

#[test]
fn a_lease_reaches_the_resolver_through_the_daemon() {
    let simulation = Simulation::new();
    let bench = &simulation.bench;
    bench.configure(
        "[network.dns]\nservers = [\"dhcp\"]\n[[network.interface]]\nmatch = { name = \"net1\" }\naddresses = [\"dhcp\"]\n",
    );
    let daemon = bench.start();
    daemon.wait_for("the server of the lease", |_| simulation.file("/etc/resolv.conf").contains("nameserver 10.0.2.3"));
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    daemon.stop();
    std::fs::remove_file(bench.path("log")).unwrap();

    let daemon = bench.start();
    let log = daemon.log();
    let (before, _) = log.split_once("sysconfig: ready: ").unwrap();
    assert_eq!(before.matches("sysconfig: cycle (").count(), 1, "what a plugin sees itself is no news to it: {log}");
    daemon.stop();
}

/// No server has answered at the start. When one does, nobody asks for anything: the plugin sees the lease and says so, and what
/// depends on it follows.
#[test]
fn a_lease_that_comes_late_reaches_everything_that_waits_for_it() {
    let simulation = Simulation::new();
    simulation.install("interfaces", Some(200));
    let server = simulation.machine.network(|network| network.servers.remove("net1").unwrap());
    let bench = &simulation.bench;
    bench.configure(
        "[system]\nhostname = { from = \"dhcp\", fallback = \"dev\" }\n[network.dns]\nservers = [\"dhcp\"]\n\
         [[network.interface]]\nmatch = { name = \"net1\" }\naddresses = [\"dhcp\"]\nlease-deadline = \"1s\"\n\
         routes = [{ to = \"10.9.0.0/16\", via = \"10.0.2.9\" }]\n",
    );
    let daemon = bench.start();
    daemon.wait_for("the report", |daemon| daemon.status().health == Health::Degraded);
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("no DHCP server has answered on net1 in 1 s"), "{problems}");
    assert_eq!(simulation.machine.name(), "dev", "the boot was not held up");

    let options = [("DNSserv", vec!["10.0.2.3".to_owned()]), ("Hostname", vec!["client1".to_owned()])].into();
    simulation.machine.network(|network| network.servers.insert("net1".to_owned(), Server { options, ..server }));
    daemon.wait_for("the server of the lease", |_| simulation.file("/etc/resolv.conf").contains("nameserver 10.0.2.3"));
    daemon.wait_for("the name of the lease", |_| simulation.machine.name() == "client1");
    daemon.wait_for("the route over it", |_| {
        simulation
            .machine
            .network(|network| network.kept.iter().any(|route| route.to_string().starts_with("10.9.0.0/16")))
    });
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    let second = daemon.apply();
    assert!(second.is_success() && second.plugins.iter().all(|plugin| plugin.steps.is_empty()), "{second:?}");
    daemon.stop();
}

#[test]
fn after_a_kill_the_machine_is_as_configured_and_the_step_in_doubt_is_named() {
    let simulation = Simulation::new();
    let bench = &simulation.bench;
    let mut random = Random::new(0);
    let (mut doubts, points) = (Vec::new(), if soak() { 200 } else { 20 });
    let mut disk = String::new();
    for point in 0..points {
        if point == 0 || random.below(3) == 0 {
            disk = format!("c1t{point}d0");
            simulation.replace_disk(&disk);
        }
        let wish = Wish::at_random(&mut random, point, disk.clone());
        bench.configure(&wish.configuration());
        let begun = || bench.log().matches("calling apply").count();
        let before = begun();
        let daemon = bench.spawn();
        // Most of them among the steps, the rest before.
        if point % 4 != 0 {
            let nth = before + 1 + random.below(12);
            let give_up = Instant::now() + PATIENCE;
            let is_over = || bench.log().contains("sysconfig: ready: ");
            while begun() < nth && !is_over() && Instant::now() < give_up {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_micros(random.next_u64() % 20_000));
        daemon.kill();
        let in_doubt = bench.open_steps();
        doubts.extend(in_doubt.iter().cloned());

        let daemon = bench.start();
        wish.assert_true(&simulation);
        let problems = daemon.problems().join("\n");
        for step in &in_doubt {
            assert!(problems.contains(step.as_str()), "point {point}: {step} is not told in {problems:?}");
        }
        assert_eq!(problems.matches("nobody knows").count(), in_doubt.len(), "point {point}: {problems}");
        assert_eq!(daemon.status().health, Health::Ok, "point {point}: {wish:?} {problems}\n{}", daemon.log());
        let second = daemon.apply();
        let is_empty = second.plugins.iter().all(|plugin| plugin.steps.is_empty());
        assert!(second.is_success() && is_empty, "point {point}: {second:?}");
        wish.assert_true(&simulation);
        daemon.stop();
        assert_eq!(bench.open_steps(), [""; 0], "point {point}: what was told is settled");
        // So that looking for words in the log takes no longer with each point.
        std::fs::write(bench.path("log"), "").unwrap();
    }
    assert!(!doubts.is_empty(), "no kill hit a step, so nothing was tried");
    let is_of_storage = |step: &String| ["tank", "rpool", "/scratch"].iter().any(|name| step.contains(name));
    // Of the few points outside of a soak, all may have hit the network.
    assert!(!soak() || doubts.iter().any(is_of_storage), "no kill hit a step of the storage: {doubts:?}");
}
