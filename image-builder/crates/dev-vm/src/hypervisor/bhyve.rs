//! bhyve, as illumos and FreeBSD have it.
//!
//! Facts: bhyve(8) of both systems, and their sources where these say more (option parsing, `config.c`,
//! `pci_virtio_9p.c`, `net_backends.c`). They share the devices and the exit statuses; firmware, network and some
//! options differ. Neither can pass the machine's key to the guest, so the way in is the console.

use super::{DescribeError, Description, Hypervisor, MOUNT_TAG};
use crate::host::BhyveParts;
use crate::image::DiskFormat;
use process_runner::Command;
use std::path::Path;

/// What differs between the two.
struct Flavour {
    options: &'static [&'static str],
    firmware: &'static str,
    /// The network's device up to its name, and the name.
    network: (&'static str, &'static str),
    /// What the names of such devices begin with; none, where any does.
    network_prefixes: &'static [&'static str],
    /// A program that says whether the network's device, whose name follows, is there.
    network_check: &'static [&'static str],
    /// How it is made; `NAME` is its name, `LINK` the network interface of the host.
    network_make: &'static str,
    firmware_package: &'static str,
    /// How a user of that system runs a program as root.
    as_root: &'static str,
}

/// illumos' manual has no option for ACPI: the tables are those of the firmware. Its network back end is viona, over a
/// VNIC of any name.
const ILLUMOS: Flavour = Flavour {
    options: &["-H", "-w"],
    firmware: "/usr/share/bhyve/firmware/BHYVE_UEFI.fd",
    network: ("virtio-net-viona,vnic=", "dev0"),
    network_prefixes: &[],
    network_check: &["dladm", "show-vnic"],
    network_make: "dladm create-vnic -t -l LINK NAME",
    firmware_package: "`pkg search -r BHYVE_UEFI.fd` names its package",
    as_root: "pfexec",
};

/// On older FreeBSDs the guest has ACPI tables with `-A` alone; newer ones always make them, and take the option without
/// naming it in their manual. The back end is known by the beginning of the device's name, and sets the device up
/// itself; only a bridge leads from it to the outside.
const FREEBSD: Flavour = Flavour {
    options: &["-A", "-H", "-w"],
    firmware: "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd",
    network: ("virtio-net,", "tap0"),
    network_prefixes: &["tap", "vmnet"],
    network_check: &["ifconfig"],
    network_make: "ifconfig NAME create && ifconfig bridge0 create addm LINK addm NAME up",
    firmware_package: "pkg install edk2-bhyve",
    as_root: "sudo",
};

fn flavour(hypervisor: Hypervisor) -> &'static Flavour {
    match hypervisor {
        Hypervisor::BhyveFreebsd => &FREEBSD,
        _ => &ILLUMOS,
    }
}

/// The firmware and the network's device that are to be used.
fn parts<'a>(flavour: &'a Flavour, host: &'a BhyveParts) -> (&'a Path, &'a str) {
    let firmware = host.firmware.as_deref().unwrap_or(Path::new(flavour.firmware));
    (firmware, host.network.as_deref().unwrap_or(flavour.network.1))
}

/// The network device's own name: options of bhyve's may follow it.
fn device_name(network: &str) -> &str {
    network.split(',').next().unwrap_or(network)
}

/// The name that bhyve's kernel module knows the machine by.
pub(crate) fn vm_name(description: &Description) -> String {
    format!("dev-vm-{}", description.name)
}

/// The command. It ends with 0 when the guest wants to be started again.
///
/// # Errors
/// [`DescribeError`].
pub(crate) fn command(
    hypervisor: Hypervisor,
    description: &Description,
    host: &BhyveParts,
) -> Result<Vec<String>, DescribeError> {
    if description.disk_format != DiskFormat::Raw {
        return Err(DescribeError::NotRaw { image: description.image.clone() });
    }
    let flavour = flavour(hypervisor);
    let (firmware, network) = parts(flavour, host);
    let prefixes = flavour.network_prefixes;
    if !prefixes.is_empty() && !prefixes.iter().any(|prefix| network.starts_with(prefix)) {
        return Err(DescribeError::Network { name: network.to_owned(), prefixes });
    }
    let mut argv = vec!["bhyve".to_owned()];
    let mut option = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    option(flavour.options);
    option(&["-c", &description.cpus.to_string(), "-m", &format!("{}M", description.memory_mib)]);
    option(&["-l", &format!("bootrom,{}", plain(firmware)?), "-l", "com1,stdio"]);
    option(&["-s", "0,hostbridge", "-s", "1,lpc"]);
    option(&["-s", &format!("3,virtio-blk,{}", plain(&description.disk)?)]);
    option(&["-s", &format!("4,{}{network}", flavour.network.0)]);
    option(&["-s", "5,virtio-rnd"]);
    if let Some(share) = &description.share {
        // The first equals sign ends the tag; all others are the path's.
        let ro = if share.writable { "" } else { ",ro" };
        option(&["-s", &format!("9,virtio-9p,{MOUNT_TAG}={}{ro}", plain(&share.path)?)]);
    }
    option(&[&vm_name(description)]);
    Ok(argv)
}

/// The path as bhyve takes it back. It splits options at commas, and in a value with a per cent sign it replaces
/// `%(variable)` and drops backslashes.
fn plain(path: &Path) -> Result<String, DescribeError> {
    let text = path.to_string_lossy();
    if text.contains(',') {
        Err(DescribeError::Comma { path: path.to_owned() })
    } else if text.contains("%(") || (text.contains('%') && text.contains('\\')) {
        Err(DescribeError::Reference { path: path.to_owned() })
    } else {
        Ok(text.into_owned())
    }
}

/// What the host lacks before bhyve can run the machine, each with what makes it.
pub(crate) fn unmet(hypervisor: Hypervisor, host: &BhyveParts) -> Vec<String> {
    let flavour = flavour(hypervisor);
    let (firmware, network) = parts(flavour, host);
    let (check, name) = (flavour.network_check, device_name(network));
    let mut unmet = Vec::new();
    // Where `id` cannot say it, bhyve does.
    if Command::new("id").arg("-u").run().is_ok_and(|user| user.stdout_text().trim() != "0") {
        unmet.push(format!("only root runs a machine with bhyve here: {} dev-vm …", flavour.as_root));
    }
    if !firmware.exists() {
        unmet.push(format!("no firmware at {}: {}", firmware.display(), flavour.firmware_package));
    }
    if Command::new(check[0]).args(&check[1..]).arg(name).run().is_err() {
        let make = flavour.network_make.replace("NAME", name);
        unmet.push(format!("no network device {name} ({} {name} fails): {make}", check.join(" ")));
    }
    // The directory appears with the first machine; the module may be there all the same.
    let has_module =
        || Path::new("/dev/vmm").exists() || Command::new("kldstat").args(["-q", "-m", "vmm"]).run().is_ok();
    if hypervisor == Hypervisor::BhyveFreebsd && !has_module() {
        unmet.push("the kernel module is not loaded: kldload vmm".to_owned());
    }
    unmet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::Share;
    use crate::hypervisor::tests::description;

    const DEVICES: [&str; 7] =
        ["hostbridge", "lpc", "virtio-blk", "virtio-net", "virtio-net-viona", "virtio-rnd", "virtio-9p"];

    /// A command by the grammar of the manual pages; what is wrong with it. FreeBSD's newest one has no `-A` any more; the
    /// program takes it all the same.
    fn check(hypervisor: Hypervisor, argv: &[String]) -> Result<(), String> {
        let with_value = ["-c", "-m", "-l", "-s"];
        let without = if hypervisor == Hypervisor::BhyveFreebsd { &["-A", "-H", "-w"][..] } else { &["-H", "-w"] };
        let mut words = argv.iter().skip(1).map(String::as_str);
        let (mut slots, mut has_firmware, mut name) = (Vec::new(), false, None);
        while let Some(word) = words.next() {
            if without.contains(&word) {
                continue;
            }
            if !with_value.contains(&word) {
                name = Some(word);
                break;
            }
            let value = words.next().ok_or("an option without its value")?;
            match word {
                "-s" => slots.push(slot(hypervisor, value)?),
                "-l" => match value.split_once(',').ok_or("a device without its back end")? {
                    ("bootrom", file) => has_firmware |= file.starts_with('/') && !file.contains(','),
                    ("com1", "stdio") => {}
                    _ => return Err(format!("{value} is not understood")),
                },
                "-c" => drop(value.parse::<u32>().map_err(|error| error.to_string())?),
                _ => drop(value.strip_suffix('M').ok_or("no unit")?.parse::<u32>().map_err(|error| error.to_string())?),
            }
        }
        if name.is_none_or(|name| name.starts_with('-')) || words.next().is_some() || !has_firmware {
            return Err("no name at the end, or no firmware".to_owned());
        }
        // What stands on the LPC bridge (`-l`) needs one.
        if !argv.iter().any(|word| word.ends_with(",lpc")) {
            return Err("no LPC bridge".to_owned());
        }
        let before = slots.len();
        slots.sort_unstable();
        slots.dedup();
        if slots.len() == before { Ok(()) } else { Err("two devices in one slot".to_owned()) }
    }

    /// `SLOT,DEVICE[,CONFIGURATION]`, and for a share `TAG=PATH[,ro]`.
    fn slot(hypervisor: Hypervisor, value: &str) -> Result<u32, String> {
        let is_freebsd = hypervisor == Hypervisor::BhyveFreebsd;
        let mut parts = value.split(',');
        let slot = parts.next().and_then(|slot| slot.parse().ok()).filter(|slot| *slot < 32).ok_or("no slot")?;
        let device = parts.next().filter(|device| DEVICES.contains(device)).ok_or("no device")?;
        let rest: Vec<&str> = parts.collect();
        let is_good = match (device, rest.as_slice()) {
            ("hostbridge" | "lpc" | "virtio-rnd", []) => true,
            ("virtio-blk", [path]) => path.starts_with('/'),
            ("virtio-net", [tap, options @ ..]) if is_freebsd => {
                (tap.starts_with("tap") || tap.starts_with("vmnet"))
                    && options.iter().all(|option| option.starts_with("mac=") || option.starts_with("mtu="))
            }
            ("virtio-net-viona", [vnic, ..]) if !is_freebsd => vnic.starts_with("vnic="),
            ("virtio-9p", [share] | [share, "ro"]) => {
                let (tag, path) = share.split_once('=').ok_or("no tag")?;
                (1..=31).contains(&tag.len()) && path.starts_with('/')
            }
            _ => false,
        };
        if is_good { Ok(slot) } else { Err(format!("{value} is not understood")) }
    }

    #[test]
    fn both_commands_are_by_the_grammar() {
        for hypervisor in [Hypervisor::BhyveIllumos, Hypervisor::BhyveFreebsd] {
            let mut machine = description();
            for share in [None, Some(true), Some(false)] {
                machine.share = share.map(|writable| Share { path: "/home/me/a=b 50% c".into(), writable });
                let argv = command(hypervisor, &machine, &BhyveParts::default()).unwrap();
                assert_eq!(check(hypervisor, &argv), Ok(()), "{argv:?}");
            }
        }
        // FreeBSD's options and devices are not illumos'.
        let mut argv = command(Hypervisor::BhyveFreebsd, &description(), &BhyveParts::default()).unwrap();
        assert!(check(Hypervisor::BhyveIllumos, &argv).is_err());
        argv.retain(|word| word != "-A");
        assert!(check(Hypervisor::BhyveIllumos, &argv).unwrap_err().contains("virtio-net,tap0"));
    }

    #[test]
    fn the_network_is_one_that_the_system_has() {
        let with = |hypervisor, network: &str| {
            let host = BhyveParts { network: Some(network.to_owned()), ..BhyveParts::default() };
            command(hypervisor, &description(), &host).map(|argv| (check(hypervisor, &argv), argv))
        };
        for network in ["tap7", "vmnet0", "tap1,mac=00:be:fa:76:45:00"] {
            let (verdict, argv) = with(Hypervisor::BhyveFreebsd, network).unwrap();
            assert_eq!(verdict, Ok(()));
            assert!(argv.contains(&format!("4,virtio-net,{network}")), "{argv:?}");
        }
        let said = with(Hypervisor::BhyveFreebsd, "em0").unwrap_err().to_string();
        assert_eq!(said, "bhyve cannot use em0 as its network: the name has to begin with tap or vmnet");
        // illumos calls a VNIC what its administrator likes.
        assert_eq!(with(Hypervisor::BhyveIllumos, "em0").unwrap().0, Ok(()));
    }

    #[test]
    fn the_whole_commands() {
        let line = |hypervisor| {
            command(hypervisor, &description(), &BhyveParts::default()).unwrap().join(" ").replace(" -", "\n-")
        };
        insta::assert_snapshot!("illumos", line(Hypervisor::BhyveIllumos));
        insta::assert_snapshot!("freebsd", line(Hypervisor::BhyveFreebsd));
    }

    #[test]
    fn what_cannot_be_said_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut Description)| {
            let mut machine = description();
            change(&mut machine);
            command(Hypervisor::BhyveIllumos, &machine, &BhyveParts::default()).unwrap_err().to_string()
        };
        let share = |path: &str| Some(Share { path: path.into(), writable: false });
        let comma = "bhyve cannot be told of /a,b, because there is a comma in its path";
        assert_eq!(refused(&|machine| machine.share = share("/a,b")), comma);
        assert_eq!(refused(&|machine| machine.disk = "/a,b".into()), comma);
        for path in ["/a%(name)", "/50%\\a"] {
            let said = refused(&|machine| machine.share = share(path));
            assert!(said.contains(path) && said.ends_with("it would read a variable in its path"), "{said}");
        }
        let said = refused(&|machine| machine.disk_format = DiskFormat::Qcow2);
        assert!(said.starts_with("bhyve reads raw images only"), "{said}");
    }
}
