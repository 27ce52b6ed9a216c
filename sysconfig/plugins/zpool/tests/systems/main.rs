//! The plugin on simulated machines of both systems.

mod begun;
mod convergence;
mod creation;
mod killed;
mod looks;
mod matrix;
mod others;
mod paths;
mod places;
mod refusals;
mod shapes;
mod support;
mod undo;
