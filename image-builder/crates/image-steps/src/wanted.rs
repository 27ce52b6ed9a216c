//! What templates take from each other: files of the output directory, and snapshots.

use crate::steps;
use crate::target;
use serde::Serialize;
use template::{Origin, Step, Target, Template};

/// More templates than these on one way do not fit on the stack of a thread, and have no use that anybody knows of.
pub(crate) const CHAIN_MAX: usize = 100;

/// Something that a template takes from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Group and name of the template that makes it.
    pub template: String,
    /// Files of the output directory, and snapshots.
    pub takes: Vec<String>,
}

/// What one template takes from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// A file in the output directory.
    Output(String),
    /// `GROUP/DATASET@SNAPSHOT`.
    Snapshot(String),
}

impl Wanted {
    pub(crate) fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot(_))
    }

    /// What it is remembered by.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Output(name) => format!("output {name}"),
            Self::Snapshot(name) => format!("snapshot {name}"),
        }
    }
}

/// A template that may make what another one takes.
pub(crate) struct Candidate {
    pub(crate) group: String,
    pub(crate) name: String,
    /// As far as it can be read.
    pub(crate) gives: Vec<Wanted>,
    /// It has errors.
    pub(crate) is_wrong: bool,
}

impl Candidate {
    pub(crate) fn subject(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

/// What a snapshot is called between templates.
pub(crate) fn snapshot_name(group: &str, dataset: &str, snapshot: &str) -> String {
    format!("{group}/{dataset}@{snapshot}")
}

/// What a template takes, and where it says so.
pub(crate) fn wants(template: &Template, group: &str, name: &str) -> Vec<(Wanted, Origin)> {
    let snapshot = wanted_snapshot(template, group).into_iter();
    let mut wanted: Vec<_> = snapshot.map(|snapshot| (snapshot, template.target_origin_of("input_snapshot"))).collect();
    let own = gives(template, group, name);
    for located in &template.steps {
        if let Some(name) = steps::takes_output(&located.step) {
            let output = Wanted::Output(name.to_owned());
            if !own.contains(&output) {
                wanted.push((output, located.origin.clone()));
            }
        }
    }
    wanted
}

/// The snapshot that a template begins with.
pub(crate) fn wanted_snapshot(template: &Template, group: &str) -> Option<Wanted> {
    let Target::Dataset(dataset) = &template.target else { return None };
    let snapshot = dataset.input_snapshot.as_ref()?;
    Some(Wanted::Snapshot(snapshot_name(group, &dataset.name, snapshot)))
}

/// What a template makes for others.
pub(crate) fn gives(template: &Template, group: &str, name: &str) -> Vec<Wanted> {
    let packed = template.steps.iter().filter_map(|located| match &located.step {
        Step::PackTar(pack) => Some(Wanted::Output(pack.name.clone())),
        _ => None,
    });
    let mut given: Vec<Wanted> = packed.collect();
    let files = target::file_names(&template.target, &format!("{group}-{name}"));
    given.extend(files.into_iter().map(Wanted::Output));
    if let Target::Dataset(dataset) = &template.target {
        let snapshot = dataset.output_snapshot.iter();
        given.extend(snapshot.map(|snapshot| Wanted::Snapshot(snapshot_name(group, &dataset.name, snapshot))));
    }
    given
}
