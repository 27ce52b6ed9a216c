//! The plugin on simulated machines of both systems, driven as the daemon drives it.

mod convergence;
mod datasets;
mod different;
mod killed;
mod mounts;
mod moves;
mod refusals;
mod rows;
mod support;
