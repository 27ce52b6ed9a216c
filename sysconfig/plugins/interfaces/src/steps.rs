//! Steps of both systems: keeping a choice, and waiting for what only others can do.

use crate::record::{Record, remember};
use crate::select::{Absent, Selection};
use crate::watch::tell_change;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use sysconfig_platform::dhcpcd::Family;
use sysconfig_platform::{Host, System};
use sysconfig_plugin::{Context, Outcome, PlannedStep, PluginError, Risk};

/// How a link is to be matched instead of one that will not do.
pub(crate) const UNFIT_HELP: &str = "match the link that the addresses shall be on by its name";

/// What is waited for. Each is a step, so that the status tells what is missing, and the last one, so that everything
/// else is done first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// A link that is not there. Nothing is gained by waiting: when it appears, the plugin hears of it.
    Link {
        /// What was looked for.
        sought: String,
        /// What that is, when it is there and will not do.
        #[serde(default)]
        unfit: Option<String>,
        /// The links that there are.
        links: Vec<String>,
    },
    /// The answers of several DHCP servers, for as long as the longest of the deadlines. That they do not come is no failure of
    /// this step, so that routes over those that do come are set; what is missing is told by the steps for each behind it.
    Leases {
        /// The links, and of which protocol the lease is.
        leases: Vec<(String, Family)>,
        /// How long, in seconds.
        deadline_s: u64,
    },
    /// The answer of a DHCP server.
    Lease {
        /// The link.
        link: String,
        /// Of which protocol.
        family: Family,
        /// How long, in seconds.
        deadline_s: u64,
        /// Whether the time is over already, because it was waited for together with others.
        #[serde(default)]
        is_over: bool,
    },
    /// A signal on a link that systemd-networkd configures, which leaves it without addresses until then.
    Signal {
        /// The link.
        link: String,
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
            Self::Link { .. } | Self::Signal { .. } | Self::Duplicate { .. } => Duration::ZERO,
            Self::Lease { is_over: true, .. } => Duration::ZERO,
            Self::Lease { deadline_s, .. } | Self::Leases { deadline_s, .. } => {
                let deadline = Duration::from_secs(*deadline_s);
                remaining.map_or(deadline, |left| deadline.min(left.saturating_sub(Duration::from_secs(2))))
            }
        }
    }

    /// What there is to say when it did not come.
    pub(crate) fn failure(&self, system: System) -> PluginError {
        match self {
            Self::Link { sought, unfit: Some(unfit), .. } => {
                PluginError::new(format!("the {sought} {unfit}")).help(UNFIT_HELP)
            }
            Self::Link { sought, links, .. } => PluginError::new(format!("there is no {sought}")).help(format!(
                "this machine has {}; the interface is configured when its link appears, and with hotplug = true \
                 its absence is no failure",
                if links.is_empty() { "no links".to_owned() } else { links.join(", ") }
            )),
            Self::Leases { .. } => PluginError::new("not every DHCP server has answered"),
            Self::Signal { link } => PluginError::new(format!(
                "{link} has no signal, and systemd-networkd puts its addresses on it when there is one"
            ))
            .help("see that its cable is plugged in; with optional = true this is no failure"),
            Self::Lease { link, family, deadline_s, .. } => {
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
                return match self {
                    // Nothing was changed, and the steps behind it tell what is missing.
                    Self::Leases { .. } => Ok(Outcome::AlreadySo),
                    _ => Err(self.failure(host.system())),
                };
            }
            std::thread::sleep(host.poll_interval);
        }
        Ok(Outcome::Changed)
    }

    pub(crate) fn step<C>(self, wrap: impl FnOnce(Self) -> C) -> PlannedStep<C> {
        let (resource, summary) = match &self {
            Self::Link { sought, unfit: Some(unfit), .. } => {
                (sought.clone(), format!("configure the {sought}, which {unfit}"))
            }
            Self::Link { sought, .. } => (sought.clone(), format!("configure the {sought}, which is not there")),
            Self::Leases { leases, .. } => {
                let mut links: Vec<_> = leases.iter().map(|(link, _)| link.as_str()).collect();
                links.dedup();
                let links = links.join(", ");
                let summary = format!("give the DHCP servers of {links} time to answer");
                (links, summary)
            }
            Self::Signal { link } => (link.clone(), format!("use {link}, which has no signal")),
            Self::Lease { link, family: Family::Ipv4, .. } => (link.clone(), format!("get a lease for {link}")),
            Self::Lease { link, family: Family::Ipv6, .. } => (link.clone(), format!("get a DHCPv6 lease for {link}")),
            Self::Duplicate { link, address } => {
                (link.clone(), format!("use {address} on {link}, which another machine has"))
            }
        };
        PlannedStep::new("wait", resource, summary, Risk::Safe, wrap(self))
    }
}

/// The action of the step that keeps the choice of `first-up`.
pub(crate) const CHOOSE: &str = "choose";

/// How long links may take to their signals after they were switched on.
const SIGNALS_COME_WITHIN: Duration = Duration::from_secs(5);

/// The step that looks which of several links has a signal.
pub(crate) fn look<C>(selection: &Selection, wrap: impl FnOnce(Vec<String>) -> C) -> Option<PlannedStep<C>> {
    let links = selection.open.clone();
    if links.is_empty() {
        return None;
    }
    let names = links.join(", ");
    let summary = format!("look which of {names} has a signal, to configure it then");
    Some(PlannedStep::new("look", names, summary, Risk::Safe, wrap(links)))
}

/// Waits until all `links` have signals, or the time is over, and remembers the first one that has. Where none has, it is the first
/// at all: the choice is not put off for ever. The daemon is told to plan anew.
pub(crate) fn find_up(
    host: &Host,
    context: &Context,
    links: &[String],
    has_signal: impl Fn() -> Result<Vec<String>, PluginError>,
) -> Result<Option<String>, PluginError> {
    let patience = context.remaining().map_or(SIGNALS_COME_WITHIN, |left| left.min(SIGNALS_COME_WITHIN));
    let until = Instant::now() + patience;
    let signals = loop {
        let found = has_signal()?;
        if links.iter().all(|link| found.contains(link)) || Instant::now() >= until || context.is_cancelled() {
            break found;
        }
        std::thread::sleep(host.poll_interval);
    };
    let first = links.iter().find(|link| signals.contains(link)).or(links.first()).cloned();
    remember(host, |record| {
        record.found_up.clone_from(&first);
        record.guessed = signals.is_empty();
    })?;
    tell_change(&context.emitter());
    Ok(first)
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
    Some(PlannedStep::new(CHOOSE, link, summary, Risk::Safe, change).field("first-up", from, to))
}

/// The end of a plan: waiting for others, and what can be done only then. A step that fails ends a cycle, and one link that
/// waits in vain must not keep the others from what is theirs, so what may fail comes last. Leases are waited for at the
/// same time: the time that a service may take to start is not for the sum of their deadlines.
pub(crate) fn endings<C>(
    waits: Vec<Waiting>,
    after_leases: Vec<PlannedStep<C>>,
    wrap: impl Fn(Waiting) -> C,
) -> Vec<PlannedStep<C>> {
    let (mut leases, others): (Vec<_>, Vec<_>) =
        waits.into_iter().partition(|waiting| matches!(waiting, Waiting::Lease { .. }));
    let mut steps = Vec::new();
    let mut deadlines = Vec::new();
    let mut of = Vec::new();
    for waiting in &leases {
        if let Waiting::Lease { link, family, deadline_s, .. } = waiting {
            of.push((link.clone(), *family));
            deadlines.push(*deadline_s);
        }
    }
    match deadlines.into_iter().max() {
        Some(deadline_s) if of.len() > 1 => {
            steps.push(Waiting::Leases { leases: of, deadline_s }.step(&wrap));
            steps.extend(after_leases);
            for waiting in &mut leases {
                if let Waiting::Lease { is_over, .. } = waiting {
                    *is_over = true;
                }
            }
            steps.extend(leases.into_iter().map(|waiting| waiting.step(&wrap)));
        }
        // All the routes are over this one.
        _ => {
            steps.extend(leases.into_iter().map(|waiting| waiting.step(&wrap)));
            steps.extend(after_leases);
        }
    }
    steps.extend(others.into_iter().map(|waiting| waiting.step(&wrap)));
    steps
}

/// The links that are not there.
pub(crate) fn absences(selection: &Selection, links: &[String]) -> Vec<Waiting> {
    let missing = selection.absent.iter().filter(|absent| absent.is_needed);
    let waiting = |absent: &Absent| {
        let Absent { sought, unfit, .. } = absent.clone();
        Waiting::Link { sought, unfit, links: links.to_vec() }
    };
    missing.map(waiting).collect()
}
