//! The paths that stand in the steps of a template.

use template::{Diagnostic, LocatedStep, RemoveWhat, Step, Template, UnpackTar};

/// What a step puts at a path that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    File,
    Directory,
    Link,
}

/// A path that a step names and puts something at.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedPath<'a> {
    /// Index of the step.
    pub(super) index: usize,
    pub(super) located: &'a LocatedStep,
    /// The argument that names it.
    pub(super) key: &'static str,
    /// As it is written, with its `/` in front.
    pub(super) path: &'a str,
    pub(super) made: Made,
}

impl NamedPath<'_> {
    /// Its components; what stands for nothing is left out.
    pub(super) fn components(&self) -> Vec<&str> {
        components(self.path)
    }
}

/// All paths that the steps of a template name and put something at, in their order.
pub(super) fn named(template: &Template) -> impl Iterator<Item = NamedPath<'_>> {
    template.steps.iter().enumerate().filter_map(|(index, located)| {
        let (key, path, made) = match &located.step {
            Step::EnsureFile(step) => ("file", &step.file, Made::File),
            Step::EnsureDir(step) => ("dir", &step.dir, Made::Directory),
            Step::EnsureSymlink(step) => ("link", &step.link, Made::Link),
            Step::AssembleFiles(step) => ("output", &step.output, Made::File),
            Step::Gzip(step) => ("target", &step.target, Made::File),
            Step::Digest(step) => ("target", &step.target, Made::File),
            _ => return None,
        };
        Some(NamedPath { index, located, key, path, made })
    })
}

pub(super) fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|component| !component.is_empty() && *component != ".").collect()
}

/// Whether what a step has put at a path may be gone, or be something else, after the last step.
pub(super) fn may_go(named: &NamedPath<'_>, template: &Template) -> bool {
    let own = named.components();
    template.steps[named.index + 1..].iter().any(|located| match &located.step {
        Step::RemoveFiles(remove) => match &remove.what {
            RemoveWhat::File(path) | RemoveWhat::Dir(path) => own.starts_with(&components(path)),
            RemoveWhat::Pattern(_) => named.made == Made::File,
        },
        Step::EnsureFile(step) => named.made == Made::Link && components(&step.file) == own,
        Step::DebBootstrap(_) => true,
        // A file or directory may come in the place of a link.
        step => named.made == Made::Link && brings_more(step),
    })
}

/// Whether a step may put something into the root, or take it out, that it does not name.
pub(super) fn brings_more(step: &Step) -> bool {
    !matches!(
        step,
        Step::EnsureFile(_)
            | Step::EnsureDir(_)
            | Step::EnsureSymlink(_)
            | Step::EnsurePerms(_)
            | Step::RemoveFiles(_)
            | Step::RequirePath(_)
            | Step::AssembleFiles(_)
            | Step::Shadow(_)
            | Step::Gzip(_)
            | Step::Digest(_)
            | Step::PackTar(_)
            | Step::UnpackTar(UnpackTar { into_tmp: true, .. })
    )
}

/// `tarsrc` of an archive that nothing has unpacked.
pub(super) fn archives_to_the_side(template: &Template) -> Vec<Diagnostic> {
    let mut is_there = false;
    let mut found = Vec::new();
    for located in &template.steps {
        match &located.step {
            Step::UnpackTar(UnpackTar { into_tmp: true, .. }) => is_there = true,
            Step::EnsureFile(step) if !is_there && matches!(step.source, template::FileSource::Tar { .. }) => {
                let message = "`tarsrc` takes a file of an archive, and no step before it has unpacked one to the side";
                let help = "put a step before it: `unpack_tar` with the archive's `name` and `\"into_tmp\": true`";
                let diagnostic = Diagnostic::error("step::order", message);
                found.push(diagnostic.at(&located.origin_of("tarsrc"), "of no archive").help(help));
            }
            _ => {}
        }
    }
    found
}
