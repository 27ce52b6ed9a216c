//! "Already there, but different": each case ends in the right plan, the right refusal, or a note, and nothing else, on both
//! systems.

use crate::support::{Fixture, SYSTEMS, disk, summaries, tank};
use sysconfig_platform::System;

/// What a case ends in.
enum End {
    /// These steps, of which nothing is left afterwards, and this layout.
    Plan(&'static [&'static str], &'static str),
    /// Nothing is done, and this is said.
    Refused(&'static str),
    /// Nothing is to be done, and this is said.
    Noted(&'static str),
}
use End::{Noted, Plan, Refused};

struct Case {
    /// The pool as somebody made it, behind `zpool create`.
    before: &'static str,
    /// The configuration of it.
    wanted: &'static str,
    end: End,
}

fn case(before: &'static str, wanted: &'static str, end: End) -> Case {
    Case { before, wanted, end }
}

fn vdevs() -> Vec<Case> {
    vec![
        case("tank c#0", r#"vdevs = ["c#0"]"#, Plan(&[], "0")),
        case("tank mirror c#0 c#1", r#"vdevs = [{ mirror = ["c#1", "c#0"] }]"#, Plan(&[], "mirror(0 1)")),
        case("tank c#0", r#"vdevs = [{ mirror = ["c#0", "c#1"] }]"#, Plan(&["attach c#1 to c#0s0"], "mirror(0 1)")),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = [{ mirror = ["c#0", "c#1", "c#2"] }]"#,
            Plan(&["attach c#2 to c#0s0"], "mirror(0 2 1)"),
        ),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = ["c#0"]"#,
            Noted("c#1s0 in mirror-0 is not in the configuration, and stays"),
        ),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = [{ mirror = ["c#0", "c#2"] }]"#,
            Plan(&["replace c#1s0 of the pool tank by c#2"], "mirror(0 2)"),
        ),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = [{ mirror = ["c#2", "c#1", "c#3"] }]"#,
            Plan(&["attach c#3 to c#0s0", "replace c#0s0 of the pool tank by c#2"], "mirror(2 3 1)"),
        ),
        case("tank c#0", r#"vdevs = ["c#1"]"#, Refused("none of c#1 is in the pool, which has c#0s0 instead")),
        // The guid says that it is this pool.
        case("tank c#0", "guid = \"GUID\"\nvdevs = [\"c#1\"]", Plan(&["replace c#0s0 of the pool tank by c#1"], "1")),
        case("tank c#0 c#1", r#"vdevs = ["c#0", "c#2"]"#, Plan(&["replace c#1s0 of the pool tank by c#2"], "0 2")),
        case(
            "tank raidz c#0 c#1 c#2",
            r#"vdevs = [{ raidz1 = ["c#0", "c#3", "c#2"] }]"#,
            Plan(&["replace c#1s0 of the pool tank by c#3"], "raidz1(0 3 2)"),
        ),
        case(
            "tank raidz c#0 c#1 c#2",
            r#"vdevs = [{ raidz1 = ["c#0", "c#1", "c#2", "c#3"] }]"#,
            Refused("raidz1-0 (c#0s0, c#1s0, c#2s0) cannot get more members: c#3"),
        ),
        case(
            "tank raidz c#0 c#1 c#2",
            r#"vdevs = [{ raidz2 = ["c#0", "c#1", "c#2"] }]"#,
            Refused("raidz1-0 (c#0s0, c#1s0, c#2s0) cannot become a raidz2 of c#0, c#1, c#2"),
        ),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = [{ raidz1 = ["c#0", "c#1"] }]"#,
            Refused("mirror-0 (c#0s0, c#1s0) cannot become a raidz1 of c#0, c#1"),
        ),
        case(
            "tank raidz c#0 c#1 c#2",
            r#"vdevs = ["c#0"]"#,
            Refused("raidz1-0 (c#0s0, c#1s0, c#2s0) cannot become a single device of c#0"),
        ),
        case(
            "tank c#0",
            r#"vdevs = ["c#0", "c#1"]"#,
            Plan(&["add c#1 to the vdevs of the pool tank, for good"], "0 1"),
        ),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = [{ mirror = ["c#0", "c#1"] }, { mirror = ["c#2", "c#3"] }]"#,
            Plan(&["add a mirror of c#2, c#3 to the vdevs of the pool tank, for good"], "mirror(0 1) mirror(2 3)"),
        ),
        case("tank c#0 c#1", r#"vdevs = ["c#0"]"#, Noted("c#1s0 is not in the configuration, and stays")),
        case(
            "tank mirror c#0 c#1",
            r#"vdevs = [{ mirror = ["c#2", "c#3"] }]"#,
            Refused("none of c#2, c#3 is in the pool, which has mirror-0 (c#0s0, c#1s0) instead"),
        ),
        case(
            "tank c#0 c#1 c#2",
            r#"vdevs = ["c#0", "c#3"]"#,
            Refused("none of c#3 is in the pool, which has c#1s0 and c#2s0 instead"),
        ),
        case(
            "tank mirror c#0 c#1 c#2",
            r#"vdevs = [{ mirror = ["c#0", "c#1"] }, { mirror = ["c#3", "c#4"] }]"#,
            Refused("a mirror of 2 beside a mirror of 3 is something that ZFS does by force only"),
        ),
        case(
            "tank mirror c#0 c#1 mirror c#2 c#3",
            r#"vdevs = [{ mirror = ["c#0", "c#2"] }]"#,
            Refused(
                "the devices c#0, c#2 are not in one vdev of their own, but in mirror-0 (c#0s0, c#1s0) and mirror-1 (c#2s0, c#3s0)",
            ),
        ),
        case(
            "tank c#0 spare c#1",
            r#"vdevs = [{ mirror = ["c#0", "c#1"] }]"#,
            Refused("c#1 is part of the imported pool tank"),
        ),
    ]
}

fn other_roles() -> Vec<Case> {
    vec![
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\nlog = [\"c#1\"]",
            Plan(&["add c#1 to the log of the pool tank"], "0 log:1"),
        ),
        case(
            "tank c#0 log c#1",
            "vdevs = [\"c#0\"]\nlog = [{ mirror = [\"c#1\", \"c#2\"] }]",
            Plan(&["attach c#2 to c#1s0"], "0 log:mirror(1 2)"),
        ),
        case("tank c#0 log c#1", r#"vdevs = ["c#0"]"#, Noted("c#1s0 is not in the configuration, and stays")),
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\ncache = [\"c#1\"]",
            Plan(&["add c#1 to the cache devices of the pool tank"], "0 cache:1"),
        ),
        case(
            "tank c#0 cache c#1",
            r#"vdevs = ["c#0"]"#,
            Noted("c#1s0 among the cache devices is not in the configuration, and stays"),
        ),
        case(
            "tank c#0 spare c#1",
            "vdevs = [\"c#0\"]\nspares = [\"c#1\", \"c#2\"]",
            Plan(&["add c#2 to the spares of the pool tank"], "0 spare:1 spare:2"),
        ),
        case(
            "tank c#0 spare c#1",
            r#"vdevs = ["c#0"]"#,
            Noted("c#1s0 among the spares is not in the configuration, and stays"),
        ),
    ]
}

fn properties() -> Vec<Case> {
    vec![
        case(
            "-o autoexpand=on tank c#0",
            "vdevs = [\"c#0\"]\nproperties = { autoexpand = \"off\" }",
            Plan(&["set autoexpand of the pool tank to off"], "0"),
        ),
        case("-o failmode=panic tank c#0", r#"vdevs = ["c#0"]"#, Plan(&[], "0")),
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\nproperties = { \"feature@lz4_compress\" = \"enabled\", \"feature@lz4_compres\" = \"enabled\" }",
            Refused("this system's ZFS knows no property feature@lz4_compres of a pool"),
        ),
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\nproperties = { \"feature@lz4_compress\" = \"disabled\" }",
            Refused("feature@lz4_compress is active, and cannot be disabled again"),
        ),
        case(
            "-O mountpoint=/elsewhere -o altroot=/a tank c#0",
            "vdevs = [\"c#0\"]\nroot-properties = { mountpoint = \"/data\" }",
            Noted("it is imported below /a (altroot), so that the mountpoint of its root dataset is not looked at"),
        ),
        case(
            "-O compression=lz4 tank c#0",
            "vdevs = [\"c#0\"]\nroot-properties = { compression = \"off\", quota = \"1G\" }",
            Plan(
                &[
                    "set compression of the root dataset of the pool tank to off",
                    "set quota of the root dataset of the pool tank to 1G",
                ],
                "0",
            ),
        ),
        // ZFS reads these out in other words.
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\nroot-properties = { compression = \"gzip-6\", aclinherit = \"secure\" }",
            Plan(&["set compression of the root dataset of the pool tank to gzip-6"], "0"),
        ),
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\nproperties = { cachefile = \"/etc/zfs/zpool.cache\", comment = \"\" }",
            Plan(&[], "0"),
        ),
        case(
            "-o comment=x tank c#0",
            "vdevs = [\"c#0\"]\nproperties = { comment = \"\" }",
            Plan(&["set comment of the pool tank to "], "0"),
        ),
        case("-O quota=1024M tank c#0", "vdevs = [\"c#0\"]\nroot-properties = { quota = \"1G\" }", Plan(&[], "0")),
        case(
            "tank c#0",
            "vdevs = [\"c#0\"]\nroot-properties = { utf8only = \"on\" }",
            Refused("utf8only of the root dataset is off, not on"),
        ),
        case(
            "-o bootfs=tank/ROOT tank c#0",
            r#"vdevs = [{ mirror = ["c#0", "c#1"] }]"#,
            Refused("it is the pool that the machine boots from, whose layout is left alone"),
        ),
    ]
}

/// Disks are written `c#N` here, and what a pool has on one `c#Ns0`.
pub(crate) fn long(system: System, text: &str) -> String {
    let mut long = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("c#") {
        let number = rest[at + 2..].split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        long += &rest[..at];
        rest = &rest[at + 2 + number.len()..];
        long += &disk(system, number.parse().unwrap());
        if let (System::Linux, Some(behind)) = (system, rest.strip_prefix("s0")) {
            long += "-part1";
            rest = behind;
        }
    }
    long + rest
}

fn check(case: &Case, system: System) {
    let mut fixture = Fixture::start(system);
    let long = |text: &str| long(system, text);
    fixture.machine.type_in(&format!("zpool create {}", long(case.before)));
    let before = fixture.machine.storage(|storage| storage.pools["tank"].clone());
    let text = tank(&long(case.wanted)).replace("GUID", &before.guid.to_string());
    let about = format!("{system:?}: {} / {}", case.before, case.wanted);
    match &case.end {
        Plan(steps, drawing) => {
            let done = fixture.converge(&text);
            let done: Vec<_> = done.iter().map(|step| step.trim_end_matches(" of the pool tank")).collect();
            let steps: Vec<_> = steps.iter().map(|step| long(step)).collect();
            let steps: Vec<_> = steps.iter().map(|step| step.trim_end_matches(" of the pool tank")).collect();
            assert_eq!(done, steps, "{about}");
            assert_eq!(fixture.numbers(), *drawing, "{about}");
        }
        Refused(what) => {
            assert_eq!(fixture.refusals(&text), [long(what)], "{about}");
            let left = fixture.plan(&text);
            assert_eq!(left.len(), 1, "{about}: {:?}", summaries(&left));
            assert_eq!(fixture.machine.storage(|storage| storage.pools["tank"].clone()), before, "{about}");
        }
        Noted(what) => {
            assert_eq!(fixture.converge(&text), [""; 0], "{about}");
            let notes = fixture.warnings();
            assert_eq!(notes, [format!("pool tank: {}", long(what))], "{about}");
            let logged: Vec<_> = fixture.harness.logs().into_iter().map(|line| line.message).collect();
            assert_eq!(logged, notes, "{about}: it is said once, however often somebody looks");
            assert_eq!(fixture.machine.storage(|storage| storage.pools["tank"].clone()), before, "{about}");
        }
    }
    assert!(!fixture.commands().iter().any(|line| line.contains(" -f") || line.contains("destroy")), "{about}");
}

fn check_all(cases: &[Case]) {
    for system in SYSTEMS {
        cases.iter().for_each(|case| check(case, system));
    }
}

#[test]
fn vdevs_that_are_there_and_different() {
    check_all(&vdevs());
}

/// What the kernel calls `sdc` today is another disk tomorrow, and the data would be copied onto it.
#[test]
fn nothing_is_replaced_by_a_name_that_does_not_last() {
    let case = case(
        "tank mirror c#0 c#1",
        r#"vdevs = [{ mirror = ["c#0", "/dev/sdd"] }]"#,
        Refused("/dev/sdd may be another device after a reboot, so it takes no place in the pool"),
    );
    check(&case, System::Linux);
}

#[test]
fn logs_caches_and_spares_that_are_there_and_different() {
    check_all(&other_roles());
}

#[test]
fn properties_that_are_there_and_different() {
    check_all(&properties());
}

/// OpenZFS lets a pool say how large its sectors are, which counts for what is added later only.
#[test]
fn a_sector_size_that_differs() {
    let wanted = "vdevs = [\"c#0\"]\nproperties = { ashift = \"12\" }";
    check(&case("-o ashift=9 tank c#0", wanted, Plan(&[], "0")), System::Linux);
}
