//! Where in the template a dataset is described, so that what is wrong with it is told there.

use super::datasets::DatasetError;
use super::error::TargetError;
use crate::steps::StepError;
use image_tree::ImagePath;
use std::error::Error;
use template::{Diagnostic, LocatedStep, Origin, Step, Target, Template};
use zfs_image::writer::SpecError;

/// The places of one template with a pool.
pub(super) struct Places<'t> {
    template: &'t Template,
    pool: &'t str,
}

impl<'t> Places<'t> {
    pub(super) fn new(template: &'t Template) -> Self {
        let pool = match &template.target {
            Target::Pool(pool) => pool.name.as_str(),
            _ => "",
        };
        Self { template, pool }
    }

    /// What is wrong with the description of the pool.
    pub(super) fn point_at_spec(&self, problem: &SpecError) -> Diagnostic {
        let key = match problem {
            SpecError::PoolProperty { .. } => "options",
            SpecError::Reserved { .. } => "size",
            SpecError::Ashift(_) => "ashift",
            SpecError::VdevPath(_) => "vdev",
            SpecError::Name { .. } | SpecError::NoParent(_) | SpecError::OtherPool { .. } => "name",
            SpecError::Snapshot { .. } => "snapshots",
            SpecError::Duplicate(name) if name.contains('@') => "snapshots",
            SpecError::Duplicate(_) => "name",
            _ => "properties",
        };
        let origin = self.place(problem.dataset().unwrap_or(self.pool), key, problem.element());
        let help = match problem {
            SpecError::NeedsFeature { feature, .. } => {
                format!("say `\"no_features\": false`, or add `feature@{feature}=enabled` to `options` of the pool")
            }
            SpecError::Reserved { .. } => "give the image a larger `size` or \"auto\", or reserve less".to_owned(),
            SpecError::Limit { .. } => "raise the limit, or take away what exceeds it".to_owned(),
            _ => "ZFS would refuse it".to_owned(),
        };
        Diagnostic::error("target::bad-pool", chain(problem)).at(&origin, "").help(help)
    }

    /// What is wrong with the datasets and their files.
    pub(super) fn point_at_dataset(&self, problem: &DatasetError) -> TargetError {
        TargetError::Template(Box::new(self.dataset_diagnostic(problem)))
    }

    /// The files of a dataset are not seen outside of zones, because `by` has the property `zoned`.
    pub(super) fn point_at_zoned(&self, by: &str, dataset: &str, mountpoint: &ImagePath) -> Diagnostic {
        let message =
            format!("with `zoned=on` of {by} only a zone mounts dataset {dataset}, and nobody else sees {mountpoint}");
        let help = "leave `zoned` out: `zoneadm` sets it when a zone gets the dataset";
        let origin = self.place(by, "properties", Some("zoned"));
        Diagnostic::warning("target::zoned", message).at(&origin, "").help(help)
    }

    /// The same as a diagnostic.
    pub(super) fn dataset_diagnostic(&self, problem: &DatasetError) -> Diagnostic {
        let key = match problem {
            DatasetError::NoParent { .. } | DatasetError::Repeated { .. } => "name",
            _ => "mountpoint",
        };
        let origin = match problem.dataset() {
            Some(dataset) => self.place(dataset, key, Some(key)),
            None => self.template.target_origin.clone(),
        };
        let diagnostic = Diagnostic::error("target::bad-datasets", chain(problem)).at(&origin, "");
        match problem.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    /// The boot environment lacks something that the whole image has.
    pub(super) fn point_at_bootable(&self, problem: &StepError) -> TargetError {
        let is_step = |located: &&LocatedStep| matches!(located.step, Step::MakeBootable(_));
        let step = self.template.steps.iter().find(is_step);
        let origin = step.map_or_else(|| self.template.target_origin.clone(), |located| located.origin.clone());
        let message = format!("the boot environment is not all that boots: {problem}");
        let help = "it is in another dataset, which is mounted too late; give that one another mountpoint";
        let diagnostic = Diagnostic::error("target::not-bootable", message).at(&origin, "").help(help);
        TargetError::Template(Box::new(diagnostic))
    }

    /// Where `key` of a dataset stands, or an element of the list there: in its step, or in the target for the pool's own.
    fn place(&self, dataset: &str, key: &str, element: Option<&str>) -> Origin {
        let below = dataset.strip_prefix(self.pool).and_then(|rest| rest.strip_prefix('/'));
        let step = below.and_then(|name| self.step(name));
        let key = match (step, key) {
            (None, "properties" | "mountpoint") => "fsoptions",
            _ => key,
        };
        match (step, element) {
            (Some(located), None) => located.origin_of(key),
            (Some(located), Some(element)) => located.origin_of_element(key, element),
            (None, None) => self.template.target_origin_of(key),
            (None, Some(element)) => self.template.target_origin_of_element(key, element),
        }
    }

    /// The step that makes a dataset; the last one of that name is the one that is wrong.
    fn step(&self, name: &str) -> Option<&'t LocatedStep> {
        let made = |located: &&LocatedStep| matches!(&located.step, Step::CreateDataset(step) if step.name == name);
        let environment = |located: &&LocatedStep| matches!(located.step, Step::CreateBe(_));
        let steps = || self.template.steps.iter();
        steps().rev().find(made).or_else(|| steps().find(environment).filter(|_| name.starts_with("ROOT")))
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
