//! What a machine looks like to each hypervisor.
//!
//! Only QEMU is driven. For the others the documented form is printed, to be
//! run or defined by hand.

use crate::base64;
use crate::config::Config;
use crate::directory::VmDirectory;
use crate::qemu::{MOUNT_TAG, Machine};
use process_runner::shell_quote;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;
use std::str::FromStr;

/// The programs that could run a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// QEMU, driven by us.
    Qemu,
    /// bhyve of illumos and FreeBSD, printed only.
    Bhyve,
    /// libvirt's domain description, printed only.
    Libvirt,
}

impl Hypervisor {
    /// The name in options.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Bhyve => "bhyve",
            Self::Libvirt => "libvirt",
        }
    }

    /// The machine in this hypervisor's own terms.
    #[must_use]
    pub fn describe(self, machine: &Machine, config: &Config, directory: &VmDirectory) -> String {
        match self {
            Self::Qemu => qemu_line(&machine.argv(), directory.path()),
            Self::Bhyve => bhyve(machine, config),
            Self::Libvirt => libvirt(machine, directory),
        }
    }
}

impl FromStr for Hypervisor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Qemu, Self::Bhyve, Self::Libvirt]
            .into_iter()
            .find(|hypervisor| hypervisor.as_str() == name)
            .ok_or_else(|| "one of qemu, bhyve, libvirt".to_owned())
    }
}

/// The command for a POSIX shell: in the machine's directory, one option on each line.
#[must_use]
pub fn qemu_line(argv: &[String], directory: &Path) -> String {
    let mut text = format!("cd {} &&\n", shell_quote(directory.as_os_str()));
    for (index, argument) in argv.iter().enumerate() {
        if index > 0 {
            text.push_str(if argument.starts_with('-') { " \\\n  " } else { " " });
        }
        text.push_str(&shell_quote(OsStr::new(argument)));
    }
    text.push('\n');
    text
}

/// bhyve reads raw disks only, so it gets the image itself and not our overlay.
fn bhyve(machine: &Machine, config: &Config) -> String {
    let quote = |text: &str| shell_quote(OsStr::new(text));
    let (freebsd_only, bootrom, network) = if cfg!(target_os = "freebsd") {
        ("-A ", "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd", "virtio-net,tap0")
    } else {
        ("", "/usr/share/bhyve/firmware/BHYVE_UEFI.fd", "virtio-net-viona,vnic=dev0")
    };
    let mut text =
        String::from("# bhyve writes to the image itself: give it a copy. The network device has to be made before.\n");
    let mut line = |part: String| text.push_str(&format!("{part} \\\n"));
    line(format!("bhyve {freebsd_only}-H -w -c {} -m {}M", machine.cpus, machine.memory_mib));
    line(format!("  -l bootrom,{bootrom} -l com1,stdio"));
    line("  -s 0,hostbridge -s 1,lpc".to_owned());
    line(format!("  -s 3,{}", quote(&format!("virtio-blk,{}", config.image.display()))));
    line(format!("  -s 4,{network}"));
    if let Some(share) = &machine.share {
        let ro = if share.writable { "" } else { ",ro" };
        let slot = format!("virtio-9p,{MOUNT_TAG}={}{ro}", share.path.display());
        line(format!("  -s 9,{}", quote(&slot)));
    }
    let _ = writeln!(text, "  {}", quote(&format!("dev-vm-{}", machine.name)));
    text
}

fn libvirt(machine: &Machine, directory: &VmDirectory) -> String {
    let path = |path: &Path| escape_xml(&path.to_string_lossy());
    let name = &machine.name;
    let credential = base64::encode(format!("{}\n", machine.public_key.trim()).as_bytes());
    let share = machine.share.as_ref().map_or(String::new(), |share| {
        let readonly = if share.writable { "" } else { "\n      <readonly/>" };
        format!(
            "
    <filesystem type='mount' accessmode='squash'>
      <driver type='path'/>
      <source dir='{}'/>
      <target dir='{MOUNT_TAG}'/>{readonly}
    </filesystem>",
            path(&share.path)
        )
    });
    format!(
        "<domain type='{kind}'>
  <name>dev-vm-{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{cpus}</vcpu>
  <sysinfo type='smbios'>
    <oemStrings>
      <entry>io.systemd.credential.binary:ssh.authorized_keys.root={credential}</entry>
    </oemStrings>
  </sysinfo>
  <os>
    <type arch='x86_64' machine='{kind_of_machine}'>hvm</type>
    <loader readonly='yes' type='pflash' format='{code_format}'>{code}</loader>
    <nvram>{variables}</nvram>
    <smbios mode='sysinfo'/>
  </os>
  <features><acpi/></features>
  <cpu mode='{cpu}'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='user'><model type='virtio'/></interface>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>{share}
  </devices>
</domain>
",
        kind = if machine.accelerator.as_str() == "tcg" { "qemu" } else { machine.accelerator.as_str() },
        memory = machine.memory_mib,
        cpus = machine.cpus,
        kind_of_machine = escape_xml(&machine.machine),
        code_format = machine.firmware.code_format.as_str(),
        code = path(&machine.firmware.code),
        variables = path(&directory.firmware_variables()),
        cpu = if machine.accelerator.cpu_model() == "host" { "host-passthrough" } else { "maximum" },
        disk = path(&directory.overlay()),
    )
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;").replace('"', "&quot;")
}
