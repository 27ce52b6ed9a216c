//! What happens to the daemon, its plugins and the machine behind its back.

use sysconfig_protocol::Digest;
use sysconfig_protocol::admin::{PluginState, PluginStatus};

use super::operations::{Build, install, write};
use super::world::World;

/// One sequence.
pub(crate) struct Sequence<'a> {
    pub(crate) world: World<'a>,
    /// Of the last plan.
    pub(crate) digest: Digest,
    /// The number of builds so far.
    pub(crate) builds: usize,
    /// Those that never finish a step.
    pub(crate) hanging: Vec<String>,
}

impl Sequence<'_> {
    pub(crate) fn install(&mut self, name: &'static str, build: Build) {
        self.builds += 1;
        let id = install(self.world.bench, name, build, self.builds);
        if matches!(build, Build::Hangs) {
            self.hanging.push(id.clone());
        }
        let prefix = if matches!(build, Build::Prefixed) { "more " } else { "" };
        let part = self.world.part(name);
        part.builds.insert(id.clone(), prefix.to_owned());
        part.newest = id;
        self.await_build(name);
    }

    /// Waits until the daemon has decided about the build in place. One that it does not take is no reason to apply anything.
    pub(crate) fn await_build(&mut self, name: &'static str) {
        let newest = Some(self.world.part(name).newest.clone());
        let decided = |plugin: &PluginStatus| plugin.reload.as_ref().and_then(|reload| reload.build_id.clone());
        self.world.daemon().wait_for_plugin(name, "its new build", |plugin| {
            let is_down = !matches!(plugin.state, PluginState::Running | PluginState::Starting);
            plugin.build_id == newest || decided(plugin) == newest || is_down
        });
        let plugin = self.world.daemon().plugin(name);
        let is_kept = plugin.pid.is_some() && plugin.build_id != newest && decided(&plugin) == newest;
        self.world.part(name).owes |= !is_kept;
    }

    /// A build that was not taken is tried again.
    pub(crate) fn builds_are_tried(&mut self, names: &[&'static str]) {
        let plugins = self.world.daemon().status().plugins;
        for name in names {
            let running =
                plugins.iter().find(|plugin| plugin.name == *name).and_then(|plugin| plugin.build_id.as_ref());
            let part = self.world.part(name);
            part.owes |= running != Some(&part.newest);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let words = format!("plugin {name}: its file is gone");
        let gone = |log: String| log.matches(&words).count();
        let before = gone(self.world.daemon().log());
        if std::fs::remove_file(self.world.bench.plugin_file(name)).is_ok() {
            self.world.daemon().wait_for("the file to be missed", |daemon| gone(daemon.log()) > before);
        }
    }

    pub(crate) fn drift(&mut self, name: &str, text: Option<String>) {
        let file = self.world.bench.path(name);
        match &text {
            Some(text) => std::fs::write(file, text).unwrap(),
            None => drop(std::fs::remove_file(file)),
        }
        let part = self.world.part(name);
        part.unlooked = true;
        if !part.left.is_empty() {
            part.left.insert(text.clone());
        }
        part.machine = text;
    }

    pub(crate) fn kill_plugin(&mut self, name: &'static str) {
        let pid = |plugin: &PluginStatus| plugin.pid;
        let running = self.world.daemon().status().plugins.into_iter().find(|plugin| plugin.name == name);
        let Some(old) = running.as_ref().and_then(pid) else { return };
        let process = rustix::process::Pid::from_raw(old.try_into().unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        self.world.daemon().wait_for_plugin(name, "its end", |plugin| pid(plugin) != Some(old));
    }

    pub(crate) fn kill(&mut self) {
        self.world.daemon.take().unwrap().kill();
        // A plugin finishes its step then, and the next daemon waits for it; one that never does is the service manager's.
        for pid in self.world.bench.plugin_processes() {
            let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            if self.hanging.iter().any(|build| program.to_string_lossy().contains(build)) {
                let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        // An undoing that goes on takes them up itself.
        self.world.doubts = if self.world.waiting.is_some() { Vec::new() } else { self.world.bench.open_steps() };
    }

    pub(crate) fn start(&mut self) {
        let texts = self.world.parts.iter().map(|(name, part)| (*name, part.written.clone())).collect();
        if std::fs::read_to_string(self.world.bench.path("sysconfig.toml")).unwrap() == "[test\n" {
            write(self.world.bench, &texts, "");
        }
        for part in self.world.parts.values_mut() {
            part.owes = true;
            part.unlooked = false;
        }
        self.world.reload_waits = false;
        self.world.take_over();
        self.world.foresee();
        self.world.daemon = Some(self.world.bench.start());
    }
}
