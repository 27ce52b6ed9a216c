//! The Image Packaging System: names, manifests, catalogs, dependency resolution; the core does no I/O.

pub mod catalog;
pub mod facet;
pub mod fmri;
pub mod image;
pub mod install;
pub mod lock;
pub mod manifest;
pub mod mediator;
pub mod repository;
pub mod resolve;
pub mod text;
pub mod time;
pub mod variant;
pub mod version;
