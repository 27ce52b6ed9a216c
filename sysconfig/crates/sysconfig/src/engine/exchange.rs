//! Whether a new process may take the place of old ones, and the change of places.
//!
//! Everything that can go wrong goes wrong beside the old process, which is at work until the new one was started,
//! greeted, configured and asked for its opinion.

use sysconfig_protocol::admin::{Failure, HappeningKind, PluginReload, PluginState, ReloadResult};
use sysconfig_protocol::describe::capability;
use sysconfig_protocol::method::{Configure, Validate};
use sysconfig_protocol::{Description, Diagnostic};

use super::events::Heard;
use super::managed::{Live, Managed, build_id};
use super::start::{Greeted, Rejection, greet};
use super::{Engine, intake, shown, subject};
use crate::clock;
use crate::config::{assign, overlaps};
use crate::discovery::Candidate;

/// What is known of a greeted process that may become the plugin.
#[derive(Debug)]
pub(super) struct Vetted {
    diagnostics: Vec<Diagnostic>,
    /// The plugins of other names whose keys it takes over, because their files are gone.
    predecessors: Vec<String>,
}

impl Engine {
    /// Configures a greeted process and decides whether it may become the plugin. Nobody is displaced yet.
    pub(super) fn vet(&self, greeted: &mut Greeted) -> Result<Vetted, Rejection> {
        let predecessors = self.predecessors(greeted).map_err(Rejection::conflict)?;
        if let Some(failure) = self.could_not_undo(&greeted.description, &predecessors) {
            return Err(Rejection::for_now(failure));
        }
        let diagnostics = self.configure(greeted)?;
        match self.worse_than_before(&greeted.candidate.name, &predecessors, &diagnostics) {
            // Its predecessors keep the keys that it claims.
            Some(failure) => Err(Rejection::conflict(failure)),
            None => Ok(Vetted { diagnostics, predecessors }),
        }
    }

    /// The plugins that own a key that this one claims. One whose file is gone gives way: its successor under
    /// another name is there. Any other is a conflict.
    fn predecessors(&self, greeted: &Greeted) -> Result<Vec<String>, Failure> {
        let claimed = keys(&greeted.description);
        let own = &greeted.candidate.name;
        let mut predecessors = Vec::new();
        for (name, managed) in self.plugins.iter().filter(|(name, managed)| *name != own && managed.owns_claims()) {
            let Some(key) = common_key(&claimed, &managed.claims()) else { continue };
            match &managed.candidate {
                Some(rival) if !managed.file_gone => {
                    return Err(conflict(&key, &greeted.candidate, rival, true));
                }
                _ => predecessors.push(name.clone()),
            }
        }
        Ok(predecessors)
    }

    /// A build that cannot undo does not get in while there is one that has to, as soon as nobody confirms its change.
    fn could_not_undo(&self, description: &Description, predecessors: &[String]) -> Option<Failure> {
        let can_undo = description.has_capability(capability::UNDO);
        let own = Some(&description.name).filter(|_| !can_undo && self.can_undo(&description.name));
        let name = own.into_iter().chain(predecessors).find(|name| self.has_to_undo(name))?;
        Some(Failure {
            message: format!("a change of plugin {name} waits for its confirmation, and this build could not undo it"),
            help: Some("sysconfigctl confirm, or: sysconfigctl undo; the build is taken then".to_owned()),
        })
    }

    /// Whether steps of a plugin are undone unless they are confirmed.
    pub(super) fn has_to_undo(&self, name: &str) -> bool {
        let steps = self.confirming.state.pending.iter().flat_map(|pending| &pending.steps);
        steps.map(|noted| &noted.plugin).any(|plugin| plugin == name)
    }

    /// Whether the present build can undo; it may be down.
    fn can_undo(&self, name: &str) -> bool {
        let description = self.plugins.get(name).and_then(|managed| managed.description.as_ref());
        description.is_some_and(|description| description.has_capability(capability::UNDO))
    }

    /// Takes the builds that could not be taken before a change was confirmed or undone.
    pub(super) fn take_waiting_builds(&mut self) {
        let waiting: Vec<_> = self.plugins.values_mut().filter_map(|managed| managed.waiting_build.take()).collect();
        for candidate in waiting {
            // What changed for it is what changed just now.
            self.take_candidate(candidate.seen_now());
        }
    }

    /// Gives a process its part of the configuration in force, and asks what it thinks of it.
    fn configure(&self, greeted: &mut Greeted) -> Result<Vec<Diagnostic>, Rejection> {
        let name = &greeted.candidate.name;
        let claims: Vec<_> = keys(&greeted.description).into_iter().map(|key| (name.clone(), key)).collect();
        let Some(config) = assign(&self.config.machine, &claims).parts.remove(name) else { return Ok(Vec::new()) };
        let deadline = self.config.settings.plugins.deadlines.answer;
        let process = &mut greeted.process;
        process
            .call(&Configure { config: config.clone() }, deadline)
            .map_err(|error| Rejection::of_part("configure", &error))?;
        let findings =
            process.call(&Validate { config }, deadline).map_err(|error| Rejection::of_part("validate", &error))?;
        Ok(intake::findings(findings.diagnostics))
    }

    /// A new build that refuses a configuration that all those accepted whose work it would take does not get in.
    /// Where nobody is at work, one that refuses is better than none: it says what is wrong.
    fn worse_than_before(&self, name: &str, predecessors: &[String], diagnostics: &[Diagnostic]) -> Option<Failure> {
        let error = diagnostics.iter().find(|diagnostic| diagnostic.is_error())?;
        let names = predecessors.iter().map(String::as_str).chain([name]);
        let mut at_work = names.filter_map(|name| self.plugins.get(name)).filter(|managed| managed.live.is_some());
        let first = at_work.next()?;
        let was_bad = |managed: &Managed| managed.diagnostics.iter().any(Diagnostic::is_error);
        (!was_bad(first) && !at_work.any(was_bad)).then(|| Failure {
            message: format!("the new build refuses the configuration in force: {}: {}", error.key, error.message),
            help: error.help.clone(),
        })
    }

    /// Makes a process the plugin; the one before and those whose keys it takes over are dismissed.
    pub(super) fn install(&mut self, greeted: Greeted, vetted: Vetted) {
        let Greeted { candidate, process, description } = greeted;
        let name = candidate.name.clone();
        for predecessor in &vetted.predecessors {
            self.log.info(&subject(predecessor), format!("its file is gone, and plugin {name} takes over its keys"));
            if let Some(live) = self.plugins.remove(predecessor).and_then(|managed| managed.live) {
                self.dismiss(live);
            }
            self.book.take_back(predecessor);
        }
        self.undo_left_soon(&name);
        let managed = self.plugins.entry(name).or_insert_with(|| Managed::new(candidate.path.clone()));
        managed.path.clone_from(&candidate.path);
        let old = managed.live.replace(Live { process, copy: candidate.copy.clone() });
        managed.candidate = Some(candidate);
        managed.description = Some(description);
        managed.diagnostics = vetted.diagnostics;
        managed.set_state(PluginState::Running);
        managed.last_error = None;
        managed.conflicts = false;
        managed.retry_at = None;
        managed.file_gone = false;
        managed.heard = Heard::default();
        if let Some(old) = old {
            self.dismiss(old);
        }
    }

    /// Starts the new one beside the old one, and swaps when it answers well; otherwise the old one stays.
    pub(super) fn exchange(&mut self, candidate: &Candidate) {
        let started = greet(&self.launcher, &self.config.settings.plugins.deadlines, candidate.clone());
        let vetted = started.and_then(|mut greeted| self.vet(&mut greeted).map(|vetted| (greeted, vetted)));
        match vetted {
            Ok((greeted, vetted)) => {
                self.install(greeted, vetted);
                self.reassign();
                self.note_live(candidate);
            }
            Err(rejection) => {
                if let Some(managed) = self.plugins.get_mut(&candidate.name) {
                    managed.waiting_build = Some(candidate.clone());
                }
                self.keep_old(&candidate.name, rejection.failure, Some(build_id(&candidate.copy)));
            }
        }
    }

    /// Records that a new file is at work, and how long that took since it changed, as far as that is known.
    pub(super) fn note_live(&mut self, candidate: &Candidate) {
        let Some(managed) = self.plugins.get_mut(&candidate.name) else { return };
        if managed.live.is_none() {
            return;
        }
        let latency_ms = clock::as_ms(candidate.changed.unwrap_or(candidate.seen).elapsed());
        let build = build_id(&candidate.copy);
        let what = if candidate.changed.is_some() { "changed" } else { "was seen" };
        let message = format!("build {build} is live, {latency_ms} ms after its file {what}");
        self.log.info(&subject(&candidate.name), &message);
        self.board.note(HappeningKind::PluginReloaded, Some(&candidate.name), message);
        managed.reload = Some(PluginReload {
            at_unix_ms: clock::unix_ms(),
            result: ReloadResult::Live,
            latency_ms: Some(latency_ms),
            since_change: candidate.changed.is_some(),
            build_id: Some(build),
            error: None,
        });
    }

    /// The newest file is of no use. What runs goes on running; what does not run stays down.
    pub(super) fn keep_old(&mut self, name: &str, failure: Failure, build_id: Option<String>) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        managed.reload = Some(PluginReload {
            at_unix_ms: clock::unix_ms(),
            result: ReloadResult::Kept,
            latency_ms: None,
            since_change: false,
            build_id,
            error: Some(failure.message.clone()),
        });
        self.board.note(HappeningKind::ReloadRefused, Some(name), &*failure.message);
        if managed.live.is_some() {
            self.log.warn(&subject(name), format!("the old build keeps running: {}", failure.message));
        } else {
            self.log.error(&subject(name), format!("not started: {}", failure.message));
            // A plugin that is waiting to be started again keeps its last good file.
            if managed.candidate.is_none() {
                managed.set_state(PluginState::Refused);
            }
        }
        managed.last_error = Some(failure);
    }
}

pub(super) fn keys(description: &Description) -> Vec<String> {
    description.claims.iter().map(|claim| claim.key.clone()).collect()
}

/// A key that both lists claim, or that lies within a claim of the other.
pub(super) fn common_key(one: &[String], other: &[String]) -> Option<String> {
    one.iter().find(|key| other.iter().any(|rival| overlaps(key, rival))).cloned()
}

/// Two plugins claim one key. Cargo leaves the executable of a renamed plugin where it was, so the older file is
/// the likely mistake.
///
/// The rival may be known for the owner of the key. Then it is the other file that is to go, unless the plugin has a new name.
pub(super) fn conflict(key: &str, candidate: &Candidate, rival: &Candidate, is_owner: bool) -> Failure {
    let (own, other) = (shown(&candidate.path), shown(&rival.path));
    let older = if rival.modified_unix_ms <= candidate.modified_unix_ms { &other } else { &own };
    let (right, help) = match is_owner {
        true => (
            ", which owns it",
            format!(
                "delete {own} if it should not be there; if it is plugin {} under a new name, delete {other}",
                rival.name
            ),
        ),
        false => ("", format!("if {older} is left over from a renamed plugin, delete it: it is the older one")),
    };
    Failure {
        message: format!("it claims {key}, and so does plugin {} ({other}){right}", rival.name),
        help: Some(help),
    }
}
