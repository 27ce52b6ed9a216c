//! illumos' service management facility: asking for states and properties, and `svcadm`.
//!
//! Instances are always named by their full FMRI. A short name can match two
//! (illumos ships `svc:/milestone/sysconfig:default`), and then the commands
//! refuse it or act on the wrong one.

use crate::{CommandError, Completed, Host, Invocation};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};

/// An instance could not be asked about or acted on.
#[derive(Debug, thiserror::Error)]
pub enum SmfError {
    /// The state or a property could not be found out.
    #[error("cannot ask about the service {fmri}")]
    Ask {
        /// The instance.
        fmri: String,
        /// The reason.
        #[source]
        source: CommandError,
    },
    /// The answer is in no known form.
    #[error("cannot understand the state of the service {fmri}: {answer:?}")]
    Answer {
        /// The instance.
        fmri: String,
        /// What the program wrote.
        answer: String,
    },
    /// There is no such instance.
    #[error("there is no service {fmri}")]
    Missing {
        /// The instance.
        fmri: String,
    },
    /// `svcadm` failed.
    #[error("cannot {verb} the service {fmri}")]
    Act {
        /// What was to be done.
        verb: Verb,
        /// The instance.
        fmri: String,
        /// The reason.
        #[source]
        source: CommandError,
    },
    /// The instance was enabled and did not come online in time, or failed.
    #[error("the service {fmri} is {state} after it was enabled")]
    NotOnline {
        /// The instance.
        fmri: String,
        /// Its state at the end.
        state: InstanceState,
    },
}

impl SmfError {
    /// What the operator can do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotOnline { fmri, .. } => Some(format!("`svcs -xv {fmri}` says why")),
            _ => None,
        }
    }
}

/// The states of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not looked at by its restarter yet.
    Uninitialized,
    /// Not enabled.
    Disabled,
    /// Enabled; waits for something it depends on, or is starting.
    Offline,
    /// Running.
    Online,
    /// Running with less than it should.
    Degraded,
    /// Failed, until somebody clears it.
    Maintenance,
}

impl State {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "uninitialized" => Self::Uninitialized,
            "disabled" => Self::Disabled,
            "offline" => Self::Offline,
            "online" => Self::Online,
            "degraded" => Self::Degraded,
            "maintenance" => Self::Maintenance,
            _ => return None,
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uninitialized => "uninitialized",
            Self::Disabled => "disabled",
            Self::Offline => "offline",
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Maintenance => "maintenance",
        })
    }
}

/// The state of an instance, and the one it is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceState {
    /// Where it is.
    pub state: State,
    /// Where it goes; `None` when it stays.
    pub next: Option<State>,
}

impl InstanceState {
    /// Whether the instance runs and is about to stay so.
    #[must_use]
    pub fn is_online(self) -> bool {
        self.state == State::Online && self.next.is_none_or(|next| next == State::Online)
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            Some(next) => write!(f, "{} and going to {next}", self.state),
            None => write!(f, "{}", self.state),
        }
    }
}

/// What `svcadm` can be told to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it, now and after every boot.
    Enable,
    /// Stop it, now and after every boot.
    Disable,
    /// Stop and start it, if it runs.
    Restart,
    /// Make it read its properties again.
    Refresh,
    /// Let it out of maintenance.
    Clear,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Restart => "restart",
            Self::Refresh => "refresh",
            Self::Clear => "clear",
        })
    }
}

/// The command that prints state and next state of an instance.
#[must_use]
pub fn state_command(fmri: &str) -> Invocation {
    Invocation::new("/usr/bin/svcs", ["-H", "-o", "state,nstate", fmri])
}

/// The command that prints the values of a property (`group/name`) as the running snapshot has it.
#[must_use]
pub fn property_command(fmri: &str, property: &str) -> Invocation {
    Invocation::new("/usr/bin/svcprop", ["-p", property, fmri])
}

/// The command that acts on an instance. It does not wait for the result: see [`bring_online`].
#[must_use]
pub fn action_command(verb: Verb, fmri: &str) -> Invocation {
    Invocation::new("/usr/sbin/svcadm", [verb.to_string().as_str(), fmri])
}

/// Parses the output of [`state_command`]: two blank-separated words, `-` or `?` for no next state.
#[must_use]
pub fn parse_state(output: &str) -> Option<InstanceState> {
    let mut words = output.split_whitespace();
    let (state, next) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    Some(InstanceState {
        state: State::parse(state)?,
        next: match next {
            "-" | "?" | "none" => None,
            word => Some(State::parse(word)?),
        },
    })
}

/// Parses the output of [`property_command`]: values separated by blanks, in which shell-significant characters
/// have a backslash before them, and `""` for the empty value.
#[must_use]
pub fn parse_values(output: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = output.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => current.get_or_insert_default().extend(characters.next()),
            // Only the empty value is written with plain quotes.
            '"' => drop(current.get_or_insert_default()),
            c if c.is_whitespace() => values.extend(current.take()),
            c => current.get_or_insert_default().push(c),
        }
    }
    values.extend(current);
    values
}

/// Whether `svcs` or `svcadm` failed because there is no such instance.
fn is_missing(completed: &Completed) -> bool {
    completed.code == 1 && completed.stderr.contains("doesn't match any")
}

/// The state of an instance; `None` when there is no such instance.
///
/// # Errors
/// [`SmfError::Ask`] and [`SmfError::Answer`].
pub fn state(host: &Host, fmri: &str) -> Result<Option<InstanceState>, SmfError> {
    let ask = |source| SmfError::Ask { fmri: fmri.to_owned(), source };
    let command = state_command(fmri);
    let completed = host.run_any(&command).map_err(ask)?;
    if is_missing(&completed) {
        return Ok(None);
    }
    let output = completed.success(&command).map_err(ask)?.stdout;
    match parse_state(&output) {
        Some(state) => Ok(Some(state)),
        None => Err(SmfError::Answer { fmri: fmri.to_owned(), answer: output }),
    }
}

/// The values of a property; `None` when there is no such property or instance.
///
/// # Errors
/// [`SmfError::Ask`].
pub fn property(host: &Host, fmri: &str, name: &str) -> Result<Option<Vec<String>>, SmfError> {
    let ask = |source| SmfError::Ask { fmri: fmri.to_owned(), source };
    let command = property_command(fmri, name);
    let completed = host.run_any(&command).map_err(ask)?;
    match completed.code {
        1 => Ok(None),
        _ => Ok(Some(parse_values(&completed.success(&command).map_err(ask)?.stdout))),
    }
}

/// Acts on an instance without waiting for the result.
///
/// # Errors
/// [`SmfError::Act`].
pub fn act(host: &Host, verb: Verb, fmri: &str) -> Result<(), SmfError> {
    match host.run(&action_command(verb, fmri)) {
        Ok(_) => Ok(()),
        Err(source) => Err(SmfError::Act { verb, fmri: fmri.to_owned(), source }),
    }
}

/// Enables an instance, clearing it first when it is in maintenance, and waits until it is online.
///
/// Waiting is asking again and again: `svcadm enable -s` returns early or fails right after an import (illumos
/// issue 13837).
///
/// # Errors
/// Every [`SmfError`].
pub fn bring_online(host: &Host, fmri: &str, patience: Duration) -> Result<(), SmfError> {
    let ask = || state(host, fmri)?.ok_or_else(|| SmfError::Missing { fmri: fmri.to_owned() });
    if ask()?.state == State::Maintenance {
        act(host, Verb::Clear, fmri)?;
    }
    act(host, Verb::Enable, fmri)?;
    let until = Instant::now() + patience;
    loop {
        let state = ask()?;
        if state.is_online() {
            return Ok(());
        }
        let failed = state.state == State::Maintenance && state.next.is_none();
        if failed || Instant::now() >= until {
            return Err(SmfError::NotOnline { fmri: fmri.to_owned(), state });
        }
        std::thread::sleep(host.poll_interval);
    }
}

#[cfg(test)]
#[path = "smf_tests.rs"]
mod tests;
