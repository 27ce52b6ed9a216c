//! Writes small ELF objects, so that tests can have one for every machine and system.
//!
//! It has a layout of its own, in which each part is at a place that no
//! linker would choose; only what the ABI promises holds.

#![allow(dead_code, reason = "each test binary uses its own part")]

/// The object to write.
#[derive(Debug, Clone)]
pub(crate) struct ElfWriter {
    pub(crate) wide: bool,
    pub(crate) little_endian: bool,
    pub(crate) osabi: u8,
    pub(crate) file_type: u16,
    pub(crate) machine: u16,
    pub(crate) interpreter: Option<&'static str>,
    pub(crate) needed: Vec<&'static str>,
    pub(crate) soname: Option<&'static str>,
    /// Library and the versions needed of it.
    pub(crate) needs: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) defines: Vec<&'static str>,
    /// Owner, type and content.
    pub(crate) note: Option<(&'static [u8], u32, Vec<u8>)>,
    pub(crate) dynamic_tags: Vec<(u64, u64)>,
}

/// A Linux program for x86-64 with nothing in it.
pub(crate) fn program() -> ElfWriter {
    ElfWriter {
        wide: true,
        little_endian: true,
        osabi: 0,
        file_type: 3,
        machine: 62,
        interpreter: None,
        needed: Vec::new(),
        soname: None,
        needs: Vec::new(),
        defines: Vec::new(),
        note: None,
        dynamic_tags: Vec::new(),
    }
}

/// What `cargo build` leaves on Debian.
pub(crate) fn debian_program() -> ElfWriter {
    ElfWriter {
        interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
        needed: vec!["libgcc_s.so.1", "libc.so.6"],
        needs: vec![("libgcc_s.so.1", vec!["GCC_3.0"]), ("libc.so.6", vec!["GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9"])],
        note: Some((b"GNU\0", 1, [0u32, 3, 2, 0].iter().flat_map(|w| w.to_le_bytes()).collect())),
        dynamic_tags: vec![(0x6fff_fffb, 0x0800_0001)],
        ..program()
    }
}

/// What `cargo build --target x86_64-unknown-illumos` leaves.
pub(crate) fn illumos_program() -> ElfWriter {
    ElfWriter {
        osabi: 6,
        interpreter: Some("/lib/amd64/ld.so.1"),
        needed: vec!["libsocket.so.1", "libc.so.1"],
        needs: vec![("libc.so.1", vec!["ILLUMOS_0.21", "SUNW_1.23"])],
        ..program()
    }
}

/// A glibc that defines these versions.
pub(crate) fn glibc(defines: &[&'static str]) -> ElfWriter {
    let mut all = vec!["libc.so.6"];
    all.extend_from_slice(defines);
    ElfWriter {
        osabi: 3,
        interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
        needed: vec!["ld-linux-x86-64.so.2"],
        soname: Some("libc.so.6"),
        defines: all,
        ..program()
    }
}

const BASE: u64 = 0x40_0000;

impl ElfWriter {
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image = Image { bytes: vec![0; 1024], writer: self };
        let mut strings = vec![0u8];
        let mut segments: Vec<(u32, u64, u64)> = Vec::new();

        let interpreter = self.interpreter.map(|path| {
            let mut bytes = path.as_bytes().to_vec();
            bytes.push(0);
            image.append(&bytes)
        });
        segments.extend(interpreter.map(|(at, len)| (3, at, len)));
        if let Some((owner, kind, content)) = &self.note {
            let mut note = Vec::new();
            for word in [owner.len() as u32, content.len() as u32, *kind] {
                note.extend(image.u32(word));
            }
            note.extend_from_slice(owner);
            note.resize(note.len().next_multiple_of(4), 0);
            note.extend_from_slice(content);
            let (at, len) = image.append(&note);
            segments.push((4, at, len));
        }
        if let Some(dynamic) = self.dynamic(&mut image, &mut strings) {
            let (at, len) = image.append(&dynamic);
            segments.push((2, at, len));
        }
        let length = image.bytes.len() as u64;
        segments.push((1, 0, length));
        self.header(&mut image, &segments);
        image.bytes
    }

    fn dynamic(&self, image: &mut Image<'_>, strings: &mut Vec<u8>) -> Option<Vec<u8>> {
        let mut entries: Vec<(u64, u64)> = Vec::new();
        for name in &self.needed {
            entries.push((1, intern(strings, name)));
        }
        if let Some(name) = self.soname {
            entries.push((14, intern(strings, name)));
        }
        if !self.needs.is_empty() {
            let table = self.verneed(image, strings);
            let (at, _) = image.append(&table);
            entries.extend([(0x6fff_fffe, BASE + at), (0x6fff_ffff, self.needs.len() as u64)]);
        }
        if !self.defines.is_empty() {
            let table = self.verdef(image, strings);
            let (at, _) = image.append(&table);
            entries.extend([(0x6fff_fffc, BASE + at), (0x6fff_fffd, self.defines.len() as u64)]);
        }
        entries.extend_from_slice(&self.dynamic_tags);
        if entries.is_empty() {
            return None;
        }
        let (at, len) = image.append(strings);
        entries.extend([(5, BASE + at), (10, len), (0, 0)]);
        Some(entries.iter().flat_map(|(tag, value)| [image.word(*tag), image.word(*value)].concat()).collect())
    }

    fn verneed(&self, image: &Image<'_>, strings: &mut Vec<u8>) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, (library, versions)) in self.needs.iter().enumerate() {
            let last = index + 1 == self.needs.len();
            let next = if last { 0 } else { 16 + 16 * versions.len() as u32 };
            table.extend([image.u16(1), image.u16(versions.len() as u16)].concat());
            for word in [intern(strings, library) as u32, 16, next] {
                table.extend(image.u32(word));
            }
            for (index, version) in versions.iter().enumerate() {
                let next = if index + 1 == versions.len() { 0 } else { 16 };
                table.extend(image.u32(0));
                table.extend([image.u16(0), image.u16(2)].concat());
                table.extend(image.u32(intern(strings, version) as u32));
                table.extend(image.u32(next));
            }
        }
        table
    }

    fn verdef(&self, image: &Image<'_>, strings: &mut Vec<u8>) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, version) in self.defines.iter().enumerate() {
            let next = if index + 1 == self.defines.len() { 0 } else { 28 };
            // The first entry names the library itself.
            let flags = u16::from(index == 0);
            for half in [1, flags, index as u16 + 1, 1] {
                table.extend(image.u16(half));
            }
            for word in [0, 20, next, intern(strings, version) as u32, 0] {
                table.extend(image.u32(word));
            }
        }
        table
    }

    fn header(&self, image: &mut Image<'_>, segments: &[(u32, u64, u64)]) {
        let (header_bytes, entry_bytes) = if self.wide { (64u16, 56u16) } else { (52, 32) };
        let mut header = b"\x7fELF".to_vec();
        header.extend([if self.wide { 2 } else { 1 }, if self.little_endian { 1 } else { 2 }, 1, self.osabi]);
        header.resize(16, 0);
        header.extend([image.u16(self.file_type), image.u16(self.machine)].concat());
        header.extend(image.u32(1));
        for word in [BASE, u64::from(header_bytes), 0] {
            header.extend(image.word(word));
        }
        header.extend(image.u32(0));
        for half in [header_bytes, entry_bytes, segments.len() as u16, 0, 0, 0] {
            header.extend(image.u16(half));
        }
        for (kind, at, len) in segments {
            header.extend(image.u32(*kind));
            if self.wide {
                header.extend(image.u32(4));
            }
            for word in [*at, BASE + at, BASE + at, *len, *len] {
                header.extend(image.word(word));
            }
            if !self.wide {
                header.extend(image.u32(4));
            }
            header.extend(image.word(4));
        }
        assert!(header.len() <= 1024);
        image.bytes[..header.len()].copy_from_slice(&header);
    }
}

struct Image<'a> {
    bytes: Vec<u8>,
    writer: &'a ElfWriter,
}

impl Image<'_> {
    /// Appends a part, 8-byte aligned; answers where it is and how long.
    fn append(&mut self, part: &[u8]) -> (u64, u64) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0xee);
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(part);
        (at, part.len() as u64)
    }

    fn u16(&self, value: u16) -> Vec<u8> {
        if self.writer.little_endian { value.to_le_bytes().into() } else { value.to_be_bytes().into() }
    }

    fn u32(&self, value: u32) -> Vec<u8> {
        if self.writer.little_endian { value.to_le_bytes().into() } else { value.to_be_bytes().into() }
    }

    fn word(&self, value: u64) -> Vec<u8> {
        match (self.writer.wide, self.writer.little_endian) {
            (true, true) => value.to_le_bytes().into(),
            (true, false) => value.to_be_bytes().into(),
            (false, _) => self.u32(value as u32),
        }
    }
}

fn intern(strings: &mut Vec<u8>, text: &str) -> u64 {
    let at = strings.len() as u64;
    strings.extend_from_slice(text.as_bytes());
    strings.push(0);
    at
}
