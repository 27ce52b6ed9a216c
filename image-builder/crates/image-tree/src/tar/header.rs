//! The 512-byte header block: where its fields are, and how numbers are written in them.
//!
//! Layouts: POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

/// Archives consist of blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 512;

/// One block of an archive.
pub(super) type Block = [u8; BLOCK_BYTES];

/// Where a field is: its first byte and its length.
pub(super) type FieldSpan = (usize, usize);

pub(super) const NAME: FieldSpan = (0, 100);
pub(super) const MODE: FieldSpan = (100, 8);
pub(super) const UID: FieldSpan = (108, 8);
pub(super) const GID: FieldSpan = (116, 8);
pub(super) const SIZE: FieldSpan = (124, 12);
pub(super) const MTIME: FieldSpan = (136, 12);
pub(super) const CHECKSUM: FieldSpan = (148, 8);
pub(super) const TYPE_FLAG: usize = 156;
pub(super) const LINK_NAME: FieldSpan = (157, 100);
pub(super) const MAGIC: FieldSpan = (257, 6);
pub(super) const VERSION: FieldSpan = (263, 2);
pub(super) const DEV_MAJOR: FieldSpan = (329, 8);
pub(super) const DEV_MINOR: FieldSpan = (337, 8);
/// Leading directories of the name; only with [`USTAR_MAGIC`], others use the room differently.
pub(super) const PREFIX: FieldSpan = (345, 155);

/// What [`MAGIC`] holds in ustar and pax archives; GNU tar's own format has `ustar ` there.
pub(super) const USTAR_MAGIC: &[u8; 6] = b"ustar\0";

/// GNU's old sparse format: four pairs of offset and length in the header.
pub(super) const GNU_SPARSE_MAP: FieldSpan = (386, 4 * 24);
/// Whether blocks with more pairs follow.
pub(super) const GNU_SPARSE_EXTENDED: usize = 482;
/// The length of the file with its holes.
pub(super) const GNU_SPARSE_REAL_SIZE: FieldSpan = (483, 12);
/// The pairs in a following block, and whether yet another follows.
pub(super) const GNU_SPARSE_BLOCK_MAP: FieldSpan = (0, 21 * 24);
pub(super) const GNU_SPARSE_BLOCK_EXTENDED: usize = 504;

pub(super) fn field(block: &Block, (start, length): FieldSpan) -> &[u8] {
    &block[start..start + length]
}

/// A text field up to its NUL.
pub(super) fn text(block: &Block, span: FieldSpan) -> &[u8] {
    let bytes = field(block, span);
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

/// A numeric field: octal digits between spaces or NULs, or binary (GNU) if the first bit is set; none if
/// it is neither or does not fit. An empty field is 0.
pub(super) fn number(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => binary_number(bytes),
        _ => octal_number(bytes),
    }
}

fn octal_number(bytes: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = bytes.iter().position(|byte| !padding(byte)).unwrap_or(bytes.len());
    let digits = bytes[start..].split(padding).next().unwrap_or(&[]);
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        number.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

/// Big-endian two's complement, of which the first bit is the mark and the second the sign.
fn binary_number(bytes: &[u8]) -> Option<i64> {
    let (first, rest) = bytes.split_first()?;
    let top = i128::from(first & 0x3f) - i128::from(first & 0x40);
    let number = rest.iter().fold(top, |number, byte| number << 8 | i128::from(*byte));
    number.try_into().ok()
}

/// Whether the checksum is right. It is the sum of all bytes with its own field as spaces; some old programs
/// summed up signed bytes.
pub(super) fn checksum_is_right(block: &Block) -> bool {
    let stored = number(field(block, CHECKSUM));
    let counted = |index: usize, byte: u8| {
        if (148..156).contains(&index) { b' ' } else { byte }
    };
    let bytes = || block.iter().enumerate().map(|(index, byte)| counted(index, *byte));
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(i8::from_le_bytes([byte]))).sum();
    stored == Some(unsigned) || stored == Some(signed)
}

/// A header block under construction.
#[derive(Debug)]
pub(super) struct HeaderBlock(Block);

impl HeaderBlock {
    /// A ustar header of this type with everything else empty or 0.
    pub(super) fn new(type_flag: u8) -> Self {
        let mut block = Self([0; BLOCK_BYTES]);
        block.0[TYPE_FLAG] = type_flag;
        block.put(MAGIC, USTAR_MAGIC);
        block.put(VERSION, b"00");
        for span in [MODE, UID, GID, SIZE, MTIME, DEV_MAJOR, DEV_MINOR] {
            block.number(span, 0);
        }
        block
    }

    /// Fills a text field; what does not fit is cut.
    pub(super) fn put(&mut self, (start, length): FieldSpan, bytes: &[u8]) {
        let count = bytes.len().min(length);
        self.0[start..start + count].copy_from_slice(&bytes[..count]);
    }

    /// Fills a numeric field with octal digits, or if that does not fit, in binary.
    pub(super) fn number(&mut self, span: FieldSpan, number: u64) {
        let (start, length) = span;
        if number <= octal_max(span) {
            self.put(span, format!("{number:0width$o}\0", width = length - 1).as_bytes());
        } else {
            let bytes = number.to_be_bytes();
            self.0[start..start + length].fill(0);
            let end = start + length;
            let count = bytes.len().min(length);
            self.0[end - count..end].copy_from_slice(&bytes[bytes.len() - count..]);
            self.0[start] |= 0x80;
        }
    }

    /// The finished block.
    pub(super) fn finish(mut self) -> Block {
        self.put(CHECKSUM, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// The largest number that fits into a field as octal digits with a NUL behind them.
pub(super) fn octal_max((_, length): FieldSpan) -> u64 {
    (1 << (3 * (length - 1))) - 1
}

/// The bytes that pad `length` bytes to whole blocks.
pub(super) fn padding(length: u64) -> usize {
    let block = BLOCK_BYTES as u64;
    usize::try_from((block - length % block) % block).expect("less than a block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_notation() {
        let cases: [(&[u8], Option<i64>); 14] = [
            (b"0000755\0", Some(0o755)),
            (b"   755 \0", Some(0o755)),
            (b"755\0junk", Some(0o755)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"0000789\0", None),
            (b"-000001\0", None),
            (b"7777777777777777777777777", None),
            (b"\x80\0\0\0\0\0\x01\x02", Some(0x102)),
            (b"\x80\0\0\0\xff\xff\xff\xff", Some(0xffff_ffff)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x81\0\0\0\0\0\0\0\0\0\0\0", None),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(number(bytes), wanted, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn written_numbers_can_be_read() {
        for value in [0, 1, 0o7_777_777, 0o10_000_000, u64::from(u32::MAX)] {
            let mut header = HeaderBlock::new(b'0');
            header.number(DEV_MAJOR, value);
            let block = header.finish();
            assert_eq!(number(field(&block, DEV_MAJOR)), i64::try_from(value).ok());
            assert!(checksum_is_right(&block));
        }
    }
}
