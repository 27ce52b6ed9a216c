//! The plugin on simulated machines of both systems, driven as the daemon drives it.

mod convergence;
mod datasets;
mod destroy;
mod different;
mod killed;
mod mounts;
mod moves;
mod options;
mod oracle;
mod places;
mod refusals;
mod rows;
mod support;
mod systemd;
mod types;
