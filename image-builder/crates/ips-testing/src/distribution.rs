//! A distribution that has the names of OpenIndiana and nothing of its content.
//!
//! The packages that the templates name are there, with the files that the steps look for; the kernel is noise, so
//! nothing of this ever boots. Beside them are a few hundred libraries, in two versions, of which an incorporation
//! allows the older one.

use std::fmt::Write as _;
use std::path::Path;

use ips::time::OperationTime;
use ips_client::repository::publish::Publication;

use crate::packages::{PublishLines, noise};

/// The publisher.
pub const PUBLISHER: &str = "openindiana.org";
/// How many packages the templates of OpenIndiana install of it, at least.
pub const PACKAGES_MIN: usize = 200;

const LIBRARIES: usize = 210;
const TIME: i64 = 1_700_000_000;

/// The files that go into the boot archive.
const FILE_LIST: &str = "boot/solaris/bootenv.rc\netc/driver_aliases\netc/driver_classes\netc/name_to_major\n\
    etc/path_to_inst\netc/system\nkernel\nplatform\n";

struct Writer {
    publication: Publication,
    incorporated: String,
}

/// A file of a package: action without payload, and the payload.
fn file(path: &str, attributes: &str, bytes: Vec<u8>) -> (String, Vec<u8>) {
    (format!("file path={path} {attributes}"), bytes)
}

impl Writer {
    fn publish(&mut self, name: &str, lines: &str, files: &[(String, Vec<u8>)]) {
        let summary = format!("set name=pkg.summary value=\"What {name} is for\"\n");
        let arch = "set name=variant.arch value=i386 value=sparc\n";
        let fmri = format!("pkg://{PUBLISHER}/{name}@0.5.11,5.11-2024.0.0.1:20240101T000000Z");
        self.publication.lines_and_files(&fmri, &format!("{summary}{arch}{lines}"), files);
        let _ = writeln!(self.incorporated, "depend type=incorporate fmri=pkg:/{name}@0.5.11,5.11-2024.0.0");
    }
}

/// Publishes the distribution in `root`.
///
/// # Panics
/// If that is not possible.
pub fn openindiana(root: &Path) {
    let mut writer = Writer { publication: Publication::new(root), incorporated: String::new() };
    base(&mut writer);
    boot(&mut writer);
    drivers(&mut writer);
    libraries(&mut writer);
    let incorporated = std::mem::take(&mut writer.incorporated);
    writer.publish("entire", &incorporated, &[]);
    let Writer { publication, .. } = writer;
    publication.finish(OperationTime::from_unix_seconds(TIME)).expect("catalogs");
}

/// The header of an ELF object of illumos on amd64: a library.
fn library() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 6]);
    (bytes[16], bytes[18], bytes[20]) = (3, 62, 1);
    (bytes[52], bytes[54], bytes[58]) = (64, 56, 64);
    bytes
}

fn base(writer: &mut Writer) {
    let directories: String = [
        "dev",
        "devices",
        "etc",
        "etc/dfs",
        "etc/svc",
        "etc/svc/profile",
        "etc/svc/volatile",
        "etc/system.d",
        "lib",
        "lib/svc",
        "lib/svc/manifest",
        "lib/svc/manifest/system",
        "lib/svc/method",
        "lib/svc/seed",
        "mnt",
        "proc",
        "root",
        "system",
        "system/boot",
        "system/contract",
        "system/object",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/sbin",
        "var",
        "var/lib",
    ]
    .iter()
    .map(|path| format!("dir path={path} mode=0755 owner=root group=sys\n"))
    .collect();
    let text = |path: &str, mode: &str, text: &str| {
        format!("file path={path} mode={mode} owner=root group=sys preserve=true <- {text}\n")
    };
    let mut lines = directories;
    lines += "dir path=tmp mode=1777 owner=root group=sys\n\
        dir path=home mode=0755 owner=web group=web facet.optional.home=true\n\
        group groupname=root gid=0\ngroup groupname=other gid=1\ngroup groupname=bin gid=2\ngroup groupname=sys gid=3\n\
        group groupname=adm gid=4\ngroup groupname=web gid=80\n\
        user username=root uid=0 group=root gcos-field=Super-User home-dir=/root login-shell=/usr/bin/bash \
        password=NP lastchg=19000 group-list=other group-list=bin group-list=sys group-list=adm\n\
        user username=web uid=80 group=web ftpuser=true\n\
        link path=bin target=./usr/bin\nlicense license=\"CDDL 1.0\" <- The text of the licence\n";
    for (path, mode, content) in [
        ("etc/passwd", "0644", "root:x:0:0:Super-User:/root:/usr/bin/bash"),
        ("etc/shadow", "0400", "root:NP:19000::::::"),
        ("etc/group", "0644", "root::0:"),
        ("etc/system", "0644", "* system"),
        ("etc/vfstab", "0644", "/devices - /devices devfs - no -"),
        ("etc/mnttab", "0444", "* mounted"),
        ("etc/dfs/sharetab", "0444", "* shared"),
        ("etc/name_to_major", "0644", "clone 11"),
        ("etc/driver_aliases", "0644", "# aliases"),
        ("etc/driver_classes", "0644", "# classes"),
        ("etc/minor_perm", "0644", "clone:ptmx 0666 root sys"),
        ("etc/path_to_inst", "0644", "#path_to_inst_bootstrap_1"),
        ("etc/svc/profile/generic_limited_net.xml", "0444", "<service_bundle/>"),
        ("etc/ftpd/ftpusers", "0644", "root"),
    ] {
        lines += &text(path, mode, content);
    }
    writer.publish("SUNWcsd", "set name=pkg.description value=\"Directories and tables\"\n", &[]);
    let files = [
        file(
            "lib/svc/seed/global.db",
            "mode=0444 owner=root group=sys",
            b"** This file contains an SQLite 2.1 database **\0".to_vec(),
        ),
        file("usr/lib/fs/tmpfs/mount", "mode=0555 owner=root group=bin", noise(7_000, 8)),
        file("usr/bin/su", "mode=4555 owner=root group=bin", noise(9_000, 9)),
    ];
    lines += "depend type=require fmri=pkg:/SUNWcsd\n";
    writer.publish("SUNWcs", &lines, &files);
    let files = [file("lib/amd64/libc.so.1", "mode=0755 owner=root group=bin", library())];
    writer.publish("system/library", "depend type=require fmri=pkg:/SUNWcs\n", &files);
    let shells = [("shell/ksh93", "ksh93"), ("shell/bash", "bash")];
    for (name, program) in shells {
        let files = [file(&format!("usr/bin/{program}"), "mode=0555 owner=root group=bin", noise(30_000, 5))];
        writer.publish(name, "depend type=require fmri=pkg:/system/library\n", &files);
    }
}

fn boot(writer: &mut Writer) {
    let attributes = "mode=0444 owner=root group=sys";
    let with_header = |length: usize, header: usize| {
        let mut bytes = noise(length, 7);
        for (word, at) in [0x1BAD_B002_u32, 0x0001_0000, 0xE451_4FFE].iter().zip((header..).step_by(4)) {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    let mut sector = noise(512, 3);
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    let files = [
        file("boot/loader64.efi", attributes, with_header(270_013, 4096)),
        file("boot/loader32.efi", attributes, with_header(180_000, 512)),
        file("boot/loader", attributes, noise(400_000, 1)),
        file("boot/pmbr", attributes, sector),
        file("boot/gptzfsboot", attributes, with_header(131_072, 1024)),
        file("boot/loader.rc", attributes, b"include /boot/forth/loader.4th\n".to_vec()),
        file("boot/forth/loader.4th", attributes, b": initialize ;\n".to_vec()),
        file("boot/defaults/loader.conf", attributes, b"console=\"text\"\nboot_archive_load=\"YES\"\n".to_vec()),
    ];
    writer.publish("system/boot/loader", "dir path=boot mode=0755 owner=root group=sys\n", &files);
    let properties = file("boot/solaris/bootenv.rc", attributes, b"setprop ata-dma-enabled '1'\n".to_vec());
    writer.publish("system/boot/real-mode", "", &[properties]);
    let kernel = "mode=0755 owner=root group=sys";
    let files = [
        file("boot/solaris/filelist.ramdisk", attributes, FILE_LIST.as_bytes().to_vec()),
        file("kernel/amd64/genunix", kernel, noise(300_000, 11)),
        file("kernel/drv/amd64/sd", kernel, noise(20_000, 16)),
    ];
    writer.publish("system/kernel", "driver name=sd perms=\"* 0640 root sys\"\n", &files);
    let files = [
        file("platform/i86pc/kernel/amd64/unix", kernel, noise(200_000, 12)),
        file("platform/i86pc/kernel/drv/amd64/isa", kernel, noise(20_000, 13)),
        file("platform/i86pc/kernel/drv/amd64/npe", kernel, noise(20_000, 17)),
        file("platform/i86pc/kernel/drv/amd64/pci", kernel, noise(20_000, 18)),
    ];
    let nexuses = "driver name=isa\ndriver name=npe alias=pciex_root_complex\ndriver name=pci class=pci\n";
    writer.publish("system/kernel/platform", nexuses, &files);
    writer.publish("system/file-system/zfs", "", &[file("kernel/fs/amd64/zfs", kernel, noise(400_000, 14))]);
    let server = file("usr/lib/ssh/sshd", "mode=0555 owner=root group=bin", noise(40_000, 19));
    writer.publish("service/network/ssh", "", &[server]);
    for name in ["install/beadm", "network/ssh", "system/flash/old"] {
        writer.publish(name, "", &[]);
    }
}

fn drivers(writer: &mut Writer) {
    let virtio = file("kernel/misc/amd64/virtio", "mode=0755 owner=root group=sys", noise(20_000, 20));
    writer.publish("driver/misc/virtio", "depend type=require fmri=pkg:/SUNWcs\n", &[virtio]);
    let drivers = [
        ("driver/storage/blkdev", "blkdev", ""),
        ("driver/storage/vioblk", "vioblk", "alias=pci1af4,1001"),
        ("driver/storage/vioscsi", "vioscsi", "alias=pci1af4,1004"),
        ("driver/storage/vio9p", "vio9p", "alias=pci1af4,1009 perms=\"* 0600 root root\""),
        ("driver/storage/nvme", "nvme", "alias=pciexclass,010802 class=scsi-self-identifying"),
        ("driver/network/vioif", "vioif", "alias=pci1af4,1000 clone_perms=\"vioif 0666 root sys\""),
    ];
    for (at, (name, driver, attributes)) in drivers.into_iter().enumerate() {
        let path = format!("kernel/drv/amd64/{driver}");
        let files = [file(&path, "mode=0755 owner=root group=sys", noise(20_000 + at, at as u64))];
        let lines = format!("driver name={driver} {attributes}\ndepend type=require fmri=pkg:/SUNWcs\n");
        writer.publish(name, &lines, &files);
    }
}

fn libraries(writer: &mut Writer) {
    let mut wanted = String::from("depend type=require fmri=pkg:/library/name-of-old\n");
    for at in 0..LIBRARIES {
        let name = format!("library/made-up-{at}");
        let _ = writeln!(wanted, "depend type=require fmri=pkg:/{name}@0.5.11");
        let lines = format!(
            "dir path=opt mode=0755 owner=root group=sys
            dir path=opt/p{at} mode=0755 owner=web group=web
            file path=opt/p{at}/data mode=0644 owner=web group=web <- data {at}
            file path=opt/p{at}/tool mode=0555 owner=root group=sys variant.arch=i386 <- tool {at}
            file path=opt/p{at}/tool mode=0555 owner=root group=sys variant.arch=sparc <- sparc {at}
            file path=opt/p{at}/man mode=0444 owner=root group=sys facet.doc.man=true <- page {at}
            hardlink path=opt/p{at}/link target=data
            link path=opt/newest mediator=made-up mediator-version={at} target=p{at}
            depend type=require fmri=pkg:/system/library
            depend type=optional fmri=pkg:/library/made-up-{}@0.1",
            (at + 1) % LIBRARIES
        );
        let newer = format!("pkg://{PUBLISHER}/{name}@0.5.11,5.11-2025.0.0.0:20250101T000000Z");
        writer.publication.lines(&newer, "set name=pkg.summary value=\"Not allowed by entire\"");
        writer.publish(&name, &lines, &[]);
    }
    writer.publish(
        "library/name-of-old",
        "set name=pkg.renamed value=true\ndepend type=require fmri=library/made-up-0\n",
        &[],
    );
    writer.publish("library/gone", "set name=pkg.obsolete value=true\n", &[]);
    let files = [file("usr/bin/pkg", "mode=0555 owner=root group=bin", noise(50_000, 21))];
    writer.publish("package/pkg", &wanted, &files);
}
