//! Why a build, or the plan of one, comes to nothing.

use crate::engine::EngineError;
use crate::evidence::EvidenceError;
use crate::target::TargetError;
use crate::workspace::WorkspaceError;
use image_tree::StoreError;
use std::path::PathBuf;
use template::Diagnostics;

/// A build could not be done.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The template is wrong; nothing was done.
    #[error("template {} cannot be built", subject)]
    Template {
        /// Group and name.
        subject: String,
        /// Everything that is wrong with it.
        diagnostics: Diagnostics,
    },
    /// The workspace cannot be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The content store cannot be opened.
    #[error("cannot open the content store {path}")]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// A step failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The image could not be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// What lies beside an output could not be written.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}
