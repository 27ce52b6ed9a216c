//! Keeps a directory in step with a 9P2000.L share, for systems without a 9P file system.
//!
//! illumos has a driver for the transport of a virtio-9p share and no file system above it. So this reads the share as
//! a client of its own and copies what is wanted of it into a local directory, over and over.
//!
//! # Parts
//!
//! | module | is | knows |
//! | --- | --- | --- |
//! | [`wire`] | the messages as bytes and values | the protocol; no I/O |
//! | [`transport`] | whole messages there and back | sockets, and the rules of the `vio9p` driver |
//! | [`session`] | requests and their answers | fids, tags, deadlines |
//! | [`selection`] | which files are wanted | patterns, git's index; no I/O |
//! | [`mirror`] | looks, changes, copies | what a hostile server may try, and the destination |
//! | [`service`] | the program: endpoints, pace, signals, what is printed | all of them |
//!
//! One thread does everything but waiting for signals: the driver takes one request at a time in any case.
//!
//! # What it does not do
//!
//! It never writes to the share. It does not follow a symbolic link, neither there nor here. It does not copy owners,
//! access lists, hard links, devices or empty directories. It believes no number that a server sends before it has
//! been compared with a limit, and waits for nothing without a deadline.

pub mod mirror;
pub mod path;
pub mod report;
pub mod selection;
pub mod service;
pub mod session;
pub mod stop;
pub mod transport;
pub mod wire;
