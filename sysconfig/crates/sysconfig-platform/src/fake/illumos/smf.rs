//! `svcs`, `svcadm` and `svcprop` over a small service repository.

use super::super::{failed, printed};
use super::Inner;
use crate::smf::{InstanceState, State};
use crate::{Completed, Root};

/// How many times a starting service is seen offline before it is online.
const LOOKS_UNTIL_ONLINE: u32 = 2;

impl Inner {
    pub(super) fn svcs(&mut self, args: &[&str], root: &Root) -> Completed {
        let (columns, pattern) = match args {
            ["-H", "-o", columns, pattern] | ["-Ho", columns, pattern] => (*columns, *pattern),
            _ => {
                return failed(2, "Usage: svcs [-aHpv] [-o col[,col ... ]] [<service> ...]\n");
            }
        };
        let fmri = match self.find("svcs", pattern, "instances") {
            Ok(fmri) => fmri,
            Err(completed) => return completed,
        };
        let state = self.look(&fmri, root);
        let mut cells = Vec::new();
        for column in columns.split(',') {
            cells.push(match column {
                "state" if columns == "state" && state.next.is_some() => {
                    format!("{}*", state.state)
                }
                "state" => format!("{:<14}", state.state.to_string()),
                "nstate" => state.next.map_or("-".to_owned(), |next| next.to_string()),
                "fmri" => fmri.clone(),
                other => return failed(2, format!("svcs: Unknown column \"{other}\".\n")),
            });
        }
        printed(format!("{}\n", cells.join(" ")))
    }

    pub(super) fn svcadm(&mut self, args: &[&str]) -> Completed {
        let usage = || failed(2, "Usage: svcadm [-S <state>] [-v] [-Z | -z zone] [cmd [args ... ]]\n");
        let Some((verb, rest)) = args.split_first() else {
            return usage();
        };
        let allowed: &[&str] = match *verb {
            "enable" => &["-r", "-s", "-t"],
            "disable" | "restart" | "refresh" => &["-s", "-t"],
            "clear" => &[],
            _ => return usage(),
        };
        let (options, patterns): (Vec<&str>, Vec<&str>) = rest.iter().partition(|argument| argument.starts_with('-'));
        if patterns.is_empty() || options.iter().any(|option| !allowed.contains(option)) {
            return usage();
        }
        for pattern in patterns {
            let fmri = match self.find("svcadm", pattern, "instances") {
                Ok(fmri) => fmri,
                Err(completed) => return completed,
            };
            if let Some(completed) = self.act(verb, &fmri) {
                return completed;
            }
        }
        printed("")
    }

    /// Does what `svcadm` was told; an answer only when it fails.
    fn act(&mut self, verb: &str, fmri: &str) -> Option<Completed> {
        let service = self.services.get_mut(fmri)?;
        match verb {
            // A service in maintenance stays there until it is cleared, enabled or not.
            "enable" if matches!(service.state, State::Disabled | State::Uninitialized) => {
                service.state = State::Offline;
                service.starting = Some(LOOKS_UNTIL_ONLINE);
            }
            "disable" => {
                service.state = State::Disabled;
                service.starting = None;
            }
            "restart" if service.state == State::Online => self.restarts.push(fmri.to_owned()),
            "clear" if service.state == State::Maintenance => {
                service.state = State::Offline;
                service.starting = Some(LOOKS_UNTIL_ONLINE);
            }
            "clear" => {
                let message = format!("svcadm: Instance \"{fmri}\" is not in a maintenance or degraded state.\n");
                return Some(failed(1, message));
            }
            _ => {}
        }
        None
    }

    pub(super) fn svcprop(&mut self, args: &[&str]) -> Completed {
        let (property, pattern) = match args {
            ["-p", property, pattern] => (*property, *pattern),
            _ => {
                return failed(2, "Usage: svcprop [-fqtv] [-C | -c | -s snapshot] [-p [name/]name]... fmri\n");
            }
        };
        let fmri = match self.find("svcprop", pattern, "entities") {
            Ok(fmri) => fmri,
            Err(completed) => return completed,
        };
        match property {
            "restarter/state" => printed(format!("{}\n", self.services[&fmri].state)),
            _ => failed(1, format!("svcprop: Couldn't find property `{property}' for instance `{fmri}'.\n")),
        }
    }

    /// Resolves a name as the commands do: a full FMRI, or any trailing part of one, which must match just one.
    fn find(&self, program: &str, pattern: &str, kind: &str) -> Result<String, Completed> {
        if pattern.starts_with('-') {
            return Err(failed(2, format!("{program}: illegal option -- {pattern}\n")));
        }
        let matches: Vec<&String> = self
            .services
            .keys()
            .filter(|fmri| {
                let service = fmri.trim_end_matches(":default");
                [fmri.as_str(), service].iter().any(|name| *name == pattern || name.ends_with(&format!("/{pattern}")))
            })
            .collect();
        match matches.as_slice() {
            [fmri] => Ok((*fmri).clone()),
            [] => Err(failed(1, format!("{program}: Pattern '{pattern}' doesn't match any {kind}\n"))),
            _ => Err(failed(1, format!("{program}: Pattern '{pattern}' matches multiple {kind}\n"))),
        }
    }

    /// The state as a program sees it; every look brings a starting service closer to online.
    fn look(&mut self, fmri: &str, root: &Root) -> InstanceState {
        let service = self.services.get_mut(fmri).expect("the caller has found it");
        let satisfied = service.needs.is_none_or(|path| root.exists(path).unwrap_or(false));
        match service.starting {
            Some(0) if satisfied => {
                service.starting = None;
                service.state = State::Online;
            }
            Some(looks) if satisfied => service.starting = Some(looks - 1),
            // It waits for the file: offline, and going nowhere.
            Some(_) | None => {}
        }
        let on_its_way = service.starting.is_some() && satisfied;
        InstanceState { state: service.state, next: on_its_way.then_some(State::Online) }
    }
}
