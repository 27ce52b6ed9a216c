//! Forms of images that are told from raw ones, and not read.
//!
//! Sources: VMware's "Virtual Disk Format 1.1"; `VDICore.h` of VirtualBox; [MS-VHDX] 2.2.1; Microsoft's "Virtual Hard
//! Disk Image Format Specification" 1.0; `docs/interop/qed_spec` and `docs/interop/parallels` of QEMU.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of the footer of a VHD, which a dynamic one has at its beginning, too.
const VHD_FOOTER_BYTES: u64 = 512;
const VHD_COOKIE: &[u8] = b"conectix";
/// Where the footer has the size of the disk in bytes, and what kind of disk it is: both big-endian.
const VHD_SIZE: usize = 48;
const VHD_KIND: usize = 60;
const VHD_FIXED: u32 = 2;

/// Where the first bytes of a form are, which they are, and what people call it.
const FORMS: [(u64, &[u8], &str); 9] = [
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "the descriptor of a VMDK image"),
    (0x40, &[0x7f, 0x10, 0xda, 0xbe], "a VDI image"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, VHD_COOKIE, "a dynamic VHD image (`vpc`)"),
    (0, b"QED\0", "a QED image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
];

/// What the image is, when it is none of those that are read.
pub(super) fn foreign(file: &File) -> Option<&'static str> {
    let is = |(offset, magic, _): &&(u64, &[u8], &str)| {
        let mut found = vec![0; magic.len()];
        file.read_exact_at(&mut found, *offset).is_ok() && found == *magic
    };
    FORMS.iter().find(is).map(|(_, _, name)| *name)
}

/// The bytes of the disk in a fixed VHD, all of which come before its footer; none if it is something else.
pub(super) fn fixed_vhd_bytes(file: &File, length: u64) -> Option<u64> {
    let disk = length.checked_sub(VHD_FOOTER_BYTES)?;
    let mut footer = [0; VHD_FOOTER_BYTES as usize];
    file.read_exact_at(&mut footer, disk).ok()?;
    let size = footer[VHD_SIZE..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let kind = footer[VHD_KIND..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    (footer.starts_with(VHD_COOKIE) && size == Some(disk) && kind == Some(VHD_FIXED)).then_some(disk)
}
