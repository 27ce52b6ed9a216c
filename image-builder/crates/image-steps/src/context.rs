//! What the build of one template works with.

use crate::history::OutputKey;
use crate::progress::Progress;
use crate::workspace::Workspace;
use disk_image::DiskSeed;
use image_tree::Store;
use ips_client::Client;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What steps, and whatever comes before and after them, are run with.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Where content goes.
    pub(crate) store: &'a Store,
    /// Where files of the host are.
    pub(crate) workspace: &'a Workspace,
    /// Who hears of it.
    pub(crate) progress: &'a Arc<dyn Progress>,
    /// What identifiers inside the image are derived from.
    pub(crate) seed: DiskSeed,
    /// Group and output name, joined: the stem of the output's file name.
    pub(crate) output_name: String,
    /// Package locks are made anew.
    pub(crate) refresh: bool,
    /// Those that were made anew already: once in a run is enough, however often a key is made of them.
    pub(crate) refreshed: &'a Mutex<BTreeSet<PathBuf>>,
    /// The store lacks something that it should have: a known result counts only if it is whole.
    pub(crate) distrust: bool,
    /// What brings packages of IPS.
    pub(crate) packages: &'a Client<'a>,
    /// The program that seeds service repositories, where there is one.
    pub(crate) svccfg: Option<&'a Path>,
    /// Nothing may be done, locked or written but what publishers answer: this is a plan.
    pub(crate) dry: bool,
    /// Known results of this template do not count.
    pub(crate) redo: bool,
    /// Group and name of the template.
    pub(crate) subject: String,
    /// Began with the run.
    pub(crate) clock: Instant,
}

impl Context<'_> {
    /// Under what is kept that is about this template's builds of this output.
    pub(crate) fn output_key(&self) -> OutputKey {
        OutputKey::new(&self.subject, &self.output_name)
    }
}
