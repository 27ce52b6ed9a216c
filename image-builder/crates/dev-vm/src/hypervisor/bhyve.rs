//! bhyve, as illumos and FreeBSD have it.
//!
//! Facts: bhyve(8) of both systems. They share the devices and the exit statuses; firmware, network and some options
//! differ. Neither can pass the machine's key to the guest, so the way in is the console.

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
    /// A program that says whether the network's device is there, and how to make it; the name follows both.
    network_check: (&'static [&'static str], &'static str),
    firmware_package: &'static str,
}

/// illumos always has ACPI; its network back end is viona, over a VNIC.
const ILLUMOS: Flavour = Flavour {
    options: &["-H", "-w"],
    firmware: "/usr/share/bhyve/firmware/BHYVE_UEFI.fd",
    network: ("virtio-net-viona,vnic=", "dev0"),
    network_check: (&["dladm", "show-vnic"], "dladm create-vnic -t -l LINK"),
    firmware_package: "`pkg search -r BHYVE_UEFI.fd` names its package",
};

const FREEBSD: Flavour = Flavour {
    options: &["-A", "-H", "-w"],
    firmware: "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd",
    network: ("virtio-net,", "tap0"),
    network_check: (&["ifconfig"], "ifconfig tap create up name"),
    firmware_package: "pkg install edk2-bhyve",
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
        let path = plain(&share.path)?;
        if path.contains('=') {
            return Err(DescribeError::Equals { path: share.path.clone() });
        }
        let ro = if share.writable { "" } else { ",ro" };
        option(&["-s", &format!("9,virtio-9p,{MOUNT_TAG}={path}{ro}")]);
    }
    option(&[&vm_name(description)]);
    Ok(argv)
}

fn plain(path: &Path) -> Result<String, DescribeError> {
    let text = path.to_string_lossy();
    if text.contains(',') { Err(DescribeError::Comma { path: path.to_owned() }) } else { Ok(text.into_owned()) }
}

/// What the host lacks before bhyve can run the machine, each with what makes it.
pub(crate) fn unmet(hypervisor: Hypervisor, host: &BhyveParts) -> Vec<String> {
    let flavour = flavour(hypervisor);
    let (firmware, network) = parts(flavour, host);
    let (check, make) = flavour.network_check;
    let mut unmet = Vec::new();
    if !firmware.exists() {
        unmet.push(format!("no firmware at {}: {}", firmware.display(), flavour.firmware_package));
    }
    if Command::new(check[0]).args(&check[1..]).arg(network).run().is_err() {
        unmet.push(format!("no network device {network} ({} {network} fails): {make} {network}", check.join(" ")));
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
    use crate::config::Share;
    use crate::hypervisor::tests::description;

    const DEVICES: [&str; 7] =
        ["hostbridge", "lpc", "virtio-blk", "virtio-net", "virtio-net-viona", "virtio-rnd", "virtio-9p"];

    /// A command by the grammar of the manual pages; what is wrong with it.
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
                "-s" => slots.push(slot(value)?),
                "-l" => has_firmware |= value.starts_with("bootrom,/"),
                "-c" => drop(value.parse::<u32>().map_err(|error| error.to_string())?),
                _ => drop(value.strip_suffix('M').ok_or("no unit")?.parse::<u32>().map_err(|error| error.to_string())?),
            }
        }
        if name.is_none_or(|name| name.starts_with('-')) || words.next().is_some() || !has_firmware {
            return Err("no name at the end, or no firmware".to_owned());
        }
        let before = slots.len();
        slots.sort_unstable();
        slots.dedup();
        if slots.len() == before { Ok(()) } else { Err("two devices in one slot".to_owned()) }
    }

    /// `SLOT,DEVICE[,CONFIGURATION]`, and for a share `TAG=PATH[,ro]`.
    fn slot(value: &str) -> Result<u32, String> {
        let mut parts = value.split(',');
        let slot = parts.next().and_then(|slot| slot.parse().ok()).filter(|slot| *slot < 32).ok_or("no slot")?;
        let device = parts.next().filter(|device| DEVICES.contains(device)).ok_or("no device")?;
        let rest: Vec<&str> = parts.collect();
        let is_good = match (device, rest.as_slice()) {
            ("hostbridge" | "lpc" | "virtio-rnd", []) => true,
            ("virtio-blk", [path]) => path.starts_with('/'),
            ("virtio-net", [tap]) => tap.starts_with("tap"),
            ("virtio-net-viona", [vnic]) => vnic.starts_with("vnic="),
            ("virtio-9p", [share] | [share, "ro"]) => {
                let (tag, path) = share.split_once('=').ok_or("no tag")?;
                (1..=31).contains(&tag.len()) && path.starts_with('/') && !path.contains('=')
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
                machine.share = share.map(|writable| Share { path: "/home/me/a b".into(), writable });
                let argv = command(hypervisor, &machine, &BhyveParts::default()).unwrap();
                assert_eq!(check(hypervisor, &argv), Ok(()), "{argv:?}");
            }
        }
        // FreeBSD's options are not illumos'.
        let argv = command(Hypervisor::BhyveFreebsd, &description(), &BhyveParts::default()).unwrap();
        assert!(check(Hypervisor::BhyveIllumos, &argv).is_err());
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
        let equals = "bhyve cannot share /a=b, because there is an equals sign in its path";
        assert_eq!(refused(&|machine| machine.share = share("/a=b")), equals);
        let said = refused(&|machine| machine.disk_format = DiskFormat::Qcow2);
        assert!(said.starts_with("bhyve reads raw images only"), "{said}");
    }
}
