//! A plugin on a simulated machine.

use crate::killed::{Kill, Killed};
use serde_json::{Map, Value};
use sysconfig_platform::fake::Machine;
use sysconfig_platform::fake::storage::Places;
use sysconfig_platform::{Host, System, files};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Outcome, Plugin, Risk};
use sysconfig_protocol::Step;
use tempfile::TempDir;

/// A plugin on a simulated machine.
#[derive(Debug)]
pub struct Fixture<P> {
    _directory: TempDir,
    new: fn(Host) -> P,
    keys: &'static [&'static str],
    /// The machine as the plugin has it.
    pub host: Host,
    /// The machine, to look at and to interfere with.
    pub machine: Machine,
    /// The plugin's connection.
    pub harness: Harness,
}

/// The parts with these keys of a configuration as it is written.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn config(text: &str, keys: &[&str]) -> Value {
    let document: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let part = |key: &&str| {
        let value = key.split('.').try_fold(&document, |value, part| value.get(part))?;
        Some(((*key).to_owned(), value.clone()))
    };
    Value::Object(keys.iter().filter_map(part).collect::<Map<_, _>>())
}

/// The lines of steps.
#[must_use]
pub fn summaries(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.summary.as_str()).collect()
}

impl<P: Plugin + Send + 'static> Fixture<P> {
    /// A fresh machine, and a plugin that owns `keys`.
    ///
    /// # Panics
    /// When the machine cannot be made.
    #[must_use]
    pub fn start(system: System, new: fn(Host) -> P, keys: &'static [&'static str]) -> Self {
        let (directory, host, machine) = Machine::start(system);
        let harness = Harness::start(new(host.clone()));
        Self { _directory: directory, new, keys, host, machine, harness }
    }

    /// A new process of the plugin on the same machine.
    pub fn restart(&mut self, text: &str) {
        self.harness = Harness::start((self.new)(self.host.clone()));
        self.harness.configure(self.config(text));
    }

    fn config(&self, text: &str) -> Value {
        config(text, self.keys)
    }

    /// Configures, applies without any permission, and checks that nothing is left to do.
    ///
    /// # Panics
    /// When it is not so.
    pub fn converge(&mut self, text: &str) -> Vec<String> {
        self.converge_up_to(text, Risk::Disruptive)
    }

    /// As [`Self::converge`], with permission for riskier steps.
    ///
    /// # Panics
    /// When something is left, or fails, or does nothing.
    pub fn converge_up_to(&mut self, text: &str, allowed: Risk) -> Vec<String> {
        assert_eq!(self.harness.validate(self.config(text)), [], "{text}");
        self.apply_all(text, |step, outcome| {
            assert!(step.risk <= allowed, "not allowed: {step:?}");
            // Setting a mount point mounts at once, so that the step after it finds it done.
            assert!(outcome == Outcome::Changed || step.action == "mount", "{}", step.summary);
        })
    }

    /// As [`Self::converge_up_to`] after a plugin that was killed: of a step, part may be done already.
    ///
    /// # Panics
    /// When something is left, or left alone, or fails.
    pub fn converge_again(&mut self, text: &str) -> Vec<String> {
        self.apply_all(text, |step, _| assert!(step.action != "leave", "{step:?}"))
    }

    fn apply_all(&mut self, text: &str, check: impl Fn(&Step, Outcome)) -> Vec<String> {
        let steps = self.plan(text);
        for step in &steps {
            let outcome = self.harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
            check(step, outcome);
        }
        let left = self.plan(text);
        assert_eq!(summaries(&left), [""; 0], "the second plan is empty after {:?}", summaries(&steps));
        steps.into_iter().map(|step| step.summary).collect()
    }

    /// Configures and plans.
    ///
    /// # Panics
    /// When there is no plan.
    pub fn plan(&mut self, text: &str) -> Vec<Step> {
        self.harness.configure(self.config(text));
        let steps = self.harness.plan().unwrap_or_else(|error| panic!("{error:?}"));
        let unkeyed = steps.iter().find(|step| step.risk == Risk::Destructive && step.key.is_empty());
        assert_eq!(unkeyed, None, "the daemon refuses what is destructive and belongs to no key");
        steps
    }

    /// Configures, and carries out what can be; answers the error of the step that fails, with its help.
    ///
    /// # Panics
    /// When nothing fails.
    pub fn fail(&mut self, text: &str) -> (String, String) {
        self.harness.configure(self.config(text));
        let error = self.harness.converge().expect_err("something is in the way");
        let data = error.data.unwrap_or_default();
        let causes: String = data.causes.iter().map(|cause| format!(": {cause}")).collect();
        (format!("{}{causes}", error.message), data.help.unwrap_or_default())
    }

    /// Applies in a process of its own, which is killed; see [`crate::killed::apply`].
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn apply_until_killed(&self, text: &str, kill: Kill) -> Result<Killed, Places> {
        crate::killed::apply(&self.machine, &self.host, &self.config(text), kill)
    }

    /// What is mounted beside what always is.
    #[must_use]
    pub fn mounted(&self) -> Vec<String> {
        let all = self.machine.storage(|storage| storage.mounted());
        all.into_iter().filter(|line| !line.contains(" on / ") && !line.contains(" on /var/run ")).collect()
    }

    /// The areas of swap in use, with their sizes in MiB.
    #[must_use]
    pub fn used(&self) -> Vec<String> {
        self.machine
            .storage(|storage| storage.swaps.iter().map(|area| format!("{} {}", area.path, area.bytes >> 20)).collect())
    }

    /// The text of a file of the machine; empty when there is none.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        files::read_text(&self.host.root, path).expect("the file can be read").unwrap_or_default()
    }
}
