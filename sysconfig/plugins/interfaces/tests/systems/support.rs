//! A plugin on a simulated machine, driven through the SDK's own dispatch code.

use serde_json::Value;
use std::sync::Arc;
use sysconfig_platform::{Host, Root};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Level, Outcome};
use sysconfig_plugin_interfaces::InterfacesPlugin;
use tempfile::TempDir;

pub(crate) struct Fixture<Machine> {
    _directory: TempDir,
    pub(crate) root: Root,
    pub(crate) host: Host,
    pub(crate) machine: Arc<Machine>,
    pub(crate) harness: Harness,
}

/// The value of `network.interface` in a configuration as it is written.
pub(crate) fn interfaces(text: &str) -> Value {
    let document: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    document["network"]["interface"].clone()
}

pub(crate) fn config(text: &str) -> Value {
    serde_json::json!({ "network.interface": interfaces(text) })
}

impl<Machine> Fixture<Machine> {
    pub(crate) fn new(machine: (TempDir, Host, Arc<Machine>)) -> Self {
        Self::with(machine, |plugin| plugin)
    }

    /// With a plugin that is not as usual.
    pub(crate) fn with(
        (directory, host, machine): (TempDir, Host, Arc<Machine>),
        change: impl FnOnce(InterfacesPlugin) -> InterfacesPlugin,
    ) -> Self {
        let (root, harness) = (host.root.clone(), Harness::start(change(InterfacesPlugin::new(host.clone()))));
        Self { _directory: directory, root, host, machine, harness }
    }

    /// A new process of the plugin on the same machine.
    pub(crate) fn restart(&mut self) {
        self.harness = Harness::start(InterfacesPlugin::new(self.host.clone()));
    }

    /// Configures, applies, and checks that everything is so afterwards and that nothing is left to do.
    pub(crate) fn converge(&mut self, text: &str) -> Vec<String> {
        self.harness.configure(config(text));
        self.apply_configured()
    }

    pub(crate) fn apply_configured(&mut self) -> Vec<String> {
        let steps = self.harness.plan().unwrap_or_else(|error| panic!("{error:?}"));
        for step in &steps {
            let outcome = self.harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
            assert_eq!(outcome, Outcome::Changed, "{}", step.summary);
        }
        if steps.iter().any(|step| step.action == "look") {
            // The daemon is told to plan anew then.
            let again = self.apply_configured();
            return steps.into_iter().map(|step| step.summary).chain(again).collect();
        }
        let left = self.harness.plan().unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(left.iter().map(|step| &step.summary).collect::<Vec<_>>(), [""; 0], "the second plan is empty");
        steps.into_iter().map(|step| step.summary).collect()
    }

    /// Configures and carries out what can be; answers the error of the step that fails.
    pub(crate) fn fail(&mut self, text: &str) -> (String, String) {
        self.harness.configure(config(text));
        let error = self.harness.converge().expect_err("something is missing");
        let help = error.data.and_then(|data| data.help).unwrap_or_default();
        (error.message, help)
    }

    /// Configures and carries out everything; answers what is left then, and what was said of it.
    pub(crate) fn left_over(&mut self, text: &str) -> (Vec<String>, Vec<String>) {
        self.harness.configure(config(text));
        let converged = self.harness.converge().unwrap_or_else(|error| panic!("{error:?}"));
        let logs = self.harness.logs().into_iter().filter(|log| log.level <= Level::Warn).map(|log| log.message);
        (converged.diagnostics.into_iter().map(|found| found.message).collect(), logs.collect())
    }
}
