//! Events between plugins: remembered by topic, and told to those that subscribed.
//!
//! An event is the present word of a plugin about a topic, not a call: the last one is kept and told to every
//! subscriber before it observes, also to a process that is started much later. What is said twice is told once.
//! So a subscriber sees the same whether it was running when something happened or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;
use sysconfig_protocol::admin::{Failure, HappeningKind};
use sysconfig_protocol::{Diagnostic, Event as PluginEvent, MAX_EVENT_TOPICS};

use super::cycle::{Mode, failure};
use super::{Engine, subject};
use crate::plugin::CallError;

/// So many cycles within the window can events make one plugin go through; further events wait, because two
/// plugins that answer each other's events would keep the daemon busy for ever.
const CYCLES_PER_WINDOW: usize = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Who said it, and about what.
pub(super) type Subject = (String, String);

/// The last word of every plugin about every topic.
#[derive(Debug, Default)]
pub(super) struct EventBook {
    words: BTreeMap<Subject, Word>,
    last_revision: u64,
}

#[derive(Debug)]
struct Word {
    data: Value,
    revision: u64,
}

impl EventBook {
    /// Takes a word down; answers whether it is news.
    fn tell(&mut self, source: &str, topic: &str, data: Value) -> bool {
        let subject = (source.to_owned(), topic.to_owned());
        match self.words.get(&subject) {
            Some(known) if known.data == data => return false,
            // Nothing was said, and nothing is to be taken back.
            None if data.is_null() => return false,
            _ => (),
        }
        // Each process of a plugin may have topics of its own; those of the last ones count.
        let own = |words: &BTreeMap<Subject, Word>| {
            let own = words.iter().filter(|((by, _), _)| by == source);
            let oldest = own.clone().min_by_key(|(_, word)| word.revision).map(|(subject, _)| subject.clone());
            (own.count(), oldest)
        };
        if let (MAX_EVENT_TOPICS.., Some(oldest)) = own(&self.words) {
            if !self.words.contains_key(&subject) {
                self.words.remove(&oldest);
            }
        }
        self.last_revision += 1;
        self.words.insert(subject, Word { data, revision: self.last_revision });
        true
    }

    /// Takes back everything that a plugin said, because nobody asks it any more; answers the topics.
    pub(super) fn take_back(&mut self, source: &str) -> Vec<String> {
        let said = self.words.iter().filter(|((by, _), word)| by == source && !word.data.is_null());
        let topics: Vec<_> = said.map(|((_, topic), _)| topic.clone()).collect();
        for topic in &topics {
            self.tell(source, topic, Value::Null);
        }
        topics
    }

    /// What was said about the topics, and the listener has not heard; the oldest first. A plugin that names a topic of
    /// its own is told of it, too: it watches something, and wants the machine to be looked at anew.
    fn news(&self, topics: &[String], heard: &Heard) -> Vec<(u64, PluginEvent)> {
        let fresh = self.words.iter().filter(|((source, topic), word)| {
            let known = heard.0.get(&(source.clone(), topic.clone())).copied();
            let is_new = known.is_none_or(|revision| revision < word.revision);
            // What was taken back before the listener heard of it need not be told.
            let is_worth_it = known.is_some() || !word.data.is_null();
            topics.contains(topic) && is_new && is_worth_it
        });
        let mut news: Vec<_> = fresh
            .map(|((source, topic), Word { data, revision })| {
                let (topic, source, data) = (topic.clone(), Some(source.clone()), data.clone());
                (*revision, PluginEvent { topic, source, data })
            })
            .collect();
        news.sort_by_key(|(revision, _)| *revision);
        news
    }
}

/// What a process has been told.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<Subject, u64>);

/// When events made a plugin go through cycles.
#[derive(Debug, Default)]
pub(super) struct EventPace {
    begun: VecDeque<Instant>,
    /// When the next one may begin, while there are too many.
    pub(super) waits_until: Option<Instant>,
}

impl EventPace {
    /// Whether a cycle may begin now, which counts it, or how long it has to wait.
    fn begin(&mut self, now: Instant) -> Result<(), Duration> {
        while self.begun.front().is_some_and(|first| now.saturating_duration_since(*first) >= WINDOW) {
            self.begun.pop_front();
        }
        if self.begun.len() < CYCLES_PER_WINDOW {
            self.begun.push_back(now);
            self.waits_until = None;
            return Ok(());
        }
        let first = self.begun.front().copied().unwrap_or(now);
        self.waits_until = Some(first + WINDOW);
        Err((first + WINDOW).saturating_duration_since(now))
    }
}

impl Engine {
    /// Takes an event down without acting on it. A plugin that nothing in force is asked of has nothing to say.
    pub(super) fn note_event(&mut self, source: &str, event: PluginEvent) {
        let Some(PluginEvent { topic, data, .. }) = self.trial.mute(source, event) else { return };
        if !self.assignment.parts.contains_key(source) {
            self.log.trace(&subject(source), format!("says {topic}, about nothing that is in force"));
            return;
        }
        if self.book.tell(source, &topic, data) {
            let message = format!("says {topic}");
            self.log.debug(&subject(source), &message);
            self.board.note(HappeningKind::Event, Some(source), message);
        } else {
            self.log.trace(&subject(source), format!("repeats {topic}"));
        }
    }

    /// Takes down what plugins have said, so that who observes next knows of it. Answers who said something about what.
    pub(super) fn take_waiting_events(&mut self) -> BTreeSet<Subject> {
        let mut said = BTreeSet::new();
        for (subject, event) in self.said.take() {
            self.note_event(&subject.0, event);
            said.insert(subject);
        }
        said
    }

    /// A cycle for every plugin that has not heard everything yet, as soon as its pace allows.
    pub(super) fn act_on_news(&mut self) {
        self.take_waiting_events();
        let now = Instant::now();
        for managed in self.plugins.values_mut().filter(|managed| managed.pace.waits_until.is_some_and(|at| at <= now))
        {
            managed.pace.waits_until = None;
        }
        if !self.has_news() {
            return;
        }
        for name in self.configured_in_order() {
            let Some(trigger) = self.news_trigger(&name) else { continue };
            let Some(managed) = self.plugins.get_mut(&name) else { continue };
            match managed.pace.begin(Instant::now()) {
                Ok(()) => drop(self.cycle(&trigger, &[name], Mode::APPLY)),
                Err(wait) => self.log.warn(
                    &subject(&name),
                    format!("events come too fast: it hears of this one in {} s ({trigger})", wait.as_secs() + 1),
                ),
            }
        }
    }

    /// Whether there is something that a plugin has to act on now.
    pub(super) fn has_news(&self) -> bool {
        self.plugins.keys().any(|name| self.news_trigger(name).is_some())
    }

    /// What a plugin has to act on now: something that it was told and has only planned for, or is to be told.
    fn news_trigger(&self, name: &str) -> Option<String> {
        let managed = self.plugins.get(name)?;
        // One that is asked for nothing because of its configuration hears of it when it is asked again.
        let is_asked = !managed.diagnostics.iter().any(Diagnostic::is_error);
        let is_free = managed.live.is_some() && managed.pace.waits_until.is_none() && is_asked;
        if !is_free || !self.assignment.parts.contains_key(name) {
            return None;
        }
        // What must not be acted on was planned for when it was told.
        managed.unacted_news.clone().filter(|_| !self.awaits_request(name)).or_else(|| {
            let (_, event) = self.news_for(name).into_iter().next()?;
            Some(trigger(&event))
        })
    }

    pub(super) fn news_for(&self, name: &str) -> Vec<(u64, PluginEvent)> {
        let managed = self.plugins.get(name);
        let description = managed.and_then(|managed| managed.description.as_ref());
        let (Some(managed), Some(description)) = (managed, description) else { return Vec::new() };
        self.book.news(&description.events, &managed.heard)
    }

    /// Whether a plugin has told itself something, so that it is asked to look at the machine anew.
    pub(super) fn wants_a_new_look(&mut self, name: &str) -> bool {
        self.take_waiting_events();
        self.news_for(name).iter().any(|(_, event)| event.source.as_deref() == Some(name))
    }

    /// Tells a plugin what it has not heard yet. Part of every cycle, before the plugin observes.
    pub(super) fn tell_news(&mut self, name: &str) -> Result<(), Failure> {
        self.take_waiting_events();
        let deadline = self.config.settings.plugins.deadlines.answer;
        for (revision, event) in self.news_for(name) {
            let heard = (event.source.clone().unwrap_or_default(), event.topic.clone());
            self.log.debug(&subject(name), format!("told of {} by plugin {}", heard.1, heard.0));
            match self.call(name, &event, deadline) {
                Ok(_) => (),
                // It would say the same the next time; what it makes of it shows when it observes.
                Err(error @ CallError::Refused(_)) => {
                    self.log.warn(&subject(name), failure("event", &error).message);
                }
                Err(error @ CallError::Fault(_)) => return Err(failure("event", &error)),
            }
            if let Some(managed) = self.plugins.get_mut(name) {
                managed.unacted_news = Some(trigger(&event));
                managed.heard.0.insert(heard, revision);
            }
        }
        Ok(())
    }
}

fn trigger(event: &PluginEvent) -> String {
    format!("event {} of plugin {}", event.topic, event.source.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(book: &EventBook, heard: &mut Heard) -> Vec<String> {
        let news = book.news(&["lease".to_owned(), "link".to_owned()], heard);
        news.into_iter()
            .map(|(revision, event)| {
                let source = event.source.unwrap();
                let text = format!("{source} {}={}", event.topic, event.data);
                heard.0.insert((source, event.topic), revision);
                text
            })
            .collect()
    }

    #[test]
    fn the_last_word_of_each_topic_is_told_once() {
        let mut book = EventBook::default();
        let mut ears = Heard::default();
        assert!(book.tell("b", "lease", json!(1)));
        assert!(book.tell("b", "lease", json!(2)));
        assert!(!book.tell("b", "lease", json!(2)), "a repetition is no news");
        assert!(book.tell("c", "other", json!(0)));
        assert!(book.tell("a", "link", json!("own")));
        assert_eq!(heard(&book, &mut ears), ["b lease=2", "a link=\"own\""]);
        assert_eq!(heard(&book, &mut ears), [""; 0]);
        assert!(book.tell("b", "link", json!("up")));
        assert!(book.tell("b", "lease", json!(3)));
        assert_eq!(heard(&book, &mut ears), ["b link=\"up\"", "b lease=3"], "the oldest first");
        assert_eq!(heard(&book, &mut Heard::default()).len(), 3, "a new process hears everything");
    }

    #[test]
    fn a_plugin_with_new_topics_in_each_of_its_lives_is_remembered_by_the_last() {
        let mut book = EventBook::default();
        book.tell("b", "lease", json!(1));
        for topic in 0..3 * MAX_EVENT_TOPICS {
            book.tell("a", &topic.to_string(), json!(topic));
        }
        assert_eq!(book.words.len(), MAX_EVENT_TOPICS + 1);
        assert!(book.words.contains_key(&("b".to_owned(), "lease".to_owned())));
        assert!(book.words.contains_key(&("a".to_owned(), (3 * MAX_EVENT_TOPICS - 1).to_string())));
    }

    #[test]
    fn what_is_taken_back_is_told_to_those_that_heard_it() {
        let mut book = EventBook::default();
        let mut ears = Heard::default();
        assert!(!book.tell("b", "lease", Value::Null), "there is nothing to take back");
        book.tell("b", "lease", json!(1));
        heard(&book, &mut ears);
        assert_eq!(book.take_back("b"), ["lease"]);
        assert_eq!(book.take_back("b"), [""; 0]);
        assert_eq!(heard(&book, &mut Heard::default()), [""; 0]);
        assert_eq!(heard(&book, &mut ears), ["b lease=null"]);
    }

    #[test]
    fn too_many_cycles_have_to_wait_for_the_window_to_pass() {
        let start = Instant::now();
        let mut pace = EventPace::default();
        for second in 0..10 {
            assert_eq!(pace.begin(start + Duration::from_millis(second * 100)), Ok(()));
        }
        assert_eq!(pace.begin(start + Duration::from_secs(4)), Err(Duration::from_secs(6)));
        assert_eq!(pace.waits_until, Some(start + WINDOW));
        assert_eq!(pace.begin(start + WINDOW), Ok(()));
        assert_eq!(pace.waits_until, None);
    }
}
