//! The image-builder template language.
//!
//! [`load`] turns a template name into a [`Template`]: one [`Target`] and a flat list of typed, expanded
//! [`Step`]s, each with the place it was written at. Includes are spliced, guards are decided, features are
//! expanded, and every file a step takes from the host is looked up. Whatever can be known to be wrong
//! without doing the work is found here, all of it in one run, and returned as [`Diagnostics`] that point at
//! file, line and column.
//!
//! How the parts talk: `json` parses text into nodes with spans; `field` reads the members of one object by a
//! declarative table and collects what is wrong; `step` and `target` hold those tables, one per type; `expand`
//! and [`Features`] are the expansion language; `schema` turns the tables into a JSON Schema; `lookup` finds includes and source files; `load` drives them.
//!
//! What this crate refuses to do: it runs nothing, writes nothing, and reads only templates. It asks whether
//! other files exist, and never for their content. It knows no terminal and no environment; all that it sees
//! of the host comes through [`TemplateSource`].
//!
//! The language is described field by field in `docs/formats/template.md`.

mod diagnostic;
mod expand;
mod features;
mod field;
mod json;
mod load;
mod lookup;
mod owner;
mod schema;
mod source;
mod step;
mod suggest;
mod target;
mod zfs;

pub use diagnostic::{Diagnostic, Diagnostics, IncludedFrom, Origin, Severity, SourceFile, Span};
pub use features::{DeclaredFeature, FeatureError, Features};
pub use field::{FieldSpec, Presence, Shape};
pub use load::{Guard, LocatedStep, Request, SkippedStep, Template, check_include, load};
pub use owner::{group_name, user_name};
pub use schema::schema;
pub use source::{FileKind, HostFiles, MemoryFiles, TemplateSource};
pub use step::*;
pub use target::{
    Dataset, Disk, Hybrid, ImageSize, Iso, Pcfs, Pool, Target, TargetDescription, Ufs, Vdev, target_types,
};
