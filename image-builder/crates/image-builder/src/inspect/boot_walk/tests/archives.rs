//! What the boot archive has to hold, and the form that the early kernel reads.

use super::root::{ARCHIVE, FILE_LIST, LISTED, Root, closed, member};

/// Every required file that the kernel reads before it has the pool, as if the list did not name it.
#[test]
fn what_is_there_and_not_archived_is_told() {
    for listed in LISTED {
        let mut root = Root::whole();
        let others: Vec<_> = LISTED.into_iter().filter(|name| *name != listed).collect();
        root.file(FILE_LIST, format!("{}\nkernel\nplatform\n", others.join("\n")));
        let content = root.0.remove(&format!("/{listed}")).expect("there");
        root.archive();
        root.0.insert(format!("/{listed}"), content);
        let expected = format!(
            "boot: {ARCHIVE}: {listed} is not in it, although the boot environment has it: {FILE_LIST} does not name it"
        );
        assert_eq!(root.found().bad, [expected]);
    }
    // A line `platform` stands for the kernels of all machines.
    let mut root = Root::whole();
    root.file("/platform/i86hvm/kernel/drv/amd64/new", "a driver");
    assert_eq!(root.found().bad, [format!("boot: {ARCHIVE}: platform/i86hvm/kernel/drv/amd64/new is not in it")]);
}

#[test]
fn archives_that_the_kernel_does_not_read_are_told() {
    let whole = closed(member("etc/system", 0o100_644, b"content of /etc/system\n"));
    let with = |at: usize, bytes: &[u8]| {
        let mut archive = whole.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    for (archive, expected) in [
        (with(0, b"070701"), "at 0 of the unpacked archive: no member in the old octal form"),
        (with(18, b"10064 "), "at 0 of the unpacked archive: a number is not octal"),
        (with(59, b"777777"), "at 0 of the unpacked archive: a name has no length that a path can have"),
        (with(86, b"x"), "at 0 of the unpacked archive: a name is not ended, or no text"),
        (with(65, b"00000777777"), "at 512 of the unpacked archive: it ends within a member"),
        (whole[..whole.len() - 1].to_vec(), "at 511 of the unpacked archive: its length is no multiple of 512"),
        (whole[..110].to_vec(), "at 110 of the unpacked archive: it ends without a trailer"),
        (
            closed(member("./etc/system", 0o100_644, b"content of /etc/system\n")),
            "the name ./etc/system in it is not found",
        ),
        (closed(Vec::new()), "no driver of a disk is in it (kernel/drv/amd64/vioblk, "),
    ] {
        let mut root = Root::whole();
        root.put_archive(&archive);
        let bad = root.found().bad;
        let expected = format!("boot: {ARCHIVE}: {expected}");
        assert!(bad.iter().any(|problem| problem.starts_with(&expected)), "{expected} is not in {bad:?}");
    }
}
