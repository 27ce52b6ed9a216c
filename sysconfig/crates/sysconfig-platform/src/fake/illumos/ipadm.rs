//! `ipadm`.

use super::super::{failed, options, printed};
use super::network::{Kind, MissingText, Network, Object};
use crate::ipadm::TEMPORARY;
use crate::parsable::row;
use crate::{Completed, IpNet};

const USAGE: &str = "usage:  ipadm <subcommand> <args> ...\n";

fn usage() -> Completed {
    failed(2, USAGE)
}

fn refused(text: impl std::fmt::Display) -> Completed {
    failed(1, format!("ipadm: {text}\n"))
}

impl Network {
    pub(super) fn ipadm(&mut self, args: &[&str]) -> Completed {
        if self.silent > 0 {
            self.silent -= 1;
            return refused("Could not communicate with ipmgmtd");
        }
        self.pass_time();
        match args {
            ["show-if", "-p", "-o", fields] => self.show_if(fields),
            ["show-addr", "-p", "-o", fields] => self.show_addr(fields, None),
            ["show-addr", "-p", "-o", fields, object] => self.show_addr(fields, Some(object)),
            ["show-ifprop", "-c", "-o", fields, "-p", "mtu", "-m", protocol, name] => {
                self.show_ifprop(fields, protocol, name)
            }
            ["set-ifprop", rest @ ..] => self.set_ifprop(rest),
            ["create-if" | "create-ip", rest @ ..] => match options(rest, "t") {
                Some((given, [name])) => self.create_if(name, given.is_empty()),
                _ => usage(),
            },
            ["delete-if", name] => self.delete_if(name),
            ["enable-if", "-t", name] => self.enable_if(name),
            ["create-addr", rest @ ..] => self.create_addr(rest),
            ["delete-addr", rest @ ..] => match options(rest, "r") {
                Some((_, [object])) => self.delete_addr(object),
                _ => usage(),
            },
            ["enable-addr", "-t", object] => self.set_state(object, "disabled"),
            ["up-addr", rest @ ..] => match options(rest, "t") {
                Some((given, [object])) if given.is_empty() && self.is_temporary(object) => {
                    refused(format!("Could not mark up: {TEMPORARY}"))
                }
                Some((_, [object])) => self.set_state(object, "down"),
                _ => usage(),
            },
            _ => usage(),
        }
    }

    fn show_if(&self, fields: &str) -> Completed {
        let mut rows = vec![("lo0".to_owned(), "ok", "-m-v------46", "---")];
        for (name, interface) in &self.interfaces {
            let up = self.objects.iter().any(|object| object.interface() == name && object.state == "ok");
            let state = match (interface.disabled, up) {
                (true, _) => "disabled",
                (false, true) => "ok",
                (false, false) => "down",
            };
            rows.push((name.clone(), state, "bm--------46", if interface.persistent { "-46" } else { "---" }));
        }
        table(fields, &rows, |(name, state, current, persistent), field| {
            Some(match field {
                "ifname" => name.clone(),
                "state" => (*state).to_owned(),
                "current" => (*current).to_owned(),
                "persistent" => (*persistent).to_owned(),
                _ => return None,
            })
        })
    }

    fn show_addr(&self, fields: &str, wanted: Option<&str>) -> Completed {
        let mut rows = vec![
            ("lo0/v4".to_owned(), "static", "ok", true, "127.0.0.1/8".to_owned()),
            ("lo0/v6".to_owned(), "static", "ok", true, "::1/128".to_owned()),
        ];
        for object in &self.objects {
            let kind = match object.kind {
                _ if object.from_global_zone => "from-gz",
                Kind::Static(_) | Kind::Unmanaged(_) => "static",
                Kind::Dhcp => "dhcp",
                Kind::Addrconf { .. } => "addrconf",
            };
            for address in self.printed(object) {
                rows.push((object.name.clone(), kind, object.state, object.persistent, address));
            }
        }
        if let Some(wanted) = wanted {
            let interface = wanted.strip_suffix('/');
            rows.retain(|(name, ..)| match interface {
                Some(interface) => name.split('/').next() == Some(interface),
                None => name == wanted,
            });
            if rows.is_empty() && interface.is_none() {
                return self.missing("address");
            }
        }
        table(fields, &rows, |(name, kind, state, persistent, address), field| {
            Some(match field {
                "addrobj" => name.clone(),
                "type" => (*kind).to_owned(),
                "state" => (*state).to_owned(),
                "current" => if *state == "ok" { "U----" } else { "-----" }.to_owned(),
                // Empty, and a column all the same.
                "persistent" => if *persistent { "U--" } else { "" }.to_owned(),
                "addr" => address.clone(),
                _ => return None,
            })
        })
    }

    /// The addresses of an object as they are printed, one for each row.
    fn printed(&self, object: &Object) -> Vec<String> {
        match &object.kind {
            Kind::Static(net) | Kind::Unmanaged(net) => vec![net.to_string()],
            Kind::Dhcp => vec![object.lease.map_or("?".to_owned(), |lease| lease.to_string())],
            Kind::Addrconf { stateless, .. } => {
                let mut rows = vec![format!("fe80::8:20ff:fed0:8687%{}/10", object.interface())];
                rows.extend(self.prefixes.iter().filter(|_| *stateless).map(ToString::to_string));
                rows.extend(object.lease.map(|lease| lease.to_string()));
                rows
            }
        }
    }

    fn missing(&self, what: &str) -> Completed {
        match self.missing_text {
            MissingText::ObjectNotFound => refused(format!("could not find {what}: Object not found")),
            MissingText::AddressObjectNotFound => refused("Address object not found"),
            MissingText::Empty => failed(1, ""),
        }
    }

    fn show_ifprop(&self, fields: &str, protocol: &str, name: &str) -> Completed {
        let Some(interface) = self.interfaces.get(name) else {
            return refused("Could not get property: Interface does not exist");
        };
        let Some(at) = position(protocol) else { return refused("Unknown protocol") };
        table(fields, &[()], |(), field| {
            Some(match field {
                "ifname" => name.to_owned(),
                "property" => "mtu".to_owned(),
                "proto" => protocol.to_owned(),
                "current" => interface.mtu[at].to_string(),
                "persistent" => String::new(),
                _ => return None,
            })
        })
    }

    fn set_ifprop(&mut self, args: &[&str]) -> Completed {
        let Some((given, [name])) = options(args, "tm:p:") else { return usage() };
        let value = |flag| given.iter().find(|(known, _)| *known == flag).map(|(_, value)| *value);
        let (Some(protocol), Some(assignment)) = (value('m'), value('p')) else { return usage() };
        let largest = self.links.get(*name).map_or(1500, |link| link.mtu);
        let Some(interface) = self.interfaces.get_mut(*name) else {
            return refused("set-ifprop: mtu: Interface does not exist");
        };
        if value('t').is_none() && !interface.persistent {
            return refused(format!("set-ifprop: mtu: {TEMPORARY}"));
        }
        let value = assignment.strip_prefix("mtu=").and_then(|value| value.parse::<u32>().ok());
        let (Some(at), Some(mtu)) = (position(protocol), value) else { return usage() };
        let smallest = [68, 1280][at];
        if !(smallest..=largest).contains(&mtu) {
            return refused("set-ifprop: mtu: Invalid value provided");
        }
        interface.mtu[at] = mtu;
        printed("")
    }

    fn create_if(&mut self, name: &str, persistent: bool) -> Completed {
        if !self.links.contains_key(name) {
            return refused(format!("Could not create {name} : Could not open DLPI link"));
        }
        if self.interfaces.contains_key(name) {
            return refused(format!("Could not create {name} : Interface already exists"));
        }
        self.plumb(name, persistent);
        printed("")
    }

    fn delete_if(&mut self, name: &str) -> Completed {
        if self.interfaces.remove(name).is_none() {
            return refused(format!("Could not delete {name}: Interface does not exist"));
        }
        let here = self.objects.iter().filter(|object| object.interface() == name);
        for object in here.map(|object| object.name.clone()).collect::<Vec<_>>() {
            self.end_lease(&object);
        }
        self.objects.retain(|object| object.interface() != name);
        self.forget_unreachable();
        printed("")
    }

    fn enable_if(&mut self, name: &str) -> Completed {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return refused(format!("Could not enable {name} : Interface does not exist"));
        };
        interface.disabled = false;
        for object in self.objects.iter_mut().filter(|object| object.interface() == name) {
            object.state = if object.kind == Kind::Dhcp && object.lease.is_none() { "down" } else { "ok" };
        }
        printed("")
    }

    fn create_addr(&mut self, args: &[&str]) -> Completed {
        let Some((given, [name])) = options(args, "tT:a:dw:h:1i:p:") else { return usage() };
        let value = |flag| given.iter().find(|(known, _)| *known == flag).map(|(_, value)| *value);
        // What is for one type is no option of another.
        let only = |allowed: &str| given.iter().all(|(flag, _)| "tT".contains(*flag) || allowed.contains(*flag));
        let kind = match value('T') {
            Some("static") if only("ad") => match value('a').map(parse_static) {
                Some(Some(net)) => Kind::Static(net),
                Some(None) => return refused("Could not create address: Invalid address"),
                None => return usage(),
            },
            Some("dhcp") if only("w1h") => match value('w').unwrap_or("120") {
                wait if wait == "forever" || wait.parse::<u32>().is_ok() => Kind::Dhcp,
                _ => return usage(),
            },
            Some("addrconf") if only("ip") => match value('p').map_or(Some((true, true)), parse_take) {
                Some((stateful, stateless)) => Kind::Addrconf { stateful, stateless },
                None => return usage(),
            },
            _ => return usage(),
        };
        let persistent = value('t').is_none();
        let interface = name.split('/').next().unwrap_or_default();
        if persistent && self.interfaces.get(interface).is_some_and(|interface| !interface.persistent) {
            return refused(format!("Could not create address: {TEMPORARY}"));
        }
        match self.object_fault(name, &kind) {
            Some(text) => refused(format!("Could not create address: {text}")),
            None => {
                let made = self.make_object(name, kind, persistent);
                if let (Some(_), Some(object)) = (value('d'), self.objects.last_mut()) {
                    object.state = "down";
                }
                made
            }
        }
    }

    /// Why an object cannot be made.
    fn object_fault(&self, name: &str, kind: &Kind) -> Option<&'static str> {
        let Some((interface, label)) = name.split_once('/') else { return Some("Invalid address object name") };
        let is_label = label.starts_with(|c: char| c.is_ascii_alphabetic())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_label || name.len() > crate::ipadm::LONGEST_OBJECT {
            return Some("Invalid address object name");
        }
        let Some(plumbed) = self.interfaces.get(interface) else { return Some("Interface does not exist") };
        if plumbed.disabled {
            return Some("Operation not supported on disabled object");
        }
        if self.objects.iter().any(|object| object.name == name) {
            return Some("Address object already exists");
        }
        let mut here = self.objects.iter().filter(|object| object.interface() == interface);
        let is_addrconf = |object: &Object| matches!(object.kind, Kind::Addrconf { .. });
        match kind {
            Kind::Static(net) => {
                let uses = |object: &Object| match &object.kind {
                    Kind::Static(other) | Kind::Unmanaged(other) => other.addr() == net.addr(),
                    Kind::Dhcp => object.lease.is_some_and(|lease| lease.addr() == net.addr()),
                    Kind::Addrconf { .. } => false,
                };
                if self.objects.iter().any(uses) {
                    Some("Address already in use")
                } else if self.neighbours.contains(&net.addr()) {
                    Some("Duplicate address detected")
                } else {
                    let needs_link_local = net.addr().is_ipv6() && !here.any(is_addrconf);
                    needs_link_local.then_some("Can't assign requested address")
                }
            }
            Kind::Dhcp => here.any(|object| object.kind == Kind::Dhcp).then_some("Interface already in use"),
            Kind::Addrconf { .. } => here.any(is_addrconf).then_some("Addrconf already in progress"),
            Kind::Unmanaged(_) => None,
        }
    }

    fn make_object(&mut self, name: &str, kind: Kind, persistent: bool) -> Completed {
        let interface = name.split('/').next().unwrap_or_default();
        let servers = if kind == Kind::Dhcp { &self.servers } else { &self.servers6 };
        let looks_until_lease = servers.get(interface).map_or(0, |server| server.looks);
        let is_dhcp = kind == Kind::Dhcp;
        let state = if is_dhcp { "down" } else { "ok" };
        let name = name.to_owned();
        self.objects.push(Object {
            name,
            kind,
            from_global_zone: false,
            persistent,
            state,
            lease: None,
            looks_until_lease,
        });
        if is_dhcp && looks_until_lease == 0 {
            self.pass_time();
        }
        match self.objects.last() {
            // The client goes on trying: a warning and exit status 0.
            Some(object) if is_dhcp && object.lease.is_none() => Completed {
                stderr: "ipadm: Warning: DHCP operation timed out; dhcpagent continues in the background\n".to_owned(),
                ..Completed::default()
            },
            _ => printed(""),
        }
    }

    fn delete_addr(&mut self, name: &str) -> Completed {
        let Some(at) = self.objects.iter().position(|object| object.name == name && !name.ends_with("/?")) else {
            return match self.missing_text {
                MissingText::ObjectNotFound => refused("could not delete address: Object not found"),
                _ => self.missing("address"),
            };
        };
        let object = &self.objects[at];
        let leaves_v6 = matches!(object.kind, Kind::Addrconf { .. })
            && self.objects.iter().any(|other| {
                other.interface() == object.interface()
                    && matches!(other.kind, Kind::Static(net) if net.addr().is_ipv6())
            });
        if leaves_v6 {
            return refused("could not delete address: Operation not supported: IPv6 addresses depend on it");
        }
        self.end_lease(name);
        self.objects.remove(at);
        self.forget_unreachable();
        printed("")
    }

    fn is_temporary(&self, name: &str) -> bool {
        self.objects.iter().any(|object| object.name == name && !object.persistent)
    }

    /// Puts an object that is in the state `from` into operation.
    fn set_state(&mut self, name: &str, from: &str) -> Completed {
        let Some(object) = self.objects.iter_mut().find(|object| object.name == name) else {
            return self.missing("address");
        };
        if object.state == from && (object.kind != Kind::Dhcp || object.lease.is_some()) {
            object.state = "ok";
        }
        printed("")
    }
}

fn position(protocol: &str) -> Option<usize> {
    ["ipv4", "ipv6"].iter().position(|known| *known == protocol)
}

fn parse_static(text: &str) -> Option<IpNet> {
    let local = text.strip_prefix("local=").unwrap_or(text);
    // Without a prefix length the system takes one from its tables, which is never meant here.
    local.parse().ok()
}

fn parse_take(text: &str) -> Option<(bool, bool)> {
    let (mut stateful, mut stateless) = (true, true);
    for part in text.split(',') {
        let (key, value) = part.split_once('=')?;
        let value = match value {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        match key {
            "stateful" => stateful = value,
            "stateless" => stateless = value,
            _ => return None,
        }
    }
    Some((stateful, stateless))
}

fn table<T>(fields: &str, rows: &[T], value: impl Fn(&T, &str) -> Option<String>) -> Completed {
    let fields = fields.to_lowercase();
    let mut output = String::new();
    for each in rows {
        let mut values = Vec::new();
        for field in fields.split(',') {
            match value(each, field) {
                Some(value) => values.push(value),
                None => return refused(format!("Unknown field: {field}")),
            }
        }
        output += &format!("{}\n", row(&values));
    }
    printed(output)
}
