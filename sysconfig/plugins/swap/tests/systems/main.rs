//! The plugin on simulated machines of both systems, driven as the daemon drives it.

mod convergence;
mod different;
mod illumos;
mod killed;
mod linux;
mod meanwhile;
mod refusals;
mod support;
