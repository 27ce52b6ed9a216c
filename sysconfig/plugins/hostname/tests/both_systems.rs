//! The plugin on simulated machines, through the SDK's own dispatch code.

use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_platform::{Host, Root};
use sysconfig_plugin::Outcome;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_hostname::HostnamePlugin;
use tempfile::TempDir;

struct Fixture<Machine> {
    _directory: TempDir,
    root: Root,
    machine: Arc<Machine>,
    harness: Harness,
}

impl<Machine> Fixture<Machine> {
    fn new((directory, host, machine): (TempDir, Host, Arc<Machine>)) -> Self {
        Self {
            _directory: directory,
            root: host.root.clone(),
            machine,
            harness: Harness::start(HostnamePlugin::new(host)),
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.locate(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.root.locate(path), content).unwrap();
    }

    /// Configures `name`, applies, and checks that everything changed and nothing is left to do.
    fn converge(&mut self, name: &str) -> Vec<String> {
        self.harness.configure(json!({ "system.hostname": name }));
        let converged = self.harness.converge().unwrap();
        assert_eq!(converged.diagnostics, []);
        assert_eq!(self.harness.plan().unwrap(), [], "the second plan is empty");
        for (step, outcome) in &converged.steps {
            assert_eq!(*outcome, Outcome::Changed, "{}", step.summary);
            let again = self.harness.apply(step).unwrap();
            assert_eq!(again, Outcome::AlreadySo, "a step is right to repeat: {}", step.summary);
        }
        let steps = converged.steps.iter();
        steps.map(|(step, _)| format!("{} {}", step.action, step.resource)).collect()
    }
}

#[test]
fn linux_gets_all_three_names() {
    let mut fixture = Fixture::new(linux::Machine::start());
    let steps = fixture.converge("dev");
    assert_eq!(steps, ["write /etc/hostname", "write /etc/hosts", "set hostname"]);
    assert_eq!(fixture.read("/etc/hostname"), "dev\n");
    assert_eq!(fixture.read("/etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1\tdev\t# sysconfig\n");
    assert_eq!(fixture.machine_name(), "dev");
    assert_eq!(fixture.read("/etc/hosts.sysconfig-orig"), "127.0.0.1\tlocalhost\n");
}

impl Fixture<linux::Machine> {
    fn machine_name(&self) -> String {
        use sysconfig_platform::hostname::NodeName;
        self.machine.get().unwrap()
    }
}

#[test]
fn illumos_keeps_the_link_and_sets_the_name_by_program() {
    let mut fixture = Fixture::new(illumos::Machine::start());
    let steps = fixture.converge("dev.example.org");
    assert_eq!(steps, ["write /etc/nodename", "write /etc/hosts", "set hostname"]);
    assert_eq!(fixture.read("/etc/nodename"), "dev.example.org\n");
    assert_eq!(fixture.machine.name(), "dev.example.org");
    let link = fs::symlink_metadata(fixture.root.locate("/etc/hosts")).unwrap();
    assert!(link.is_symlink(), "/etc/hosts stays a link to inet/hosts");
    let hosts = fixture.read("/etc/inet/hosts");
    assert!(hosts.starts_with("#\n# Internet host table\n#\n::1\tlocalhost\n127.0.0.1\tlocalhost loghost\n"));
    assert!(hosts.ends_with("::1\tdev.example.org dev\t# sysconfig\n127.0.0.1\tdev.example.org dev\t# sysconfig\n"));
    let set: Vec<String> =
        fixture.machine.commands().into_iter().filter(|command| command.contains("dev.example.org")).collect();
    assert_eq!(set, ["/usr/bin/hostname dev.example.org"], "once, and not again for repeated steps");
}

#[test]
fn a_new_name_replaces_our_rows_only() {
    let mut fixture = Fixture::new(linux::Machine::start());
    fixture.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 installed\n192.0.2.1 gateway # office");
    fixture.converge("one");
    fixture.converge("two");
    assert_eq!(
        fixture.read("/etc/hosts"),
        "127.0.0.1 localhost\n127.0.1.1 installed\n192.0.2.1 gateway # office\n127.0.1.1\ttwo\t# sysconfig\n"
    );
    let steps = fixture.converge("gateway");
    assert_eq!(steps.len(), 3);
    assert_eq!(
        fixture.read("/etc/hosts"),
        "127.0.0.1 localhost\n127.0.1.1 installed\n192.0.2.1 gateway # office\n",
        "a name that somebody else's row has needs none of ours"
    );
}

#[test]
fn a_name_in_place_needs_nothing() {
    let mut fixture = Fixture::new(linux::Machine::start());
    fixture.converge("dev");
    let inode = |fixture: &Fixture<_>| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(fixture.root.locate("/etc/hosts")).unwrap().ino()
    };
    let before = inode(&fixture);
    assert_eq!(fixture.converge("dev"), Vec::<String>::new());
    assert_eq!(inode(&fixture), before);
}

#[test]
fn every_step_can_be_undone() {
    let mut fixture = Fixture::new(linux::Machine::start());
    fixture.converge("one");
    let before = fixture.read("/etc/hosts");
    fixture.harness.configure(json!({ "system.hostname": "two" }));
    let steps = fixture.harness.converge().unwrap().steps;
    for (step, _) in steps.iter().rev() {
        assert_eq!(fixture.harness.undo(step).unwrap(), Outcome::Changed);
    }
    assert_eq!(fixture.read("/etc/hosts"), before);
    assert_eq!(fixture.read("/etc/hostname"), "one\n");
    assert_eq!(fixture.machine_name(), "one");
}

/// A file may say more than a name, or nothing, or something that is no UTF-8.
#[test]
fn undo_brings_the_kept_name_back_byte_for_byte() {
    for before in [&b"# by the installer, B\xfcro 3\n\none\n# until May\n"[..], b"# none yet\n", b"", b"one"] {
        let mut fixture = Fixture::new(linux::Machine::start());
        let path = fixture.root.locate("/etc/hostname");
        fs::write(&path, before).unwrap();
        fixture.harness.configure(json!({ "system.hostname": "two" }));
        let steps = fixture.harness.converge().unwrap().steps;
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
        for (step, _) in steps.iter().rev() {
            assert_eq!(fixture.harness.undo(step).unwrap(), Outcome::Changed);
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn undoing_the_first_name_leaves_no_file() {
    let mut fixture = Fixture::new(linux::Machine::start());
    fixture.harness.configure(json!({ "system.hostname": "dev" }));
    let steps = fixture.harness.converge().unwrap().steps;
    fixture.harness.undo(&steps[0].0).unwrap();
    assert!(!fixture.root.locate("/etc/hostname").exists());
}

#[test]
fn a_container_that_may_not_set_its_name_is_explained() {
    let mut fixture = Fixture::new(linux::Machine::start());
    fixture.machine.refuse_names();
    fixture.harness.configure(json!({ "system.hostname": "dev" }));
    let error = fixture.harness.converge().unwrap_err();
    assert_eq!(error.message, "cannot change the running host name");
    let data = error.data.expect("it has causes and help");
    assert!(data.help.unwrap().contains("container"));
    assert!(data.causes.iter().any(|cause| cause.contains("dev")), "{:?}", data.causes);
    assert_eq!(fixture.read("/etc/hostname"), "dev\n", "the next boot has the name all the same");
    let left = fixture.harness.verify().unwrap();
    assert_eq!(left.len(), 1, "verify says what is not so: {left:?}");
}

#[test]
fn comments_beside_the_kept_name_are_backed_up() {
    let mut fixture = Fixture::new(linux::Machine::start());
    fixture.write("/etc/hostname", "# chosen by the office\nold\n");
    fixture.converge("new");
    assert_eq!(fixture.read("/etc/hostname.sysconfig-orig"), "# chosen by the office\nold\n");
    assert!(fixture.harness.logs().iter().any(|log| log.message.contains("sysconfig-orig")));
    fixture.converge("newer");
    assert_eq!(fixture.read("/etc/hostname.sysconfig-orig"), "# chosen by the office\nold\n");
}

#[test]
fn faults_are_diagnostics_with_a_key_and_a_proposal() {
    let mut fixture = Fixture::new(linux::Machine::start());
    let mut only = |config: Value| {
        let mut diagnostics = fixture.harness.validate(config);
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        diagnostics.remove(0)
    };
    let diagnostic = only(json!({ "system.hostname": "my_host." }));
    assert_eq!(diagnostic.key, "system.hostname");
    assert!(diagnostic.is_error());
    assert!(diagnostic.message.contains("'_'"), "{}", diagnostic.message);
    assert_eq!(diagnostic.help.as_deref(), Some("for example \"my-host\""));
    assert_eq!(only(json!({ "system.hostname": "10.0.2.15" })).help, None);
    assert_eq!(only(json!({ "system.hostname": 7 })).key, "system.hostname");
    assert_eq!(fixture.harness.validate(json!({ "system.hostname": "dev" })), []);
}

#[test]
fn the_description_claims_one_key() {
    let mut fixture = Fixture::new(linux::Machine::start());
    let description = fixture.harness.describe();
    assert_eq!(description.name, "hostname");
    let keys: Vec<_> = description.claims.iter().map(|claim| claim.key.as_str()).collect();
    assert_eq!(keys, ["system.hostname"]);
    assert!(description.has_capability("undo"));
    fixture.harness.shutdown();
}

fn illumos_with_lease() -> Fixture<illumos::Machine> {
    use illumos::network::{Kind, Server};
    let fixture = Fixture::new(illumos::Machine::start());
    fixture.machine.network(|network| {
        network.add_link("net0", 1);
        let options = [("Hostname", vec!["Client1".to_owned()])].into();
        let server = Server { address: "10.0.2.15/24".parse().unwrap(), router: None, options, looks: 0 };
        network.servers.insert("net0".to_owned(), server);
        network.add_object("net0/dhcp", Kind::Dhcp);
    });
    fixture
}

#[test]
fn a_name_from_a_lease_and_the_one_without() {
    let mut fixture = illumos_with_lease();
    let steps = |fixture: &mut Fixture<illumos::Machine>, value: Value| -> Vec<String> {
        fixture.harness.configure(json!({ "system.hostname": value }));
        fixture.harness.converge().unwrap().steps.into_iter().map(|(step, _)| step.summary).collect()
    };
    let without = json!({ "from": "dhcp" });
    steps(&mut fixture, json!({ "from": "dhcp", "fallback": "dev" }));
    assert_eq!(fixture.machine.name(), "client1");
    fixture.machine.network(|network| network.servers.clear());
    assert_eq!(steps(&mut fixture, without.clone()), [""; 0], "without a word and a fallback the name stays");
    steps(&mut fixture, json!({ "from": "dhcp", "fallback": "dev" }));
    assert_eq!(fixture.machine.name(), "dev");
    fixture.machine.network(|network| {
        let options = [("Hostname", vec!["$(reboot)".to_owned()])].into();
        let address = "10.0.2.15/24".parse().unwrap();
        network
            .servers
            .insert("net0".to_owned(), illumos::network::Server { address, router: None, options, looks: 0 });
    });
    assert_eq!(steps(&mut fixture, without), [""; 0], "what is no name is nobody's");
}

#[test]
fn where_a_name_comes_from_is_checked_as_well() {
    let mut fixture = Fixture::new(linux::Machine::start());
    for (value, key) in [
        (json!({ "from": "dhcp", "fallback": "under_score" }), "system.hostname.fallback"),
        (json!({ "from": "nis" }), "system.hostname"),
        (json!({ "from": "dhcp", "fallbak": "dev" }), "system.hostname"),
    ] {
        let found = fixture.harness.validate(json!({ "system.hostname": value }));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, key);
    }
}
