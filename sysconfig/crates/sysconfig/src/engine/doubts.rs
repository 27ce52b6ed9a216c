//! Steps of which nobody knows what they did, because their plugin or the daemon ended in the middle.
//!
//! Only looking at the machine resolves them: the part of their plugin is in force, or they are not planned any more, or they
//! were carried out again. The journal is told so at once.

use sysconfig_protocol::admin::{AppliedStep, PluginApply, Problem, StepResult};
use sysconfig_protocol::{Diagnostic, Severity, Step};

use super::cycle::REQUEST;
use super::{Engine, subject};
use crate::config::overlaps;
use crate::state::journal::InDoubt;

impl Engine {
    /// Resolves what a cycle has made clear. Doubts of a daemon that was killed are still told until an administrator
    /// applies, because nobody has heard of them yet, and an event may start the next cycle at once.
    pub(super) fn resolve_doubts(&mut self, result: &PluginApply, is_in_force: bool, trigger: &str) {
        let is_clear = |doubt: &InDoubt| is_in_force || is_clear(doubt, result);
        let of_plugin = self.in_doubt.iter_mut().filter(|doubt| doubt.plugin == result.plugin);
        let open: Vec<_> =
            of_plugin.filter(|doubt| is_clear(doubt)).filter_map(|doubt| doubt.sequence.take()).collect();
        let note = match is_in_force {
            true => "the plugin's part was in force afterwards",
            false => "it was carried out again, or not needed any more",
        };
        for sequence in open {
            self.journal_result(sequence, StepResult::Unknown, Some(note.to_owned()));
        }
        let is_told = trigger == REQUEST;
        self.in_doubt.retain(|doubt| match doubt.is_inherited {
            _ if doubt.plugin != result.plugin => true,
            true => !is_told || doubt.sequence.is_some(),
            false => !is_clear(doubt),
        });
    }

    /// Nobody needs to know any more what became of a step.
    pub(super) fn resolve(&mut self, plugin: &str, step: &Step, note: &str, which: impl Fn(&InDoubt) -> bool) {
        let step = step.redacted();
        let is_it = |doubt: &InDoubt| doubt.plugin == plugin && doubt.step == step && which(doubt);
        let doubts = self.in_doubt.iter().filter(|doubt| is_it(doubt));
        let open: Vec<_> = doubts.filter_map(|doubt| doubt.sequence).collect();
        self.in_doubt.retain(|doubt| !is_it(doubt));
        for sequence in open {
            self.journal_result(sequence, StepResult::Unknown, Some(note.to_owned()));
        }
    }

    /// An administrator applies, and has been told of doubts that nobody will look at again.
    pub(super) fn drop_idle_doubts(&mut self) {
        let idle = self.in_doubt.iter().filter(|doubt| self.is_idle(doubt)).cloned().collect::<Vec<_>>();
        self.in_doubt.retain(|doubt| !idle.contains(doubt));
        for sequence in idle.into_iter().filter_map(|doubt| doubt.sequence) {
            let note = "its plugin was asked for nothing any more".to_owned();
            self.journal_result(sequence, StepResult::Unknown, Some(note));
        }
    }

    /// Whether nothing that is configured has to do with it, also nothing whose plugin may come yet.
    fn is_idle(&self, doubt: &InDoubt) -> bool {
        let key = doubt.step.key.split('[').next().unwrap_or_default();
        let may_be_its = |unowned: &str| key.is_empty() || overlaps(key, unowned);
        !self.assignment.parts.contains_key(&doubt.plugin)
            && !self.assignment.unowned.iter().any(|unowned| may_be_its(&unowned.key))
    }

    pub(super) fn doubt_problems(&self) -> impl Iterator<Item = Problem> {
        self.in_doubt.iter().map(|doubt| Problem {
            subject: subject(&doubt.plugin),
            message: format!(
                "nobody knows whether this step was {}, because its plugin or the daemon ended: {}",
                if doubt.undo { "undone" } else { "done" },
                doubt.step.summary
            ),
            help: Some(self.help_with(doubt).to_owned()),
            place: None,
            severity: Severity::Warning,
        })
    }

    fn help_with(&self, doubt: &InDoubt) -> &'static str {
        if self.is_idle(doubt) {
            "its plugin is asked for nothing any more: see to it by hand; sysconfigctl apply ends this message"
        } else if self.is_running(&doubt.plugin) {
            "sysconfigctl apply brings the machine in line in either case"
        } else {
            "its plugin does not run, which has to be mended first; then sysconfigctl apply brings the machine in line"
        }
    }
}

/// Whether a cycle shows what became of a step: it was carried out again with a result, or was planned no more by a plugin that
/// had looked at all of its part. What a plugin could not look at, it leaves alone or fails for, and plans no step of.
fn is_clear(doubt: &InDoubt, result: &PluginApply) -> bool {
    let is_it =
        |done: &&AppliedStep| (&done.step.action, &done.step.resource) == (&doubt.step.action, &doubt.step.resource);
    let is_known =
        |done: &AppliedStep| matches!(done.result, StepResult::Changed | StepResult::AlreadySo | StepResult::Failed);
    let mut again = result.steps.iter().filter(is_it).peekable();
    let has_looked = || {
        let is_left = |done: &AppliedStep| done.step.resource == doubt.step.resource;
        let has_failed = result.error.is_some() || result.diagnostics.iter().any(Diagnostic::is_error);
        !has_failed && !result.steps.is_empty() && !result.steps.iter().any(is_left)
    };
    !doubt.undo && if again.peek().is_some() { again.all(is_known) } else { has_looked() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sysconfig_protocol::admin::Failure;

    use super::*;

    fn step(action: &str, resource: &str) -> Step {
        let step = json!({ "id": resource, "action": action, "resource": resource, "summary": "x", "risk": "safe" });
        serde_json::from_value(step).unwrap()
    }

    #[test]
    fn only_who_has_looked_ends_a_doubt() {
        let doubt = |undo| InDoubt {
            sequence: Some(1),
            plugin: "a".to_owned(),
            undo,
            step: step("mount", "/a"),
            at_unix_ms: 0,
            is_inherited: false,
        };
        let done = |action: &str, resource: &str, result| AppliedStep {
            step: step(action, resource),
            result,
            duration_ms: 0,
            error: None,
        };
        let other = || done("mount", "/b", StepResult::Changed);
        let failure = || Some(Failure { message: "no".to_owned(), help: None });
        for (about, steps, error, expected) in [
            ("nothing was planned", vec![], None, false),
            ("only another one was", vec![other()], None, true),
            ("it failed on the way", vec![other()], failure(), false),
            ("it is left alone", vec![other(), done("leave", "/a", StepResult::Failed)], None, false),
            ("again, and another one failed", vec![done("mount", "/a", StepResult::AlreadySo)], failure(), true),
            ("again, and not begun", vec![other(), done("mount", "/a", StepResult::NotRun)], None, false),
            ("again, and once more unknown", vec![done("mount", "/a", StepResult::Unknown)], None, false),
        ] {
            let result = PluginApply { plugin: "a".to_owned(), steps, diagnostics: Vec::new(), error };
            assert_eq!(is_clear(&doubt(false), &result), expected, "{about}");
            assert!(!is_clear(&doubt(true), &result), "{about}: an undoing is another matter");
        }
        let diagnostic = json!({ "severity": "error", "key": "x", "message": "the server is away" });
        let diagnostics = vec![serde_json::from_value(diagnostic).unwrap()];
        let result = PluginApply { plugin: "a".to_owned(), steps: vec![other()], diagnostics, error: None };
        assert!(!is_clear(&doubt(false), &result));
    }
}
