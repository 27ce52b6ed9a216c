//! The plugin on simulated machines of both systems.

mod begun;
mod convergence;
mod creation;
mod killed;
mod matrix;
mod refusals;
mod support;
