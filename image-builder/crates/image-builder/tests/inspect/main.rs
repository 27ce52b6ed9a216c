//! `verify`, `ls`, `cat` and `diff` on images that `build` made, as a person runs them.

#[path = "../../../image-steps/tests/illumos_root/mod.rs"]
mod illumos_root;

mod archives;
mod booting;
mod contents;
mod damage;
mod differences;
mod forms;
mod scene;
