//! A plugin on a simulated machine, driven through the SDK's own dispatch code.

use serde_json::Value;
use sysconfig_platform::fake::Machine;
use sysconfig_platform::fake::storage::Pool;
use sysconfig_platform::{Host, System};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Outcome, Risk};
use sysconfig_plugin_zpool::ZpoolPlugin;
use sysconfig_protocol::Step;
use tempfile::TempDir;

pub(crate) use plugin_testing::summaries;

/// The size of a disk, unless a test is about sizes.
pub(crate) const DISK: u64 = 128 << 20;

pub(crate) struct Fixture {
    _directory: TempDir,
    pub(crate) host: Host,
    pub(crate) machine: Machine,
    pub(crate) harness: Harness,
}

pub(crate) fn config(text: &str) -> Value {
    plugin_testing::config(text, &["storage.pool"])
}

/// A configuration of one pool named `tank`.
pub(crate) fn tank(rest: &str) -> String {
    format!("[[storage.pool]]\nname = \"tank\"\n{rest}\n").replace("c#", "/dev/dsk/c")
}

/// Both.
pub(crate) const SYSTEMS: [System; 2] = [System::Illumos, System::Linux];

/// The path of one of the disks of a fixture.
pub(crate) fn disk(system: System, number: usize) -> String {
    match system {
        System::Illumos => format!("/dev/dsk/c0t{number}d0"),
        System::Linux => format!("/dev/disk/by-id/d{number}"),
    }
}

impl Fixture {
    pub(crate) fn start(system: System) -> Self {
        match system {
            System::Illumos => Self::illumos(),
            System::Linux => Self::linux(),
        }
    }

    /// illumos with the blank disks `c0t0d0` to `c0t12d0`.
    pub(crate) fn illumos() -> Self {
        let (directory, host, machine) = Machine::start(System::Illumos);
        for disk in 0..13 {
            machine.storage(|storage| storage.add_disk(&format!("c0t{disk}d0"), DISK));
        }
        Self::on(directory, host, machine)
    }

    /// Linux with the blank disks `d0` to `d12`, by their ids.
    pub(crate) fn linux() -> Self {
        let (directory, host, machine) = Machine::start(System::Linux);
        machine.storage(|storage| storage.has_zfs = true);
        for disk in 0..13 {
            machine.storage(|storage| storage.add_disk(&format!("d{disk}"), DISK));
        }
        Self::on(directory, host, machine)
    }

    fn on(directory: TempDir, host: Host, machine: Machine) -> Self {
        let harness = Harness::start(ZpoolPlugin::new(host.clone()));
        Self { _directory: directory, host, machine, harness }
    }

    pub(crate) fn plan(&mut self, text: &str) -> Vec<Step> {
        let config = config(text);
        let errors: Vec<_> =
            self.harness.validate(config.clone()).into_iter().filter(sysconfig_plugin::Diagnostic::is_error).collect();
        assert_eq!(errors, [], "{text}");
        self.harness.configure(config);
        self.harness.plan().unwrap_or_else(|error| panic!("{text}\n{error:?}"))
    }

    /// Applies what is planned, which must be nothing destructive, and checks that nothing is left to do.
    pub(crate) fn converge(&mut self, text: &str) -> Vec<String> {
        self.apply_planned(text, false)
    }

    /// As [`Self::converge`], with the daemon's permission to destroy.
    pub(crate) fn converge_destructively(&mut self, text: &str) -> Vec<String> {
        self.apply_planned(text, true)
    }

    /// As [`Self::converge_destructively`] after a plugin that was killed: of a step, part may be done already.
    pub(crate) fn converge_again(&mut self, text: &str) {
        for step in self.plan(text) {
            self.harness.apply(&step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert_eq!(summaries(&self.plan(text)), [""; 0], "the second plan is empty");
    }

    fn apply_planned(&mut self, text: &str, may_destroy: bool) -> Vec<String> {
        let steps = self.plan(text);
        let imports = steps.iter().any(|step| step.action == "import");
        for step in &steps {
            assert!(may_destroy || step.risk != Risk::Destructive, "{}", step.summary);
            // Without it the daemon refuses what is destructive.
            assert!(step.key.starts_with("storage.pool["), "{}: {:?}", step.summary, step.key);
            let outcome = self.harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
            // What properties an exported pool has, and what it mounts, is not known before.
            assert!(
                outcome == Outcome::Changed || (imports && ["set", "mount"].contains(&step.action.as_str())),
                "{}",
                step.summary
            );
        }
        let left = self.plan(text);
        assert_eq!(summaries(&left), [""; 0], "the second plan is empty, after {:#?}", summaries(&steps));
        steps.into_iter().map(|step| step.summary).collect()
    }

    /// What is refused, and that nothing else is planned for it.
    pub(crate) fn refusals(&mut self, text: &str) -> Vec<String> {
        let steps = self.plan(text);
        let refusals = steps.iter().filter(|step| step.action == "refuse");
        for refusal in refusals.clone() {
            let error = self.harness.apply(refusal).expect_err("a refusal fails");
            assert!(refusal.summary.ends_with(&error.message), "{refusal:?} {error:?}");
            assert!(error.data.is_some_and(|data| data.help.is_some()), "{refusal:?}");
        }
        refusals.map(|step| step.summary.trim_start_matches("not done: pool tank: ").to_owned()).collect()
    }

    pub(crate) fn drawing(&self) -> String {
        self.machine.storage(|storage| storage.pools.get("tank").map(Pool::drawing).unwrap_or_default())
    }

    /// The same with the disks by their numbers, as on both systems.
    pub(crate) fn numbers(&self) -> String {
        let parts = |number| match self.host.system() {
            System::Illumos => format!("c0t{number}d0s0"),
            System::Linux => format!("d{number}-part1"),
        };
        (0..16).rev().fold(self.drawing(), |drawing, number| drawing.replace(&parts(number), &number.to_string()))
    }

    pub(crate) fn warnings(&mut self) -> Vec<String> {
        let all = self.harness.verify().unwrap().into_iter();
        all.filter(|found| !found.is_error()).map(|found| found.message).collect()
    }

    /// The commands that changed something, or tried to.
    pub(crate) fn commands(&self) -> Vec<String> {
        let looks = |line: &&String| {
            let words: Vec<_> = line.split(' ').skip(1).collect();
            match words.as_slice() {
                ["status" | "get" | "list" | "-pH" | "-l" | "-v", ..] => true,
                ["import", rest @ ..] => rest.chunks(2).all(|pair| pair[0] == "-d"),
                _ => false,
            }
        };
        let commands = self.machine.commands();
        let changes = commands.iter().filter(|line| !looks(line));
        changes.map(|line| line.trim_start_matches("/usr/sbin/").to_owned()).collect()
    }
}
