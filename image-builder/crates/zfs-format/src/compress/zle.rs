//! ZLE: runs of zeros. A byte below 64 says how many bytes (one more) follow as they are; one from 64 on, how
//! many zeros (63 less) are left out. Source: `zle.c`, with the level 64 of `zio_compress_table`.

/// The first value that is a run of zeros.
const ZEROS: usize = 64;
/// The longest run of zeros of one byte.
const ZEROS_MAX: usize = 256 - ZEROS;

/// Answers the length, or none when the output is too small.
pub(super) fn compress(source: &[u8], output: &mut [u8]) -> Option<usize> {
    let (mut rest, mut to) = (source, 0);
    while !rest.is_empty() {
        let zeros = rest.iter().take(ZEROS_MAX).take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            *output.get_mut(to)? = (zeros - 1 + ZEROS) as u8;
            to += 1;
            rest = &rest[zeros..];
            continue;
        }
        let length = literals(rest);
        let (run, after) = rest.split_at(length);
        *output.get_mut(to)? = (length - 1) as u8;
        output.get_mut(to + 1..to + 1 + length)?.copy_from_slice(run);
        to += 1 + length;
        rest = after;
    }
    Some(to)
}

/// Bytes before the next two zeros: one zero alone is shorter as it is.
fn literals(bytes: &[u8]) -> usize {
    let two_zeros = bytes.windows(2).take(ZEROS).position(|pair| pair == [0, 0]);
    two_zeros.unwrap_or(ZEROS).min(bytes.len()).min(ZEROS)
}

/// Fills the output; none when the source ends early.
pub(super) fn decompress(mut source: &[u8], mut output: &mut [u8]) -> Option<()> {
    while !output.is_empty() {
        let (first, rest) = source.split_first()?;
        let value = usize::from(*first);
        let length = if value < ZEROS { value + 1 } else { value - ZEROS + 1 }.min(output.len());
        let (run, after) = output.split_at_mut(length);
        if value < ZEROS {
            let (literal, behind) = rest.split_at_checked(length)?;
            run.copy_from_slice(literal);
            source = behind;
        } else {
            run.fill(0);
            source = rest;
        }
        output = after;
    }
    Some(())
}
