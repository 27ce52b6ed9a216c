//! `dladm`.

use super::super::{failed, printed};
use super::network::Network;
use crate::Completed;
use crate::parsable::row;

const USAGE: &str = "usage:  dladm <subcommand> <args> ...\n";

impl Network {
    pub(super) fn dladm(&mut self, args: &[&str]) -> Completed {
        match args {
            ["show-link", "-p", "-o", fields] => self.show(fields, Self::link_column),
            ["show-phys", "-m", "-p", "-o", fields] => self.show(fields, Self::mac_column),
            ["show-phys", "-p", "-o", fields] => self.show(fields, Self::phys_column),
            ["show-vnic", "-p", "-o", fields] => self.show(fields, Self::vnic_column),
            ["show-linkprop", "-c", "-o", fields, "-p", "mtu", link] => self.show_mtu(fields, link),
            ["set-linkprop", "-p", assignment, link] | ["set-linkprop", "-t", "-p", assignment, link] => {
                self.set_link_mtu(assignment, link)
            }
            _ => failed(1, USAGE),
        }
    }

    fn show(&self, fields: &str, column: impl Fn(&Self, &str) -> Option<Vec<String>>) -> Completed {
        let mut columns = Vec::new();
        for field in fields.to_lowercase().split(',') {
            match column(self, field) {
                Some(values) => columns.push(values),
                None => return failed(1, format!("dladm: invalid field \"{field}\"\n")),
            }
        }
        let rows = (0..columns[0].len()).map(|at| {
            let values: Vec<String> = columns.iter().map(|column| column[at].clone()).collect();
            format!("{}\n", row(&values))
        });
        printed(rows.collect::<String>())
    }

    fn link_column(&self, field: &str) -> Option<Vec<String>> {
        let links = self.links.iter();
        Some(match field {
            "link" => links.map(|(name, _)| name.clone()).collect(),
            "class" => links.map(|(_, link)| link.class.to_owned()).collect(),
            "mtu" => links.map(|(_, link)| link.mtu.to_string()).collect(),
            "state" => links
                .map(|(name, link)| match link.up {
                    _ if self.hides_signals && !self.has_interface(name) => "unknown".to_owned(),
                    true => "up".to_owned(),
                    false => "down".to_owned(),
                })
                .collect(),
            "bridge" => links.map(|_| String::new()).collect(),
            "over" => links.map(|(_, link)| link.over.to_owned()).collect(),
            _ => return None,
        })
    }

    fn phys_column(&self, field: &str) -> Option<Vec<String>> {
        let links = self.links.iter().filter(|(_, link)| link.class == "phys");
        Some(match field {
            "link" | "device" => links.map(|(name, _)| name.clone()).collect(),
            "media" => links.map(|_| "Ethernet".to_owned()).collect(),
            "state" => links.map(|(_, link)| if link.up { "up" } else { "down" }.to_owned()).collect(),
            "speed" => links.map(|(_, link)| if link.up { "1000" } else { "0" }.to_owned()).collect(),
            "duplex" => links.map(|(_, link)| if link.up { "full" } else { "unknown" }.to_owned()).collect(),
            _ => return None,
        })
    }

    fn mac_column(&self, field: &str) -> Option<Vec<String>> {
        let links = self.links.iter().filter(|(_, link)| link.class == "phys");
        Some(match field {
            "link" | "client" => links.map(|(name, _)| name.clone()).collect(),
            "slot" => links.map(|_| "primary".to_owned()).collect(),
            "address" => links.map(|(_, link)| link.mac.clone()).collect(),
            "inuse" => links.map(|_| "yes".to_owned()).collect(),
            _ => return None,
        })
    }

    fn vnic_column(&self, field: &str) -> Option<Vec<String>> {
        let links = self.links.iter().filter(|(_, link)| link.class == "vnic");
        Some(match field {
            "link" => links.map(|(name, _)| name.clone()).collect(),
            "over" => links.map(|(_, link)| link.over.to_owned()).collect(),
            "macaddress" => links.map(|(_, link)| link.mac.clone()).collect(),
            _ => return None,
        })
    }

    fn show_mtu(&self, fields: &str, link: &str) -> Completed {
        let Some(found) = self.links.get(link) else {
            return failed(1, format!("dladm: object not found: link '{link}'\n"));
        };
        self.show(fields, |_, field| match field {
            "link" => Some(vec![link.to_owned()]),
            "property" => Some(vec!["mtu".to_owned()]),
            "value" => Some(vec![found.mtu.to_string()]),
            "possible" if found.tells_mtu => Some(vec![format!("68-{}", found.max_mtu)]),
            // Parsable output has nothing where the other has `--`.
            "possible" => Some(vec![String::new()]),
            _ => None,
        })
    }

    fn set_link_mtu(&mut self, assignment: &str, name: &str) -> Completed {
        let plumbed = self.has_interface(name);
        let Some(link) = self.links.get_mut(name) else {
            return failed(1, format!("dladm: object not found: link '{name}'\n"));
        };
        let mtu = assignment.strip_prefix("mtu=").and_then(|value| value.parse::<u32>().ok());
        match mtu {
            None => failed(1, format!("dladm: invalid link property '{assignment}'\n")),
            Some(_) if plumbed => failed(1, "dladm: warning: cannot set link property 'mtu' on link: link busy\n"),
            Some(mtu) if mtu > link.max_mtu || mtu < 68 => {
                failed(1, "dladm: warning: cannot set link property 'mtu' on link: invalid argument\n")
            }
            Some(mtu) => {
                link.mtu = mtu;
                printed("")
            }
        }
    }
}
