//! What the network modules of both systems have in common.

use crate::CommandError;
use crate::parsable::RowError;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// The network could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A program could not be run, or failed.
    #[error("cannot {operation}")]
    Command {
        /// What was to be done, with its object: `list the datalinks`.
        operation: String,
        /// The reason.
        #[source]
        source: CommandError,
    },
    /// A program answered in a form that is not known.
    #[error("cannot understand the answer to the request to {operation}")]
    Rows {
        /// What was to be done.
        operation: String,
        /// The row.
        #[source]
        source: RowError,
    },
    /// A program answered in a form that is not known.
    #[error("cannot understand the answer to the request to {operation}: {answer:?}")]
    Answer {
        /// What was to be done.
        operation: String,
        /// What it answered.
        answer: String,
    },
    /// illumos' DHCP client did not answer `dhcpinfo` in time (exit status 4), or is busy.
    #[error("cannot {operation}: the DHCP client does not answer now")]
    NoAnswer {
        /// What was to be done.
        operation: String,
    },
    /// Another machine on the link uses the address.
    #[error("{address} is in use by another machine on {link}")]
    Duplicate {
        /// The address.
        address: String,
        /// The link.
        link: String,
    },
    /// This machine has the address already, in another place.
    #[error("{address} is that of {object}, on this machine")]
    Taken {
        /// The address.
        address: String,
        /// The address object.
        object: String,
    },
    /// The kernel refused.
    #[error("cannot {operation}")]
    Kernel {
        /// What was to be done, with its object.
        operation: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
}

impl NetworkError {
    /// What the operator can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Duplicate { .. } => Some("give this machine, or the other one, another address".to_owned()),
            Self::Command { source: CommandError::Failed { tail, .. }, .. } => help_for(tail),
            Self::NoAnswer { .. } => {
                Some("it is asked again; the system's log says what /sbin/dhcpagent is at".to_owned())
            }
            Self::Taken { object, .. } => Some(format!("an address is on one link: ipadm show-addr {object}")),
            Self::Kernel { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Some("something else is in its place: ip address, ip route and ip -6 route show what".to_owned())
            }
            Self::Kernel { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("changing the network needs root (CAP_NET_ADMIN)".to_owned())
            }
            _ => None,
        }
    }

    /// Whether illumos' `route` has refused a gateway that no address leads to.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Command { source: CommandError::Failed { tail, .. }, .. } if tail.contains(UNREACHABLE))
    }

    pub(crate) fn command(operation: impl Into<String>) -> impl FnOnce(CommandError) -> Self {
        let operation = operation.into();
        |source| Self::Command { operation, source }
    }

    pub(crate) fn rows(operation: impl Into<String>) -> impl FnOnce(RowError) -> Self {
        let operation = operation.into();
        |source| Self::Rows { operation, source }
    }

    pub(crate) fn kernel(operation: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let operation = operation.into();
        |source| Self::Kernel { operation, source }
    }
}

/// What illumos' `route` says of a gateway that no address leads to.
const UNREACHABLE: &str = "Network is unreachable";

/// Advice for what illumos' programs say.
fn help_for(said: &str) -> Option<String> {
    const ADVICE: &[(&str, &str)] = &[
        (
            crate::ipadm::IN_PROGRESS,
            "it was begun by other means than ipadm, and has no address object: end it with ifconfig LINK inet6 unplumb",
        ),
        (crate::ipadm::IN_USE, "another link, or another zone of this machine, has it: ipadm show-addr"),
        ("Can't assign requested address", "an IPv6 address needs a link-local one on its interface: ipadm show-addr"),
        ("in.ndpd not running", "enable it: svcadm enable svc:/network/routing/ndp:default"),
        (
            "Insufficient user authorizations",
            "this needs the authorization solaris.network.interface.config, which root has",
        ),
        (
            crate::ipadm::TEMPORARY,
            "it was made with -t, until the next boot only: delete it with ipadm, and apply again",
        ),
        ("Operation not supported on disabled object", "enable it: ipadm enable-if -t, or ipadm enable-addr -t"),
        ("dhcpagent", "/sbin/dhcpagent is started by ipadm; the system's log says why it does not run"),
        ("with ipmgmtd", "see that svc:/network/ip-interface-management:default is online"),
        ("Permission denied", "changing the network needs root"),
        (UNREACHABLE, "the gateway must be in the network of one of the machine's addresses"),
        ("Could not open DLPI link", "`dladm show-link` lists the links that there are"),
        ("Datalink does not exist", "`dladm show-link` lists the links that there are"),
    ];
    ADVICE.iter().find(|(text, _)| said.contains(text)).map(|(_, help)| (*help).to_owned())
}

/// Where packets go: the default route of a family, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The destination; `0.0.0.0/0` or `::/0` for the default route. Host bits are zero.
    pub to: IpNet,
    /// The gateway.
    pub via: IpAddr,
}

impl Route {
    /// The default route over `via`.
    #[must_use]
    pub fn default_over(via: IpAddr) -> Self {
        Self { to: everything(via), via }
    }

    /// Whether this is a default route.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.to.prefix_len() == 0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_default(), self.via) {
            (true, IpAddr::V4(via)) => write!(f, "default via {via}"),
            (true, IpAddr::V6(via)) => write!(f, "IPv6 default via {via}"),
            (false, via) => write!(f, "{} via {via}", self.to),
        }
    }
}

/// An address with its prefix length. What other programs read as another one is none: `ipnet` takes `10.0.0.012` for
/// `10.0.0.12`, and inet_aton(3) for `10.0.0.10`.
#[must_use]
pub fn parse_net(text: &str) -> Option<IpNet> {
    let (address, _) = text.split_once('/')?;
    address.parse::<IpAddr>().ok()?;
    text.parse().ok()
}

/// The network of all addresses of the family of `like`.
#[must_use]
pub fn everything(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}
