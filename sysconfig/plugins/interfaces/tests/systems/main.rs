//! The plugin on simulated machines of both systems.

mod convergence;
mod illumos;
mod illumos_leases;
mod linux;
mod oracle;
mod refusals;
mod support;
