//! What `zpool` of several systems prints is read; whatever else it prints is refused, and never more than that.

use sysconfig_platform::zfs::property;
use sysconfig_platform::zpool::{self, Kind, Layout, PoolStatus, Vdev, parse_importable, parse_status};

/// illumos: a mirror with a lost member, a log, a cache, a spare that stands in for a member.
const DEGRADED: &str = "  pool: tank\n state: DEGRADED\nstatus: One or more devices could not be opened.  Sufficient replicas exist for\n\
\tthe pool to continue functioning in a degraded state.\naction: Attach the missing device and online it using 'zpool online'.\n\
   see: http://illumos.org/msg/ZFS-8000-2Q\n  scan: resilvered 96K in 0 days 00:00:00 with 0 errors on Thu Nov 26 21:39:45 2026\nconfig:\n\n\
\tNAME                         STATE     READ WRITE CKSUM\n\
\ttank                         DEGRADED     0     0     0\n\
\t  mirror-0                   DEGRADED     0     0     0\n\
\t    /dev/dsk/c1t0d0s0        ONLINE       0     0     0\n\
\t    1339667020650979168      UNAVAIL      0     0     0  was /dev/dsk/c1t1d0s0  (awaiting resilver)\n\
\t  indirect-3                 ONLINE       0     0     0\n\
\t  raidz2-1                   DEGRADED     0     0 1.20K\n\
\t    spare-0                  DEGRADED     0     0     0\n\
\t      /dev/dsk/c2t0d0s0      UNAVAIL      0     0     0  cannot open\n\
\t      /dev/dsk/c2t9d0s0      ONLINE       0     0     0  (resilvering)\n\
\t    replacing-1              ONLINE       0     0     0\n\
\t      /dev/dsk/c2t1d0s0      ONLINE       0     0     0\n\
\t      /dev/dsk/c3t1d0s0      ONLINE       0     0     0\n\
\t    /dev/dsk/c2t2d0s0        ONLINE       0     0     0\n\
\tspecial\n\t  mirror-4                   ONLINE       0     0     0\n\t    /dev/dsk/c5t0d0s0        ONLINE       0     0     0\n\
\tlogs\n\t  /dev/dsk/c4t0d0s0          ONLINE       0     0     0\n\
\tcache\n\t  /dev/dsk/c4t1d0s0          ONLINE       0     0     0\n\
\tspares\n\t  /dev/dsk/c2t9d0s0          INUSE     currently in use\n\t  /var/tmp/a file              AVAIL\n\n\
errors: No known data errors\n\n  pool: rpool\n state: ONLINE\n  scan: resilver in progress since Thu Nov 26 21:39:45 2026\n\
\t1.00G scanned out of 2.00G at 10.0M/s, 0h1m to go\nconfig:\n\n\tNAME                 STATE     READ WRITE CKSUM\n\
\trpool                ONLINE       0     0     0\n\t  /dev/dsk/c0t0d0s0  ONLINE       0     0     0\n\nerrors: No known data errors\n";

fn drawn(vdevs: &[Vdev]) -> String {
    let draw = |vdev: &Vdev| {
        let members = if vdev.members.is_empty() { String::new() } else { format!("({})", drawn(&vdev.members)) };
        let name = if vdev.kind == Kind::Device { vdev.name.as_str() } else { vdev.kind.word() };
        format!("{name}{members}")
    };
    vdevs.iter().map(draw).collect::<Vec<_>>().join(" ").replace("/dev/dsk/", "")
}

#[test]
fn a_status_of_two_pools() {
    let pools = parse_status("look", DEGRADED).unwrap();
    let layout = &pools[0].layout;
    assert_eq!(
        drawn(&layout.data),
        "mirror(c1t0d0s0 1339667020650979168) raidz2(spare(c2t0d0s0 c2t9d0s0) replacing(c2t1d0s0 c3t1d0s0) c2t2d0s0)"
    );
    assert_eq!((drawn(&layout.logs), drawn(&layout.cache)), ("c4t0d0s0".into(), "c4t1d0s0".into()));
    assert_eq!(drawn(&layout.spares), "c2t9d0s0 /var/tmp/a file");
    assert_eq!(drawn(&layout.classes), "mirror(c5t0d0s0)");
    assert_eq!((pools[0].state.as_str(), pools[0].is_resilvering()), ("DEGRADED", false));
    assert!(pools[0].status.ends_with("devices could not be opened.  Sufficient replicas exist for the pool to continue functioning in a degraded state."));
    let lost = &layout.data[0].members[1];
    assert_eq!((lost.shown_guid(), lost.path()), (Some(1_339_667_020_650_979_168), Some("/dev/dsk/c1t1d0s0")));
    assert_eq!((lost.state.as_str(), layout.spares[1].state.as_str()), ("UNAVAIL", "AVAIL"));
    assert_eq!(layout.devices().len(), 12);
    assert_eq!((pools[1].name.as_str(), pools[1].is_resilvering()), ("rpool", true));
    let answers: Vec<_> = pools.iter().map(PoolStatus::answers).collect();
    assert_eq!(answers, [true, true]);
    // illumos shows how the devices of a pool are that does not answer.
    let text = DEGRADED.replace("could not be opened.  ", "are faulted in response to IO failures.\n\t");
    assert!(!parse_status("look", &text).unwrap()[0].answers());
    // OpenZFS names the mirror that it goes through from its beginning to its end.
    let text = DEGRADED.replace("resilver in progress", "resilver (mirror-0) in progress");
    assert!(parse_status("look", &text).unwrap()[1].is_resilvering());
    assert_eq!(parse_status("look", "no pools available\n").unwrap(), []);
    assert!(parse_status("look", "  pool: tank\n state: ONLINE\n").is_err());
}

/// As zfs-fuse prints it, which has the form of illumos of 2010; today's adds comments.
const LIST: &str = "  pool: tank\n    id: 7132843995867387889\n state: DEGRADED\nstatus: One or more devices are missing from the system.\n\
action: The pool can be imported despite missing or damaged devices.  The\n\tfault tolerance of the pool may be compromised if imported.\n\
   see: http://www.sun.com/msg/ZFS-8000-2Q\nconfig:\n\n\ttank              DEGRADED\n\t  mirror-0        DEGRADED\n\
\t    /tmp/st/w/d0  ONLINE\n\t    /tmp/st/w/d1  UNAVAIL  cannot open\n\tspares\n\t  /tmp/st/w/d4\n\tlogs\n\t  /tmp/st/w/d2    ONLINE\n\n\
   pool: data\n     id: 18446744073709551615\n  state: ONLINE\n status: The pool was last accessed by another system.\n\
 action: The pool can be imported using its name or numeric identifier and\n\tthe '-f' flag.\n\
comment: of the old machine\n config:\n\n\tdata      ONLINE\n\t  c1t0d0  ONLINE\n";

#[test]
fn what_can_be_imported() {
    let pools = parse_importable("look", LIST).unwrap();
    assert_eq!((pools[0].guid, pools[1].guid), (7_132_843_995_867_387_889, u64::MAX));
    assert_eq!(drawn(&pools[0].layout.data), "mirror(/tmp/st/w/d0 /tmp/st/w/d1)");
    assert_eq!(
        (drawn(&pools[0].layout.spares), drawn(&pools[0].layout.logs)),
        ("/tmp/st/w/d4".into(), "/tmp/st/w/d2".into())
    );
    assert_eq!(pools[0].layout.data[0].members[1].note, "cannot open");
    assert!(pools[0].is_usable() && !pools[0].needs_force() && pools[1].needs_force());
    let text = LIST
        .replace("was last accessed by", "is currently imported by")
        .replace("can be imported using its", "must be exported. Its");
    let active = &parse_importable("look", &text.replace("the '-f' flag", "it")).unwrap()[1];
    assert!(active.is_imported_elsewhere() && !active.needs_force() && !pools[1].is_imported_elsewhere());
    assert_eq!(drawn(&pools[1].layout.data), "c1t0d0");
    assert_eq!(parse_importable("look", "no pools available to import\n").unwrap(), []);
    assert!(parse_importable("look", "  pool: tank\n    id: x\n").is_err());
}

#[test]
fn kinds_by_name() {
    let cases = [
        ("mirror-0", Kind::Mirror),
        ("mirror", Kind::Mirror),
        ("raidz1-10", Kind::Raidz(1)),
        ("raidz", Kind::Raidz(1)),
        ("raidz3-1", Kind::Raidz(3)),
        ("replacing-0", Kind::Replacing),
        ("spare-2", Kind::Spare),
        ("indirect-1", Kind::Other),
        ("draid2:4d:6c:0s-0", Kind::Other),
        ("draid1-0-0", Kind::Other),
        ("c1t0d0", Kind::Device),
        ("/dev/disk/by-id/mirror-0", Kind::Device),
        ("1339667020650979168", Kind::Device),
    ];
    for (name, kind) in cases {
        assert_eq!(Kind::of(name), kind, "{name}");
    }
}

#[test]
fn fuzz_pool_answers() {
    let answers = [DEGRADED, LIST, "tank\tsize\t10\t-\ntank\tmountpoint\t/x\tinherited from t\n"];
    test_judge::fuzz(5000, |random| {
        let mut bytes = random.pick(&answers).as_bytes().to_vec();
        random.damage(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let shown: Vec<Layout> =
            zpool::parse_status("look", &text).into_iter().flatten().map(|pool| pool.layout).collect();
        let listed = zpool::parse_importable("look", &text).into_iter().flatten().map(|pool| pool.layout);
        for layout in shown.into_iter().chain(listed) {
            assert!(layout.devices().iter().all(|device| !device.name.is_empty()), "{text}");
        }
        let _ = property::parse("look", &text);
    });
}
