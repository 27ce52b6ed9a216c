//! Finding the share and beginning a session with its server.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::endpoint::{Endpoint, connect_socket, connect_tcp};
use crate::mirror::{Mirror, MirrorError};
use crate::path::SharePath;
use crate::report::chain;
use crate::session::{DEVICE_MSIZE, MessageSize, Session, SessionError, SessionOptions};
use crate::transport::vio9p::{Driver, OPEN_FLAGS};
use crate::transport::{Device, Stream, Transport};

/// There is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The machine has no device with a share.
    #[error("there is no device of the vio9p driver in {}", crate::transport::vio9p::DIRECTORY)]
    NoDevice,
    /// The devices cannot be listed.
    #[error("cannot list {}", crate::transport::vio9p::DIRECTORY)]
    List(#[source] io::Error),
    /// Somebody else uses the device.
    #[error("{} is busy: another program holds it (fuser names it)", path.display())]
    Busy {
        /// The device.
        path: PathBuf,
    },
    /// The device or socket cannot be opened.
    #[error("cannot open {endpoint}")]
    Open {
        /// Which.
        endpoint: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The server does not take part.
    #[error("cannot begin a session with {endpoint}")]
    Session {
        /// Which.
        endpoint: String,
        /// Why.
        #[source]
        source: SessionError,
    },
    /// It is another share than the one that is wanted.
    #[error("cannot use {endpoint}")]
    Share {
        /// Which.
        endpoint: String,
        /// Why.
        #[source]
        source: MirrorError,
    },
    /// The share has another tag than the one that is wanted.
    #[error("{} has the share {found:?}, and not {wanted:?}", path.display())]
    OtherTag {
        /// The device.
        path: PathBuf,
        /// Its tag.
        found: String,
        /// The tag that was asked for.
        wanted: String,
    },
    /// There are several shares and no way to tell them apart.
    #[error(
        "there are {} devices, {}: name one with --device, its share with --tag, or what that holds with --expect",
        devices.len(),
        names(devices)
    )]
    Ambiguous {
        /// All of them.
        devices: Vec<PathBuf>,
    },
    /// Several shares may be the wanted one, because their devices do not tell their tags.
    #[error(
        "no device tells that it has the share {wanted:?}; it may be behind any of {}, which tell no tag{}: \
         name one with --device, or what the share holds with --expect",
        names(devices),
        if *is_any_busy { ", or are in use" } else { "" }
    )]
    Untold {
        /// The tag that was asked for.
        wanted: String,
        /// The devices that may have it: those that tell no tag, and those in use.
        devices: Vec<PathBuf>,
        /// Whether one of them is in use, and may tell more when it is not.
        is_any_busy: bool,
    },
    /// None of several devices has the share.
    #[error("no device has the share: {reasons}")]
    NoneFits {
        /// What is wrong with each of them.
        reasons: String,
    },
}

fn names(devices: &[PathBuf]) -> String {
    devices.iter().map(|device| device.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Begins sessions, and remembers what did not work.
#[derive(Debug)]
pub struct Connector<D> {
    endpoint: Endpoint,
    driver: D,
    options: SessionOptions,
    expected: Option<SharePath>,
    tag: Option<String>,
}

impl<D: Driver> Connector<D> {
    /// For a share that holds `expected`, if that is given.
    pub fn new(endpoint: Endpoint, driver: D, options: SessionOptions, expected: Option<SharePath>) -> Self {
        Self { endpoint, driver, options, expected, tag: None }
    }

    /// Takes only a device whose share has this mount tag. One that tells no tag is taken if no other may have the share,
    /// or if it holds what is expected.
    #[must_use]
    pub fn with_tag(self, tag: Option<String>) -> Self {
        // The guest sees that much of a longer one.
        let cut = |mut tag: String| {
            let end =
                (0..=vio9p_tag::TAG_BYTES_MAX.min(tag.len())).rev().find(|at| tag.is_char_boundary(*at)).unwrap_or(0);
            tag.truncate(end);
            tag
        };
        Self { tag: tag.map(cut), ..self }
    }

    /// Begins a session. Answers it with the name of where it leads.
    ///
    /// # Errors
    ///
    /// When there is no server, no 9P2000.L, or not the expected share.
    pub fn connect(&self) -> Result<(Session, String), ConnectError> {
        let name = self.endpoint.to_string();
        let open = |source| ConnectError::Open { endpoint: name.clone(), source };
        let transport: Box<dyn Transport> = match &self.endpoint {
            Endpoint::AnyDevice => return self.find_device(),
            Endpoint::Device(path) => return self.open_device(path),
            Endpoint::Socket(path) => Box::new(Stream::new(connect_socket(path).map_err(open)?)),
            Endpoint::Tcp(address) => {
                let connected = connect_tcp(address, self.options.request_timeout);
                Box::new(Stream::new(connected.map_err(open)?))
            }
        };
        self.begin(transport, name)
    }

    /// Learns from the failure of a session: a driver that takes large messages and never delivers the large answers
    /// shows as a server that does not answer.
    pub fn session_failed(&mut self, error: &MirrorError, msize: u32) {
        let is_device = matches!(self.endpoint, Endpoint::AnyDevice | Endpoint::Device(_));
        let automatic = self.options.message_size == MessageSize::Automatic;
        if let MirrorError::Session(error) = error {
            if is_device && automatic && msize > DEVICE_MSIZE && error.may_be_message_size() {
                self.options.message_size = MessageSize::AtMost(DEVICE_MSIZE);
            }
        }
    }

    fn begin(&self, transport: Box<dyn Transport>, endpoint: String) -> Result<(Session, String), ConnectError> {
        let mut session = match Session::open(transport, &self.options) {
            Ok(session) => session,
            Err(source) => return Err(ConnectError::Session { endpoint, source }),
        };
        match Mirror::check_share(&mut session, self.expected.as_ref()) {
            Ok(()) => Ok((session, endpoint)),
            Err(source) => {
                session.close();
                Err(ConnectError::Share { endpoint, source })
            }
        }
    }

    fn open_device(&self, path: &Path) -> Result<(Session, String), ConnectError> {
        let file = self.driver.open(path, OPEN_FLAGS).map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::BUSY) => ConnectError::Busy { path: path.to_owned() },
            _ => ConnectError::Open { endpoint: path.display().to_string(), source },
        })?;
        if let Some(wanted) = &self.tag {
            // A driver that cannot be asked leaves it to what the share holds.
            match self.driver.tag(&file).ok().flatten() {
                Some(found) if found != *wanted => {
                    return Err(ConnectError::OtherTag { path: path.to_owned(), found, wanted: wanted.clone() });
                }
                _ => {}
            }
        }
        self.begin(Box::new(Device::new(file)), path.display().to_string())
    }

    /// Takes the device whose share has the tag and holds what is expected. A device in use does not tell its tag.
    fn find_device(&self) -> Result<(Session, String), ConnectError> {
        let devices = self.driver.devices().map_err(ConnectError::List)?;
        match &*devices {
            [] => return Err(ConnectError::NoDevice),
            [only] => return self.open_device(only),
            _ => {}
        }
        let order = match (&self.tag, &self.expected) {
            (Some(tag), _) => self.by_tag(tag, devices)?,
            (None, Some(_)) => devices,
            (None, None) => return Err(ConnectError::Ambiguous { devices }),
        };
        let mut reasons = Vec::new();
        for device in &order {
            match self.open_device(device) {
                Ok(found) => return Ok(found),
                Err(error) => reasons.push(chain(&error)),
            }
        }
        Err(ConnectError::NoneFits { reasons: reasons.join("; ") })
    }

    /// Of several devices, those that tell the tag before those that tell none, and the others, for what is said of them,
    /// last. When nobody tells it, only what a share holds can tell which of several it is.
    fn by_tag(&self, wanted: &str, devices: Vec<PathBuf>) -> Result<Vec<PathBuf>, ConnectError> {
        let (mut fitting, mut untold, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_any_busy = false;
        for device in devices {
            let file = self.driver.open(&device, OPEN_FLAGS);
            is_any_busy |= file.as_ref().is_err_and(|error| Errno::from_io_error(error) == Some(Errno::BUSY));
            let tag = file.as_ref().ok().and_then(|file| self.driver.tag(file).ok().flatten());
            match tag {
                Some(tag) if tag == wanted => fitting.push(device),
                Some(_) => others.push(device),
                None => untold.push(device),
            }
        }
        if fitting.is_empty() && untold.len() > 1 && self.expected.is_none() {
            return Err(ConnectError::Untold { wanted: wanted.to_owned(), devices: untold, is_any_busy });
        }
        Ok([fitting, untold, others].concat())
    }
}
