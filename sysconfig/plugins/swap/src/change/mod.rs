//! The steps of the plugin, forwards and backwards. Each looks first, because time has passed since the plan, and
//! because it may have been interrupted before.

mod file;
mod row;
mod seen;
mod usage;
mod volume;

pub use seen::Seen;

use crate::marks::volume_of;
use crate::record::{Ours, Record};
use crate::storage_error;
use seen::remember_left;
use serde::{Deserialize, Serialize};
use sysconfig_platform::boot_table::{self, BootRow, Tells};
use sysconfig_platform::files::Written;
use sysconfig_platform::{Host, StorageError, System, swap, zfs};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// One change of the machine, with what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Change {
    /// Create a volume.
    Volume {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// Whether with a throw-away key.
        encrypted: bool,
        /// The one that is there, which is destroyed first.
        replaces: Option<Seen>,
    },
    /// Create a file.
    File {
        /// Where.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// Linux: write the header of a swap area.
    Format {
        /// On what.
        target: Target,
        /// What is there.
        seen: Seen,
    },
    /// Change the size.
    Resize {
        /// Of what.
        target: Target,
        /// What is there.
        seen: Seen,
        /// In bytes.
        from: u64,
        /// In bytes.
        to: u64,
        /// With which priority it is used.
        priority: Option<i32>,
    },
    /// Take into use.
    Use {
        /// What.
        target: Target,
        /// What is there.
        seen: Seen,
        /// Linux: its priority.
        priority: Option<i32>,
    },
    /// Take out of use.
    Stop {
        /// What.
        target: Target,
        /// What is there.
        seen: Seen,
        /// The priority that it had.
        priority: Option<i32>,
    },
    /// Write, change or remove the row of the boot table.
    Row {
        /// Of what.
        path: String,
        /// As it shall be.
        row: Option<Box<BootRow>>,
        /// As it was.
        previous: Option<Box<BootRow>>,
        /// Whether that was ours.
        was_ours: bool,
        /// When systemd is told.
        #[serde(default)]
        tells: Tells,
    },
    /// Tell systemd of the boot table, which an interrupted step has changed.
    Tell {},
    /// Destroy a volume or file.
    Delete {
        /// Which.
        target: Target,
        /// What is there.
        seen: Seen,
    },
    /// Remove the key of an encrypted volume, which an interrupted step has left behind.
    ThrowKeyAway,
    /// Remove a file that was not whole when an interrupted step has made it.
    TidyUp {
        /// The file beside which it is.
        path: String,
    },
    /// Know what is ours by another of its names.
    Rename {
        /// The name so far.
        from: String,
        /// The name from now on.
        to: String,
    },
    /// Strike out of the record.
    Forget {
        /// What.
        path: String,
    },
    /// Nothing is done, which is told as a failure.
    Leave {
        /// What.
        path: String,
        /// Why.
        why: String,
        /// What can be done.
        help: String,
    },
}

/// What an area lies in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "in")]
pub enum Target {
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Its device.
        path: String,
    },
    /// A device.
    Device {
        /// Its path.
        path: String,
    },
    /// A file.
    File {
        /// Its path.
        path: String,
    },
}

impl Target {
    /// What a path names.
    pub(crate) fn at(system: System, path: &str) -> Self {
        let path = path.to_owned();
        match volume_of(system, &path) {
            Some(name) => Self::Volume { name: name.to_owned(), path },
            None if path.starts_with("/dev/") => Self::Device { path },
            None => Self::File { path },
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Volume { path, .. } | Self::Device { path } | Self::File { path } => path,
        }
    }
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        let done = self.carry_out(host, context);
        // Behind a step that fails nothing is done that would tell. Whose a row is does not hang on telling, so it comes last.
        let tells = matches!(self, Self::Row { tells: Tells { forth: true, .. }, .. });
        if !matches!(self, Self::Tell {}) && (tells || done.is_err()) {
            tell(host, context);
        }
        done
    }

    fn carry_out(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Volume { name, bytes, encrypted, replaces } => {
                volume::create(host, name, (*bytes, *encrypted), replaces.as_ref(), context)
            }
            Self::File { path, bytes } => file::create(host, path, *bytes, context),
            Self::Format { target, seen } => format(host, target, seen),
            Self::Resize { target, seen, to, priority, .. } => resize(host, target, seen, *to, *priority, context),
            Self::Use { target, seen, priority } => usage::start(host, target, seen, *priority),
            Self::Stop { target, .. } => usage::stop(host, target.path(), context),
            Self::Row { path, row, previous, .. } => row::set_row(host, path, row.as_deref(), previous.as_deref()),
            Self::Tell {} => boot_table::tell(host).map(outcome).map_err(storage_error),
            Self::Delete { target, seen } => delete(host, target, seen),
            Self::ThrowKeyAway => volume::throw_key_away(host),
            Self::TidyUp { path } => file::tidy_up(host, path),
            Self::Rename { from, to } => rename(host, from, to),
            Self::Forget { path } => {
                remember(host, path, Ours::stop)?;
                Ok(Outcome::Changed)
            }
            Self::Leave { path, why, help } => {
                Err(PluginError::new(format!("{path} was left alone: {why}")).help(help.clone()))
            }
        }
    }

    pub(crate) fn undo(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Volume { name, replaces: None, .. } => {
                unmake(host, &Target::at(host.system(), &zfs::volume_path(host.system(), name)))
            }
            Self::File { path, .. } => unmake(host, &Target::at(host.system(), path)),
            Self::Resize { target, seen, from, priority, .. } => {
                // The file was replaced by one of ours.
                let seen = if matches!(target, Target::File { .. }) { Seen::Ours } else { seen.without_content() };
                resize(host, target, &seen, *from, *priority, context)
            }
            Self::Use { target, .. } => usage::stop(host, target.path(), context),
            Self::Stop { target, seen, priority } => usage::start(host, target, seen, *priority),
            Self::Row { path, row, previous, was_ours, tells } => {
                let written = row::write_row(host, row.as_deref(), previous.as_deref());
                // What comes after a step that fails is not undone, and tells nobody.
                if tells.back || written.is_err() {
                    tell(host, context);
                }
                let written = written?;
                remember(host, path, |ours| ours.row = *was_ours && previous.is_some())?;
                Ok(written)
            }
            Self::Volume { name, replaces: Some(_), .. } => Err(gone(name)),
            Self::Delete { target, .. } => Err(gone(target.path())),
            Self::Rename { from, to } => rename(host, to, from),
            // A header on what nobody uses is no harm, and what was there before it is gone.
            Self::Format { .. }
            | Self::Tell {}
            | Self::ThrowKeyAway
            | Self::TidyUp { .. }
            | Self::Forget { .. }
            | Self::Leave { .. } => Ok(Outcome::AlreadySo),
        }
    }
}

/// Destroys what a step has made, unless somebody has put something there since.
fn unmake(host: &Host, target: &Target) -> Result<Outcome, PluginError> {
    if usage::what(host, target)?.is_some() {
        Seen::Ours.check(host, target).map_err(|error| {
            PluginError::unsupported(format!("{} is kept: {error}", target.path()))
                .help("if nothing on it is needed, destroy it by hand")
        })?;
    }
    delete(host, target, &Seen::Ours)
}

fn gone(what: &str) -> PluginError {
    PluginError::unsupported(format!("{what} as it was before is destroyed, and does not come back"))
}

fn remember(host: &Host, path: &str, change: impl FnOnce(&mut Ours)) -> Result<(), PluginError> {
    let updated = Record::update(host, |record| change(record.areas.entry(path.to_owned()).or_default()));
    updated.map_err(|source| file_error("remember what is done", source))
}

/// Notes what is known of an area under another of its names.
fn rename(host: &Host, from: &str, to: &str) -> Result<Outcome, PluginError> {
    let mut outcome = Outcome::AlreadySo;
    let updated = Record::update(host, |record| {
        if let Some(ours) = record.areas.remove(from) {
            record.areas.insert(to.to_owned(), ours);
            outcome = Outcome::Changed;
        }
    });
    updated.map_err(|source| file_error("remember what is done", source))?;
    Ok(outcome)
}

fn file_error(operation: &str, source: sysconfig_platform::FileError) -> PluginError {
    storage_error(StorageError::File { operation: operation.to_owned(), source })
}

/// Tells systemd what was done to the boot table. Nothing depends on that here, so that the next plan does it if it fails.
fn tell(host: &Host, context: &Context) {
    if let Some(warning) = boot_table::tell_or_later(host) {
        context.log(Level::Warn, warning);
    }
}

fn outcome(written: Written) -> Outcome {
    match written {
        Written::Changed => Outcome::Changed,
        Written::AlreadySo => Outcome::AlreadySo,
    }
}

fn format(host: &Host, target: &Target, seen: &Seen) -> Result<Outcome, PluginError> {
    let path = target.path();
    if swap::is_used(host, path).map_err(storage_error)? {
        return Ok(Outcome::AlreadySo);
    }
    if let Target::Volume { .. } = target {
        zfs::wait_for_node(host, path, None).map_err(storage_error)?;
    }
    seen.check(host, target)?;
    swap::make(host, path).map_err(storage_error)?;
    remember_left(host, path, path).map(|()| Outcome::Changed)
}

fn resize(
    host: &Host,
    target: &Target,
    seen: &Seen,
    to: u64,
    priority: Option<i32>,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let path = target.path();
    seen.check(host, target)?;
    if let Target::File { .. } = target {
        // While the old one is still in use, because this is what fails when there is no room.
        file::prepare(host, path, to, context)?;
    }
    let was_used = usage::stop_if_used(host, path, context).inspect_err(|_| {
        if let Target::File { .. } = target {
            // The first error is the one to report; what is left behind all the same, the next plan sees.
            let _ = file::tidy_up(host, path);
        }
    })?;
    let resized = match target {
        Target::Volume { name, .. } => volume::set_size(host, name, path, to, context),
        Target::File { .. } => file::put_instead(host, target, seen, was_used),
        Target::Device { .. } => Ok(()),
    };
    let resized = resized.and_then(|()| remember_left(host, path, path));
    let added = match was_used {
        true => swap::add(host, path, usage::usable(priority))
            .map_err(storage_error)
            .and_then(|()| remember(host, path, |ours| ours.left = None)),
        false => Ok(()),
    };
    match (resized, added) {
        (Ok(()), Ok(())) => Ok(Outcome::Changed),
        (Err(error), Ok(())) | (Ok(()), Err(error)) => Err(error),
        (Err(error), Err(_)) => Err(error.help(format!("{path} is no longer in use: use it again, or apply again"))),
    }
}

fn delete(host: &Host, target: &Target, seen: &Seen) -> Result<Outcome, PluginError> {
    let path = target.path();
    if swap::is_used(host, path).map_err(storage_error)? {
        return Err(PluginError::new(format!("{path} is in use")).help("plan and apply again"));
    }
    let outcome = match target {
        Target::Volume { name, .. } => volume::delete(host, target, name, seen)?,
        Target::File { .. } => file::delete(host, target, seen)?,
        Target::Device { .. } => Outcome::AlreadySo,
    };
    remember(host, path, |ours| *ours = Ours::default())?;
    Ok(outcome)
}
