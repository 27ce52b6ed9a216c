//! The root file system of an image as data: a virtual file tree over a content-addressed store.
//!
//! * [`Tree`] is a value that maps paths to nodes. Steps of a build change it; snapshots, comparison and
//!   equality are cheap; [`Tree::hash`] names it, [`Tree::save`] and [`Tree::load`] keep it in a store.
//! * [`Store`] keeps the contents of files, and the trees, in a directory that processes share.
//! * [`read_tar`] streams an archive into a store and a tree, [`write_tar`] writes one, always the same for the
//!   same tree.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use image_tree::{Follow, ImagePath, Metadata, Node, Store, Tree};
//!
//! let scratch = tempfile::tempdir()?;
//! let store = Store::open(scratch.path().join("store"))?;
//! let mut tree = Tree::default();
//! let etc = ImagePath::new("/etc")?;
//! tree.create_dir(&etc, Metadata::new(0, 0, 0o755), &Metadata::new(0, 0, 0o755))?;
//! let content = store.put_bytes(b"localhost\n")?;
//! tree.insert(&etc.join("hostname")?, Node::regular(content, Metadata::new(0, 0, 0o644)))?;
//!
//! let before = tree.clone();
//! tree.update_metadata(&etc.join("hostname")?, Follow::No, |metadata| metadata.mode = 0o600)?;
//! assert_eq!(image_tree::diff(&before, &tree).len(), 1);
//! assert_eq!(Tree::load(&store, tree.save(&store)?)?, tree);
//! # Ok(()) }
//! ```
//!
//! The crate knows nothing of processes, terminals, the environment or the clock. It touches no file but
//! those of the store, and it never follows a path out of an image: paths in archives and symbolic
//! links are resolved inside the tree.

mod acl;
mod hash;
mod node;
mod path;
mod store;
mod tar;
mod tree;

pub use acl::{ACL_ENTRIES_MAX, ACL_FLAGS, ACL_MASK, AclEntry, AclError, AclKind, AclWho, format_acl, parse_acl};
pub use hash::{BlobHash, ParseHashError, TreeHash};
pub use node::{
    Content, Extent, ExtentError, FILE_BYTES_MAX, MODE_MASK, Metadata, Node, NodeKind, Timestamp, XATTR_BYTES_MAX,
    XATTRS_MAX,
};
pub use path::{DEPTH_MAX, ImagePath, NAME_BYTES_MAX, PATH_BYTES_MAX, PathError};
pub use store::{
    BlobReader, ContentReader, DiskUse, GcReport, GcRoots, Record, Recovered, RecoveryCause, Store, StoreError,
    StoreOptions,
};
pub use tar::{
    ReadTarOptions, TarError, TarErrorKind, TarWarning, TarWarningKind, Unpacked, WriteTarError, WriteTarOptions,
    is_tar_header, read_tar, write_tar,
};
pub use tree::{
    Change, ChangeKind, Field, Follow, FormatError, LinkId, Links, LoadError, Resolved, Statistics, Tree, TreeError,
    Walk, WalkEntry, diff,
};
