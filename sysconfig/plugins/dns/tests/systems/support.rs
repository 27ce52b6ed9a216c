//! A plugin on a simulated machine, driven through the SDK's own dispatch code.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use sysconfig_platform::{Host, Root};
use sysconfig_plugin::Outcome;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_dns::DnsPlugin;
use tempfile::TempDir;

pub(crate) struct Fixture<Machine> {
    _directory: TempDir,
    pub(crate) root: Root,
    pub(crate) host: Host,
    pub(crate) machine: Arc<Machine>,
    pub(crate) harness: Harness,
}

impl<Machine> Fixture<Machine> {
    pub(crate) fn new((directory, host, machine): (TempDir, Host, Arc<Machine>)) -> Self {
        let (root, harness) = (host.root.clone(), Harness::start(DnsPlugin::new(host.clone())));
        Self { _directory: directory, root, host, machine, harness }
    }

    /// A new process of the plugin on the same machine.
    pub(crate) fn restart(&mut self) {
        self.harness = Harness::start(DnsPlugin::new(self.host.clone()));
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.locate(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        fs::write(self.root.locate(path), content).unwrap();
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        symlink(target, self.root.locate(path)).unwrap();
    }

    /// Configures, applies, and checks that everything is so afterwards and that nothing is left to do.
    pub(crate) fn converge(&mut self, dns: &Value) -> Vec<String> {
        self.harness.configure(serde_json::json!({ "network.dns": dns }));
        let converged = self.harness.converge().unwrap();
        assert_eq!(converged.diagnostics, []);
        assert_eq!(self.harness.plan().unwrap(), [], "the second plan is empty");
        for (step, outcome) in &converged.steps {
            assert_eq!(*outcome, Outcome::Changed, "{}", step.summary);
            // A restart is the one step that always does something.
            if step.action != "restart" {
                let again = self.harness.apply(step).unwrap();
                assert_eq!(again, Outcome::AlreadySo, "a step is right to repeat: {}", step.summary);
            }
        }
        let steps = converged.steps.iter();
        steps.map(|(step, _)| format!("{} {}", step.action, step.resource)).collect()
    }

    /// Configures and plans, and answers the refusal: its message and its help.
    pub(crate) fn refusal(&mut self, dns: &Value) -> (String, String) {
        self.harness.configure(serde_json::json!({ "network.dns": dns }));
        let error = self.harness.plan().unwrap_err();
        let help = error.data.and_then(|data| data.help).unwrap_or_default();
        (error.message, help)
    }
}
