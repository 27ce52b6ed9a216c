//! Whatever tables and programs of storage say: it is read, or passed over, and never more than that.

use sysconfig_platform::System::{Illumos, Linux};
use sysconfig_platform::boot_table::{self, BootRow, Subject};
use sysconfig_platform::storage::{format_size, parse_size};
use sysconfig_platform::{memory, mount_table, mounting, swap, zfs};

const ANSWERS: &[&str] = &[
    "rpool/ROOT/be\t/\tzfs\trw,dev=4410002\t1700000000\nswap\t/tmp\ttmpfs\txattr,size=512m\t1700000001\n",
    "26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n65 26 7:0 /x /mnt/a\\040b ro - iso9660 /dev/loop0 ro\n",
    "tank/legacy - /export/legacy zfs - yes -\nswap - /tmp tmpfs - yes size=512m\n/dev/zvol/dsk/rpool/swap1 - - swap - no -\n",
    "UUID=1-2 / ext4 errors=remount-ro 0 1\n/dev/sdb1\t/mnt/a\\040b vfat noauto,ro\n/swap none swap sw,pri=5 0 0\n# c\n",
    "swapfile             dev    swaplo   blocks     free\n/dev/zvol/dsk/rpool/swap 228,1         8  4194296  4194296\n",
    "Filename\tType\tSize\tUsed\tPriority\n/my\\040swap file 16380 0 -2\n/dev/sdb1 partition 1048572 12 5\n",
    "rpool\tfilesystem\tyes\nrpool/swap\tvolume\t-\n",
    "tank/a\tquota\t0\tdefault\ntank/a\tuser:x\ta\tb\tlocal\n",
    "    1234c    5678o\n",
    "MemTotal:       24684124 kB\n",
    " 12 /usr/bin/bash\n",
    "1.5 GiB",
];

#[test]
fn fuzz_storage_answers() {
    test_judge::fuzz(5000, |random| {
        let mut bytes = random.pick(ANSWERS).as_bytes().to_vec();
        random.damage(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        for mount in mount_table::parse_mnttab(&text).into_iter().chain(mount_table::parse_mountinfo(&text)) {
            assert!(mount.mount_point.starts_with('/'), "{text}");
            let _ = mount_table::place_of(std::slice::from_ref(&mount), &mount.mount_point);
        }
        drop((swap::parse_list(&text), swap::parse_proc_swaps(&text), swap::header_size(&bytes)));
        drop((zfs::parse_list(&text), zfs::name_fault(&text)));
        drop((mounting::parse_fuser(&text), mounting::parse_names(&text)));
        let _ = (memory::parse_prtconf(&text), memory::parse_meminfo(&text));
        if let Some(size) = parse_size(&text) {
            assert_eq!(parse_size(&format_size(size)), Some(size), "{text}");
        }
    });
}

/// Rows that were read are written so that they are read the same, and edits touch no other row.
#[test]
fn fuzz_boot_tables() {
    test_judge::fuzz(5000, |random| {
        let system = *random.pick(&[Illumos, Linux]);
        let mut bytes = random.pick(&ANSWERS[2..4]).as_bytes().to_vec();
        random.damage(&mut bytes);
        let rows = boot_table::parse(system, &bytes);
        for row in &rows {
            // What is no text was replaced to be looked at; such a row is never written again.
            let again = BootRow::parse(system, &row.format(system));
            assert_eq!(again.as_ref(), Some(row), "{}", row.format(system));
        }
        let new = BootRow::parse(system, "new - /new tmpfs - yes -").filter(|_| system == Illumos);
        let new = new.or_else(|| BootRow::parse(system, "new /new tmpfs defaults 0 0")).unwrap();
        let with = boot_table::edit(system, &bytes, Subject::Mount("/new"), Some(&new));
        assert_eq!(
            boot_table::edit(system, &with, Subject::Mount("/new"), Some(&new)),
            with,
            "the second edit is none"
        );
        let without = boot_table::edit(system, &with, Subject::Mount("/new"), None);
        let others: Vec<BootRow> =
            rows.into_iter().filter(|row| row.subject() != Some(Subject::Mount("/new"))).collect();
        assert_eq!(boot_table::parse(system, &without), others);
        let kept = |text: &[u8]| text.strip_suffix(b"\n").unwrap_or(text).to_vec();
        if !String::from_utf8_lossy(&bytes).contains("/new") {
            assert_eq!(kept(&without), kept(&bytes), "byte for byte, apart from a line end that was missing");
        }
    });
}
