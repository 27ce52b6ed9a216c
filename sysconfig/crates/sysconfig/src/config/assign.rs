//! Which plugin owns which part of the machine's description.

use std::collections::BTreeMap;

use sysconfig_protocol::method::ClaimedConfig;

use super::schema::own_key;
use super::settings::OWN_TABLES;
use super::tree::{Entry, Kind, Origin, Table, dotted};

/// The description of the machine, handed out to its owners.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assignment {
    /// What each plugin gets; plugins none of whose keys is set are not in here.
    pub parts: BTreeMap<String, ClaimedConfig>,
    /// Keys that no plugin claims.
    pub unowned: Vec<Unowned>,
}

/// A key that no plugin claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unowned {
    /// The key, dotted.
    pub key: String,
    /// What it is set to.
    pub value: serde_json::Value,
    /// Where it is written.
    pub origin: Origin,
    /// The claimed key that is spelled most like it, when one comes close.
    pub nearest: Option<String>,
}

/// Whether two claimed keys have a part of the configuration in common.
pub fn overlaps(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// Whether `key` is `ancestor` or below it.
pub(crate) fn is_within(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Hands each part of the description to the plugin that claims it; `claims` are pairs of plugin and key.
pub fn assign(machine: &Table, claims: &[(String, String)]) -> Assignment {
    let mut assignment = Assignment::default();
    walk(machine, "", claims, &mut assignment);
    assignment
}

fn walk(table: &Table, prefix: &str, claims: &[(String, String)], assignment: &mut Assignment) {
    for (key, entry) in table {
        let dotted = dotted(prefix, key);
        if let Some((plugin, claim)) = claims.iter().find(|(_, claim)| *claim == dotted) {
            let part = assignment.parts.entry(plugin.clone()).or_default();
            part.insert(claim.clone(), entry.node.to_json());
            continue;
        }
        let leads_to_claim = claims.iter().any(|(_, claim)| is_within(claim, &dotted));
        match &entry.node.kind {
            Kind::Table(inner) if leads_to_claim || !inner.is_empty() => walk(inner, &dotted, claims, assignment),
            _ => assignment.unowned.push(unowned(dotted, entry, claims)),
        }
    }
}

fn unowned(key: String, entry: &Entry, claims: &[(String, String)]) -> Unowned {
    let candidates = claims.iter().map(|(_, claim)| claim.as_str());
    // What is no table has nothing below it that could be claimed. Elsewhere the whole key is compared, and also as much of it as the claim has segments: below a claimed table it is the
    // table's name that was misspelled.
    let below = candidates.clone().find(|claim| is_within(claim, &key));
    let nearest = below.or_else(|| nearest(&key, candidates.clone())).or_else(|| {
        candidates.clone().find(|claim| {
            let depth = claim.split('.').count();
            let head = key.split('.').take(depth).collect::<Vec<_>>().join(".");
            nearest_distance(&head, claim).is_some()
        })
    });
    // A table that nobody knows is that of a plugin which is not there, with whatever names it likes.
    let is_known = !key.contains('.') || candidates.clone().chain(OWN_TABLES).any(|known| first(known) == first(&key));
    let elsewhere = |claim: &&str| is_known && last(claim) == last(&key);
    let nearest = nearest.or_else(|| candidates.clone().find(elsewhere)).map(str::to_owned);
    let own = || is_known.then(|| own_key(last(&key))).flatten();
    let nearest = nearest.or_else(|| nearest_own(&key)).or_else(own);
    Unowned { nearest, key, value: entry.node.to_json(), origin: entry.key.clone() }
}

/// The table at the top that a key is in.
fn first(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// What a key is called in its table: it may have been written into another one.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The same key in the table of the daemon's own that is spelled most like the one that it is in.
fn nearest_own(key: &str) -> Option<String> {
    let (table, rest) = key.split_once('.').map_or((key, None), |(table, rest)| (table, Some(rest)));
    let own = nearest(table, OWN_TABLES.into_iter())?;
    Some(rest.map_or_else(|| own.to_owned(), |rest| format!("{own}.{rest}")))
}

/// The candidate that is spelled most like `word`, when it is close enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = candidates.filter_map(|candidate| Some((nearest_distance(word, candidate)?, candidate)));
    near.min().map(|(_, candidate)| candidate)
}

/// The edit distance, when it is at most a third of the word; a capital letter counts as the small one.
fn nearest_distance(word: &str, candidate: &str) -> Option<usize> {
    let distance = strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
    (distance <= word.chars().count().div_ceil(3)).then_some(distance)
}
