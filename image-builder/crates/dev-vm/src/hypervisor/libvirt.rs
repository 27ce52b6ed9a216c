//! libvirt's domain description, for its QEMU driver.
//!
//! Facts: libvirt's formatdomain page. The firmware is libvirt's to find (`firmware='efi'`), so that no path of one
//! distribution is in it; virtio devices are transitional, because illumos' drivers know no other device ids; the
//! machine's key travels as an SMBIOS string; the port is forwarded from 127.0.0.1 alone, by passt.

use super::{DescribeError, Description, MOUNT_TAG};
use crate::accelerator::Accelerator;
use crate::qemu::credential_value;
use std::path::Path;

/// The domain.
///
/// # Errors
/// [`DescribeError::Control`].
pub(crate) fn domain(description: &Description) -> Result<String, DescribeError> {
    let shared = description.share.as_ref().map(|share| &share.path);
    for path in shared.into_iter().chain([&description.disk, &description.console_log]) {
        if path.to_string_lossy().contains(char::is_control) {
            return Err(DescribeError::Control { path: path.clone() });
        }
    }
    let path = |path: &Path| escape(&path.to_string_lossy());
    // On a type that nothing accelerates, every model of the host's would be a lie.
    let (kind, cpu) = match description.accelerator {
        Accelerator::Tcg => ("qemu", "maximum"),
        Accelerator::Hvf => ("hvf", "host-passthrough"),
        _ => ("kvm", "host-passthrough"),
    };
    let share = description.share.as_ref().map_or(String::new(), |share| {
        let readonly = if share.writable { "" } else { "\n      <readonly/>" };
        format!(
            "
    <filesystem type='mount' accessmode='squash' model='virtio-transitional'>
      <driver type='path'/>
      <source dir='{}'/>
      <target dir='{MOUNT_TAG}'/>{readonly}
    </filesystem>",
            path(&share.path)
        )
    });
    Ok(format!(
        "<domain type='{kind}'>
  <name>dev-vm-{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu placement='static'>{cpus}</vcpu>
  <sysinfo type='smbios'>
    <oemStrings>
      <entry>{credential}</entry>
    </oemStrings>
  </sysinfo>
  <os firmware='efi'>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <firmware>
      <feature enabled='no' name='secure-boot'/>
    </firmware>
    <smbios mode='sysinfo'/>
  </os>
  <features>
    <acpi/>
  </features>
  <cpu mode='{cpu}'/>
  <devices>
    <disk type='file' device='disk' model='virtio-transitional'>
      <driver name='qemu' type='{format}' discard='unmap'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>{share}
    <interface type='user'>
      <backend type='passt'/>
      <portForward proto='tcp' address='127.0.0.1'>
        <range start='{port}' to='22'/>
      </portForward>
      <model type='virtio-transitional'/>
    </interface>
    <rng model='virtio-transitional'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
    <serial type='pty'>
      <log file='{log}' append='on'/>
      <target port='0'/>
    </serial>
    <console type='pty'>
      <target type='serial' port='0'/>
    </console>
  </devices>
</domain>
",
        name = description.name,
        uuid = description.uuid,
        memory = description.memory_mib,
        cpus = description.cpus,
        credential = escape(&credential_value(&description.public_key)),
        machine = escape(&description.machine),
        format = description.disk_format.as_str(),
        disk = path(&description.disk),
        port = description.ssh_port,
        log = path(&description.console_log),
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::Share;
    use crate::hypervisor::tests::description;
    use crate::image::DiskFormat;

    fn machines() -> Vec<Description> {
        let mut machines = vec![description(); 5];
        machines[1].share = None;
        machines[1].accelerator = Accelerator::Tcg;
        machines[2].share = Some(Share { path: "/home/me/<a> & 'b'".into(), writable: true });
        machines[2].disk_format = DiskFormat::Qcow2;
        machines[3].machine = "q35".to_owned();
        machines[4].accelerator = Accelerator::Hvf;
        machines
    }

    #[test]
    fn libvirts_own_schema_takes_every_machine() {
        let directory = tempfile::tempdir().unwrap();
        for machine in machines() {
            let file = directory.path().join("domain.xml");
            std::fs::write(&file, domain(&machine).unwrap()).unwrap();
            let arguments = [file.as_os_str(), "domain".as_ref()];
            test_judge::approve("virt-xml-validate", "libvirt-clients", &arguments);
        }
    }

    /// A domain without a uuid gets another one each time, and then its name is taken.
    #[test]
    fn a_domain_is_defined_again_under_its_name() {
        let text = domain(&description()).unwrap();
        let kept = |line: &&str| ["<name>", "<uuid>", "<memory "].iter().any(|tag| line.trim().starts_with(tag));
        let kept: Vec<&str> = text.lines().filter(kept).collect();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("domain.xml");
        let test = format!("<domain type='test'>{}<os><type>hvm</type></os></domain>", kept.concat());
        std::fs::write(&file, test).unwrap();
        let defined = format!("define {}", file.display());
        let twice = format!("{defined}; {defined}");
        test_judge::approve("virsh", "libvirt-clients", &["-c", "test:///default", &twice].map(std::ffi::OsStr::new));
    }

    #[test]
    fn the_whole_domain() {
        insta::assert_snapshot!(domain(&description()).unwrap());
    }

    #[test]
    fn what_the_user_named_cannot_end_an_attribute() {
        let text = domain(&machines()[2]).unwrap();
        assert!(text.contains("dir='/home/me/&lt;a&gt; &amp; &apos;b&apos;'"), "{text}");
    }

    #[test]
    fn what_xml_would_change_is_refused() {
        for byte in ['\t', '\n', '\u{1}'] {
            let mut machine = description();
            machine.share = Some(Share { path: format!("/home/me/a{byte}b").into(), writable: false });
            assert!(matches!(domain(&machine), Err(DescribeError::Control { .. })), "{byte:?}");
        }
    }
}
