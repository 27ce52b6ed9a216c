//! GUIDs as partition tables hold them, and how an image's own are derived.

use std::fmt;
use std::str::FromStr;

/// A GUID (UUID), kept in the order in which it is printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// A text is not a GUID of the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a GUID")]
pub struct ParseGuidError {
    /// What was to be read.
    pub text: String,
}

impl Guid {
    /// The all-zero GUID: the type of an unused partition entry.
    pub const NIL: Self = Self([0; 16]);

    /// From a number whose hexadecimal form is the GUID without its hyphens.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        Self(value.to_be_bytes())
    }

    /// From the bytes of a partition table: the first three fields are little-endian there.
    #[must_use]
    pub const fn from_disk(b: [u8; 16]) -> Self {
        Self([b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]])
    }

    /// The bytes for a partition table; the inverse of [`Guid::from_disk`].
    #[must_use]
    pub const fn to_disk(self) -> [u8; 16] {
        // Swapping the three fields twice gives them back.
        Self::from_disk(self.0).0
    }

    /// The sixteen bytes in the order in which they are printed.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Guid {
    /// Lower-case, as Linux prints `PARTUUID`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = ParseGuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGuidError { text: text.to_owned() };
        let well_formed = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !well_formed {
            return Err(error());
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16).map(Self::from_u128).map_err(|_| error())
    }
}

/// What every identifier in a disk image is derived from.
///
/// Images hold no random numbers: the same seed gives the same disk. The price
/// is that two machines started from one image share these identifiers; where
/// that matters they are made unique at the first boot, not here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DiskSeed([u8; 32]);

impl DiskSeed {
    /// A seed from anything that identifies the image, such as its name or the hash of its tree.
    #[must_use]
    pub fn new(identity: impl AsRef<[u8]>) -> Self {
        Self(derive("seed", identity.as_ref()))
    }

    /// The identifier for `role`: a version 8 UUID (RFC 9562: contents are the maker's own).
    #[must_use]
    pub fn guid(&self, role: &str) -> Guid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.bytes(role)[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Guid(bytes)
    }

    /// A 32-bit number for `role`, such as the serial number of a FAT volume.
    #[must_use]
    pub fn number(&self, role: &str) -> u32 {
        let hash = self.bytes(role);
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// 32 bytes for `role`, for what derives its own identifiers from a seed, such as a ZFS pool.
    #[must_use]
    pub fn bytes(&self, role: &str) -> [u8; 32] {
        let mut input = self.0.to_vec();
        input.extend_from_slice(role.as_bytes());
        derive("role", &input)
    }
}

impl fmt::Debug for DiskSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskSeed({:02x}{:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

fn derive(purpose: &str, input: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("disk-image 2026 {purpose}"));
    hasher.update(input);
    *hasher.finalize().as_bytes()
}

/// The unique GUID that [`crate::write_disk`] gives to the partition with this role.
///
/// A boot entry names its root by it (`root=PARTUUID=…`) before the disk exists.
#[must_use]
pub fn partition_guid(seed: &DiskSeed, role: &str) -> Guid {
    seed.guid(&format!("partition {role}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_fields_are_swapped_on_disk() {
        let guid: Guid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b".parse().unwrap();
        assert_eq!(
            guid.to_disk(),
            [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]
        );
        assert_eq!(Guid::from_disk(guid.to_disk()), guid);
        assert_eq!(guid.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }

    #[test]
    fn texts_that_are_no_guid_are_refused() {
        for text in ["", "c12a7328", "c12a7328-f81f-11d2-ba4b-00a0c93ec93", "+12a7328-f81f-11d2-ba4b-00a0c93ec93b"] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }

    #[test]
    fn derived_guids_depend_on_seed_and_role_and_carry_the_version() {
        let (one, two) = (DiskSeed::new("one"), DiskSeed::new("two"));
        assert_eq!(partition_guid(&one, "root"), partition_guid(&one, "root"));
        assert_ne!(partition_guid(&one, "root"), partition_guid(&one, "esp"));
        assert_ne!(partition_guid(&one, "root"), partition_guid(&two, "root"));
        let bytes = *partition_guid(&one, "root").as_bytes();
        assert_eq!(bytes[6] >> 4, 8, "version 8");
        assert_eq!(bytes[8] >> 6, 2, "the RFC's variant");
    }

    #[test]
    fn identifiers_never_change_between_releases() {
        // A changed derivation would give every existing image another identity.
        let guid = partition_guid(&DiskSeed::new("pinned"), "root");
        assert_eq!(guid.to_string(), "23cff39f-6d03-8bd4-8f85-e06ad1b9c1fb");
    }
}
