use super::*;
use image_tree::{Content, Metadata, Node};

fn tree(paths: &[&str]) -> Tree {
    let mut tree = Tree::default();
    for text in paths {
        let at = ImagePath::new(text).expect("a path");
        let metadata = Metadata::new(0, 0, 0o755);
        let parent = at.parent().expect("not the root");
        tree.create_dir(&parent, metadata.clone(), &metadata).expect("a directory");
        let node = match text.strip_suffix("@") {
            Some(_) => Node::symlink("export", metadata),
            None => Node::regular(Content::empty(), metadata),
        };
        let at = ImagePath::new(text.trim_end_matches('@')).expect("a path");
        tree.insert(&at, node).expect("a file");
    }
    tree
}

static NOTHING_MORE: EnvironmentState = EnvironmentState { properties: Vec::new(), snapshots: Vec::new() };

fn with(mut state: DatasetState, name: &str, value: &str) -> DatasetState {
    state.properties.push((name.to_owned(), value.to_owned()));
    state
}

fn state(name: &str, mountpoint: Option<&str>) -> DatasetState {
    let mountpoint = mountpoint.map(str::to_owned);
    DatasetState { name: name.to_owned(), mountpoint, properties: Vec::new(), snapshots: Vec::new() }
}

fn plan<'a>(datasets: &'a [DatasetState], properties: &[(&str, &str)], environment: bool) -> DatasetPlan<'a> {
    DatasetPlan {
        pool: "rpool",
        snapshots: &[],
        properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        boot_environment: environment.then(|| Environment {
            name: "be",
            uuid: "some-uuid".to_owned(),
            state: &NOTHING_MORE,
        }),
        datasets,
    }
}

/// Every dataset with its properties and the paths in it.
fn shown(datasets: &[Dataset]) -> Vec<String> {
    let line = |dataset: &Dataset| {
        let properties: Vec<String> =
            dataset.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let paths: Vec<String> = dataset.tree.walk().skip(1).map(|entry| entry.path.to_string()).collect();
        format!("{} [{}] {}", dataset.name, properties.join(" "), paths.join(" ")).trim_end().to_owned()
    };
    datasets.iter().map(line).collect()
}

const BE: &str = "rpool/ROOT/be [canmount=noauto mountpoint=/ org.opensolaris.libbe:policy=static \
                  org.opensolaris.libbe:uuid=some-uuid]";

#[test]
fn files_go_to_the_innermost_dataset_and_leave_directories_to_mount_on() {
    let given = [
        state("export", Some("/export")),
        state("export/home", Some("/export/home")),
        state("export/vm", None),
        state("private", Some("none")),
        state("private/inner", None),
        state("ROOT/be/var", None),
    ];
    let root = tree(&["/etc/x", "/export/a", "/export/home/b/c", "/export/vm/d", "/rpool/e", "/var/f", "/private/g"]);
    let datasets = divide(&plan(&given, &[("compression", "on")], true), &root).expect("divided");
    assert_eq!(
        shown(&datasets),
        [
            "rpool [compression=on] /e".to_owned(),
            "rpool/ROOT [canmount=off mountpoint=legacy]".to_owned(),
            format!("{BE} /etc /etc/x /export /private /private/g /rpool /var"),
            "rpool/export [mountpoint=/export] /a /home /vm".to_owned(),
            "rpool/export/home [mountpoint=/export/home] /b /b/c".to_owned(),
            "rpool/export/vm [] /d".to_owned(),
            "rpool/private [mountpoint=none]".to_owned(),
            "rpool/private/inner []".to_owned(),
            "rpool/ROOT/be/var [canmount=noauto] /f".to_owned(),
        ]
    );
}

#[test]
fn a_root_dataset_that_is_mounted_elsewhere_or_not_at_all_is_respected() {
    let given = [state("data", None)];
    let root = tree(&["/rpool/data/a", "/tank/data/b", "/tank/c"]);
    for (properties, expected) in [
        (vec![("mountpoint", "/tank")], ["rpool [mountpoint=/tank] /c /data", "rpool/data [] /b"]),
        (vec![("mountpoint", "none")], ["rpool [mountpoint=none]", "rpool/data []"]),
        (vec![("canmount", "off")], ["rpool [canmount=off]", "rpool/data [] /a"]),
    ] {
        let datasets = divide(&plan(&given, &properties, true), &root).expect("divided");
        let shown = shown(&datasets);
        assert_eq!([shown[0].as_str(), shown[3].as_str()], expected);
    }
}

#[test]
fn without_a_boot_environment_every_file_needs_a_dataset() {
    let given = [state("data", Some("/data"))];
    let datasets = divide(&plan(&given, &[], false), &tree(&["/data/a"])).expect("divided");
    assert_eq!(shown(&datasets), ["rpool []", "rpool/data [mountpoint=/data] /a"]);
    let error = divide(&plan(&given, &[], false), &tree(&["/data/a", "/etc/x"])).expect_err("homeless");
    assert_eq!(error.to_string(), "/etc/x would be in no dataset of the pool");
}

#[test]
fn contradictions_are_told() {
    let cases: [(&[DatasetState], &[&str], &str); 6] = [
        (
            &[state("a", Some("/x")), state("b", Some("/x"))],
            &[],
            "datasets rpool/a and rpool/b have the same mountpoint, /x",
        ),
        (
            &[state("a", Some("/a"))],
            &["/a"],
            "dataset rpool/a cannot be mounted at /a, where the image has a regular file",
        ),
        (
            &[state("a", Some("/home/a"))],
            &["/export/a/x", "/home@"],
            "dataset rpool/a cannot be mounted at /home/a, where the image has a symbolic link on the way",
        ),
        (
            &[state("ROOT/other/var", None)],
            &[],
            "dataset rpool/ROOT/other/var needs dataset rpool/ROOT/other, which the pool does not have",
        ),
        (&[state("ROOT/be", None)], &[], "create_be makes dataset rpool/ROOT/be already"),
        (&[state("a", Some("/x/../y"))], &[], "the mountpoint of dataset rpool/a is no path: /x/../y"),
    ];
    for (given, files, expected) in cases {
        let error = divide(&plan(given, &[], true), &tree(files)).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn the_root_directory_is_a_mountpoint_like_others() {
    // Without a boot environment the dataset at `/` has the files.
    let datasets = divide(&plan(&[state("system", Some("/"))], &[], false), &tree(&["/etc/x"])).expect("divided");
    assert_eq!(shown(&datasets), ["rpool []", "rpool/system [mountpoint=/] /etc /etc/x /rpool"]);
    let datasets = divide(&plan(&[], &[("mountpoint", "/")], false), &tree(&["/etc/x"])).expect("divided");
    assert_eq!(shown(&datasets), ["rpool [mountpoint=/] /etc /etc/x"]);
    // There is one `/` only.
    type Case<'a> = (&'a [DatasetState], &'a [(&'a str, &'a str)], &'a str);
    let at_root: [Case<'_>; 3] = [
        (&[state("a", Some("/"))], &[], "datasets rpool/ROOT/be and rpool/a have the same mountpoint, /"),
        (&[], &[("mountpoint", "/")], "datasets rpool/ROOT/be and rpool have the same mountpoint, /"),
        (
            &[state("ROOT/be/a", Some("/"))],
            &[],
            "datasets rpool/ROOT/be and rpool/ROOT/be/a have the same mountpoint, /",
        ),
    ];
    for (given, properties, expected) in at_root {
        let error = divide(&plan(given, properties, true), &Tree::default()).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
    let two = [state("a", Some("/")), state("b", Some("//"))];
    let error = divide(&plan(&two, &[], false), &Tree::default()).expect_err("twice");
    assert_eq!(error.to_string(), "datasets rpool/a and rpool/b have the same mountpoint, /");
}

#[test]
fn a_dataset_that_nobody_mounts_gives_way() {
    // Another boot environment, with nothing in it yet; and one that is mounted by hand where there is nothing else.
    let given = [
        with(state("ROOT/other", Some("/")), "canmount", "noauto"),
        with(state("spare", Some("/spare")), "canmount", "noauto"),
    ];
    let datasets = divide(&plan(&given, &[], true), &tree(&["/etc/x", "/spare/y"])).expect("divided");
    assert_eq!(
        shown(&datasets)[2..],
        [
            format!("{BE} /etc /etc/x /rpool /spare"),
            "rpool/ROOT/other [mountpoint=/ canmount=noauto]".to_owned(),
            "rpool/spare [mountpoint=/spare canmount=noauto] /y".to_owned(),
        ]
    );
}

#[test]
fn what_a_boot_needs_cannot_be_mounted_later() {
    for (mountpoint, hidden) in [
        ("/boot", Some("/boot/defaults/loader.conf")),
        ("/boot/forth", Some("/boot/forth/loader.4th")),
        ("/etc", Some("/etc/name_to_major")),
        ("/etc/svc", Some("/etc/svc/volatile")),
        ("/kernel/fs", Some("/kernel/fs/amd64/zfs")),
        ("/system", Some("/system/contract")),
        ("/platform/i86pc", Some("/platform/i86pc/kernel/amd64/unix")),
        ("/dev/fd", Some("/dev")),
        ("/usr", Some("/usr")),
        ("/sbin/", Some("/sbin")),
        ("/usr/local", None),
        ("/var", None),
        ("/opt", None),
        ("/export/home", None),
        ("/kernels", None),
        ("/etc/zones", None),
    ] {
        for name in ["a", "ROOT/be/a"] {
            let given = [state(name, Some(mountpoint))];
            let plan = plan(&given, &[], true);
            let mut problems = Vec::new();
            let datasets = describe(&plan, &mut problems);
            let mountpoints = mountpoints(&plan, &datasets, &mut problems);
            check_bootable(&plan, &datasets, &mountpoints, &mut problems);
            let found: Vec<&str> = problems
                .iter()
                .map(|problem| match problem {
                    DatasetError::Hidden { hidden, .. } => *hidden,
                    other => panic!("{other}"),
                })
                .collect();
            assert_eq!(found, Vec::from_iter(hidden), "{mountpoint}");
        }
    }
}
