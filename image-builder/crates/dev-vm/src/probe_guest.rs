//! A guest of one sector that shows whether an accelerator can really run one.
//!
//! Opening the device file, or even executing a few real-mode instructions,
//! proves little: there are hosts whose KVM takes a machine, runs the BIOS and
//! then stops at the first floating-point instruction. So this guest passes
//! through every mode that firmware and a kernel use: real mode with a timer
//! interrupt, protected mode with the floating-point unit, long mode with
//! paging and SSE. It writes one digit at each stage to the debug console, and
//! [`EXIT_VALUE`] to the debug exit device when it has come through.

/// Where QEMU's debug exit device listens.
pub(crate) const EXIT_PORT: u16 = 0x501;
/// What the guest writes there.
const EXIT_VALUE: u8 = 0x2a;
/// What QEMU makes of it: `value << 1 | 1`.
pub(crate) const EXIT_STATUS: i32 = ((EXIT_VALUE as i32) << 1) | 1;
/// What the digits on the debug console stand for.
pub(crate) const STAGES: [&str; 4] =
    ["the first instruction", "a timer interrupt in real mode", "protected mode", "long mode"];

/// Where the BIOS loads a boot sector.
const ORIGIN: u16 = 0x7c00;
/// Offsets of the labels below; [`Sector::label`] checks them.
const REAL_MODE: u16 = 0x0f;
const PROTECTED_MODE: u16 = 0x3b;
const LONG_MODE: u16 = 0xb0;
const GDT: u16 = 0xcc;
const GDT_POINTER: u16 = GDT + 4 * 8;

struct Sector(Vec<u8>);

impl Sector {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `mov al, digit; out 0xe9, al`: the same bytes in all three modes.
    fn stage(&mut self, digit: u8) -> &mut Self {
        self.put(&[0xb0, digit, 0xe6, 0xe9])
    }

    /// The 16-bit address of `offset`.
    fn address(&mut self, offset: u16) -> &mut Self {
        self.put(&(ORIGIN + offset).to_le_bytes())
    }

    fn label(&mut self, offset: u16) -> &mut Self {
        assert_eq!(self.0.len(), usize::from(offset), "label of the probe guest");
        self
    }
}

/// The boot sector, 512 bytes.
pub(crate) fn boot_sector() -> Vec<u8> {
    let mut sector = Sector(Vec::with_capacity(512));
    real_mode(&mut sector);
    protected_mode(&mut sector);
    long_mode(&mut sector);
    tables(&mut sector);
    sector.0.resize(510, 0);
    sector.put(&[0x55, 0xaa]);
    sector.0
}

fn real_mode(sector: &mut Sector) {
    sector
        .put(&[0xfa]) // cli
        .put(&[0x31, 0xc0]) // xor ax, ax
        .put(&[0x8e, 0xd8, 0x8e, 0xd0]) // mov ds, ax; mov ss, ax
        .put(&[0xbc, 0x00, 0x7c]) // mov sp, 0x7c00
        .put(&[0xea])
        .address(REAL_MODE)
        .put(&[0, 0]) // jmp 0:REAL_MODE, because some BIOSes come by 07c0:0000
        .label(REAL_MODE)
        .stage(b'1')
        .put(&[0xfb]) // sti
        .put(&[0xa1, 0x6c, 0x04]) // mov ax, [0x46c]: the BIOS counts timer ticks there
        .put(&[0xf4]) // hlt
        .put(&[0x3b, 0x06, 0x6c, 0x04]) // cmp ax, [0x46c]
        .put(&[0x74, 0xf9]) // je hlt
        .put(&[0xfa]) // cli
        .stage(b'2')
        .put(&[0xe4, 0x92, 0x0c, 0x02, 0xe6, 0x92]) // the A20 gate by port 0x92
        .put(&[0x0f, 0x01, 0x16])
        .address(GDT_POINTER) // lgdt
        .put(&[0x0f, 0x20, 0xc0]) // mov eax, cr0
        .put(&[0x0c, 0x01]) // or al, protection enable
        .put(&[0x0f, 0x22, 0xc0]) // mov cr0, eax
        .put(&[0xea])
        .address(PROTECTED_MODE)
        .put(&[0x08, 0x00]); // jmp code32:PROTECTED_MODE
}

fn protected_mode(sector: &mut Sector) {
    sector
        .label(PROTECTED_MODE)
        .put(&[0x66, 0xb8, 0x10, 0x00]) // mov ax, data
        .put(&[0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0]) // mov ds, es, ss
        .stage(b'3')
        .put(&[0x9b, 0xdb, 0xe3]) // fwait; fninit: what firmware does first here
        .put(&[0xd9, 0xe8, 0xdd, 0xd8]) // fld1; fstp st(0)
        .put(&[0xbf, 0x00, 0x10, 0x00, 0x00]) // mov edi, 0x1000: three page tables
        .put(&[0xb9, 0x00, 0x0c, 0x00, 0x00]) // mov ecx, 3 * 1024
        .put(&[0x31, 0xc0, 0xfc, 0xf3, 0xab]) // xor eax, eax; cld; rep stosd
        .put(&[0xc7, 0x05, 0, 0x10, 0, 0, 0x03, 0x20, 0, 0]) // level 4 → 0x2000, present, writable
        .put(&[0xc7, 0x05, 0, 0x20, 0, 0, 0x03, 0x30, 0, 0]) // level 3 → 0x3000
        .put(&[0xc7, 0x05, 0, 0x30, 0, 0, 0x83, 0, 0, 0]) // level 2 → the first 2 MiB
        .put(&[0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8]) // mov cr3, 0x1000
        .put(&[0x0f, 0x20, 0xe0, 0x0d, 0x20, 0x06, 0, 0, 0x0f, 0x22, 0xe0]) // cr4 |= PAE, SSE
        .put(&[0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32]) // rdmsr EFER
        .put(&[0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30]) // wrmsr EFER | long mode enable
        .put(&[0x0f, 0x20, 0xc0, 0x0d, 0x02, 0, 0, 0x80, 0x0f, 0x22, 0xc0]) // cr0 |= MP, paging
        .put(&[0xea])
        .address(LONG_MODE)
        .put(&[0, 0, 0x18, 0x00]); // jmp code64:LONG_MODE
}

fn long_mode(sector: &mut Sector) {
    sector
        .label(LONG_MODE)
        .stage(b'4')
        .put(&[0x66, 0x0f, 0x6e, 0xc0]) // movd xmm0, eax
        .put(&[0x66, 0x0f, 0xfe, 0xc0]) // paddd xmm0, xmm0
        .put(&[0x66, 0x0f, 0x7e, 0xc0]) // movd eax, xmm0
        .put(&[0x0f, 0xa2]) // cpuid
        .put(&[0x66, 0xba])
        .put(&EXIT_PORT.to_le_bytes()) // mov dx, EXIT_PORT
        .put(&[0xb0, EXIT_VALUE, 0xee]) // out dx, al
        .put(&[0xf4, 0xeb, 0xfd]); // hlt, for ever
}

fn tables(sector: &mut Sector) {
    sector.label(GDT);
    for descriptor in [
        0u64,
        0x00cf_9a00_0000_ffff, // 8: 32-bit code
        0x00cf_9200_0000_ffff, // 16: data
        0x00af_9a00_0000_ffff, // 24: 64-bit code
    ] {
        sector.put(&descriptor.to_le_bytes());
    }
    sector.label(GDT_POINTER).put(&(4u16 * 8 - 1).to_le_bytes()).address(GDT).put(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sector_is_a_boot_sector_and_its_labels_hold() {
        let sector = boot_sector();
        assert_eq!(sector.len(), 512);
        assert_eq!(sector[510..], [0x55, 0xaa]);
        assert_eq!(EXIT_STATUS, 85);
    }
}
