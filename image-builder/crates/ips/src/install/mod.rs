//! Installing packages into an image tree: from the packages before and after to the tree after.
//!
//! [`apply`] is a function of its arguments. It compares what the packages deliver before and after, each seen with the variants
//! and facets of the image, checks everything that can be checked, and then executes what differs in the order
//! of kinds: removals from the last kind to the first, then installations from the first to the last.

mod accounts;
mod drivers;
mod error;
mod execute;
mod files;
mod group_table;
mod hardlink_order;
mod hardlinks;
mod ids;
mod indexed_table;
mod looks;
mod objects;
mod paths;
mod reserved;
mod salvage;
mod sundry;
mod table;

use std::sync::Arc;

use image_tree::{Content, Tree};

pub use error::{ContentError, InstallError};
pub use hardlinks::hardlink_target;
pub use ids::Owners;
pub use sundry::license_path;

use crate::facet::Facets;
use crate::fmri::PackageId;
use crate::manifest::{Manifest, Payload};
use crate::mediator::Mediators;
use crate::time::OperationTime;
use crate::variant::Variants;

/// A package with its manifest.
#[derive(Debug, Clone)]
pub struct Package {
    /// Which package it is.
    pub id: PackageId,
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// The manifest's bytes as published, which the image keeps.
    pub text: Arc<[u8]>,
}

impl Package {
    /// A package from the bytes of its manifest.
    ///
    /// # Errors
    /// The text is no manifest.
    pub fn new(id: PackageId, text: impl Into<Arc<[u8]>>) -> Result<Self, crate::manifest::ManifestError> {
        let text = text.into();
        Ok(Self { id, manifest: Arc::new(Manifest::parse(&text)?), text })
    }
}

/// Packages of an image, and how the image looks at them.
#[derive(Debug, Clone, Copy)]
pub struct PackageSet<'a> {
    /// The packages, one of each name.
    pub packages: &'a [Package],
    /// The variants of the image.
    pub variants: &'a Variants,
    /// The facets of the image.
    pub facets: &'a Facets,
    /// What the mediators are set to; only what the user set is binding.
    pub mediators: &'a Mediators,
}

/// What is to be done to a tree.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// What is in the tree.
    pub before: PackageSet<'a>,
    /// What shall be in the tree.
    pub after: PackageSet<'a>,
    /// The time that is written wherever one has to be.
    pub time: OperationTime,
}

/// What an operation led to.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The tree afterwards, without the metadata of the image.
    pub tree: Tree,
    /// What the mediators are set to now.
    pub mediators: Mediators,
    /// What could not be done but does not stop an installation either, each a sentence.
    pub warnings: Vec<String>,
}

/// Where the contents of files are.
pub trait ContentSource {
    /// The content of a payload, whose hash the source has checked.
    ///
    /// # Errors
    /// The payload is not to be had.
    fn payload(&self, payload: &Payload<'_>) -> Result<Content, ContentError>;

    /// The bytes of a content that the tree refers to; asked for small files only.
    ///
    /// # Errors
    /// The content is not to be had.
    fn read(&self, content: &Content) -> Result<Vec<u8>, ContentError>;

    /// Keeps bytes that the installation made itself.
    ///
    /// # Errors
    /// The bytes cannot be kept.
    fn keep(&self, bytes: &[u8]) -> Result<Content, ContentError>;
}

/// Brings a tree from the packages before to those after.
///
/// # Errors
/// Packages contradict each other, an action is unusable, a payload is not to be had, or what is in the tree stands in
/// the way. The tree of the caller is as it was.
pub fn apply(tree: &Tree, operation: &Operation<'_>, content: &dyn ContentSource) -> Result<Applied, InstallError> {
    let before = objects::Objects::collect(&operation.before)?;
    let after = objects::Objects::collect(&operation.after)?;
    reserved::check(&before, &after)?;
    let mut run = execute::Run::new(tree, operation, content);
    run.execute(&before, &after)?;
    Ok(Applied { tree: run.tree, mediators: after.mediators, warnings: run.warnings })
}
