//! Taking over changed configuration files.

use std::time::{Duration, Instant};

use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Activity, Failure, HappeningKind, Problem, ReloadReport};
use sysconfig_protocol::method::Validate;

use super::cycle::Mode;
use super::proposal::Proposal;
use super::record::Started;
use super::{Engine, SELF, intake, subject, within};
use crate::clock;
use crate::config::{
    self, Assignment, ConfigErrors, Configuration, Contents, Pending, Reading, Settings, SourceFile, assign, parse,
    render,
};
use crate::plugin::CallError;
use crate::text::{chain, cut};

/// Longer reports of faults are cut; who mends what they begin with sees the rest.
const REPORT_BYTES: usize = 64 * 1024;

/// The trigger of cycles about files that somebody changed without a word.
const WATCHED: &str = "changed configuration";

impl Engine {
    /// Reads the files again, and applies them when they say something new.
    pub(super) fn reload_config(&mut self) -> ReloadReport {
        self.reopen_log();
        let (accepted, proposal, rejected) = match self.read_again() {
            Ok(proposal) => (true, proposal, None),
            Err(rejected) => (false, None, Some(rejected)),
        };
        let changed = proposal.is_some();
        if let Some(proposal) = proposal {
            self.take_over(proposal);
        }
        let mut names = self.configured_in_order();
        if !changed {
            // Whoever asks again because it did not work wants that tried again, or to hear that it does not work yet. What
            // people changed meanwhile, or only looked at in a plan, is no part of it.
            names.retain(|name| self.plugins.get(name).is_some_and(|managed| managed.owes_apply));
        }
        let is_wanted = changed || (accepted && self.has_errors());
        let apply = is_wanted.then(|| self.cycle("reload of the configuration", &names, Mode::APPLY));
        let (error, problems) = rejected.map(|rejected| (rejected.report, rejected.problems)).unzip();
        ReloadReport { accepted, changed, error, problems: problems.unwrap_or_default(), apply }
    }

    /// Reads the files again; answers what they say when it is something new, and without faults. Nothing of it is in
    /// force yet. Faults are answered as a report.
    pub(super) fn read_again(&mut self) -> Result<Option<Proposal>, Rejected> {
        self.proposed_steps = None;
        let read = self.read_files();
        let config = match read.and_then(parse) {
            Ok(config) => config,
            Err(errors) if errors.are_of_silence() => return Err(self.miss_config(&errors)),
            Err(errors) => return Err(self.reject_config(Rejected::of(&errors))),
        };
        if config.same_as(&self.config) {
            self.config_rejected = None;
            self.is_stand_in = false;
            // Places may have moved.
            self.config = config;
            self.reassign();
            return Ok(None);
        }
        let assignment = assign(&config.machine, &self.claims());
        let faults = self.judge(&config, &assignment);
        if !faults.is_empty() {
            let report = faults.iter().map(in_words).collect::<Vec<_>>().join("\n");
            let (report, problems) = (cut(&report, REPORT_BYTES), intake::fitting(faults));
            return Err(self.reject_config(Rejected { report, problems, is_unread: false }));
        }
        self.config_rejected = None;
        Ok(Some(Proposal { config, assignment }))
    }

    fn read_files(&mut self) -> Result<Vec<SourceFile>, ConfigErrors> {
        let patience = self.config.settings.plugins.deadlines.answer;
        self.board.set_activity(reading_files());
        // What hangs still is not joined by another one; what it comes back with is of another moment.
        let hanging = self.config_unread.take().filter(|unread| unread.pending.wait(patience).is_none());
        let begun = match hanging {
            Some(unread) => Ok((unread.pending, None)),
            None => Pending::begin(&self.sources, Reading::STRICT.is_strict).map(|pending| {
                let read = pending.wait(patience);
                (pending, read)
            }),
        };
        self.board.set_activity(Activity::Idle);
        let (pending, read) = begun?;
        let Some(Contents { fingerprint, files }) = read else {
            let silence = pending.silence(patience);
            self.config_unread = Some(Unread::new(pending, &silence));
            return Err(silence);
        };
        self.board.set_config_seen(fingerprint);
        files
    }

    /// Nobody knows what the files say. That is no verdict on what they said before, nor a new one.
    fn miss_config(&mut self, errors: &ConfigErrors) -> Rejected {
        let rejected = Rejected { is_unread: true, ..Rejected::of(errors) };
        self.log.error(SELF, format!("the configuration cannot be read:\n{}", rejected.report));
        rejected
    }

    /// The file system of the files may answer by now. Whether they say something new is told with the status.
    pub(super) fn see_whether_files_answer(&mut self) {
        let Some(unread) = &mut self.config_unread else { return };
        if unread.again > Instant::now() {
            return;
        }
        unread.again = Instant::now() + Unread::PAUSE;
        if unread.pending.wait(Duration::ZERO).is_some() {
            self.config_unread = None;
            self.log.info(SELF, "the configuration files can be read again");
            // The change that was to be read is told once only.
            self.config_changed(Instant::now());
        }
    }

    /// The files changed, and nobody said anything: they are taken over and applied if reloads apply; otherwise only the
    /// daemon's own settings are taken over, and the rest is planned.
    pub(super) fn config_changed(&mut self, seen: Instant) {
        if !self.config.settings.daemon.watch_configuration {
            return;
        }
        if self.confirming.is_waiting() {
            self.confirming.config_waits = true;
            return;
        }
        let Ok(Some(proposal)) = self.read_again() else { return };
        let settings = &proposal.config.settings;
        // A start would have applied them.
        if settings.plugins.reload_applies || self.is_stand_in {
            self.take_over(proposal);
            let names = self.configured_in_order();
            self.cycle(WATCHED, &names, Mode::APPLY);
        } else if proposal.config.same_machine_as(&self.config) {
            self.take_over(proposal);
        } else {
            self.take_settings(settings.clone());
            self.plan_proposal(proposal);
        }
        let latency_ms = clock::as_ms(seen.elapsed());
        self.log.info(SELF, format!("done with the changed configuration, {latency_ms} ms after it was seen"));
    }

    fn plan_proposal(&mut self, mut proposal: Proposal) {
        let started = Started::now(WATCHED);
        let outlook = self.look_ahead(Some(&mut proposal));
        let report = self.only_planned(outlook);
        self.note_cycle(started, false, &report);
        let message = "the changed configuration was planned; it is not in force until: sysconfigctl apply";
        self.log.info(SELF, message);
        self.board.note(HappeningKind::ConfigChanged, None, message);
    }

    /// Reads the files again because of a signal: at once, or when the change that waits is confirmed or undone.
    pub(super) fn reload_on_signal(&mut self) {
        if self.confirming.is_waiting() {
            self.log.info(SELF, "a change waits for its confirmation, and the reload for that");
            self.confirming.reload_waits = true;
            self.reopen_log();
        } else {
            self.reload_config();
        }
    }

    /// A log file that was moved away is opened anew on every reload, also when nothing else changed.
    pub(super) fn reopen_log(&mut self) {
        let failed = self.log.configure(&self.config.settings.logging).err().map(|error| chain(&error));
        if let Some(message) = &failed {
            self.log.warn(SELF, message);
        }
        self.log_trouble = failed;
    }

    /// The files have faults, and there is nothing else to go by. Whoever was cut off by a change is to get back in all the same.
    pub(super) fn stand_in(&mut self, faults: &ConfigErrors) {
        self.is_stand_in = true;
        self.reject_config(Rejected::of(faults));
        self.log.warn(
            SELF,
            "running without a configuration, because a change waits for its confirmation or is to be undone",
        );
    }

    fn reject_config(&mut self, rejected: Rejected) -> Rejected {
        let report = &rejected.report;
        // Whoever asks again and again must not fill the log with the same report.
        if self.config_rejected.as_ref() != Some(report) {
            self.log.error(SELF, format!("the configuration was not taken over:\n{report}"));
            self.board.note(HappeningKind::ConfigRefused, None, &**report);
        }
        self.config_rejected = Some(report.clone());
        rejected
    }

    /// Asks every owner that runs what it thinks of its new part; an error of any keeps all of it out.
    fn judge(&mut self, fresh: &Configuration, assignment: &Assignment) -> Vec<Problem> {
        let deadline = self.config.settings.plugins.deadlines.answer;
        let mut faults = Vec::new();
        for (name, config) in &assignment.parts {
            // What is not judged because a change has to be undone first is not planned for, either.
            if !self.is_running(name) || self.yields_to_undoing() {
                continue;
            }
            match self.call(name, &Validate { config: config.clone() }, deadline) {
                Ok(findings) => {
                    let found = intake::findings(findings.diagnostics);
                    let errors = found.iter().filter(|diagnostic| diagnostic.is_error());
                    faults.extend(
                        errors.map(|found| Problem { place: fresh.place_of(&found.key), ..within(name, found) }),
                    );
                }
                Err(CallError::Refused(object)) => {
                    let Failure { message, help } = intake::refusal("validate: ", &object);
                    let (subject, severity) = (subject(name), Severity::Error);
                    faults.push(Problem { subject, message, help, place: None, severity });
                }
                // A plugin that broke down has no say; it is started again, with the new configuration.
                Err(CallError::Fault(_)) => (),
            }
        }
        faults
    }

    /// Puts a proposal in force; what it changes is owed to the machine from now on.
    pub(super) fn take_over(&mut self, proposal: Proposal) {
        let changed = self.differing(&proposal.assignment);
        let Proposal { config, assignment } = proposal;
        let says_more = !config.same_machine_as(&self.config);
        self.take_settings(config.settings.clone());
        self.config = config;
        self.config_loaded_unix_ms = clock::unix_ms();
        self.proposed_steps = None;
        self.assignment = assignment;
        let is_edited = !std::mem::take(&mut self.is_stand_in) && self.drop_changed_holds(&changed);
        if self.hold_by_keys() || is_edited {
            self.store_confirmation();
        }
        self.drop_old_holds();
        self.log.info(SELF, "the configuration was taken over");
        self.board.note(HappeningKind::ConfigChanged, None, "the configuration was taken over");
        for name in &changed {
            self.hand_over(name);
        }
        // Whoever takes over nothing but settings applies nothing, and would miss it.
        if says_more {
            self.start_with_changed_parts(&changed);
        }
        for name in self.plugins.keys().filter(|name| !self.assignment.parts.contains_key(*name)) {
            self.book.take_back(name);
        }
    }

    /// The daemon's own settings.
    fn take_settings(&mut self, settings: Settings) {
        self.warn_of_late_settings(&settings);
        self.config.settings = settings;
        self.reopen_log();
        if let Some(watch) = &self.watch {
            watch.attend(self.attention());
        }
        self.publish_search();
    }

    /// How long a plugin may take to stop is built into the processes that run.
    fn warn_of_late_settings(&self, fresh: &Settings) {
        if self.config.settings.plugins.deadlines.stop != fresh.plugins.deadlines.stop {
            self.log.warn(SELF, "plugins.deadlines.stop takes effect when the daemon is started anew");
        }
    }

    /// Gives a plugin its changed part. One that is down gets it when it is started. A part that is not set any more is
    /// not managed any more; the plugin is not asked about it.
    fn hand_over(&mut self, name: &str) {
        let Some(managed) = self.plugins.get_mut(name) else { return };
        managed.owes_apply = true;
        managed.only_planned = false;
        managed.diagnostics = Vec::new();
        managed.deviations = Vec::new();
        managed.trouble = None;
        managed.pending = 0;
        if let Err(error) = self.give_part(name) {
            self.log.error(&subject(name), format!("configure: {error}"));
        }
    }
}

/// What the daemon is at while it reads.
pub(crate) fn reading_files() -> Activity {
    Activity::Busy { doing: "reading the configuration files".to_owned(), since_unix_ms: clock::unix_ms() }
}

/// Where, what, and what to do about it.
fn in_words(problem: &Problem) -> String {
    let Problem { subject, message, help, place, .. } = problem;
    let place = match place {
        Some(place) => format!("{}:{}:{}", place.file, place.line, place.column),
        None => subject.clone(),
    };
    let help = help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
    format!("{place}: {message}{help}")
}

/// Why the files are not taken over.
#[derive(Debug)]
pub(super) struct Rejected {
    /// For people, with places.
    pub(super) report: String,
    /// For programs, each fault by itself.
    pub(super) problems: Vec<Problem>,
    /// Nobody knows what they say.
    pub(super) is_unread: bool,
}

impl Rejected {
    fn of(errors: &ConfigErrors) -> Self {
        let (report, problems) = (cut(&render(errors), REPORT_BYTES), intake::fitting(config::problems(errors)));
        Self { report, problems, is_unread: false }
    }
}

/// A reading of the files that has not come to an end in time.
#[derive(Debug)]
pub(super) struct Unread {
    pending: Pending,
    pub(super) report: String,
    /// When it is looked at again.
    pub(super) again: Instant,
}

impl Unread {
    const PAUSE: Duration = Duration::from_secs(1);

    fn new(pending: Pending, silence: &ConfigErrors) -> Self {
        Self { pending, report: render(silence), again: Instant::now() + Self::PAUSE }
    }
}
