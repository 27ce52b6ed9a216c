//! The plugin on simulated machines of both systems, driven as the daemon drives it.

mod convergence;
mod different;
mod illumos;
mod killed;
mod linux;
mod meanwhile;
mod open_directory;
mod other_use;
mod refusals;
mod repurposed;
mod rows;
mod servers;
mod support;
