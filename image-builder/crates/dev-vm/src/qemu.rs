//! The QEMU command of a machine: an argument vector and nothing else.

use crate::accelerator::{Accelerator, SANDBOX};
use crate::files::file;
use crate::firmware::Firmware;
use crate::hypervisor::MOUNT_TAG;
use crate::hypervisor::Share;
use crate::name::VmName;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::path::Path;

/// Everything that the command depends on. All of it is text, so that it can be written down and read back.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The emulator.
    pub program: String,
    /// The machine's name, part of what the host's process list shows.
    pub name: VmName,
    /// The machine type.
    pub machine: String,
    /// How guest code is executed.
    pub accelerator: Accelerator,
    /// Whether QEMU's sandbox is there.
    pub sandbox: bool,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// The number of virtual processors.
    pub cpus: u32,
    /// The firmware.
    pub firmware: Firmware,
    /// The host directory that the guest sees.
    pub share: Option<Share>,
    /// The port on 127.0.0.1 that leads to the guest's port 22.
    pub ssh_port: u16,
    /// The public half of the machine's key, one line.
    pub public_key: String,
}

impl Machine {
    /// The argument vector. It is to be run in the machine's directory: the names of its files are relative.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        let mut argv = Argv(vec![self.program.clone()]);
        argv.option("-name", &format!("dev-vm-{}", self.name))
            .option("-machine", &self.machine)
            .option("-accel", self.accelerator.as_str())
            .option("-cpu", self.accelerator.cpu_model())
            .option("-smp", &self.cpus.to_string())
            .option("-m", &self.memory_mib.to_string())
            .flag("-no-user-config")
            .flag("-nodefaults")
            .option("-display", "none")
            .option("-pidfile", file::QEMU_PID);
        if self.sandbox {
            argv.option("-sandbox", SANDBOX);
        }
        self.firmware(&mut argv);
        self.disk(&mut argv);
        self.network(&mut argv);
        self.consoles(&mut argv);
        self.share(&mut argv);
        argv.option("-device", "virtio-rng-pci").option("-smbios", &credential(&self.public_key));
        argv.0
    }

    fn firmware(&self, argv: &mut Argv) {
        let code = &self.firmware.code;
        let code_format = self.firmware.code_format.as_str();
        argv.option("-drive", &format!("if=pflash,unit=0,readonly=on,format={code_format},file={}", escape_path(code)))
            .option(
                "-drive",
                &format!(
                    "if=pflash,unit=1,format={},file={}",
                    self.firmware.variables_format.as_str(),
                    file::FIRMWARE_VARIABLES
                ),
            );
    }

    fn disk(&self, argv: &mut Argv) {
        // `discard` lets the guest's trimmed blocks shrink the overlay's growth.
        argv.option("-drive", &format!("if=none,id=disk0,format=qcow2,discard=unmap,file={}", file::OVERLAY))
            .option("-device", "virtio-blk-pci,drive=disk0,bootindex=0");
    }

    fn network(&self, argv: &mut Argv) {
        argv.option("-netdev", &format!("user,id=net0,hostfwd=tcp:127.0.0.1:{}-:22", self.ssh_port))
            // Without its option ROM, which would try to boot from the network.
            .option("-device", "virtio-net-pci,netdev=net0,romfile=");
    }

    fn consoles(&self, argv: &mut Argv) {
        // The log is written by QEMU itself, so nothing is lost while nobody is attached.
        argv.option(
            "-chardev",
            &format!(
                "socket,id=serial0,path={},server=on,wait=off,logfile={},logappend=on",
                file::SERIAL_SOCKET,
                file::CONSOLE_LOG
            ),
        )
        .option("-serial", "chardev:serial0")
        .option("-chardev", &format!("socket,id=qmp0,path={},server=on,wait=off", file::QMP_SOCKET))
        .option("-mon", "chardev=qmp0,mode=control");
    }

    fn share(&self, argv: &mut Argv) {
        let Some(share) = &self.share else {
            return;
        };
        // `none`: files have the modes that they have, new ones belong to the user who runs QEMU,
        // and a chown to anybody else is refused. The mapped models would hide what the guest
        // writes from the host's tools, and `passthrough` needs root.
        let readonly = if share.writable { "" } else { ",readonly=on" };
        argv.option(
            "-fsdev",
            &format!("local,id=fs0,path={},security_model=none,multidevs=remap{readonly}", escape_path(&share.path)),
        )
        // illumos binds to the transitional device id only.
        .option(
            "-device",
            &format!("virtio-9p-pci,fsdev=fs0,mount_tag={MOUNT_TAG},disable-legacy=off,disable-modern=off"),
        );
    }
}

fn credential(public_key: &str) -> String {
    format!("type=11,value={}", credential_value(public_key))
}

/// The SMBIOS string that a systemd guest takes for root's authorised keys, and the illumos guest, too.
pub(crate) fn credential_value(public_key: &str) -> String {
    let line = format!("{}\n", public_key.trim());
    format!("io.systemd.credential.binary:ssh.authorized_keys.root={}", BASE64_STANDARD.encode(line.as_bytes()))
}

/// QEMU splits option values at commas; a doubled comma stands for one.
fn escape_path(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

struct Argv(Vec<String>);

impl Argv {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.to_owned());
        self
    }

    fn option(&mut self, name: &str, value: &str) -> &mut Self {
        self.flag(name).flag(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::DiskFormat;

    fn machine() -> Machine {
        Machine {
            program: "/usr/bin/qemu-system-x86_64".to_owned(),
            name: "dev".parse().unwrap(),
            machine: "pc".to_owned(),
            accelerator: Accelerator::Tcg,
            sandbox: true,
            memory_mib: 2048,
            cpus: 2,
            firmware: Firmware {
                descriptor: "/usr/share/qemu/firmware/60-edk2.json".into(),
                code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
                code_format: DiskFormat::Raw,
                variables: "/usr/share/OVMF/OVMF_VARS_4M.fd".into(),
                variables_format: DiskFormat::Raw,
            },
            share: Some(Share { path: "/home/me/installer".into(), writable: false }),
            ssh_port: 2222,
            public_key: "ssh-ed25519 AAAA dev-vm\n".to_owned(),
        }
    }

    #[test]
    fn the_whole_command() {
        // One option with its value on each line.
        let mut text = String::new();
        for argument in machine().argv() {
            text.push(if argument.starts_with('-') { '\n' } else { ' ' });
            text.push_str(&argument);
        }
        insta::assert_snapshot!(text.trim());
    }

    fn values(machine: &Machine, name: &str) -> Vec<String> {
        let argv = machine.argv();
        let pairs = argv.windows(2).filter(|pair| pair[0] == name);
        pairs.map(|pair| pair[1].clone()).collect()
    }

    #[test]
    fn a_writable_share_is_not_read_only_and_commas_are_doubled() {
        let mut machine = machine();
        machine.share = Some(Share { path: "/a,b/c d".into(), writable: true });
        assert_eq!(values(&machine, "-fsdev"), ["local,id=fs0,path=/a,,b/c d,security_model=none,multidevs=remap"]);
    }

    #[test]
    fn without_share_and_sandbox_neither_is_named() {
        let mut machine = machine();
        machine.share = None;
        machine.sandbox = false;
        machine.accelerator = Accelerator::Kvm;
        assert!(values(&machine, "-fsdev").is_empty());
        assert!(values(&machine, "-sandbox").is_empty());
        assert!(!machine.argv().join(" ").contains("9p"));
        assert_eq!(values(&machine, "-cpu"), ["host"]);
    }

    #[test]
    fn variables_keep_the_format_of_their_template() {
        let mut machine = machine();
        machine.firmware.variables_format = DiskFormat::Qcow2;
        machine.firmware.code_format = DiskFormat::Qcow2;
        let drives = values(&machine, "-drive");
        assert!(drives[0].contains("unit=0,readonly=on,format=qcow2,"), "{drives:?}");
        assert!(drives[1].contains("unit=1,format=qcow2,"), "{drives:?}");
    }
}
