//! What the plugin remembers of its own doing, where the system cannot tell.
//!
//! illumos shows whose an address object is by its name, but not whose a kept
//! route is; Linux shows neither. On illumos the record lives as long as the
//! kept configuration, on Linux, where the kernel forgets everything at a
//! reboot, as long as the kernel runs.
//!
//! It is written before the machine is changed, so it may name what was never
//! made, and never misses what was.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::stack::SavedRoute;
use sysconfig_platform::{FileError, Host, IpNet, System, files};
use sysconfig_plugin::{Context, Level, PluginError, record};

use crate::error::file_error;
use crate::select::Chosen;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// The link that `first-up` stands for.
    pub first_up: Option<String>,
    /// The link that was found to be the first with a signal, and is not configured as that yet.
    pub found_up: Option<String>,
    /// Whether no link had a signal when that one was found.
    pub guessed: bool,
    /// Routes of ours; on Linux with the links that they lead over, on illumos where that is kept, too.
    pub routes: BTreeSet<BoundRoute>,
    /// illumos: kept routes that the kernel lost with an address that we deleted, and was not given again. While
    /// another route leads to the same destination, the system does not tell that they are missing.
    pub cut: BTreeSet<BoundRoute>,
    /// The largest packets before we changed them, by link.
    pub mtus: BTreeMap<String, u32>,
    /// Addresses that another machine had when they were to be put on a link, by link.
    pub taken: BTreeSet<(String, IpNet)>,
    /// Linux: links whose file systemd-networkd may not have been told of yet.
    pub untold: BTreeSet<String>,
    /// Linux: addresses of ours, by link.
    pub addresses: BTreeSet<(String, IpNet)>,
    /// Linux: routes of somebody else's that went with addresses of ours, for who undoes that.
    pub lost: Vec<Lost>,
    /// Linux: the kernel's `accept_ra` before we changed it, by link.
    pub accept_ra_values: BTreeMap<String, u8>,
    /// Linux: what the kernel makes of router advertisements, before we changed it: by link and value, as `eth0/autoconf`.
    pub prefix_values: BTreeMap<String, u8>,
}

/// A route that the kernel has taken off with an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub link: String,
    pub address: IpNet,
    pub route: SavedRoute,
    /// Whether the address is being given back: then it may be there already, and the route is not yet.
    #[serde(default)]
    pub is_coming: bool,
}

impl Lost {
    pub(crate) fn is_of(&self, link: &str, address: IpNet) -> bool {
        self.link == link && self.address == address
    }
}

fn directory(system: System) -> &'static str {
    match system {
        System::Illumos => "/var/lib/sysconfig",
        System::Linux => "/run/sysconfig",
    }
}

fn path(system: System) -> String {
    format!("{}/interfaces.json", directory(system))
}

impl Record {
    /// Reads the record; an empty one when there is none, or it is damaged, in which case what is there is nobody's.
    pub(crate) fn load(host: &Host) -> Result<Self, FileError> {
        let content = files::read(&host.root, path(host.system()))?;
        Ok(content.and_then(|content| record::read(&content)).unwrap_or_default())
    }

    /// What `first-up` was.
    pub(crate) fn chosen(&self) -> Chosen<'_> {
        let links = [&self.first_up, &self.found_up].into_iter().flatten().map(String::as_str).collect();
        Chosen { links, is_guess: self.guessed }
    }

    /// Whether a link was chosen although it had no signal.
    pub(crate) fn is_guess(&self, link: &str) -> bool {
        let chosen = self.chosen();
        chosen.is_guess && chosen.links.contains(&link)
    }

    /// Changes the record on the disk.
    pub(crate) fn update<T>(host: &Host, change: impl FnOnce(&mut Self) -> T) -> Result<(), FileError> {
        let mut record = Self::load(host)?;
        let before = record.clone();
        change(&mut record);
        if record == before {
            return Ok(());
        }
        files::make_directory(&host.root, directory(host.system()))?;
        let content = record::write(&record);
        files::replace(&host.root, path(host.system()), &content).map(drop)
    }
}

/// Which originals are meant, such as those of the sizes of packets.
pub(crate) type Originals<V> = fn(&mut Record) -> &mut BTreeMap<String, V>;

/// Makes a link other than it was, and remembers how it was at the beginning: `present` is how it is now. That is noted before,
/// and forgotten when nothing came of it.
pub(crate) fn keep_original<V: Clone, T>(
    host: &Host,
    originals: Originals<V>,
    (link, present): (&str, V),
    change: impl FnOnce() -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    let mut is_new = false;
    remember(host, |record| {
        let originals = originals(record);
        is_new = !originals.contains_key(link);
        originals.entry(link.to_owned()).or_insert(present);
    })?;
    let result = change();
    if is_new && result.is_err() {
        remember(host, |record| originals(record).remove(link))?;
    }
    result
}

/// Gives a link back what it had. With what it had at the beginning nothing of ours is left, and that is forgotten, but not before it
/// is there.
pub(crate) fn give_back<V: PartialEq, T>(
    host: &Host,
    originals: Originals<V>,
    (link, value): (&str, V),
    change: impl FnOnce() -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    let result = change()?;
    remember(host, |record| {
        let originals = originals(record);
        if originals.get(link) == Some(&value) {
            originals.remove(link);
        }
    })?;
    Ok(result)
}

/// Forgets what is gone without our doing, on the disk and in what was read of it: whoever puts it there again, it is theirs then.
pub(crate) fn forget(host: &Host, context: &Context, record: &mut Record, gone: impl Fn(&mut Record)) {
    gone(record);
    if let Err(error) = Record::update(host, gone) {
        context.log(Level::Warn, format!("what is gone is not forgotten: {error}"));
    }
}

/// Changes the record.
pub(crate) fn remember<T>(host: &Host, change: impl FnOnce(&mut Record) -> T) -> Result<(), PluginError> {
    Record::update(host, change).map_err(|error| file_error("cannot remember what is done", error))
}
