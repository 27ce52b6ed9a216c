//! The Image Packaging System (IPS) of illumos distributions: from the publisher's packages to an image tree.
//!
//! The way of a package through the crate:
//!
//! 1. A repository brings a [`catalog`], which says what there is.
//! 2. [`resolve`] chooses packages for a request, or says what contradicts it.
//! 3. The repository brings their [manifests](manifest) and the contents of their files; a [`lock`] holds which they
//!    were. Repositories are the business of the crate `ips-client`, as is everything else that touches files.
//! 4. [`image`] with [`install`] makes of manifests and contents the tree, and the metadata by which the client of the
//!    running image knows its packages.
//!
//! ```
//! use ips::facet::Facets;
//! use ips::fmri::PackageId;
//! use ips::resolve::{ImageState, RankedPublisher, Request, Universe, resolve};
//! use ips::variant::Variants;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut universe = Universe::new(Variants::new("i386"), Facets::default());
//! for (fmri, action) in [
//!     ("pkg://example/web/server@2.0", "depend type=require fmri=library/tls@3"),
//!     ("pkg://example/library/tls@3.1", "set name=pkg.summary value=TLS"),
//!     ("pkg://example/library/tls@3.2", "set name=pkg.summary value=TLS"),
//!     ("pkg://example/entire@1", "depend type=incorporate fmri=library/tls@3.1"),
//! ] {
//!     universe.add_package(fmri.parse()?, vec![action.to_owned()]);
//! }
//! let publishers = [RankedPublisher { name: "example".parse()?, is_sticky: true }];
//! let image = ImageState { publishers: &publishers, ..ImageState::default() };
//! let request = Request { install: vec!["server".parse()?, "entire".parse()?], ..Request::default() };
//! let chosen = resolve(&universe, &image, &request)?;
//! let names: Vec<String> = chosen.packages.iter().map(PackageId::short).collect();
//! assert_eq!(names, ["entire@1", "library/tls@3.1", "web/server@2.0"]);
//! # Ok(()) }
//! ```
//!
//! Nothing here opens a file or a connection, starts a process, asks a clock, the environment or the host's names
//! of users; every result follows from the arguments alone. Texts from outside are read within limits and refused
//! with their place; [`contracts`] says so in code. `docs/formats/ips.md` has the formats, field by field.

pub mod catalog;
pub mod contracts;
pub mod facet;
pub mod fmri;
pub mod image;
pub mod install;
pub mod lock;
pub mod manifest;
pub mod mediator;
pub mod resolve;
pub mod text;
pub mod time;
pub mod variant;
pub mod version;
