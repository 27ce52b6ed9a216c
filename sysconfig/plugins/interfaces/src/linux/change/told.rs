//! What systemd-networkd is told, and what has to come of it.

use super::super::duplicate;
use super::kernel::{has_address, has_route, index, set_mtu};
use crate::error::{file_error, network_error};
use crate::record::{Record, give_back, remember};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};
use sysconfig_platform::stack::{LinuxAddress, LinuxRoute};
use sysconfig_platform::{Host, Invocation, IpNet, Route, files, networkd};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// How long networkd may take to configure a link: IPv6 routes wait for the check for duplicate addresses.
const PATIENCE_WITH_NETWORKD: Duration = Duration::from_secs(20);

/// How long it may take to let go of one.
const PATIENCE_WITH_THE_END: Duration = Duration::from_secs(2);

/// How long a link may take to its signal after it was switched on.
const PATIENCE_WITH_THE_SIGNAL: Duration = Duration::from_secs(4);

/// What has to come of a file for networkd, apart from what depends on servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Fixed addresses.
    pub addresses: Vec<IpNet>,
    /// Routes whose gateways can be reached over fixed addresses.
    pub routes: Vec<Route>,
    /// Fixed addresses of the file before it, which go.
    #[serde(default)]
    pub gone: Vec<IpNet>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// What the link has without us, when that is known and not what it has in the end.
    #[serde(default)]
    pub mtu_before: Option<u32>,
    /// Whether servers are asked as well: networkd says that it is done only when they have answered.
    pub asks_servers: bool,
}

impl Expected {
    /// When nothing has to come of it.
    fn is_nothing(&self) -> bool {
        !self.needs_signal() && self.mtu.is_none() && !self.asks_servers
    }

    /// Whether it cannot come about without a signal: networkd puts addresses and routes on a link only then.
    fn needs_signal(&self) -> bool {
        !self.addresses.is_empty() || !self.routes.is_empty()
    }
}

pub(super) fn give_mtu_back(host: &Host, link: &str) -> Result<(), PluginError> {
    let record = Record::load(host).map_err(|error| file_error("cannot read what was done before", error))?;
    let Some(before) = record.mtus.get(link).copied() else { return Ok(()) };
    give_back(host, |record| &mut record.mtus, (link, before), || set_mtu(host, link, before)).map(drop)
}

pub(super) fn file(
    host: &Host,
    link: &str,
    content: Option<&str>,
    expected: &Expected,
    context: &Context,
) -> Result<Outcome, PluginError> {
    if is_one_taken(host, link, expected, context)? {
        return Ok(Outcome::AlreadySo);
    }
    // It may read the file as it starts, before it is told to.
    let before = Report::of(host, link)?;
    // Whoever dies between the file and the word to networkd is followed by one that says it.
    remember(host, |record| record.untold.insert(link.to_owned()))?;
    let path = networkd::path(link);
    let written = match content {
        Some(content) => files::make_directory(&host.root, networkd::DIRECTORY)
            .and_then(|()| files::replace(&host.root, &path, content.as_bytes())),
        None => files::remove(&host.root, &path),
    };
    let written = written.map_err(|error| file_error("cannot tell systemd-networkd", error))?;
    let is_same = written == files::Written::AlreadySo;
    let is_told = || remember(host, |record| record.untold.remove(link));
    if !settled(host, context)? {
        // It reads its files when it starts.
        is_told()?;
        return Ok(if is_same { Outcome::AlreadySo } else { Outcome::Changed });
    }
    tell(host, &networkd::reload_command())?;
    if is_same && index(host, link)?.is_some() {
        // It looks at files that have changed, and knows this one. Where it has read that as it started, there may still be what
        // the file before had.
        tell(host, &networkd::reconfigure_command(link))?;
    }
    let is_there = || all_there(host, link, expected);
    wait_for_networkd(host, link, expected, before.as_ref(), context, is_there)?;
    if keeps_any(host, link, &expected.gone)? {
        // One that was started since then takes them for somebody else's and lets them be, until it configures the link anew.
        let before = Report::of(host, link)?;
        tell(host, &networkd::reconfigure_command(link))?;
        let is_there = || Ok(all_there(host, link, expected)? && !keeps_any(host, link, &expected.gone)?);
        wait_for_networkd(host, link, expected, before.as_ref(), context, is_there)?;
    }
    // Not before what goes is gone: whoever gave up waiting, or died, would leave that to nobody.
    is_told()?;
    Ok(Outcome::Changed)
}

fn tell(host: &Host, command: &Invocation) -> Result<(), PluginError> {
    let told = host.run(command).map(drop);
    told.map_err(|error| PluginError::new("cannot make systemd-networkd read its files").source(error))
}

/// Whether one of the addresses is still a fixed one of the link: a server may have given it there anew.
fn keeps_any(host: &Host, link: &str, addresses: &[IpNet]) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let known = host.addresses().map_err(|error| network_error("cannot look at the addresses", error))?;
    let stays = |known: &LinuxAddress| Some(known.index) == index && !known.dynamic;
    Ok(known.iter().any(|known| stays(known) && addresses.contains(&known.address)))
}

/// Whether networkd runs, once that is settled: while it is being started or ended it cannot be told anything.
fn settled(host: &Host, context: &Context) -> Result<bool, PluginError> {
    let until =
        Instant::now() + context.remaining().map_or(PATIENCE_WITH_NETWORKD, |left| left.min(PATIENCE_WITH_NETWORKD));
    loop {
        let state = networkd::state(host)
            .map_err(|error| PluginError::new("cannot find out whether systemd-networkd runs").source(error))?;
        if state != networkd::State::Changing {
            return Ok(state == networkd::State::Active);
        }
        if Instant::now() >= until || context.is_cancelled() {
            return Err(PluginError::new("systemd-networkd is being started or ended, and does not get on with it")
                .help(format!("systemctl status {} says why; it reads its new file when it starts", networkd::UNIT)));
        }
        std::thread::sleep(host.poll_interval);
    }
}

/// Whether another machine has one of the addresses. networkd looks for others only when it is told to, and then at every
/// boot for seconds. A link that is off cannot be asked over, and is not ours to switch on.
fn is_one_taken(host: &Host, link: &str, expected: &Expected, context: &Context) -> Result<bool, PluginError> {
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    if !links.iter().any(|known| known.name == link && known.up) {
        return Ok(false);
    }
    for address in &expected.addresses {
        if !has_address(host, link, *address)? && duplicate::is_taken(host, link, *address, context)? {
            return Ok(true);
        }
    }
    remember(host, |record| record.taken.retain(|(known, _)| known != link))?;
    Ok(false)
}

fn all_there(host: &Host, link: &str, expected: &Expected) -> Result<bool, PluginError> {
    for address in &expected.addresses {
        if !has_address(host, link, *address)? {
            return Ok(false);
        }
    }
    for route in &expected.routes {
        if !has_route(host, link, route, LinuxRoute::is_plain)? {
            return Ok(false);
        }
    }
    let Some(mtu) = expected.mtu else { return Ok(true) };
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    Ok(links.iter().any(|known| known.name == link && known.mtu == mtu))
}

/// networkd answers before it has done anything, and takes everything away before it puts it there: only when it has
/// reported anew, what is there is what came of it.
fn wait_for_networkd(
    host: &Host,
    link: &str,
    expected: &Expected,
    before: Option<&Report>,
    context: &Context,
    is_there: impl Fn() -> Result<bool, PluginError>,
) -> Result<(), PluginError> {
    let patience = if expected.is_nothing() { PATIENCE_WITH_THE_END } else { PATIENCE_WITH_NETWORKD };
    let until = Instant::now() + context.remaining().map_or(patience, |left| left.min(patience));
    let signal_until = Instant::now() + PATIENCE_WITH_THE_SIGNAL;
    let mut was_done = false;
    loop {
        let report = Report::of(host, link)?;
        let is_anew = report.is_none() || report.as_ref() != before;
        // Without a carrier a link is being configured for ever, although its own settings have come about.
        let has_addresses = !expected.addresses.is_empty() || !expected.routes.is_empty();
        let is_at_it = report.is_some_and(|report| report.is_configuring) && has_addresses && !expected.asks_servers;
        let is_done = is_anew && !is_at_it && is_there()?;
        // Twice, because a report may be about something that happened before.
        if is_done && was_done {
            return Ok(());
        }
        was_done = is_done;
        // It has read its file, and goes on by itself when there is a signal; the plan tells so until then.
        let waits_for_signal = expected.needs_signal() && Instant::now() >= signal_until;
        if waits_for_signal && is_anew && !duplicate::has_signal_now(host, link)? {
            context.log(Level::Info, format!("{link} has no signal: systemd-networkd configures it when there is one"));
            return Ok(());
        }
        if Instant::now() >= until || context.is_cancelled() {
            if expected.is_nothing() {
                return Ok(());
            }
            let message = format!("systemd-networkd has not configured {link} in time");
            return Err(PluginError::new(message).help(format!("networkctl status {link} says why")));
        }
        std::thread::sleep(host.poll_interval);
    }
}

/// What networkd has written about a link, and which of its reports it is.
#[derive(PartialEq)]
struct Report {
    inode: u64,
    modified: (i64, i64),
    is_configuring: bool,
}

impl Report {
    fn of(host: &Host, link: &str) -> Result<Option<Self>, PluginError> {
        let Some(index) = index(host, link)? else { return Ok(None) };
        let path = host.root.locate(format!("{}/{index}", networkd::LINKS));
        let (Ok(metadata), Ok(text)) = (std::fs::metadata(&path), std::fs::read_to_string(&path)) else {
            return Ok(None);
        };
        let is_configuring = text.lines().any(|line| line == "ADMIN_STATE=configuring");
        Ok(Some(Self { inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()), is_configuring }))
    }
}
