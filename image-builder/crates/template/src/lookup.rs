//! Finds templates, includes and source files, and says where it looked when it does not.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Span};
use crate::field::Fields;
use crate::load::Request;
use crate::source::{FileKind, TemplateSource};
use crate::suggest::{nearest_all, quoted_list};

/// How many names a message suggests.
const SUGGESTIONS: usize = 3;

/// The search rules of one request.
pub(crate) struct Lookup<'a> {
    pub(crate) request: &'a Request,
    pub(crate) source: &'a dyn TemplateSource,
}

/// A place that was looked at, and what was wrong with what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Searched {
    pub(crate) path: PathBuf,
    pub(crate) fault: Option<String>,
}

/// A file that was found, and the candidates before it that were not regular files.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) passed_over: Vec<Searched>,
}

/// A search without success.
#[derive(Debug)]
pub(crate) struct NotFound {
    pub(crate) searched: Vec<Searched>,
}

/// What to do with a candidate that exists and is no regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WrongKind {
    GoOn,
    Stop,
}

impl Lookup<'_> {
    /// Where the main template may be.
    pub(crate) fn main_candidates(&self) -> Vec<PathBuf> {
        let file = format!("{}.json", self.request.name);
        self.request.roots.iter().map(|root| root.join(&self.request.group).join(&file)).collect()
    }

    /// Finds an include; the group's own come before the global ones.
    pub(crate) fn include(&self, name: &str) -> Result<Found, NotFound> {
        self.first(&self.below_roots("include", &format!("{name}.json")), WrongKind::GoOn)
    }

    /// Finds a file kept beside the templates.
    fn template_file(&self, given: &str) -> Result<Found, NotFound> {
        // Something that is there but is no regular file is more likely a mistake than a wish to fall through.
        self.first(&self.below_roots("files", given), WrongKind::Stop)
    }

    /// Finds a file below the external source directories.
    fn external_file(&self, given: &str) -> Result<Found, NotFound> {
        let candidates: Vec<PathBuf> = self.request.external.iter().map(|directory| directory.join(given)).collect();
        self.first(&candidates, WrongKind::GoOn)
    }

    fn below_roots(&self, directory: &str, given: &str) -> Vec<PathBuf> {
        let group = &self.request.group;
        let both = |root: &PathBuf| [root.join(group).join(directory).join(given), root.join(directory).join(given)];
        self.request.roots.iter().flat_map(both).collect()
    }

    fn first(&self, candidates: &[PathBuf], wrong_kind: WrongKind) -> Result<Found, NotFound> {
        let mut searched = Vec::new();
        for path in candidates {
            let fault = match self.source.kind(path) {
                Ok(Some(FileKind::Regular)) => {
                    let passed_over = searched.into_iter().filter(|place: &Searched| place.fault.is_some()).collect();
                    return Ok(Found { path: path.clone(), passed_over });
                }
                Ok(None) => None,
                Ok(Some(kind)) => Some(kind.describe().to_owned()),
                Err(error) => Some(error.to_string()),
            };
            let stop = fault.is_some() && wrong_kind == WrongKind::Stop;
            searched.push(Searched { path: path.clone(), fault });
            if stop {
                break;
            }
        }
        Err(NotFound { searched })
    }

    /// Names near the wanted one that exist in the same places; `suffix` is not part of what people write.
    pub(crate) fn similar(&self, searched: &[Searched], given: &str, suffix: &str) -> Vec<String> {
        let (parent, wanted) = given.rsplit_once('/').map_or(("", given), |(parent, name)| (parent, name));
        let mut names: Vec<String> = Vec::new();
        for place in searched {
            let directory = place.path.parent().unwrap_or(Path::new(""));
            let listed = self.source.names(directory);
            names.extend(
                listed
                    .iter()
                    .filter_map(|name| name.strip_suffix(suffix))
                    .filter(|name| *name != wanted)
                    .map(str::to_owned),
            );
        }
        let near = nearest_all(wanted, names.iter().map(String::as_str), SUGGESTIONS);
        let whole = |name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
        near.into_iter().map(whole).collect()
    }
}

impl NotFound {
    /// The help text: where it was looked for, and what is there instead.
    pub(crate) fn help(&self, similar: &[String]) -> String {
        let place = |searched: &Searched| match &searched.fault {
            None => format!("\n  {}", searched.path.display()),
            Some(fault) => format!("\n  {} ({fault})", searched.path.display()),
        };
        let mut help = format!("searched:{}", self.searched.iter().map(place).collect::<String>());
        if !similar.is_empty() {
            help.push_str("\nsimilar names that exist: ");
            help.push_str(&quoted_list(similar.iter().map(String::as_str)));
        }
        help
    }

    /// The last place looked at, when what is there stopped the search.
    fn stopped_at(&self) -> Option<(&Path, &str)> {
        let last = self.searched.last()?;
        Some((&last.path, last.fault.as_deref()?))
    }
}

impl Fields<'_, '_, '_> {
    /// Resolves the value of `key` to a file kept beside the templates.
    pub(crate) fn find_template_file(&mut self, key: &str, given: &str) -> Option<PathBuf> {
        let lookup = self.env.lookup;
        let failure = match lookup.template_file(given) {
            Ok(found) => return Some(found.path),
            Err(failure) => failure,
        };
        let span = self.value_span(key);
        if let Some((path, fault)) = failure.stopped_at() {
            let message = format!("`{}` is {fault}, not a regular file", path.display());
            let error = Diagnostic::error("template::not-a-regular-file", message);
            return self.fail(span, "", error.help("put a copy of the file there"));
        }
        let mut help = failure.help(&lookup.similar(&failure.searched, given, ""));
        let inner = given.strip_prefix("files/").filter(|inner| lookup.template_file(inner).is_ok());
        if let Some(inner) = inner {
            help = format!("`{key}` is already relative to `files/`: write `{inner}`");
        }
        let message = format!("no file `{given}` beside the templates");
        self.fail(span, "", Diagnostic::error("template::file-not-found", message).help(help))
    }

    /// Resolves the value of `key` to a file below the external source directories.
    pub(crate) fn find_external_file(&mut self, key: &str, given: &str) -> Option<PathBuf> {
        let lookup = self.env.lookup;
        let failure = match lookup.external_file(given) {
            Ok(found) => return Some(found.path),
            Err(failure) => failure,
        };
        let help = if lookup.request.external.is_empty() {
            "name a directory to search with `-E DIRECTORY`".to_owned()
        } else {
            failure.help(&lookup.similar(&failure.searched, given, ""))
        };
        let span = self.value_span(key);
        let message = format!("no file `{given}` in the external source directories");
        self.fail(span, "", Diagnostic::error("template::file-not-found", message).help(help))
    }

    /// Where the value of a key stands.
    pub(crate) fn value_span(&self, key: &str) -> Span {
        self.member(key).map_or(self.place().span(), |member| member.node.span)
    }
}
