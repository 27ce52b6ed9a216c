//! What a change to be confirmed turns out to need on its way.

use sysconfig_protocol::admin::{AppliedStep, Failure, PluginApply, StepResult};

use super::Engine;
use super::carry_out::not_run;

impl Engine {
    /// What a step of the change has found to be done, as which link is the first with a signal, is part of it. Later it would be
    /// carried out without a note, and nothing would take it back. Where a plan was approved, nobody has seen that, and it is told.
    pub(super) fn finish_revocable(
        &mut self,
        name: &str,
        allow_destructive: bool,
        is_approved: bool,
        mut result: PluginApply,
    ) -> PluginApply {
        const ROUNDS: usize = 3;
        if !self.confirming.is_applying {
            return result;
        }
        let rounds = if is_approved { 0 } else { ROUNDS };
        for _ in 0..rounds {
            if !self.wants_a_new_look(name) || !has_gone_well(&result) {
                break;
            }
            let part = self.plan_part(name);
            if let Some(managed) = self.plugins.get_mut(name) {
                managed.unacted_news = None;
            }
            if part.is_nothing() {
                break;
            }
            let mut next = self.carry_out(part, allow_destructive);
            next.steps.splice(0..0, std::mem::take(&mut result.steps));
            result = next;
        }
        self.tell_what_is_more(name, is_approved, result)
    }

    /// Steps that a change to be confirmed has made necessary, and that are no part of it. They are told, and held when the
    /// change is confirmed.
    fn tell_what_is_more(&mut self, name: &str, is_approved: bool, mut result: PluginApply) -> PluginApply {
        let has_more = self.wants_a_new_look(name) || (is_approved && !self.news_for(name).is_empty());
        if !has_more || !has_gone_well(&result) {
            return result;
        }
        let part = self.plan_part(name);
        if part.is_nothing() {
            return result;
        }
        self.take_into_change(name);
        result.steps.extend(part.steps.iter().map(not_run));
        result.error = part.error.or_else(|| {
            let why = match is_approved {
                true => "nobody has approved of it",
                false => "each try finds more",
            };
            let message = format!("the change has made more necessary, which is not done, because {why}");
            Some(Failure { message, help: Some("confirm or undo what was done, then: sysconfigctl plan".to_owned()) })
        });
        result
    }
}

/// Whether nothing speaks against looking for more to do.
fn has_gone_well(result: &PluginApply) -> bool {
    let is_done = |step: &AppliedStep| matches!(step.result, StepResult::Changed | StepResult::AlreadySo);
    result.error.is_none() && result.steps.iter().all(is_done)
}
