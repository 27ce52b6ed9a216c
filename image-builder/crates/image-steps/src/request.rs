//! What is to be built, and of what.

use crate::workspace::Location;
use ips_client::ClientKey;
use std::path::PathBuf;
use template::Features;

/// What is to be built, and of what.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The workspace.
    pub location: Location,
    /// The `svccfg` of an illumos system that service repositories are seeded with; without one the first boot does that.
    pub svccfg: Option<PathBuf>,
    /// Template roots, the first that has a file wins.
    pub roots: Vec<PathBuf>,
    /// Directories of `extsrc`.
    pub external: Vec<PathBuf>,
    /// Template group.
    pub group: String,
    /// Template name.
    pub name: String,
    /// Name of the output, when it is not the template's.
    pub output_name: Option<String>,
    /// Features of the command line.
    pub features: Features,
    /// Unknown keys are warnings.
    pub lenient: bool,
    /// What the template needs is taken as it is, not built first.
    pub no_deps: bool,
    /// Package locks are made anew.
    pub refresh: bool,
    /// What servers of packages are shown that want to know who asks.
    pub client_keys: Vec<ClientKey>,
    /// What is done again although its result is known.
    pub redo: Redo,
    /// Checksums, manifest and the like are written beside each output.
    pub evidence: bool,
    /// The sizes of directories are found out, too.
    pub sizes: bool,
    /// Another process that works in the workspace is waited for.
    pub wait: bool,
}

/// What is done again although its result is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redo {
    /// Nothing.
    #[default]
    Nothing,
    /// The steps of the template itself (`-r`).
    Template,
    /// The template, and before it all others that work on the same dataset (`-x`).
    Dataset,
}

/// Group and output name, joined: what files are called after, and identifiers derived from.
pub(crate) fn output_name(request: &BuildRequest, group: &str, name: &str) -> String {
    let is_main = group == request.group && name == request.name;
    let name = request.output_name.as_deref().filter(|_| is_main).unwrap_or(name);
    format!("{group}-{name}")
}
