//! The plugin on simulated machines of both systems.

mod check;
mod convergence;
mod illumos;
mod illumos_conflicts;
mod illumos_leases;
mod illumos_links;
mod illumos_routes;
mod linux;
mod linux_beside;
mod linux_conflicts;
mod linux_leases;
mod linux_lost;
mod linux_managers;
mod oracle;
mod originals;
mod refusals;
mod stopped;
mod support;
