//! The datasets of a pool, and which part of the root tree each of them holds.
//!
//! A step writes into one tree, as if everything was mounted. Here the tree is cut: what lies below a dataset's
//! mountpoint belongs to the dataset, and an empty directory stays behind to mount it on. A dataset inside another
//! one's mountpoint is cut out of that one first; what is left belongs to the one at `/`, mostly the boot environment.

use crate::state::{DatasetState, EnvironmentState, written};
use crate::steps::{CONTAINER, hidden_by};
use image_tree::{ImagePath, NodeKind, Tree, TreeError};
use std::collections::BTreeMap;

/// A dataset as the pool writer takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dataset {
    /// Full name, pool included.
    pub(super) name: String,
    /// Native and user properties.
    pub(super) properties: Vec<(String, String)>,
    /// Names of its snapshots, oldest first.
    pub(super) snapshots: Vec<String>,
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
    /// Names of its snapshots, oldest first.
    pub(super) snapshots: &'a [String],
    /// The boot environment.
    pub(super) boot_environment: Option<Environment<'a>>,
    /// What `create_dataset` made.
    pub(super) datasets: &'a [DatasetState],
}

/// A boot environment.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The identifier that libbe gives it.
    pub(super) uuid: String,
    /// What the template says of it.
    pub(super) state: &'a EnvironmentState,
}

impl DatasetPlan<'_> {
    /// The full name of the boot environment.
    pub(super) fn environment_name(&self) -> Option<String> {
        self.boot_environment.as_ref().map(|environment| format!("{}/{CONTAINER}/{}", self.pool, environment.name))
    }
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
    /// A boot needs what is below a mountpoint before the dataset is mounted there.
    #[error("dataset {name} is mounted at {mountpoint}, and a boot needs {hidden} before that")]
    Hidden {
        /// The dataset.
        name: String,
        /// Its mountpoint.
        mountpoint: ImagePath,
        /// What is missing until then.
        hidden: &'static str,
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
    /// The full name of the dataset that is wrong, the later one of two.
    pub(super) fn dataset(&self) -> Option<&str> {
        match self {
            Self::NoParent { name, .. }
            | Self::Repeated { name }
            | Self::Mountpoint { name, .. }
            | Self::Hidden { name, .. }
            | Self::Occupied { name, .. }
            | Self::Tree { name, .. }
            | Self::SameMountpoint { second: name, .. } => Some(name),
            Self::Homeless { .. } => None,
        }
    }

    /// How to go on.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Homeless { .. } => {
                Some("add a create_be step, or create_dataset steps with mountpoints above all files".to_owned())
            }
            Self::NoParent { name, .. } => {
                Some(format!("name the boot environment with `bename`, or correct the create_dataset of {name}"))
            }
            Self::SameMountpoint { .. } => Some(
                "give one of them another `mountpoint`, or `none`; children inherit the mountpoint with their name behind it"
                    .to_owned(),
            ),
            Self::Hidden { .. } => {
                Some("keep it in the boot environment; /var, /opt, /export and /usr/local can be datasets".to_owned())
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
    let mut problems = Vec::new();
    let mut datasets = describe(plan, &mut problems);
    let mountpoints = mountpoints(plan, &datasets, &mut problems);
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    let mut root = root.clone();
    let mut has_home = false;
    for (index, mountpoint) in mountpoints {
        let dataset = &mut datasets[index];
        has_home |= mountpoint.is_root();
        dataset.tree =
            if mountpoint.is_root() { root.clone() } else { cut_out(&mut root, &mountpoint, &dataset.name)? };
    }
    if !has_home {
        if let Some(entry) = root.walk().find(|entry| !entry.node.is_directory()) {
            return Err(DatasetError::Homeless { path: entry.path });
        }
    }
    Ok(datasets)
}

/// Names, properties and snapshots, with empty trees, and what is wrong with the names.
pub(super) fn describe(plan: &DatasetPlan<'_>, problems: &mut Vec<DatasetError>) -> Vec<Dataset> {
    let dataset = |name: String, properties: Vec<(String, String)>, snapshots: &[String]| Dataset {
        name,
        properties,
        snapshots: snapshots.to_vec(),
        tree: Tree::new(written(0, 0, 0o755)),
    };
    let mut datasets = vec![dataset(plan.pool.to_owned(), plan.properties.clone(), plan.snapshots)];
    let environment = plan.environment_name();
    if let (Some(name), Some(environment)) = (&environment, &plan.boot_environment) {
        let container = vec![property("canmount", "off"), property("mountpoint", "legacy")];
        datasets.push(dataset(format!("{}/{CONTAINER}", plan.pool), container, &[]));
        datasets.push(dataset(name.clone(), environment_properties(environment), &environment.state.snapshots));
    }
    for state in plan.datasets {
        let name = format!("{}/{}", plan.pool, state.name);
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        if datasets.iter().any(|dataset| dataset.name == name) {
            problems.push(DatasetError::Repeated { name });
            continue;
        }
        if !datasets.iter().any(|dataset| dataset.name == parent) {
            problems.push(DatasetError::NoParent { parent: parent.to_owned(), name: name.clone() });
        }
        let mut properties: Vec<_> =
            state.mountpoint.iter().map(|mountpoint| property("mountpoint", mountpoint)).collect();
        properties.extend(state.properties.iter().cloned());
        // The boot mounts what is below the boot environment together with it, and libbe expects it so.
        let is_mounted_with_it = environment.as_deref().is_some_and(|environment| is_below(&name, environment));
        if is_mounted_with_it && properties.iter().all(|(name, _)| name != "canmount") {
            properties.push(property("canmount", "noauto"));
        }
        datasets.push(dataset(name, properties, &state.snapshots));
    }
    datasets
}

fn property(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What libbe gives every boot environment, and what the template adds.
fn environment_properties(environment: &Environment<'_>) -> Vec<(String, String)> {
    let mut properties = vec![
        property("canmount", "noauto"),
        property("mountpoint", "/"),
        property("org.opensolaris.libbe:policy", "static"),
        property("org.opensolaris.libbe:uuid", &environment.uuid),
    ];
    properties.extend(environment.state.properties.iter().cloned());
    properties
}

fn is_below(name: &str, ancestor: &str) -> bool {
    name.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('/'))
}

/// Where a dataset is mounted.
struct Mounted {
    index: usize,
    path: ImagePath,
    /// Nobody mounts it but by hand, so that it gives way to one that is mounted there at boot.
    by_hand: bool,
}

/// The mountpoints of the datasets that hold files, by index, the deepest first; and what is wrong with them.
pub(super) fn mountpoints(
    plan: &DatasetPlan<'_>,
    datasets: &[Dataset],
    problems: &mut Vec<DatasetError>,
) -> Vec<(usize, ImagePath)> {
    let mut all = all_mounted(plan, datasets, problems);
    all.sort_by_key(|mounted| mounted.by_hand);
    let mut chosen: Vec<Mounted> = Vec::new();
    for mounted in all {
        match chosen.iter().find(|other| other.path == mounted.path) {
            None => chosen.push(mounted),
            Some(other) if mounted.by_hand && !other.by_hand => {}
            Some(other) => problems.push(DatasetError::SameMountpoint {
                first: datasets[other.index].name.clone(),
                second: datasets[mounted.index].name.clone(),
                mountpoint: mounted.path,
            }),
        }
    }
    chosen.sort_by_key(|mounted| std::cmp::Reverse(mounted.path.depth()));
    chosen.into_iter().map(|mounted| (mounted.index, mounted.path)).collect()
}

fn all_mounted(plan: &DatasetPlan<'_>, datasets: &[Dataset], problems: &mut Vec<DatasetError>) -> Vec<Mounted> {
    let environment = plan.environment_name();
    let is_system = |name: &str| environment.as_deref().is_some_and(|be| name == be || is_below(name, be));
    let mut effective: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let mut all = Vec::new();
    // The boot environment stands first: whoever else wants `/` is the one who is wrong.
    let (system, others): (Vec<_>, Vec<_>) =
        datasets.iter().enumerate().partition(|(_, dataset)| Some(&dataset.name) == environment.as_ref());
    for (index, dataset) in system.into_iter().chain(others) {
        let mountpoint = effective_mountpoint(dataset, &effective);
        effective.insert(&dataset.name, mountpoint.clone());
        let canmount = local(dataset, "canmount");
        let Some(text) = mountpoint.filter(|_| canmount != Some("off")) else { continue };
        match ImagePath::new(&text) {
            Ok(path) => {
                let by_hand = canmount == Some("noauto") && !is_system(&dataset.name);
                all.push(Mounted { index, path, by_hand });
            }
            Err(_) => problems.push(DatasetError::Mountpoint { name: dataset.name.clone(), mountpoint: text }),
        }
    }
    all
}

/// A property that is set on the dataset itself.
pub(super) fn local<'d>(dataset: &'d Dataset, wanted: &str) -> Option<&'d str> {
    let found = dataset.properties.iter().rev().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.as_str())
}

/// Where a dataset would be mounted; `above` knows it of those above.
fn effective_mountpoint(dataset: &Dataset, above: &BTreeMap<&str, Option<String>>) -> Option<String> {
    match local(dataset, "mountpoint") {
        Some("none" | "legacy") => None,
        Some(path) => Some(path.to_owned()),
        None => match dataset.name.rsplit_once('/') {
            None => Some(format!("/{}", dataset.name)),
            Some((parent, leaf)) => {
                let above = above.get(parent).cloned().flatten();
                above.map(|above| format!("{}/{leaf}", above.trim_end_matches('/')))
            }
        },
    }
}

/// Finds what the boot of an image would miss because a dataset is mounted over it.
pub(super) fn check_bootable(
    plan: &DatasetPlan<'_>,
    datasets: &[Dataset],
    mountpoints: &[(usize, ImagePath)],
    problems: &mut Vec<DatasetError>,
) {
    let environment = plan.environment_name();
    for (index, mountpoint) in mountpoints {
        let name = &datasets[*index].name;
        if let Some(hidden) = hidden_by(mountpoint).filter(|_| Some(name) != environment.as_ref()) {
            let mountpoint = mountpoint.clone();
            problems.push(DatasetError::Hidden { name: name.clone(), mountpoint, hidden });
        }
    }
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
mod tests;
