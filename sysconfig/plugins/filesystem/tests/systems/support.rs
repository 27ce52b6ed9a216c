//! The plugin on a simulated machine.

use serde_json::{Value, json};
use sysconfig_platform::fake::Machine;
use sysconfig_platform::{Host, System, files};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Outcome, Risk};
use sysconfig_plugin_filesystem::FilesystemPlugin;
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
        storage.add_pool("tank", 64 << 30);
    });
    fixture
}

/// An illumos with a second pool.
pub(crate) fn illumos_with_tank() -> Fixture {
    let fixture = illumos();
    fixture.machine.storage(|storage| storage.add_pool("tank", 64 << 30));
    fixture
}

/// The parts of the plugin in a configuration as it is written.
pub(crate) fn config(text: &str) -> Value {
    let document: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut config = json!({});
    for key in ["dataset", "mount"] {
        if let Some(value) = document["storage"].get(key) {
            config[format!("storage.{key}")] = value.clone();
        }
    }
    config
}

pub(crate) fn summaries(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.summary.as_str()).collect()
}

impl Fixture {
    fn start(system: System) -> Self {
        let (directory, host, machine) = Machine::start(system);
        let harness = Harness::start(FilesystemPlugin::new(host.clone()));
        Self { _directory: directory, host, machine, harness }
    }

    /// A new process of the plugin on the same machine.
    pub(crate) fn restart(&mut self, text: &str) {
        self.harness = Harness::start(FilesystemPlugin::new(self.host.clone()));
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
            // Setting a mount point mounts at once, so that the step after it finds it done.
            assert!(outcome == Outcome::Changed || step.action == "mount", "{}", step.summary);
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

    /// What is mounted beside what always is.
    pub(crate) fn mounted(&self) -> Vec<String> {
        let all = self.machine.storage(|storage| storage.mounted());
        all.into_iter().filter(|line| !line.contains(" on / ") && !line.contains(" on /var/run ")).collect()
    }

    /// Configures, and carries out what can be; answers the error of the step that fails, with its help.
    pub(crate) fn fail(&mut self, text: &str) -> (String, String) {
        self.harness.configure(config(text));
        let error = self.harness.converge().expect_err("something is in the way");
        let data = error.data.unwrap_or_default();
        let causes: String = data.causes.iter().map(|cause| format!(": {cause}")).collect();
        (format!("{}{causes}", error.message), data.help.unwrap_or_default())
    }

    pub(crate) fn read(&self, path: &str) -> String {
        files::read_text(&self.host.root, path).unwrap().unwrap_or_default()
    }
}
