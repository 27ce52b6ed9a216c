//! The files that templates write into the output directory, and two of them that would have one name.
//!
//! An archive may be packed by several templates: the one that has packed it last counts. Everything else that has the
//! same name destroys what the other one has written, without a word.

use crate::evidence::files::{EVIDENCE_SUFFIX, MANIFEST_SUFFIX, SHA256_SUFFIX};
use crate::request::{BuildRequest, output_name};
use crate::roots::template_names;
use crate::target;
use std::collections::{BTreeMap, BTreeSet};
use template::{Diagnostic, Origin, Step, Template};

/// What a file of the output directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// The image of a template, or a form of it.
    Image,
    /// What `pack_tar` writes.
    Archive,
    /// The checksum of another file.
    Checksum(String),
    /// Evidence or manifest.
    Evidence,
}

/// One of the files that a template writes.
#[derive(Clone, Debug)]
struct OutputFile {
    name: String,
    role: Role,
    origin: Origin,
}

impl OutputFile {
    /// What it is, after "is" and before the name of a template.
    fn what(&self) -> String {
        match &self.role {
            Role::Image => "the image".to_owned(),
            Role::Archive => "an archive".to_owned(),
            Role::Checksum(of) => format!("the checksum of {of}"),
            Role::Evidence => "the evidence".to_owned(),
        }
    }
}

/// All files that a template writes into the output directory.
#[derive(Clone, Debug)]
pub(crate) struct OutputFiles {
    /// Group and name of the template.
    subject: String,
    output_name: String,
    target_origin: Origin,
    files: Vec<OutputFile>,
}

impl OutputFiles {
    pub(crate) fn of(template: &Template, output_name: &str) -> Self {
        let mut files = Vec::new();
        let mut add = |name: String, role: Role, origin: &Origin| {
            let sum = OutputFile {
                name: format!("{name}.{SHA256_SUFFIX}"),
                role: Role::Checksum(name.clone()),
                origin: origin.clone(),
            };
            files.extend([OutputFile { name, role, origin: origin.clone() }, sum]);
        };
        for name in target::file_names(&template.target, output_name) {
            add(name, Role::Image, &template.target_origin);
        }
        for located in &template.steps {
            if let Step::PackTar(pack) = &located.step {
                add(pack.name.clone(), Role::Archive, &located.origin_of("name"));
            }
        }
        if !files.is_empty() {
            let evidence = |suffix: &str| OutputFile {
                name: format!("{output_name}{suffix}"),
                role: Role::Evidence,
                origin: template.target_origin.clone(),
            };
            files.extend([EVIDENCE_SUFFIX, MANIFEST_SUFFIX].map(evidence));
        }
        Self {
            subject: format!("{}/{}", template.group, template.name),
            output_name: output_name.to_owned(),
            target_origin: template.target_origin.clone(),
            files,
        }
    }

    /// Files of this template that would have one name.
    pub(super) fn problems(&self) -> Vec<Diagnostic> {
        let mut names: BTreeMap<&str, &OutputFile> = BTreeMap::new();
        let mut found = Vec::new();
        for file in &self.files {
            match names.get(file.name.as_str()) {
                None => drop(names.insert(&file.name, file)),
                Some(first) if (&first.role, &file.role) == (&Role::Archive, &Role::Archive) => {
                    found.push(packed_twice(first, file));
                }
                // The checksums of what is packed twice.
                Some(first) if first.role == file.role => {}
                Some(first) => found.push(clash(first, file)),
            }
        }
        found
    }

    /// What of this template would destroy what `other` has written, or the other way round; at places in this one.
    pub(crate) fn clashes_with(&self, other: &Self) -> Vec<Diagnostic> {
        if self.output_name == other.output_name {
            let message = format!("{} and {} write images and evidence of the same names", self.subject, other.subject);
            let help =
                format!("rename one of the templates or of their groups: both outputs are `{}`", self.output_name);
            let diagnostic = Diagnostic::error(CODE, message).at(&self.target_origin, "this output");
            return vec![diagnostic.help(help)];
        }
        let theirs: BTreeMap<&str, &OutputFile> = other.files.iter().map(|file| (file.name.as_str(), file)).collect();
        let mut found = Vec::new();
        for file in &self.files {
            // Archives of one name have checksums of one name.
            let Some(their) = theirs.get(file.name.as_str()).filter(|their| their.role != file.role) else { continue };
            let message = format!("{} is {} here and {} of {}", file.name, file.what(), their.what(), other.subject);
            let help = format!("give one of them another name; the other is made at {}", their.origin);
            found.push(Diagnostic::error(CODE, message).at(&file.origin, file.what()).help(help));
        }
        found
    }
}

const CODE: &str = "output::same-name";

fn packed_twice(first: &OutputFile, second: &OutputFile) -> Diagnostic {
    let message = format!("{} is packed twice, and the first one is lost", second.name);
    let help = format!("pack it once, or give it another name; it is packed first at {}", first.origin);
    Diagnostic::error("output::packed-twice", message).at(&second.origin, "packed again").help(help)
}

fn clash(first: &OutputFile, second: &OutputFile) -> Diagnostic {
    let (archive, other) = if second.role == Role::Archive { (second, first) } else { (first, second) };
    let message = format!("{} is {} and {} of this template", second.name, archive.what(), other.what());
    let help = format!("give the archive another name; {} is made beside it", other.what());
    Diagnostic::error(CODE, message).at(&archive.origin, archive.what()).help(help)
}

/// What the outputs of templates would destroy of each other: at places in the later one, whose number comes with it.
pub(super) fn collisions(templates: &[(usize, &Template)]) -> Vec<(usize, Diagnostic)> {
    let output_name = |template: &Template| format!("{}-{}", template.group, template.name);
    let outputs: Vec<OutputFiles> =
        templates.iter().map(|(_, template)| OutputFiles::of(template, &output_name(template))).collect();
    let mut by_name: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, of) in outputs.iter().enumerate() {
        for name in of.files.iter().map(|file| file.name.as_str()).chain([of.output_name.as_str()]) {
            by_name.entry(name).or_default().insert(index);
        }
    }
    let pairs = |indexes: &BTreeSet<usize>| -> Vec<(usize, usize)> {
        indexes.iter().flat_map(|later| indexes.range(..later).map(|first| (*later, *first))).collect()
    };
    let pairs: BTreeSet<(usize, usize)> = by_name.values().flat_map(pairs).collect();
    let told = |(later, first): (usize, usize)| {
        let found = outputs[later].clashes_with(&outputs[first]).into_iter();
        found.map(|diagnostic| (templates[later].0, diagnostic)).collect::<Vec<_>>()
    };
    pairs.into_iter().flat_map(told).collect()
}

/// What is wrong with the output name of a request: another template's output is called so, and what is kept of that would
/// be that of this one.
pub(crate) fn refuse_taken_name(request: &BuildRequest) -> Option<Diagnostic> {
    request.output_name.as_ref()?;
    let wanted = output_name(request, &request.group, &request.name);
    let is_other = |(group, name): &(String, String)| {
        (group, name) != (&request.group, &request.name) && format!("{group}-{name}") == wanted
    };
    let (group, name) = template_names(&request.roots).into_iter().find(is_other)?;
    let file =
        request.roots.iter().map(|root| root.join(&group).join(format!("{name}.json"))).find(|path| path.exists());
    let place = file.map(|path| format!(" ({})", path.display())).unwrap_or_default();
    let message = format!("the output name `{wanted}` is that of template {group}/{name}{place}");
    let help = "give another one with -N: images, evidence and cache of that template are kept under this name";
    Some(Diagnostic::error(CODE, message).help(help))
}
