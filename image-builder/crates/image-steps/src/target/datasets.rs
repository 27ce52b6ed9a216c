//! The datasets of a pool, and which part of the root tree each of them holds.
//!
//! A step writes into one tree, as if everything was mounted. Here the tree is cut: what lies below a dataset's
//! mountpoint belongs to the dataset, and an empty directory stays behind to mount it on. A dataset inside another
//! one's mountpoint is cut out of that one first.

use crate::state::{DatasetState, written};
use crate::steps::CONTAINER;
use image_tree::{ImagePath, NodeKind, Tree, TreeError};
use std::collections::BTreeMap;

/// A dataset as the pool writer takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dataset {
    /// Full name, pool included.
    pub(super) name: String,
    /// Native and user properties.
    pub(super) properties: Vec<(String, String)>,
    /// Its files; an empty root directory for none.
    pub(super) tree: Tree,
}

/// What the datasets are made of.
#[derive(Debug)]
pub(super) struct DatasetPlan<'a> {
    /// The pool's name.
    pub(super) pool: &'a str,
    /// Properties of the pool's root dataset.
    pub(super) properties: Vec<(String, String)>,
    /// The boot environment's name and its libbe identifier.
    pub(super) boot_environment: Option<(&'a str, String)>,
    /// What `create_dataset` made.
    pub(super) datasets: &'a [DatasetState],
}

/// The files cannot be divided among the datasets.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A dataset below `ROOT` belongs to no boot environment of this pool.
    #[error("dataset {name} needs dataset {parent}, which the pool does not have")]
    NoParent {
        /// The dataset.
        name: String,
        /// Its parent.
        parent: String,
    },
    /// `create_dataset` names the boot environment.
    #[error("create_be makes dataset {name} already")]
    Repeated {
        /// The dataset.
        name: String,
    },
    /// Two datasets would be mounted at one place.
    #[error("datasets {first} and {second} have the same mountpoint, {mountpoint}")]
    SameMountpoint {
        /// The earlier dataset.
        first: String,
        /// The later one.
        second: String,
        /// The mountpoint of both.
        mountpoint: ImagePath,
    },
    /// A mountpoint is no path of the image.
    #[error("the mountpoint of dataset {name} is no path: {mountpoint}")]
    Mountpoint {
        /// The dataset.
        name: String,
        /// Its mountpoint.
        mountpoint: String,
    },
    /// Something stands where a dataset is to be mounted.
    #[error("dataset {name} cannot be mounted at {mountpoint}, where the image has a {found}")]
    Occupied {
        /// The dataset.
        name: String,
        /// Its mountpoint.
        mountpoint: ImagePath,
        /// What is there.
        found: &'static str,
    },
    /// The image does not allow a directory at a mountpoint.
    #[error("cannot make the mountpoint of dataset {name}")]
    Tree {
        /// The dataset.
        name: String,
        /// Why not.
        #[source]
        source: TreeError,
    },
    /// Files would be in no dataset.
    #[error("{path} would be in no dataset of the pool")]
    Homeless {
        /// The first of them.
        path: ImagePath,
    },
}

impl DatasetError {
    /// How to go on.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Homeless { .. } => {
                Some("add a create_be step, or create_dataset steps with mountpoints above all files".to_owned())
            }
            Self::NoParent { name, .. } => {
                Some(format!("name the boot environment with `bename`, or correct the create_dataset of {name}"))
            }
            _ => None,
        }
    }
}

/// Divides `root` among the datasets of the plan, the pool's root dataset first, parents before children.
///
/// # Errors
/// When the datasets contradict each other or the tree, or leave files without a home.
pub(super) fn divide(plan: &DatasetPlan<'_>, root: &Tree) -> Result<Vec<Dataset>, DatasetError> {
    let mut datasets = named(plan)?;
    let mut root = root.clone();
    for (index, mountpoint) in mountpoints(&datasets)? {
        datasets[index].tree = cut_out(&mut root, &mountpoint, &datasets[index].name)?;
    }
    match &plan.boot_environment {
        Some((name, _)) => {
            let name = format!("{}/{CONTAINER}/{name}", plan.pool);
            datasets.iter_mut().filter(|dataset| dataset.name == name).for_each(|dataset| dataset.tree = root.clone());
        }
        None => {
            if let Some(entry) = root.walk().find(|entry| !entry.node.is_directory()) {
                return Err(DatasetError::Homeless { path: entry.path });
            }
        }
    }
    Ok(datasets)
}

/// Names and properties, with empty trees.
fn named(plan: &DatasetPlan<'_>) -> Result<Vec<Dataset>, DatasetError> {
    let empty = |name: String, properties: Vec<(String, String)>| Dataset {
        name,
        properties,
        tree: Tree::new(written(0, 0, 0o755)),
    };
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut datasets = vec![empty(plan.pool.to_owned(), plan.properties.clone())];
    let mut environment = None;
    if let Some((name, uuid)) = &plan.boot_environment {
        let container = format!("{}/{CONTAINER}", plan.pool);
        let full = format!("{container}/{name}");
        datasets.push(empty(container, vec![property("canmount", "off"), property("mountpoint", "legacy")]));
        datasets.push(empty(
            full.clone(),
            vec![
                property("canmount", "noauto"),
                property("mountpoint", "/"),
                property("org.opensolaris.libbe:policy", "static"),
                property("org.opensolaris.libbe:uuid", uuid),
            ],
        ));
        environment = Some(full);
    }
    for DatasetState { name, mountpoint } in plan.datasets {
        let name = format!("{}/{name}", plan.pool);
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        if datasets.iter().any(|dataset| dataset.name == name) {
            return Err(DatasetError::Repeated { name });
        }
        if !datasets.iter().any(|dataset| dataset.name == parent) {
            return Err(DatasetError::NoParent { parent: parent.to_owned(), name });
        }
        let mut properties: Vec<_> = mountpoint.iter().map(|mountpoint| property("mountpoint", mountpoint)).collect();
        // The boot mounts what is below the boot environment together with it, and libbe expects it so.
        if environment.as_deref().is_some_and(|environment| is_below(&name, environment)) {
            properties.push(property("canmount", "noauto"));
        }
        datasets.push(empty(name, properties));
    }
    Ok(datasets)
}

fn is_below(name: &str, ancestor: &str) -> bool {
    name.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('/'))
}

/// The datasets that are mounted somewhere below `/`, by index, the deepest mountpoints first.
fn mountpoints(datasets: &[Dataset]) -> Result<Vec<(usize, ImagePath)>, DatasetError> {
    let mut effective: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let mut mounted: Vec<(usize, ImagePath)> = Vec::new();
    for (index, dataset) in datasets.iter().enumerate() {
        let local = |wanted: &str| {
            let found = dataset.properties.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let inherited = || match dataset.name.rsplit_once('/') {
            None => Some(format!("/{}", dataset.name)),
            Some((parent, leaf)) => {
                let above = effective.get(parent).cloned().flatten();
                above.map(|above| format!("{}/{leaf}", above.trim_end_matches('/')))
            }
        };
        let mountpoint = match local("mountpoint") {
            Some("none" | "legacy") => None,
            Some(path) => Some(path.to_owned()),
            None => inherited(),
        };
        effective.insert(&dataset.name, mountpoint.clone());
        let Some(text) = mountpoint.filter(|_| local("canmount") != Some("off")) else { continue };
        let wrong = || DatasetError::Mountpoint { name: dataset.name.clone(), mountpoint: text.clone() };
        let path = ImagePath::new(&text).map_err(|_| wrong())?;
        if path.is_root() {
            // The boot environment: it gets what the others leave.
            continue;
        }
        if let Some((first, _)) = mounted.iter().find(|(_, other)| *other == path) {
            let (first, second) = (datasets[*first].name.clone(), dataset.name.clone());
            return Err(DatasetError::SameMountpoint { first, second, mountpoint: path });
        }
        mounted.push((index, path));
    }
    mounted.sort_by_key(|(_, path)| std::cmp::Reverse(path.depth()));
    Ok(mounted)
}

/// Takes what is at `mountpoint` out of the tree and leaves an empty directory there.
fn cut_out(root: &mut Tree, mountpoint: &ImagePath, name: &str) -> Result<Tree, DatasetError> {
    let failed = |source| DatasetError::Tree { name: name.to_owned(), source };
    if let Some(node) = root.get(mountpoint) {
        if !matches!(node.kind, NodeKind::Directory) {
            let found = node.kind.name();
            return Err(DatasetError::Occupied { name: name.to_owned(), mountpoint: mountpoint.clone(), found });
        }
    }
    let metadata = written(0, 0, 0o755);
    root.create_dir(mountpoint, metadata.clone(), &metadata).map_err(failed)?;
    // A link on the way is part of the image: the directory is then behind it, and nothing is below the path itself.
    let Some(tree) = root.subtree(mountpoint) else {
        return Err(DatasetError::Occupied {
            name: name.to_owned(),
            mountpoint: mountpoint.clone(),
            found: "symbolic link on the way",
        });
    };
    root.graft(mountpoint, &Tree::new(tree.root_metadata().clone())).map_err(failed)?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
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

    fn state(name: &str, mountpoint: Option<&str>) -> DatasetState {
        DatasetState { name: name.to_owned(), mountpoint: mountpoint.map(str::to_owned) }
    }

    fn plan<'a>(datasets: &'a [DatasetState], properties: &[(&str, &str)], environment: bool) -> DatasetPlan<'a> {
        DatasetPlan {
            pool: "rpool",
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            boot_environment: environment.then(|| ("be", "some-uuid".to_owned())),
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
        let root =
            tree(&["/etc/x", "/export/a", "/export/home/b/c", "/export/vm/d", "/rpool/e", "/var/f", "/private/g"]);
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
}
