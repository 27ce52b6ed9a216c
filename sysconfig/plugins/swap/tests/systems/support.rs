//! The plugin on a simulated machine.

use serde_json::{Value, json};
use sysconfig_platform::fake::Machine;
use sysconfig_platform::{Host, System, files};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Outcome, Risk};
use sysconfig_plugin_swap::SwapPlugin;
use sysconfig_protocol::Step;
use tempfile::TempDir;

pub(crate) struct Fixture {
    _directory: TempDir,
    pub(crate) host: Host,
    pub(crate) machine: Machine,
    pub(crate) harness: Harness,
}

pub(crate) fn illumos() -> Fixture {
    Fixture::start(System::Illumos)
}

/// A Linux without ZFS.
pub(crate) fn linux() -> Fixture {
    let fixture = Fixture::start(System::Linux);
    std::fs::create_dir_all(fixture.host.root.locate("/var")).unwrap();
    fixture
}

/// A Linux with a pool.
pub(crate) fn linux_with_zfs() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| {
        storage.has_zfs = true;
        storage.add_pool("rpool", 64 << 30);
    });
    fixture
}

/// The part of the plugin in a configuration as it is written.
pub(crate) fn config(text: &str) -> Value {
    let document: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    json!({ "storage.swap": document["storage"]["swap"] })
}

pub(crate) fn summaries(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.summary.as_str()).collect()
}

impl Fixture {
    fn start(system: System) -> Self {
        let (directory, host, machine) = Machine::start(system);
        let harness = Harness::start(SwapPlugin::new(host.clone()));
        Self { _directory: directory, host, machine, harness }
    }

    /// A new process of the plugin on the same machine.
    pub(crate) fn restart(&mut self, text: &str) {
        self.harness = Harness::start(SwapPlugin::new(self.host.clone()));
        self.harness.configure(config(text));
    }

    /// Configures, applies without any permission, and checks that nothing is left to do.
    pub(crate) fn converge(&mut self, text: &str) -> Vec<String> {
        self.converge_up_to(text, Risk::Disruptive)
    }

    pub(crate) fn converge_up_to(&mut self, text: &str, allowed: Risk) -> Vec<String> {
        assert_eq!(self.harness.validate(config(text)), [], "{text}");
        self.harness.configure(config(text));
        let steps = self.harness.plan().unwrap_or_else(|error| panic!("{error:?}"));
        for step in &steps {
            assert!(step.risk <= allowed, "not allowed: {step:?}");
            let outcome = self.harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
            assert_eq!(outcome, Outcome::Changed, "{}", step.summary);
        }
        let left = self.harness.plan().unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(summaries(&left), [""; 0], "the second plan is empty after {:?}", summaries(&steps));
        steps.into_iter().map(|step| step.summary).collect()
    }

    /// Configures and plans.
    pub(crate) fn plan(&mut self, text: &str) -> Vec<Step> {
        self.harness.configure(config(text));
        let steps = self.harness.plan().unwrap_or_else(|error| panic!("{error:?}"));
        let unkeyed = steps.iter().find(|step| step.risk == Risk::Destructive && step.key.is_empty());
        assert_eq!(unkeyed, None, "the daemon refuses what is destructive and belongs to no key");
        steps
    }

    /// The areas in use, with their sizes in MiB.
    pub(crate) fn used(&self) -> Vec<String> {
        self.machine
            .storage(|storage| storage.swaps.iter().map(|area| format!("{} {}", area.path, area.bytes >> 20)).collect())
    }

    pub(crate) fn read(&self, path: &str) -> String {
        files::read_text(&self.host.root, path).unwrap().unwrap_or_default()
    }
}
