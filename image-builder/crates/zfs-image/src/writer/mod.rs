//! Writing a pool: trees in, one disk vdev out, nothing of the host in between.
//!
//! The order is from the leaves to the root: data, indirect blocks, dnodes and the object set of each dataset, one
//! dataset after the other; then the objects of the pool itself; then, in places that were set aside, the space maps,
//! which tell of all these places and their own; at last the labels. The same description and the same content give
//! the same bytes whatever the number of threads.

mod allocate;
mod dsl;
mod error;
mod indirect;
mod labels;
mod late;
mod limits;
mod mos;
mod object;
mod objset;
mod output;
mod pipeline;
mod plan;
mod pool;
mod report;
mod seed;
mod settings;
mod size;
mod spec;
mod worker;
mod zpl;

/// Changes when the same description and content give other bytes than before.
pub const LAYOUT_VERSION: u32 = 3;

pub use error::{SpecError, WriteError};
pub use limits::available_bytes;
pub use output::{FileWindow, Output};
pub use pool::{WriteOptions, check_size, write_pool};
pub use report::{DatasetReport, PoolReport};
pub use size::minimum_bytes;
pub use spec::{DatasetSpec, PoolSpec, VdevSpec};
pub use zfs_format::sa::DeviceNumbers;
