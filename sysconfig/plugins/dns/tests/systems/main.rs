//! The plugin on simulated machines of both systems.

mod illumos;
mod linux;
mod support;
