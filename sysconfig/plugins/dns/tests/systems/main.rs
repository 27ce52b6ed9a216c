//! The plugin on simulated machines of both systems.

mod convergence;
mod illumos;
mod linux;
mod stopped;
mod support;
