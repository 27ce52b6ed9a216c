//! Rows of the boot table: only ours change, and only after the mount has worked.

use crate::support::{illumos, linux, summaries};
use sysconfig_plugin::Risk;

const TMP: &str =
    "[[storage.mount]]\ndevice = \"swap\"\nmountpoint = \"/tmp\"\ntype = \"tmpfs\"\noptions = [\"size=512m\"]\n";

#[test]
fn unknown_rows_stay_byte_for_byte() {
    let mut fixture = illumos();
    let path = fixture.host.root.locate("/etc/vfstab");
    let odd: &[u8] = b"#comment \xe9\nbroken row\n\n/dev/fd\t-\t/dev/fd\tfd\t-\tno\t-\n  tank/x - /x zfs - no ro,\xff";
    std::fs::write(&path, odd).unwrap();
    fixture.converge(TMP);
    let with = std::fs::read(&path).unwrap();
    assert!(with.starts_with(odd) && with.ends_with(b"\nswap\t-\t/tmp\ttmpfs\t-\tyes\tsize=512m\n"));
    assert_eq!(std::fs::read(format!("{}.sysconfig-orig", path.display())).unwrap(), odd, "the first state is kept");
    fixture.converge("[storage]\nmount = []\n");
    // A missing line end had to be added before a row could follow.
    assert_eq!(std::fs::read(&path).unwrap(), [odd, b"\n"].concat());
}

#[test]
fn a_row_of_somebody_elses_that_says_the_same_is_good() {
    let mut fixture = illumos();
    let row = "swap                       - /tmp           tmpfs - yes size=512m\n";
    let path = fixture.host.root.locate("/etc/vfstab");
    std::fs::write(&path, row).unwrap();
    assert_eq!(fixture.converge(TMP), ["mount swap at /tmp"]);
    fixture.converge("[storage]\nmount = []\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), row, "and stays when ours goes");
}

#[test]
fn a_row_of_somebody_elses_that_differs_is_changed_on_request_only() {
    let mut fixture = linux();
    let path = fixture.host.root.locate("/etc/fstab");
    std::fs::write(&path, "swap /tmp tmpfs size=1g 0 0\n").unwrap();
    let steps = fixture.plan(TMP);
    let left = "leave /tmp alone: its row in /etc/fstab differs, and is not ours: swap /tmp tmpfs size=1g 0 0";
    assert_eq!(summaries(&steps)[1], left);
    fixture.converge_up_to(&format!("{TMP}adopt = true\n"), Risk::Disruptive);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "swap\t/tmp\ttmpfs\tsize=512m\t0\t0\n");
    std::fs::write(&path, "a /tmp tmpfs size=512m 0 0\nb /tmp tmpfs size=512m 0 0\n").unwrap();
    let steps = fixture.plan(&format!("{TMP}adopt = true\n"));
    assert_eq!(summaries(&steps), ["leave /tmp alone: there are 2 rows about it in /etc/fstab"]);
}

#[test]
fn our_row_that_somebody_has_changed_is_put_right() {
    let mut fixture = illumos();
    fixture.converge(TMP);
    let path = fixture.host.root.locate("/etc/vfstab");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("yes\tsize=512m", "no\tsize=512m")).unwrap();
    assert_eq!(fixture.converge(TMP), ["mount /tmp at boot"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), good);
    assert_eq!(fixture.converge(&format!("{TMP}persistent = false\n")), ["no longer mount /tmp at boot"]);
}

/// With another device it is another row, of whoever has written it.
#[test]
fn a_row_that_somebody_puts_in_the_place_of_ours_is_his() {
    for (mut fixture, table, theirs) in [
        (illumos(), "/etc/vfstab", "/dev/dsk/c1t0d0s6\t/dev/rdsk/c1t0d0s6\t/tmp\tufs\t2\tyes\t-\n"),
        (linux(), "/etc/fstab", "/dev/sdb1\t/tmp\text4\tdefaults\t0 2\n"),
    ] {
        fixture.converge(TMP);
        let path = fixture.host.root.locate(table);
        let with = std::fs::read_to_string(&path).unwrap();
        let ours = with.lines().last().unwrap().to_owned() + "\n";
        let changed = with.replace(&ours, theirs);
        std::fs::write(&path, &changed).unwrap();
        let says = theirs.trim_end().replace('\t', " ");
        let left = format!("leave /tmp alone: its row in {table} differs, and is not ours: {says}");
        assert_eq!(summaries(&fixture.plan(TMP)), [left]);
        let gone = fixture.converge("[storage]\nmount = []\n");
        assert_eq!(gone[0], "forget the row of /tmp, which somebody has changed, and which stays");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), changed, "byte for byte");
        // Beside ours it is not for us to say which one counts.
        std::fs::write(&path, with.replace(&ours, "")).unwrap();
        fixture.converge(TMP);
        std::fs::write(&path, format!("{with}{theirs}")).unwrap();
        let steps = fixture.plan("[storage]\nmount = []\n");
        assert!(
            summaries(&steps).contains(&format!("leave /tmp alone: there are 2 rows about it in {table}").as_str())
        );
        fixture.fail("[storage]\nmount = []\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{with}{theirs}"));
    }
}

#[test]
fn a_row_that_somebody_writes_after_the_plan_stays() {
    for (mut fixture, table, theirs) in [
        (illumos(), "/etc/vfstab", "theirs - /tmp tmpfs - no -\n"),
        (linux(), "/etc/fstab", "theirs /tmp tmpfs noauto 0 0\n"),
    ] {
        let steps = fixture.plan(TMP);
        fixture.harness.apply(&steps[0]).unwrap();
        fixture.machine.storage(|storage| storage.add_row(theirs));
        let before = fixture.read(table);
        let error = fixture.harness.apply(&steps[1]).unwrap_err();
        assert_eq!(
            error.message,
            format!("cannot write the row of /tmp in {table}: it is not as it was when this was planned")
        );
        assert!(error.data.unwrap().help.is_some());
        assert_eq!(fixture.read(table), before);
        fixture.converge("[storage]\nmount = []\n");
        assert_eq!(fixture.read(table), before);
    }
}

/// With spaces, comments and columns that nobody reads, and in its place.
#[test]
fn a_row_comes_back_as_it_was_written() {
    let mut fixture = linux();
    let path = fixture.host.root.locate("/etc/fstab");
    let adopted = format!("{TMP}adopt = true\n");
    let written = "# mine\nswap  /tmp tmpfs  auto,defaults,size=1g 1 0  # mine, too\n\n# the end\n";
    std::fs::write(&path, written).unwrap();
    let undo = |fixture: &mut crate::support::Fixture, text: &str| {
        fixture.harness.configure(crate::support::config(text));
        let done = fixture.harness.converge().unwrap().steps;
        assert_ne!(fixture.read("/etc/fstab"), written);
        for (step, _) in done.iter().rev() {
            fixture.harness.undo(step).unwrap();
        }
        assert_eq!(fixture.read("/etc/fstab"), written);
    };
    undo(&mut fixture, &adopted);
    fixture.converge(&adopted);
    // Ours by now, but somebody has given it another look.
    std::fs::write(&path, written).unwrap();
    undo(&mut fixture, "[storage]\nmount = []\n");
}
