//! What plugins need from the operating system, one module per facility, for illumos and Linux.
//!
//! Each module has three layers, usable one by one: parsers over `&str`,
//! builders of argument vectors, and functions that act on a [`Host`]. A
//! `Host` is the system's kind, its root directory, the seam through which
//! programs run and the seam to the kernel's node name. Every module is
//! compiled on every system, so the illumos half is tested on Linux against
//! [`fake::illumos::Machine`](fake), a simulated machine with state.
//!
//! The crate refuses to decide: what should be so, and what to do about it,
//! is the plugins' business. It knows no configuration and no protocol.

pub mod arping;
pub mod boot_table;
pub mod device;
pub mod device_name;
pub mod dhcpcd;
pub mod dladm;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod files;
pub mod gather;
mod host;
pub mod hostname;
pub mod hosts;
pub mod ipadm;
pub mod lease;
pub mod link_daemons;
pub mod mac;
pub mod memory;
pub mod mount_table;
pub mod mounting;
#[cfg(target_os = "linux")]
pub mod netlink;
pub mod network;
pub mod networkd;
pub mod nwam;
pub mod only;
pub mod parsable;
pub mod places;
pub mod processes;
pub mod resolver;
mod root;
pub mod route;
mod rows;
mod runner;
pub mod smf;
pub mod stack;
pub mod storage;
mod sum;
pub mod swap;
pub mod systemd;
pub mod zfs;
pub mod zpool;

pub use files::FileError;
pub use host::{Host, System};
pub use ipnet::IpNet;
pub use network::{NetworkError, Route, parse_net};
pub use process_runner::CommandError;
pub use root::Root;
pub use rows::Rows;
pub use runner::{Completed, Invocation, ProcessRunner, Runner};
pub use storage::StorageError;
