//! Compressions of blocks.
//!
//! Sources: `zio_compress.h` (numbers), `zio_compress.c` (when compressing is worth it), `lz4.c` (the length in
//! front), `gzip.c` (a zlib stream), and [`lzjb`] and [`zle`] for their own.

mod lzjb;
mod zle;

use std::fmt;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// `enum zio_compress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// In a dnode: the data set decides.
    #[default]
    Inherit,
    /// In a property: the best that the pool's features allow.
    On,
    /// Stored as it is.
    Off,
    /// Lempel-Ziv by Jeff Bonwick.
    Lzjb,
    /// A block of zeros, in a pool that keeps such blocks.
    Empty,
    /// A zlib stream of this level, 1 to 9.
    Gzip(u8),
    /// Run lengths of zeros.
    Zle,
    /// LZ4, feature `lz4_compress`.
    Lz4,
}

impl Compression {
    /// The number on disk.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Inherit => 0,
            Self::On => 1,
            Self::Off => 2,
            Self::Lzjb => 3,
            Self::Empty => 4,
            Self::Gzip(level) => 4 + level.clamp(1, 9),
            Self::Zle => 14,
            Self::Lz4 => 15,
        }
    }

    /// The compression of that number; none for those that no illumos pool has.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Inherit,
            1 => Self::On,
            2 => Self::Off,
            3 => Self::Lzjb,
            4 => Self::Empty,
            5..=13 => Self::Gzip(number - 4),
            14 => Self::Zle,
            15 => Self::Lz4,
            _ => return None,
        })
    }
}

/// The name that `zdb` and the property `compression` use.
impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherit => formatter.write_str("inherit"),
            Self::On => formatter.write_str("on"),
            Self::Off => formatter.write_str("uncompressed"),
            Self::Lzjb => formatter.write_str("lzjb"),
            Self::Empty => formatter.write_str("empty"),
            Self::Gzip(level) => write!(formatter, "gzip-{level}"),
            Self::Zle => formatter.write_str("zle"),
            Self::Lz4 => formatter.write_str("lz4"),
        }
    }
}

/// Stored bytes that do not decompress to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block compressed with {compression} is damaged: {reason}")]
pub struct CompressError {
    /// How it was compressed.
    pub compression: Compression,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// What compressing needs again and again: one for each thread.
#[derive(Debug, Default)]
pub struct Scratch {
    output: Vec<u8>,
    deflate: Option<(u8, Compress)>,
    table: lzjb::Table,
}

/// Compresses a block, if that saves an eighth of it; the answer is not yet rounded up to whole sectors.
///
/// [`Compression::On`], `Inherit` and `Empty` have to be resolved before and never compress.
pub fn compress<'s>(compression: Compression, source: &[u8], scratch: &'s mut Scratch) -> Option<&'s [u8]> {
    let limit = source.len() - source.len() / 8;
    let length = match compression {
        Compression::Inherit | Compression::On | Compression::Off | Compression::Empty => None,
        Compression::Lzjb => {
            scratch.output.resize(limit, 0);
            lzjb::compress(source, &mut scratch.output, &mut scratch.table)
        }
        Compression::Zle => {
            scratch.output.resize(limit, 0);
            zle::compress(source, &mut scratch.output)
        }
        Compression::Gzip(level) => deflate(level, source, limit, scratch),
        Compression::Lz4 => lz4(source, &mut scratch.output),
    }?;
    scratch.output.get(..length).filter(|_| length <= limit)
}

/// The length in front, big-endian, then one LZ4 block.
fn lz4(source: &[u8], output: &mut Vec<u8>) -> Option<usize> {
    output.resize(4 + lz4_flex::block::get_maximum_output_size(source.len()), 0);
    let length = lz4_flex::block::compress_into(source, &mut output[4..]).ok()?;
    output[..4].copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    Some(4 + length)
}

fn deflate(level: u8, source: &[u8], limit: usize, scratch: &mut Scratch) -> Option<usize> {
    let fresh = || (level, Compress::new(flate2::Compression::new(u32::from(level)), true));
    if scratch.deflate.as_ref().is_none_or(|(held, _)| *held != level) {
        scratch.deflate = Some(fresh());
    }
    let (_, stream) = scratch.deflate.as_mut()?;
    stream.reset();
    scratch.output.resize(limit, 0);
    match stream.compress(source, &mut scratch.output, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => usize::try_from(stream.total_out()).ok(),
        _ => None,
    }
}

/// Restores a block of exactly `output.len()` bytes; what is left of `source` behind the stream is padding.
///
/// # Errors
/// When `source` is no such stream or does not fill the block.
pub fn decompress(compression: Compression, source: &[u8], output: &mut [u8]) -> Result<(), CompressError> {
    let damaged = |reason| CompressError { compression, reason };
    match compression {
        Compression::Off => {
            let whole = source.get(..output.len()).ok_or(damaged("it is shorter than the block"))?;
            output.copy_from_slice(whole);
            Ok(())
        }
        Compression::Empty => {
            output.fill(0);
            Ok(())
        }
        Compression::Lzjb => lzjb::decompress(source, output).ok_or(damaged("a copy leaves the block")),
        Compression::Zle => zle::decompress(source, output).ok_or(damaged("the runs do not fill the block")),
        Compression::Gzip(_) => inflate(source, output).ok_or(damaged("the zlib stream does not fill the block")),
        Compression::Lz4 => unlz4(source, output).ok_or(damaged("the LZ4 block does not fill the block")),
        Compression::Inherit | Compression::On => Err(damaged("no stored block has this compression")),
    }
}

fn inflate(source: &[u8], output: &mut [u8]) -> Option<()> {
    let mut stream = Decompress::new(true);
    stream.decompress(source, output, FlushDecompress::Finish).ok()?;
    (stream.total_out() == output.len() as u64).then_some(())
}

fn unlz4(source: &[u8], output: &mut [u8]) -> Option<()> {
    let (head, rest) = source.split_at_checked(4)?;
    let length = usize::try_from(u32::from_be_bytes([head[0], head[1], head[2], head[3]])).ok()?;
    let length = lz4_flex::block::decompress_into(rest.get(..length)?, output).ok().filter(|_| length > 0)?;
    (length == output.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Compression; 6] = [
        Compression::Lzjb,
        Compression::Zle,
        Compression::Lz4,
        Compression::Gzip(1),
        Compression::Gzip(6),
        Compression::Gzip(9),
    ];

    fn comes_back(source: &[u8]) {
        let mut scratch = Scratch::default();
        for kind in KINDS {
            if let Some(small) = compress(kind, source, &mut scratch) {
                assert!(small.len() <= source.len() - source.len() / 8, "{kind} saved too little");
                let mut padded = small.to_vec();
                padded.resize(small.len().next_multiple_of(512), 0);
                let mut output = vec![0xaa; source.len()];
                decompress(kind, &padded, &mut output).unwrap();
                assert!(output == source, "{kind} lost something");
            }
        }
    }

    #[test]
    fn text_gets_small_with_every_kind_that_knows_text() {
        let text = b"svc:/system/dev-9p-mount:default online\n".repeat(200);
        let mut scratch = Scratch::default();
        for kind in KINDS {
            let size = compress(kind, &text, &mut scratch).map(<[u8]>::len);
            assert_eq!(size.is_some(), kind != Compression::Zle, "{kind}: {size:?}");
        }
        comes_back(&text);
    }

    #[test]
    fn zeros_get_small_with_every_kind() {
        let mut block = vec![0; 131_072];
        block[70_000..70_400].fill(9);
        let mut scratch = Scratch::default();
        for kind in KINDS {
            assert!(compress(kind, &block, &mut scratch).is_some_and(|small| small.len() < 20_000), "{kind}");
        }
        comes_back(&block);
    }

    #[test]
    fn what_does_not_get_smaller_by_an_eighth_is_left_alone() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(4096)
        .collect();
        let mut scratch = Scratch::default();
        for kind in KINDS {
            assert_eq!(compress(kind, &noise, &mut scratch), None, "{kind}");
        }
    }

    #[test]
    fn numbers_and_kinds_agree() {
        for number in 0..=15 {
            assert_eq!(Compression::from_number(number).unwrap().number(), number);
        }
        assert_eq!(Compression::from_number(16), None);
    }

    proptest! {
        #[test]
        fn blocks_come_back(runs in prop::collection::vec((any::<u8>(), 1_usize..600), 1..60)) {
            let source: Vec<u8> = runs.iter().flat_map(|(byte, count)| {
                let byte = *byte;
                // Runs of one byte, of zeros, and of counting bytes, which lzjb finds no matches in.
                (0..*count).map(move |at| match byte % 3 { 0 => 0, 1 => byte, _ => byte.wrapping_add(at as u8) })
            }).collect();
            comes_back(&source);
        }

        #[test]
        fn any_bytes_are_restored_or_refused(source in prop::collection::vec(any::<u8>(), 0..700), size in 0_usize..2000) {
            let mut output = vec![0; size];
            for kind in KINDS {
                let _ = decompress(kind, &source, &mut output);
            }
        }
    }
}
