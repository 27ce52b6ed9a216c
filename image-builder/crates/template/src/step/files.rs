//! Steps that work on files, directories, links and archives.

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Span};
use crate::field::{
    BELOW_ROOT, FLAG, Fault, FieldSet, Fields, GROUP, IMAGE_PATH, Keyword, Kind, MODE, NEW_OUTPUT_NAME, NOT_EMPTY,
    OUTPUT_NAME, OWNER, RELATIVE_PATH, Text, field_set,
};
use crate::json::{Member, Value};

field_set! {
    /// Makes a directory and its missing parents.
    pub struct EnsureDir {
        /// The directory, absolute in the image.
        dir: String = IMAGE_PATH.required();
        /// The user who owns it.
        owner: u32 = OWNER.required();
        /// The group that owns it.
        group: u32 = GROUP.required();
        /// Permission bits, octal; made parents get the same.
        mode: u16 = MODE.required();
    }
}

field_set! {
    /// Makes or corrects a symbolic link.
    pub struct EnsureSymlink {
        /// The link, absolute in the image.
        link: String = BELOW_ROOT.required();
        /// What it points at, stored as it stands.
        target: String = NOT_EMPTY.required();
        /// The user who owns it.
        owner: u32 = OWNER.required();
        /// The group that owns it.
        group: u32 = GROUP.required();
    }
}

field_set! {
    /// Corrects mode and owner of something that exists.
    pub struct EnsurePerms {
        /// What to correct, absolute in the image.
        path: String = IMAGE_PATH.required();
        /// The user who shall own it.
        owner: u32 = OWNER.required();
        /// The group that shall own it.
        group: u32 = GROUP.required();
        /// Permission bits, octal.
        mode: u16 = MODE.required();
    }
}

/// Removes a file, a directory tree, or every file whose name matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoveFiles {
    /// What to remove.
    pub what: RemoveWhat,
    /// Nothing there is no error.
    pub optional: bool,
}

/// What `remove_files` removes; paths are absolute in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoveWhat {
    /// One file or link.
    File(String),
    /// A directory with all that is in it.
    Dir(String),
    /// Every regular file whose base name matches this glob.
    Pattern(String),
}

field_set! {
    /// The arguments of `remove_files` as they are written.
    pub(crate) struct RemoveFilesFields {
        /// One file to remove, absolute in the image.
        file: Option<String> = BELOW_ROOT.optional();
        /// A directory tree to remove, absolute in the image.
        dir: Option<String> = BELOW_ROOT.optional();
        /// A glob over the base names of all regular files.
        pattern: Option<String> = PATTERN.optional();
        /// Nothing there is no error.
        optional: bool = FLAG.or(false);
    }
}

const PATTERN: Text = Text::with_rule(|pattern| {
    if pattern.is_empty() {
        return Err(Fault::value("must not be empty"));
    }
    if pattern.contains('/') {
        let fault = Fault::value("can never match: it is compared with names, which have no `/`");
        return Err(fault.help("remove a path with `file` or `dir`"));
    }
    if has_open_set(pattern) {
        let fault = Fault::value("has a `[` without its `]`");
        return Err(fault.help("write `[[]` for a bracket that means itself"));
    }
    Ok(())
});

/// Whether a set of a glob is not closed. A `]` in first place, also after the `!`, is a member.
fn has_open_set(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some((_, set)) = rest.split_once('[') {
        let members = set.strip_prefix('!').unwrap_or(set);
        let first = members.chars().next().map_or(0, char::len_utf8);
        match members[first..].split_once(']') {
            Some((_, after)) => rest = after,
            None => return true,
        }
    }
    false
}

pub(super) fn read_remove_files(fields: &mut Fields<'_, '_, '_>) -> Option<RemoveFiles> {
    let present = |key: &&str| fields.member(key).filter(|member| member.node.value != Value::Null);
    let members: Vec<&Member> = ["file", "dir", "pattern"].iter().filter_map(present).collect();
    let given = RemoveFilesFields::read(fields);
    match members.as_slice() {
        [_] => {}
        [] => {
            let start = fields.place().span().start;
            let error = Diagnostic::error("template::missing-key", "step `remove_files` does not say what to remove");
            let error = error.help("give one of `file`, `dir` and `pattern`");
            return fields.fail(Span::new(start, start + 1), "nothing to remove in this object", error);
        }
        [first, second, ..] => {
            let message = format!("step `remove_files` has both `{}` and `{}`", first.key, second.key);
            let error = Diagnostic::error("template::conflicting-keys", message).help("write a step for each");
            return fields.fail(second.key_span, "", error.also(first.key_span, ""));
        }
    }
    let given = given?;
    let file = given.file.map(RemoveWhat::File);
    let what = file.or(given.dir.map(RemoveWhat::Dir)).or(given.pattern.map(RemoveWhat::Pattern))?;
    Some(RemoveFiles { what, optional: given.optional })
}

field_set! {
    /// Fails unless the image has something at a path.
    pub struct RequirePath {
        /// What must be there, absolute in the image.
        path: String = IMAGE_PATH.required();
        /// What to tell the user who lacks it.
        help: String = NOT_EMPTY.required();
    }
}

field_set! {
    /// Joins the files of a directory, each trimmed, into one.
    pub struct AssembleFiles {
        /// The directory, absolute in the image.
        dir: String = IMAGE_PATH.required();
        /// The file to write, absolute in the image.
        output: String = BELOW_ROOT.required();
        /// Takes only files whose name starts so.
        prefix: Option<String> = Text::with_rule(|_| Ok(())).optional();
    }
}

field_set! {
    /// Sets a user's password hash.
    pub struct Shadow {
        /// The user, who must be in `/etc/shadow`.
        username: String = SHADOW_NAME.required();
        /// The hash; empty for none, absent to leave all as it is.
        password: Option<String> = SHADOW_FIELD.optional();
    }
}

const SHADOW_NAME: Text =
    Text::with_rule(|name| if name.is_empty() { Err(Fault::value("must not be empty")) } else { shadow_field(name) });

const SHADOW_FIELD: Text = Text::with_rule(shadow_field);

fn shadow_field(text: &str) -> Result<(), Fault> {
    if text.contains([':', '\n']) {
        return Err(Fault::value("must not have `:` or a line break, which separate fields and users"));
    }
    Ok(())
}

field_set! {
    /// Compresses a file of the output area into a new file of the image.
    pub struct Gzip {
        /// The file to write, absolute in the image; it must not exist.
        target: String = BELOW_ROOT.expanded().required();
        /// The file in the output area.
        src: String = OUTPUT_NAME.expanded().required();
        /// The user who owns it.
        owner: u32 = OWNER.required();
        /// The group that owns it.
        group: u32 = GROUP.required();
        /// Permission bits, octal.
        mode: u16 = MODE.required();
    }
}

/// How `digest` hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestAlgorithm {
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
}

field_set! {
    /// Writes the digest of a file of the output area, in hexadecimal, into the image.
    pub struct Digest {
        /// The hash function.
        algorithm: DigestAlgorithm = Keyword(&[("sha1", DigestAlgorithm::Sha1), ("md5", DigestAlgorithm::Md5)]).required();
        /// The file to write, absolute in the image.
        target: String = BELOW_ROOT.expanded().required();
        /// The file in the output area.
        src: String = OUTPUT_NAME.expanded().required();
        /// The user who owns it.
        owner: u32 = OWNER.required();
        /// The group that owns it.
        group: u32 = GROUP.required();
        /// Permission bits, octal.
        mode: u16 = MODE.required();
    }
}

field_set! {
    /// Packs the image, or parts of it, into an archive in the output area.
    pub struct PackTar {
        /// The archive's name, without `/` and once in a template; one that ends in `gz` is compressed.
        name: String = NEW_OUTPUT_NAME.expanded().required();
        /// What to pack, relative to the image root; everything when absent.
        include: Option<Vec<String>> = RELATIVE_PATH.list().optional();
    }
}

field_set! {
    /// Unpacks an archive of the output area.
    pub struct UnpackTar {
        /// The archive's name.
        name: String = OUTPUT_NAME.expanded().required();
        /// Unpacks to one side, for `tarsrc`, and not into the image.
        into_tmp: bool = FLAG.or(false);
    }
}
