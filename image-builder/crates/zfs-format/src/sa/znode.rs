//! What the attributes of a file mean, and the older form of the same: `znode_phys_t`.

use super::{Attribute, Attributes, SaError};

/// Seconds and nanoseconds since 1970, as two 64-bit words; seconds before are negative in two's complement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds after them.
    pub nanos: u32,
}

/// The attributes of a file or directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Znode {
    /// Permissions, set-id bits, and the type in the POSIX way (`S_IFMT`).
    pub mode: u64,
    /// Bytes of a file, length of a symbolic link, entries of a directory and two.
    pub size: u64,
    /// The transaction group in which the file was made.
    pub generation: u64,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// The object of the directory that the file was made in; of an attribute directory, its file.
    pub parent: u64,
    /// [`crate::acl::flag`].
    pub flags: u64,
    /// Time of the last access.
    pub atime: Time,
    /// Time of the last change of the content.
    pub mtime: Time,
    /// Time of the last change of anything.
    pub ctime: Time,
    /// Time of creation.
    pub crtime: Time,
    /// Names of a file; subdirectories of a directory and two.
    pub links: u64,
    /// Device number, in the guest's own form; only character and block devices have it.
    pub rdev: Option<u64>,
    /// How many entries [`Znode::aces`] has.
    pub ace_count: u64,
    /// The access control list ([`crate::acl`]).
    pub aces: Vec<u8>,
    /// Target of a symbolic link.
    pub symlink: Option<Vec<u8>>,
    /// The directory of extended attributes.
    pub xattr: Option<u64>,
}

/// The bytes of `znode_phys_t`, after which the text of a short symbolic link follows.
pub const LEGACY_ZNODE_BYTES: usize = 264;

impl Znode {
    /// The attributes in the order that the kernel uses and that boot loaders rely on.
    #[must_use]
    pub fn attributes(&self) -> Vec<(Attribute, Vec<u8>)> {
        let word = |value: u64| value.to_le_bytes().to_vec();
        let time = |time: Time| {
            let mut bytes = time.secs.to_le_bytes().to_vec();
            bytes.extend_from_slice(&u64::from(time.nanos).to_le_bytes());
            bytes
        };
        let mut values = vec![
            (Attribute::Mode, word(self.mode)),
            (Attribute::Size, word(self.size)),
            (Attribute::Gen, word(self.generation)),
            (Attribute::Uid, word(self.uid)),
            (Attribute::Gid, word(self.gid)),
            (Attribute::Parent, word(self.parent)),
            (Attribute::Flags, word(self.flags)),
            (Attribute::Atime, time(self.atime)),
            (Attribute::Mtime, time(self.mtime)),
            (Attribute::Ctime, time(self.ctime)),
            (Attribute::Crtime, time(self.crtime)),
            (Attribute::Links, word(self.links)),
        ];
        values.extend(self.rdev.map(|rdev| (Attribute::Rdev, word(rdev))));
        values.push((Attribute::DaclCount, word(self.ace_count)));
        values.push((Attribute::DaclAces, self.aces.clone()));
        values.extend(self.symlink.clone().map(|target| (Attribute::Symlink, target)));
        values.extend(self.xattr.map(|object| (Attribute::Xattr, word(object))));
        values
    }

    /// Puts the attributes of bonus and spill together.
    ///
    /// # Errors
    /// An attribute that every file has is missing or malformed.
    pub fn from_attributes(attributes: &Attributes) -> Result<Self, SaError> {
        let word = |attribute| attributes.u64(attribute).ok_or(SaError::Impossible("a mandatory attribute is missing"));
        let time = |attribute| attributes.get(attribute).map_or(Time::default(), decode_time);
        Ok(Self {
            mode: word(Attribute::Mode)?,
            size: word(Attribute::Size)?,
            generation: word(Attribute::Gen)?,
            uid: word(Attribute::Uid)?,
            gid: word(Attribute::Gid)?,
            parent: word(Attribute::Parent)?,
            flags: word(Attribute::Flags)?,
            atime: time(Attribute::Atime),
            mtime: time(Attribute::Mtime),
            ctime: time(Attribute::Ctime),
            crtime: time(Attribute::Crtime),
            links: word(Attribute::Links)?,
            rdev: attributes.u64(Attribute::Rdev),
            ace_count: attributes.u64(Attribute::DaclCount).unwrap_or(0),
            aces: attributes.get(Attribute::DaclAces).unwrap_or_default().to_vec(),
            symlink: attributes.get(Attribute::Symlink).map(<[u8]>::to_vec),
            xattr: attributes.u64(Attribute::Xattr).filter(|object| *object != 0),
        })
    }

    /// Reads the bonus buffer of a file system before version 5. The access control list is left out.
    ///
    /// # Errors
    /// The buffer is too short.
    pub fn from_legacy(bonus: &[u8]) -> Result<Self, SaError> {
        if bonus.len() < LEGACY_ZNODE_BYTES {
            return Err(SaError::Impossible("a znode that is too short"));
        }
        let word = |index: usize| bonus[index * 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let time = |index: usize| decode_time(&bonus[index * 8..index * 8 + 16]);
        let mode = word(9);
        let size = word(10);
        let is = |kind: u64| mode & 0o170_000 == kind;
        let text = bonus.get(LEGACY_ZNODE_BYTES..).and_then(|text| text.get(..usize::try_from(size).ok()?));
        Ok(Self {
            atime: time(0),
            mtime: time(2),
            ctime: time(4),
            crtime: time(6),
            generation: word(8),
            mode,
            size,
            parent: word(11),
            links: word(12),
            xattr: Some(word(13)).filter(|object| *object != 0),
            rdev: (is(0o020_000) || is(0o060_000)).then(|| word(14)),
            flags: word(15),
            uid: word(16),
            gid: word(17),
            ace_count: 0,
            aces: Vec::new(),
            symlink: text.filter(|_| is(0o120_000)).map(<[u8]>::to_vec),
        })
    }
}

fn decode_time(bytes: &[u8]) -> Time {
    let word = |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
    Time { secs: word(0) as i64, nanos: u32::try_from(word(8)).unwrap_or(0) }
}
