//! Reading pools: written from the format, not from the writer, so that it can judge what the writer makes.
//!
//! Nothing that is read is trusted. Whatever an image holds, reading it ends, with a result or an error, and takes
//! memory by what is in the image, not by what the image says of itself.

mod blocks;
mod compare;
mod content;
mod dataset;
mod description;
mod error;
mod files;
pub mod fuzz;
mod objset;
mod pool;
mod source;
mod tree;
mod verify;

pub use compare::differences;
pub use content::same_content;
pub use dataset::{Dataset, Directory};
pub use description::{Description, FeatureState};
pub use error::ReadError;
pub use files::{DirEntry, File, FileSystem};
pub use objset::{Objset, Visit};
pub use pool::{LabelState, Pool, Vdev};
pub use source::{ReadAt, Window};
pub use tree::{TreeLimits, tree};
pub use verify::{BlockCounts, Problem, ProblemKind, Verification, VerifyOptions};
