//! Executables of every kind against guests of every kind.

mod elf_writer;

use elf_abi::{
    Class, ElfError, GlibcVersion, Guest, Machine, Mismatch, ObjectKind, Os, VersionNeed, defined_versions, inspect,
    libc_candidates,
};
use elf_writer::{ElfWriter, debian_program, glibc, illumos_program, program};

fn bookworm() -> Guest {
    let libc = glibc(&["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.34", "GLIBC_2.36", "GLIBC_ABI_DT_RELR"]);
    Guest::from_libc(&libc.build()).unwrap()
}

fn needs(versions: &[&'static str]) -> ElfWriter {
    ElfWriter { needs: vec![("libc.so.6", versions.to_vec())], ..debian_program() }
}

#[test]
fn a_program_is_described_completely() {
    let found = inspect(&debian_program().build()).unwrap();
    assert_eq!((found.class, found.machine, found.os), (Class::Elf64, Machine::X86_64, Os::Linux));
    assert_eq!((found.kind, found.is_static, found.is_pie), (ObjectKind::Executable, false, true));
    assert_eq!(found.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(found.needed, ["libgcc_s.so.1", "libc.so.6"]);
    let need = |library: &str, version: &str| VersionNeed { library: library.into(), version: version.into() };
    assert_eq!(
        found.versions,
        [
            need("libgcc_s.so.1", "GCC_3.0"),
            need("libc.so.6", "GLIBC_2.2.5"),
            need("libc.so.6", "GLIBC_2.34"),
            need("libc.so.6", "GLIBC_2.9"),
        ]
    );
}

#[test]
fn the_class_and_byte_order_do_not_change_what_is_found() {
    for (wide, little_endian) in [(true, true), (true, false), (false, true), (false, false)] {
        let written = ElfWriter { wide, little_endian, osabi: 3, note: None, ..debian_program() };
        let expected = inspect(&ElfWriter { note: None, osabi: 3, ..debian_program() }.build()).unwrap();
        let mut found = inspect(&written.build()).unwrap();
        assert_eq!(found.class, if wide { Class::Elf64 } else { Class::Elf32 });
        found.class = expected.class;
        assert_eq!(found, expected, "wide {wide}, little-endian {little_endian}");
    }
}

#[test]
fn each_mark_of_a_system_is_enough() {
    let note = |owner: &'static [u8], word: u32| ElfWriter {
        note: Some((owner, 1, word.to_le_bytes().repeat(4))),
        needed: vec!["libfoo.so.1"],
        ..program()
    };
    let interpreter = |path| ElfWriter { interpreter: Some(path), ..program() };
    let needed = |name| ElfWriter { needed: vec![name], ..program() };
    let version = |name| ElfWriter { needs: vec![("libc", vec![name])], needed: vec!["libc"], ..program() };
    let cases = [
        ("static musl has no mark at all", program(), Os::Linux),
        ("GNU note of Linux", note(b"GNU\0", 0), Os::Linux),
        ("GNU note of Solaris", note(b"GNU\0", 2), Os::Illumos),
        ("FreeBSD note", note(b"FreeBSD\0", 1_400_000), Os::FreeBsd),
        ("OSABI 6", ElfWriter { osabi: 6, ..program() }, Os::Illumos),
        ("OSABI 9", ElfWriter { osabi: 9, ..program() }, Os::FreeBsd),
        ("illumos' linker", interpreter("/usr/lib/amd64/ld.so.1"), Os::Illumos),
        ("illumos' linker in /lib", interpreter("/lib/amd64/ld.so.1"), Os::Illumos),
        ("musl's linker", interpreter("/lib/ld-musl-x86_64.so.1"), Os::Linux),
        ("FreeBSD's linker", interpreter("/libexec/ld-elf.so.1"), Os::FreeBsd),
        ("glibc", needed("libc.so.6"), Os::Linux),
        ("illumos' libc", needed("libc.so.1"), Os::Illumos),
        ("a version of glibc", version("GLIBC_2.4"), Os::Linux),
        ("a version of illumos", version("ILLUMOS_0.21"), Os::Illumos),
        (
            "SUNW dynamic tag",
            ElfWriter { dynamic_tags: vec![(0x6000_0011, 1)], needed: vec!["libx"], ..program() },
            Os::Illumos,
        ),
        ("nothing but a library", needed("libx.so.1"), Os::Unknown),
        (
            "ld.so.1 on PowerPC is Linux or nobody's",
            ElfWriter { machine: 20, ..interpreter("/lib/ld.so.1") },
            Os::Unknown,
        ),
    ];
    for (what, written, expected) in cases {
        assert_eq!(inspect(&written.build()).unwrap().os, expected, "{what}");
    }
}

#[test]
fn programs_and_libraries_are_told_apart() {
    let pie = (0x6fff_fffb, 0x0800_0000);
    let cases = [
        ("fixed address", ElfWriter { file_type: 2, ..program() }, ObjectKind::Executable, false),
        ("static PIE", ElfWriter { dynamic_tags: vec![pie], ..program() }, ObjectKind::Executable, true),
        ("dynamic PIE", debian_program(), ObjectKind::Executable, true),
        ("old PIE without flag", ElfWriter { dynamic_tags: vec![], ..debian_program() }, ObjectKind::Executable, true),
        ("library", ElfWriter { needed: vec!["libc.so.6"], ..program() }, ObjectKind::SharedLibrary, false),
        ("glibc, which can be started", glibc(&["GLIBC_2.36"]), ObjectKind::SharedLibrary, false),
        ("object file", ElfWriter { file_type: 1, ..program() }, ObjectKind::Other, false),
        ("core dump", ElfWriter { file_type: 4, ..program() }, ObjectKind::Other, false),
    ];
    for (what, written, kind, is_pie) in cases {
        let found = inspect(&written.build()).unwrap();
        assert_eq!((found.kind, found.is_pie), (kind, is_pie), "{what}");
    }
}

#[test]
fn what_fits_runs() {
    let guest = bookworm();
    let static_program = ElfWriter { file_type: 2, ..program() };
    for written in [debian_program(), static_program, needs(&["GLIBC_2.36", "GLIBC_ABI_DT_RELR", "GCC_9"])] {
        assert_eq!(inspect(&written.build()).unwrap().check(&guest), Ok(()));
    }
    let illumos = Guest::illumos(Machine::X86_64);
    assert_eq!(inspect(&illumos_program().build()).unwrap().check(&illumos), Ok(()));
}

#[test]
fn what_does_not_fit_says_why_and_what_would() {
    let arm = ElfWriter { machine: 183, interpreter: Some("/lib/ld-linux-aarch64.so.1"), ..debian_program() };
    let musl = ElfWriter { interpreter: Some("/lib/ld-musl-x86_64.so.1"), needs: vec![], ..debian_program() };
    let library = ElfWriter { needed: vec!["libc.so.6"], ..program() };
    let illumos = Guest::illumos(Machine::X86_64);
    let cases = [
        (
            debian_program(),
            &illumos,
            "it is built for Linux, the guest runs illumos",
            "--target x86_64-unknown-illumos",
        ),
        (
            illumos_program(),
            &bookworm(),
            "it is built for illumos, the guest runs Linux",
            "--target x86_64-unknown-linux-gnu",
        ),
        (
            arm,
            &bookworm(),
            "it is built for aarch64, the guest's machine is x86_64",
            "--target x86_64-unknown-linux-gnu",
        ),
        (
            musl,
            &bookworm(),
            "it needs the run-time linker /lib/ld-musl-x86_64.so.1, which the guest has not got",
            "--target x86_64-unknown-linux-gnu",
        ),
        (
            needs(&["GLIBC_2.39", "GLIBC_2.2.5", "GLIBC_2.38"]),
            &bookworm(),
            "it needs GLIBC_2.39 of libc.so.6, the guest has glibc 2.36",
            "Debian bookworm",
        ),
        (
            needs(&["GLIBC_ABI_GNU2_TLS"]),
            &bookworm(),
            "it needs GLIBC_ABI_GNU2_TLS of libc.so.6, the guest has glibc 2.36",
            "--target x86_64-unknown-linux-musl",
        ),
        (library, &bookworm(), "it is a shared library, not a program", "target/release"),
    ];
    for (written, guest, message, help) in cases {
        let mismatch = inspect(&written.build()).unwrap().check(guest).unwrap_err();
        assert_eq!(mismatch.to_string(), message);
        assert!(mismatch.help().contains(help), "{message}: {}", mismatch.help());
    }
}

#[test]
fn releases_compare_as_numbers_not_as_text() {
    let libc = Guest::from_libc(&glibc(&["GLIBC_2.9", "GLIBC_2.10"]).build()).unwrap();
    assert_eq!(libc.glibc.as_ref().unwrap().newest(), GlibcVersion::new(2, 10));
    assert_eq!(inspect(&needs(&["GLIBC_2.10"]).build()).unwrap().check(&libc), Ok(()));
    let newer = inspect(&needs(&["GLIBC_2.10.1"]).build()).unwrap().check(&libc);
    assert!(matches!(newer, Err(Mismatch::Glibc { version, .. }) if version == "GLIBC_2.10.1"));
}

#[test]
fn a_guest_is_known_by_its_c_library() {
    let guest = bookworm();
    assert_eq!(guest.to_string(), "Linux on x86_64 with glibc 2.36");
    assert_eq!(guest.triple(), "x86_64-unknown-linux-gnu");

    let libc = ElfWriter {
        osabi: 6,
        soname: Some("libc.so.1"),
        defines: vec!["libc.so.1", "ILLUMOS_0.40", "SUNW_1.1"],
        ..program()
    };
    let guest = Guest::from_libc(&libc.build()).unwrap();
    assert_eq!((guest.os, guest.glibc.clone()), (Os::Illumos, None));
    assert_eq!(guest.triple(), "x86_64-unknown-illumos");

    assert_eq!(Guest::from_libc(&debian_program().build()), Err(ElfError::NotALibc));
}

#[test]
fn defined_versions_leave_out_the_library_itself() {
    let libc = glibc(&["GLIBC_2.2.5", "GLIBC_PRIVATE"]).build();
    assert_eq!(defined_versions(&libc).unwrap(), ["GLIBC_2.2.5", "GLIBC_PRIVATE"]);
}

#[test]
fn what_is_no_elf_object_is_named() {
    for (bytes, message) in [
        (&b""[..], "not an ELF object: it is empty"),
        (b"#!/bin/sh\n", "not an ELF object: it is a script"),
        (b"MZ\x90\0", "not an ELF object: it is a Windows or EFI program"),
        (b"\xcf\xfa\xed\xfe", "not an ELF object: it is a macOS program"),
        (b"garbage", "not an ELF object"),
        (b"\x7fELF", "the header of the ELF object is cut off or damaged"),
        (b"\x7fELF\x03\x01\x01\0\0\0\0\0\0\0\0\0", "the ELF header has the impossible class 3"),
    ] {
        assert_eq!(inspect(bytes).unwrap_err().to_string(), message);
    }
}

/// The one executable that is certainly there: this test.
#[test]
fn this_very_test_runs_on_this_very_host() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let found = inspect(&bytes).unwrap();
    assert_eq!(found.kind, ObjectKind::Executable);
    let expected = if cfg!(target_os = "illumos") { Os::Illumos } else { Os::Linux };
    if cfg!(any(target_os = "illumos", target_os = "linux")) {
        assert_eq!(found.os, expected);
    }
    assert_eq!(found.machine.triple_name(), Some(std::env::consts::ARCH));
    assert_eq!(found.is_static, cfg!(target_feature = "crt-static"));

    let libc = libc_candidates().iter().find_map(|path| std::fs::read(path).ok());
    let Some(libc) = libc else {
        return test_judge::skip(&format!("no C library at any of {:?}", libc_candidates()));
    };
    let host = Guest::from_libc(&libc).unwrap();
    assert_eq!(found.check(&host), Ok(()), "on {host}");
}
