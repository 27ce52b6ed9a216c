//! Where templates and external files are when the command line does not say.

use crate::arguments::PlaceArguments;
use crate::failure::Failure;
use std::path::{Path, PathBuf};
use template::Features;

/// The answers, checked.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) external: Vec<PathBuf>,
    pub(crate) features: Features,
}

impl Places {
    /// Decides where to look.
    ///
    /// Templates: `-T`, else `./templates`, else those of the repository around the current
    /// directory, else of the one that this program was built in. `-E` likewise; the release
    /// directory of the guest software is only taken when it is there.
    pub(crate) fn find(arguments: &PlaceArguments) -> Result<Self, Failure> {
        let repository = enclosing_repository();
        let roots = match &arguments.templates {
            Some(root) if !root.is_dir() => return Err(Failure::NoDirectory { option: "-T", path: root.clone() }),
            Some(root) => vec![root.clone()],
            None => default_roots(repository.as_deref()),
        };
        if roots.is_empty() {
            return Err(Failure::NoTemplates);
        }
        if let Some(path) = arguments.external.iter().find(|path| !path.is_dir()) {
            return Err(Failure::NoDirectory { option: "-E", path: path.clone() });
        }
        let mut external = arguments.external.clone();
        if external.is_empty() {
            let release = repository.map(|root| root.join("sysconfig/target/release"));
            external.extend(release.filter(|path| path.is_dir()));
        }
        let mut features = Features::default();
        for text in &arguments.features {
            features.apply(text).map_err(Failure::Feature)?;
        }
        Ok(Self { roots, external, features })
    }
}

fn default_roots(repository: Option<&Path>) -> Vec<PathBuf> {
    let local = PathBuf::from("./templates");
    if local.is_dir() {
        return vec![local];
    }
    repository.map(|root| root.join(TEMPLATES)).into_iter().collect()
}

const TEMPLATES: &str = "sysconfig/image/templates";

/// The nearest directory above the current one, or above this program, that holds the templates.
fn enclosing_repository() -> Option<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    starts
        .into_iter()
        .flatten()
        .find_map(|start| start.ancestors().find(|directory| directory.join(TEMPLATES).is_dir()).map(Path::to_owned))
}
