//! What one look at many devices needs to know once.

use super::devid::{self, Devids, Identity};
use super::usage::{self, MadeOfFiles};
use crate::mount_table::{self, Mount};
use crate::places::{Places, Servers};
use crate::swap::{self, SwapArea};
use crate::{Host, System};
use std::cell::OnceCell;
use std::io;

/// Looks at devices and files. What the kernel says of all users, and which servers answer, is asked once, however many there
/// are.
#[derive(Debug)]
pub struct Looks<'a> {
    pub(super) host: &'a Host,
    servers: Servers,
    mounts: OnceCell<Vec<Mount>>,
    areas: OnceCell<Vec<SwapArea>>,
    made: OnceCell<MadeOfFiles>,
    devids: OnceCell<Devids>,
}

/// What is in a cell, found out when it is asked for first.
fn once<T>(cell: &OnceCell<T>, find_out: impl FnOnce() -> io::Result<T>) -> io::Result<&T> {
    match cell.get() {
        Some(found) => Ok(found),
        None => find_out().map(|found| cell.get_or_init(|| found)),
    }
}

impl<'a> Looks<'a> {
    /// Looks at what the machine has now.
    #[must_use]
    pub fn new(host: &'a Host) -> Self {
        Self::asking(host, &Servers::default())
    }

    /// As [`Self::new`]; servers that were asked before are not asked again.
    #[must_use]
    pub fn asking(host: &'a Host, servers: &Servers) -> Self {
        let (mounts, areas, made) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { host, servers: servers.clone(), mounts, areas, made, devids: OnceCell::new() }
    }

    /// Where what is elsewhere than below `/dev` lies.
    pub(super) fn places(&self) -> io::Result<Places<'_>> {
        Ok(Places::asking(self.host, self.mounts()?, &self.servers))
    }

    pub(super) fn mounts(&self) -> io::Result<&[Mount]> {
        once(&self.mounts, || mount_table::mounts(self.host).map_err(io::Error::other)).map(Vec::as_slice)
    }

    pub(super) fn areas(&self) -> io::Result<&[SwapArea]> {
        once(&self.areas, || swap::areas(self.host).map_err(io::Error::other)).map(Vec::as_slice)
    }

    pub(super) fn made(&self) -> io::Result<&MadeOfFiles> {
        once(&self.made, || match self.host.system() {
            System::Linux => usage::loop_devices(self.host),
            System::Illumos => usage::lofi_devices(self.host),
        })
    }

    /// What illumos knows a disk by.
    pub(super) fn devid(&self, disk: &str) -> Option<&Identity> {
        self.devids.get_or_init(|| devid::find_out(self.host)).get(disk)
    }
}
