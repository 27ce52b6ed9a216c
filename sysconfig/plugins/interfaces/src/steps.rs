//! Steps of both systems: keeping a choice, and waiting for what only others can do.

use crate::record::Record;
use crate::select::Selection;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use sysconfig_platform::dhcpcd::Family;
use sysconfig_platform::{Host, System};
use sysconfig_plugin::{Context, Outcome, PlannedStep, PluginError, Risk};

/// What is waited for. Each is a step, so that the status tells what is missing, and the last one, so that everything
/// else is done first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// A link that is not there. Nothing is gained by waiting: when it appears, the plugin hears of it.
    Link {
        /// What was looked for.
        sought: String,
        /// The links that there are.
        links: Vec<String>,
    },
    /// The answer of a DHCP server.
    Lease {
        /// The link.
        link: String,
        /// Of which protocol.
        family: Family,
        /// How long, in seconds.
        deadline_s: u64,
    },
    /// That another machine gives up an address of ours.
    Duplicate {
        /// The link.
        link: String,
        /// The address.
        address: String,
    },
}

impl Waiting {
    /// How long a step waits. Part of what the daemon gives is left for the answer.
    fn patience(&self, remaining: Option<Duration>) -> Duration {
        match self {
            Self::Link { .. } | Self::Duplicate { .. } => Duration::ZERO,
            Self::Lease { deadline_s, .. } => {
                let deadline = Duration::from_secs(*deadline_s);
                remaining.map_or(deadline, |left| deadline.min(left.saturating_sub(Duration::from_secs(2))))
            }
        }
    }

    /// What there is to say when it did not come.
    pub(crate) fn failure(&self, system: System) -> PluginError {
        match self {
            Self::Link { sought, links } => PluginError::new(format!("there is no {sought}")).help(format!(
                "this machine has {}; the interface is configured when its link appears, and with optional = true \
                 its absence is no failure",
                if links.is_empty() { "no links".to_owned() } else { links.join(", ") }
            )),
            Self::Lease { link, family, deadline_s } => {
                let help = "the client goes on asking, and a lease is used when it comes";
                let help = match (family, system) {
                    (Family::Ipv6, System::Illumos) => {
                        format!("{help}; illumos asks only when a router says that there is a DHCPv6 server")
                    }
                    _ => help.to_owned(),
                };
                PluginError::new(format!("no {family} server has answered on {link} in {deadline_s} s")).help(help)
            }
            Self::Duplicate { link, address } => {
                PluginError::new(format!("{address} on {link} is in use by another machine"))
                    .help("give this machine, or the other one, another address")
            }
        }
    }

    /// Looks until what is waited for is there, or the time is over.
    pub(crate) fn wait(
        &self,
        host: &Host,
        context: &Context,
        mut is_over: impl FnMut() -> Result<bool, PluginError>,
    ) -> Result<Outcome, PluginError> {
        let until = Instant::now() + self.patience(context.remaining());
        while !is_over()? {
            if Instant::now() >= until || context.is_cancelled() {
                return Err(self.failure(host.system));
            }
            std::thread::sleep(host.poll_interval);
        }
        Ok(Outcome::Changed)
    }

    pub(crate) fn step<C>(self, wrap: impl FnOnce(Self) -> C) -> PlannedStep<C> {
        let (resource, summary) = match &self {
            Self::Link { sought, .. } => (sought.clone(), format!("configure the {sought}, which is not there")),
            Self::Lease { link, family: Family::Ipv4, .. } => (link.clone(), format!("get a lease for {link}")),
            Self::Lease { link, family: Family::Ipv6, .. } => (link.clone(), format!("get a DHCPv6 lease for {link}")),
            Self::Duplicate { link, address } => {
                (link.clone(), format!("use {address} on {link}, which another machine has"))
            }
        };
        PlannedStep::new("wait", resource, summary, Risk::Safe, wrap(self))
    }
}

/// The step that keeps the choice of `first-up`, when it is a new one; `wrap` gets the choice and the one before.
pub(crate) fn choice<C>(
    selection: &Selection,
    record: &Record,
    wrap: impl FnOnce(Option<String>, Option<String>) -> C,
) -> Option<PlannedStep<C>> {
    let (from, to) = (record.first_up.clone(), selection.first_up.clone());
    let link = to.clone().filter(|_| from != to)?;
    let summary = format!("use {link} as the first link with a signal");
    let change = wrap(to.clone(), from.clone());
    Some(PlannedStep::new("choose", link, summary, Risk::Safe, change).field("first-up", from, to))
}

/// The steps for links that are not there.
pub(crate) fn absences<C>(selection: &Selection, links: &[String], wrap: impl Fn(Waiting) -> C) -> Vec<PlannedStep<C>> {
    let missing = selection.absent.iter().filter(|absent| !absent.optional);
    let step = |absent: &crate::select::Absent| {
        Waiting::Link { sought: absent.sought.clone(), links: links.to_vec() }.step(&wrap)
    };
    missing.map(step).collect()
}
