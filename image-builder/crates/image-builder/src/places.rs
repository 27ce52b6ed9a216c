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
    pub(crate) svccfg: Option<PathBuf>,
}

/// The `svccfg` of an illumos system.
const SVCCFG: &str = "/usr/sbin/svccfg";

/// What `-S` says, or the system's own program, which the illumos image builder takes, too. Other systems have none, and
/// what is called so there is something else.
fn svccfg(given: Option<&Path>, system: &str, is_program: impl Fn(&Path) -> bool) -> Result<Option<PathBuf>, Failure> {
    let Some(given) = given else {
        return Ok(Some(PathBuf::from(SVCCFG)).filter(|path| system == "illumos" && is_program(path)));
    };
    if given == Path::new("none") {
        return Ok(None);
    }
    if !is_program(given) {
        return Err(Failure::NoProgram { path: given.to_owned() });
    }
    Ok(Some(std::path::absolute(given).unwrap_or_else(|_| given.to_owned())))
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
            features.apply(text).map_err(|source| Failure::Feature { directive: text.clone(), source })?;
        }
        let svccfg = svccfg(arguments.svccfg.as_deref(), std::env::consts::OS, Path::is_file)?;
        Ok(Self { roots, external, features, svccfg })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_illumos_host_has_a_svccfg_unless_it_is_told_not_to() {
        let found = |given: Option<&str>, system: &str, there: &[&str]| {
            let is_program = |path: &Path| there.iter().any(|known| path == Path::new(known));
            svccfg(given.map(Path::new), system, is_program).map_err(|failure| failure.to_string())
        };
        let own = Ok(Some(PathBuf::from("/usr/sbin/svccfg")));
        assert_eq!(found(None, "illumos", &["/usr/sbin/svccfg"]), own);
        assert_eq!(found(None, "illumos", &[]), Ok(None));
        assert_eq!(found(None, "linux", &["/usr/sbin/svccfg"]), Ok(None));
        assert_eq!(found(Some("none"), "illumos", &["/usr/sbin/svccfg"]), Ok(None));
        assert_eq!(
            found(Some("/opt/svccfg-native"), "linux", &["/opt/svccfg-native"]),
            Ok(Some("/opt/svccfg-native".into()))
        );
        assert_eq!(found(Some("/opt/gone"), "illumos", &[]), Err("-S /opt/gone: no such program".to_owned()));
    }
}
