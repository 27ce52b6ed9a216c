//! The drivers of the installed packages: what a `driver` action says is in the tables of drivers, where `add_drv` would have
//! put it. Nothing else puts it there in an image that was made elsewhere.
//!
//! A driver without its number, aliases, classes and minors is not found, or not opened, which is a fault. Modes, owners,
//! policies, privileges and links are the administrator's to change and stop no boot: where they differ, that is told.
//!
//! Facts: pkg(7), the driver action; add_drv(8), devlinks(8); `driver_aliases(5)`, `minor_perm(5)`, `driver_classes(5)`,
//! `device_policy(5)`; what an image knows of its packages is in `docs/formats/ips.md`.

use std::collections::BTreeMap;
use std::io;

use ips::image::{ImageConfig, manifest_path, state};
use ips::manifest::{Action, ActionKind, Manifest};

use super::files::Files;
use crate::inspect::findings::{Findings, chain};

const CONFIG: &str = "/var/pkg/pkg5.image";
const INSTALLED: &str = "/var/pkg/state/installed/catalog.base.C";

pub(super) fn check(files: &dyn Files, findings: &mut Findings) -> io::Result<()> {
    // An image that was made without packages, or has forgotten them, has nothing to be compared with.
    let (Some(config), Some(installed)) = (files.text(CONFIG)?, files.bytes(INSTALLED)?) else { return Ok(()) };
    let (config, installed) = match (ImageConfig::parse(&config), state::parse(&installed)) {
        (Ok(config), Ok(installed)) => (config, installed),
        (Err(error), _) => {
            findings.bad.push(format!("boot: {CONFIG}: {}", chain(&error)));
            return Ok(());
        }
        (_, Err(error)) => {
            findings.bad.push(format!("boot: {INSTALLED}: {}", chain(&error)));
            return Ok(());
        }
    };
    let tables = Tables::read(files)?;
    let (mut count, mut problems, mut is_all) = (0, Vec::new(), true);
    for entry in installed {
        let manifest = match read_manifest(files, &format!("/{}", manifest_path(&entry.id)))? {
            Ok(manifest) => manifest,
            Err(unread) => {
                findings.unread.push(unread);
                is_all = false;
                continue;
            }
        };
        let actions = manifest.of_kind(ActionKind::Driver);
        for action in actions.filter(|action| config.variants.allow(action) && config.facets.allow(action)) {
            count += 1;
            let Differences { faults, notices } = tables.compare(action);
            let package = entry.id.short();
            problems.extend(faults.iter().map(|fault| format!("boot: {package}: {fault}")));
            let told = notices.iter().map(|notice| format!("boot: {package}: {notice}, which stops no boot"));
            findings.good.extend(told);
        }
    }
    if problems.is_empty() && is_all {
        findings.good.push(format!("boot: all {count} drivers of the packages are in the tables"));
    }
    findings.bad.extend(problems);
    Ok(())
}

/// The manifest of an installed package, or what there is to say where it is none.
fn read_manifest(files: &dyn Files, path: &str) -> io::Result<Result<Manifest, String>> {
    let unread = format!("boot: {path}, whose drivers may be missing from the tables");
    let Some(bytes) = files.bytes(path)? else { return Ok(Err(unread)) };
    Ok(Manifest::parse(&bytes).map_err(|error| format!("{unread}: {error}")))
}

const MAJORS: &str = "/etc/name_to_major";
const ALIASES: &str = "/etc/driver_aliases";
const CLASSES: &str = "/etc/driver_classes";
const MINORS: &str = "/etc/minor_perm";
const POLICIES: &str = "/etc/security/device_policy";
const PRIVILEGES: &str = "/etc/security/extra_privs";
const LINKS: &str = "/etc/devlink.tab";

/// Where the tables do not say what an action does, in words.
#[derive(Default)]
struct Differences {
    faults: Vec<String>,
    notices: Vec<String>,
}

/// The words of the lines of each table, without quotes; a table that is not there has no lines.
struct Tables(BTreeMap<&'static str, Vec<Vec<String>>>);

impl Tables {
    fn read(files: &dyn Files) -> io::Result<Self> {
        let mut tables = BTreeMap::new();
        for path in [MAJORS, ALIASES, CLASSES, MINORS, POLICIES, PRIVILEGES, LINKS] {
            let mut lines: Vec<_> = files.text(path)?.unwrap_or_default().lines().map(words).collect();
            if path == POLICIES {
                // A driver alone stands for all of its minors.
                let alone = lines.iter_mut().filter_map(|line| line.first_mut()).filter(|device| !device.contains(':'));
                alone.for_each(|device| device.push_str(":*"));
            }
            tables.insert(path, lines);
        }
        Ok(Self(tables))
    }

    /// How the tables differ from what an action asks for.
    fn compare(&self, action: &Action) -> Differences {
        let name = action.get("name").unwrap_or_default();
        let mut found = Differences::default();
        if !self.0[MAJORS].iter().any(|line| line.first().is_some_and(|driver| driver == name)) {
            found.faults.push(format!("its driver {name} has no number in {MAJORS}, so the kernel does not know it"));
            return found;
        }
        let missing = |path: &str, attribute: &str, line: &dyn Fn(&str) -> String| -> Vec<String> {
            let lines = action.values(attribute).map(line).filter(|line| !self.0[path].contains(&words(line)));
            lines.map(|line| format!("{path} has no line `{line}` for its driver {name}")).collect()
        };
        found.faults.extend(missing(ALIASES, "alias", &|alias| format!("{name} \"{alias}\"")));
        found.faults.extend(missing(CLASSES, "class", &|class| format!("{name} {class}")));
        found.notices.extend(missing(PRIVILEGES, "privs", &|privilege| format!("{name}:{privilege}")));
        // Manifests have two characters for a tab.
        found.notices.extend(missing(LINKS, "devlink", &|link| link.replace("\\t", " ")));
        let Differences { faults, notices } = self.compare_devices(MINORS, name, permissions(name, action));
        found.faults.extend(faults);
        found.notices.extend(notices);
        let policies = action.values("policy").map(|policy| policy_line(name, policy)).collect();
        let Differences { faults, notices } = self.compare_devices(POLICIES, name, policies);
        found.notices.extend(faults.into_iter().chain(notices));
        found
    }

    /// Compares lines that begin with a device: it is a fault if the table has none for it, and a notice if it has another
    /// one. Of several for one device the last one counts, as where packages are installed.
    fn compare_devices(&self, path: &str, name: &str, lines: Vec<Vec<String>>) -> Differences {
        let wanted: BTreeMap<_, _> = lines.into_iter().filter_map(|line| Some((line.first()?.clone(), line))).collect();
        let mut found = Differences::default();
        for (device, line) in wanted {
            let there: Vec<_> = self.0[path].iter().filter(|there| there.first() == Some(&device)).collect();
            let text = line.join(" ");
            match there.first() {
                None => found.faults.push(format!("{path} has no line `{text}` for its driver {name}")),
                Some(_) if there.contains(&&line) => {}
                Some(other) => {
                    let other = other.join(" ");
                    found.notices.push(format!("{path} has `{other}` for its driver {name}, and not `{text}`"));
                }
            }
        }
        found
    }
}

/// The words of the lines of `/etc/minor_perm` that an action asks for.
fn permissions(name: &str, action: &Action) -> Vec<Vec<String>> {
    let own = action.values("perms").map(|perms| words(&format!("{name}:{perms}")));
    // With three words the minor name is the driver's.
    let of_clone = action.values("clone_perms").map(|perms| match words(perms).len() {
        3 => words(&format!("clone:{name} {perms}")),
        _ => words(&format!("clone:{perms}")),
    });
    own.chain(of_clone).collect()
}

/// The words of the line for a policy, `[<minor>] read_priv_set=… write_priv_set=…`; without a minor it is for all.
fn policy_line(name: &str, policy: &str) -> Vec<String> {
    let has_minor = words(policy).first().is_some_and(|word| !word.contains('='));
    words(&if has_minor { format!("{name}:{policy}") } else { format!("{name}:* {policy}") })
}

/// The words of a line, up to a comment.
fn words(line: &str) -> Vec<String> {
    let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
    words.map(|word| word.trim_matches('"').to_owned()).collect()
}
