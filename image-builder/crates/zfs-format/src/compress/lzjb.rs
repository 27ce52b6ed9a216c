//! LZJB: a bitmap byte for eight items, each a literal byte or a two-byte copy.
//!
//! Source: `lzjb.c`. A copy is 6 bits of length less 3 and 10 bits of distance, big-endian. Which matches are
//! found is the writer's freedom; this one finds those that ZFS finds, so that blocks come out as large as there.

/// `MATCH_MIN`.
const MATCH_MIN: usize = 3;
/// `MATCH_MAX`.
const MATCH_MAX: usize = (1 << 6) - 1 + MATCH_MIN;
/// `OFFSET_MASK`: the longest distance of a copy.
const DISTANCE_MAX: usize = (1 << 10) - 1;
/// `LEMPEL_SIZE`: entries of the table of earlier places.
const TABLE_ENTRIES: usize = 1024;

/// Where each hash of three bytes was last seen, modulo 64 Ki.
#[derive(Debug)]
pub(super) struct Table(Box<[u16; TABLE_ENTRIES]>);

impl Default for Table {
    fn default() -> Self {
        Self(Box::new([0; TABLE_ENTRIES]))
    }
}

impl Table {
    /// The place to try for the three bytes at `at`, which takes their entry.
    fn replace(&mut self, source: &[u8], at: usize) -> usize {
        let three = &source[at..at + MATCH_MIN];
        let mut hash = usize::from(three[0]) << 16 | usize::from(three[1]) << 8 | usize::from(three[2]);
        hash += hash >> 9;
        hash += hash >> 5;
        let entry = &mut self.0[hash % TABLE_ENTRIES];
        let distance = at.wrapping_sub(usize::from(*entry)) & DISTANCE_MAX;
        *entry = at as u16;
        distance
    }
}

/// Answers the length, or none when the output is too small.
pub(super) fn compress(source: &[u8], output: &mut [u8], table: &mut Table) -> Option<usize> {
    table.0.fill(0);
    let (mut from, mut to, mut map, mut bit) = (0, 0, 0, 8_u32);
    while from < source.len() {
        if bit == 8 {
            // A map and eight copies have to fit.
            if to + 17 >= output.len() {
                return None;
            }
            (map, bit) = (to, 0);
            output[to] = 0;
            to += 1;
        }
        let length = if from + MATCH_MAX > source.len() { 0 } else { find(source, from, table, &mut output[to..]) };
        if length > 0 {
            output[map] |= 1 << bit;
            from += length;
            to += 2;
        } else {
            output[to] = source[from];
            from += 1;
            to += 1;
        }
        bit += 1;
    }
    Some(to)
}

/// Writes a copy for what is at `at`, if there is one, and answers its length; 0 if there is none.
fn find(source: &[u8], at: usize, table: &mut Table, output: &mut [u8]) -> usize {
    let distance = table.replace(source, at);
    if distance == 0 || distance > at || source[at - distance..][..MATCH_MIN] != source[at..][..MATCH_MIN] {
        return 0;
    }
    let equal = (MATCH_MIN..MATCH_MAX).take_while(|more| source[at - distance + more] == source[at + more]);
    let length = MATCH_MIN + equal.count();
    output[0] = (((length - MATCH_MIN) << 2) | (distance >> 8)) as u8;
    output[1] = distance as u8;
    length
}

/// Fills the output; none when the source ends early or a copy begins before the block.
pub(super) fn decompress(source: &[u8], output: &mut [u8]) -> Option<()> {
    let mut source = source.iter().copied();
    let (mut at, mut map, mut bit) = (0, 0, 8_u32);
    while at < output.len() {
        if bit == 8 {
            map = source.next()?;
            bit = 0;
        }
        let first = source.next()?;
        if map >> bit & 1 == 0 {
            output[at] = first;
            at += 1;
        } else {
            let second = source.next()?;
            let distance = usize::from(first & 3) << 8 | usize::from(second);
            let from = at.checked_sub(distance)?;
            // The last copy may reach beyond the block.
            let length = (usize::from(first >> 2) + MATCH_MIN).min(output.len() - at);
            for index in 0..length {
                output[at + index] = output[from + index];
            }
            at += length;
        }
        bit += 1;
    }
    Some(())
}
