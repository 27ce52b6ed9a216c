//! The walk through a made-up boot environment in which one piece after the other is broken.

mod archives;
mod drivers;
mod hostile;
mod pieces;
mod root;
mod system;
