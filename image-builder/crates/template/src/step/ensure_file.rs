//! `ensure_file`: a file in the image with given content, owner and mode.

use std::path::PathBuf;

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::field::{
    BELOW_ROOT, FieldSet, Fields, GROUP, Keyword, Kind, MODE, OUTPUT_NAME, OWNER, SOURCE_PATH, TEXT, field_set,
};
use crate::json::{Member, Value};
use crate::suggest::quoted_list;

/// Writes a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnsureFile {
    /// The file, absolute in the image.
    pub file: String,
    /// User id.
    pub owner: u32,
    /// Group id.
    pub group: u32,
    /// Permission bits.
    pub mode: u16,
    /// Where the content comes from.
    pub source: FileSource,
    /// The content is an executable that must run on the given system.
    pub abi: Option<Abi>,
}

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A file kept beside the templates.
    Template {
        /// The path as the template gives it, after expansion.
        given: String,
        /// The file that was found.
        #[serde(skip)]
        path: PathBuf,
    },
    /// A file in one of the external source directories.
    External {
        /// The path as the template gives it, after expansion.
        given: String,
        /// The file that was found.
        #[serde(skip)]
        path: PathBuf,
    },
    /// A file in the output area.
    Output {
        /// Its name there.
        name: String,
    },
    /// A file in the image itself.
    Image {
        /// Its path, absolute in the image.
        path: String,
    },
    /// A file of the latest archive that was unpacked with `into_tmp`.
    Tar {
        /// Its path, absolute in the archive.
        path: String,
    },
    /// This text, as it stands.
    Contents(String),
}

/// A system that executables are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Abi {
    /// The system in the image.
    Guest,
}

field_set! {
    /// The arguments of `ensure_file` as they are written.
    pub(crate) struct EnsureFileFields {
        /// The file, absolute in the image.
        file: String = BELOW_ROOT.expanded().required();
        /// The user who owns it.
        owner: u32 = OWNER.required();
        /// The group that owns it.
        group: u32 = GROUP.required();
        /// Permission bits, octal.
        mode: u16 = MODE.required();
        /// A file kept beside the templates, below `files/`.
        src: Option<String> = SOURCE_PATH.expanded().optional();
        /// A file below one of the external source directories.
        extsrc: Option<String> = SOURCE_PATH.expanded().optional();
        /// A file in the output area.
        outputsrc: Option<String> = OUTPUT_NAME.expanded().optional();
        /// A file in the image itself, absolute.
        imagesrc: Option<String> = BELOW_ROOT.expanded().optional();
        /// A file of the archive last unpacked with `into_tmp`, absolute.
        tarsrc: Option<String> = BELOW_ROOT.expanded().optional();
        /// The text itself, never expanded.
        contents: Option<String> = TEXT.optional();
        /// The file is an executable that must run on this system.
        abi: Option<Abi> = Keyword(&[("guest", Abi::Guest)]).optional();
    }
}

/// The sources in their order of precedence.
const SOURCES: [&str; 6] = ["src", "extsrc", "outputsrc", "imagesrc", "tarsrc", "contents"];

pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> Option<EnsureFile> {
    warn_of_conflict(fields);
    let given = EnsureFileFields::read(fields)?;
    let source = source(fields, &given)?;
    Some(EnsureFile {
        file: given.file,
        owner: given.owner,
        group: given.group,
        mode: given.mode,
        source,
        abi: given.abi,
    })
}

/// The original takes the first source without a word.
fn warn_of_conflict(fields: &mut Fields<'_, '_, '_>) {
    let present = |key: &&str| fields.member(key).filter(|member| member.node.value != Value::Null);
    let members: Vec<&Member> = SOURCES.iter().filter_map(present).collect();
    let [winner, second, rest @ ..] = members.as_slice() else { return };
    let message = format!("{} has several sources; `{}` wins", fields.what(), winner.key);
    let mut warning = Diagnostic::warning("template::conflicting-sources", message)
        .at(&fields.at(winner.key_span), "this one is used")
        .also(second.key_span, "ignored");
    for member in rest {
        warning = warning.also(member.key_span, "ignored");
    }
    fields.push(warning.help("keep one of them"));
}

fn source(fields: &mut Fields<'_, '_, '_>, given: &EnsureFileFields) -> Option<FileSource> {
    if let Some(given) = &given.src {
        let path = fields.find_template_file("src", given)?;
        return Some(FileSource::Template { given: given.clone(), path });
    }
    if let Some(given) = &given.extsrc {
        let path = fields.find_external_file("extsrc", given)?;
        return Some(FileSource::External { given: given.clone(), path });
    }
    let output = given.outputsrc.clone().map(|name| FileSource::Output { name });
    let image = || given.imagesrc.clone().map(|path| FileSource::Image { path });
    let tar = || given.tarsrc.clone().map(|path| FileSource::Tar { path });
    let contents = || given.contents.clone().map(FileSource::Contents);
    let source = output.or_else(image).or_else(tar).or_else(contents);
    if source.is_none() {
        let error = Diagnostic::error("template::missing-key", "step `ensure_file` has no source");
        let start = fields.place().span().start;
        let span = crate::diagnostic::Span::new(start, start + 1);
        let help = format!("give one of {}", quoted_list(SOURCES));
        return fields.fail(span, "no source in this object", error.help(help));
    }
    source
}
