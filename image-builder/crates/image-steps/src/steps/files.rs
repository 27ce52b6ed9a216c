//! Files, directories, links and their permissions.

use super::StepError;
use super::error::{path, store, tree};
use crate::context::Context;
use crate::state::{ImageState, written};
use elf_abi::Guest;
use image_tree::{Content, Follow, ImagePath, Node, NodeKind, Store, Tree, TreeError};
use ips::text::glob_matches;
use std::fs::File;
use template::{
    AssembleFiles, EnsureDir, EnsureFile, EnsurePerms, EnsureSymlink, FileSource, RemoveFiles, RemoveWhat, RequirePath,
};

/// Writes a file. What is there already with the same content keeps its time.
pub(super) fn ensure_file(step: &EnsureFile, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let content = source_content(step, state, context)?;
    if step.abi.is_some() {
        check_abi(step, &content, &state.root, context.store)?;
    }
    let metadata = written(step.owner, step.group, step.mode);
    put(&mut state.root, &step.file, Node::regular(content, metadata))
}

fn source_content(step: &EnsureFile, state: &ImageState, context: &Context<'_>) -> Result<Content, StepError> {
    match &step.source {
        FileSource::Template { path, .. } | FileSource::External { path, .. } => host_file(path, context.store),
        FileSource::Output { name } => host_file(&context.workspace.output().join(name), context.store),
        FileSource::Image { path } => tree_content(&state.root, path),
        FileSource::Tar { path } => match &state.scratch {
            Some(scratch) => tree_content(scratch, path),
            None => Err(StepError::NoScratch { path: path.clone() }),
        },
        FileSource::Contents(text) => {
            context.store.put_bytes(text.as_bytes()).map_err(store("store the contents of", &step.file))
        }
    }
}

fn host_file(path: &std::path::Path, content: &Store) -> Result<Content, StepError> {
    let failed = |source| StepError::Host { operation: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    content.put_reader(file).map_err(store("store", &path.display().to_string()))
}

/// The content of a regular file in a tree, links followed inside it.
pub(super) fn tree_content(root: &Tree, text: &str) -> Result<Content, StepError> {
    let (at, node) = root.lookup(&path(text)?, Follow::Yes).map_err(tree("read", text))?;
    let wrong = StepError::WrongKind { path: at, found: node.kind.name(), wanted: "a regular file" };
    node.content().cloned().ok_or(wrong)
}

/// Puts a file or link; one that differs in nothing but its time stays as it is.
pub(super) fn put(root: &mut Tree, text: &str, node: Node) -> Result<(), StepError> {
    let at = path(text)?;
    let existing = root.resolve(&at, Follow::No).map_err(tree("write", text))?.node;
    if let Some(existing) = existing {
        let mut same_time = node.clone();
        same_time.metadata.mtime = existing.metadata.mtime;
        same_time.metadata.xattrs.clone_from(&existing.metadata.xattrs);
        if same_time.kind == existing.kind {
            let metadata = same_time.metadata;
            return root.set_metadata(&at, Follow::No, metadata).map(drop).map_err(tree("write", text));
        }
    }
    root.insert(&at, node).map(drop).map_err(tree("write", text))
}

/// A program that is to run in the guest has to be one that can.
fn check_abi(step: &EnsureFile, content: &Content, root: &Tree, store_: &Store) -> Result<(), StepError> {
    let host_path = match &step.source {
        FileSource::Template { path, .. } | FileSource::External { path, .. } => path.clone(),
        _ => step.file.clone().into(),
    };
    let bytes = store_.read_blob(content.blob()).map_err(store("read", &step.file))?;
    let executable =
        elf_abi::inspect(&bytes).map_err(|source| StepError::NotExecutable { path: host_path.clone(), source })?;
    let guest = guest_of(root, store_)?;
    executable.check(&guest).map_err(|source| StepError::Abi { path: host_path, source })
}

/// What the image offers to programs, by the C library in it.
fn guest_of(root: &Tree, content: &Store) -> Result<Guest, StepError> {
    for library in elf_abi::libc_candidates() {
        if let Ok(found) = tree_content(root, library) {
            let bytes = content.read_blob(found.blob()).map_err(store("read", library))?;
            return Guest::from_libc(&bytes)
                .map_err(|source| StepError::NotExecutable { path: library.into(), source });
        }
    }
    let help = "unpack or bootstrap the base before the steps that install programs";
    Err(StepError::Boot { what: format!("C library at any of {}", elf_abi::libc_candidates().join(", ")), help })
}

/// Makes a directory; parents that are missing belong to root and get the same mode.
pub(super) fn ensure_dir(step: &EnsureDir, state: &mut ImageState) -> Result<(), StepError> {
    let at = path(&step.dir)?;
    let metadata = written(step.owner, step.group, step.mode);
    let existed = state.root.resolve(&at, Follow::Yes).is_ok_and(|resolved| resolved.node.is_some());
    let made = state.root.create_dir(&at, metadata, &written(0, 0, step.mode)).map_err(tree("make", &step.dir))?;
    if existed {
        set_owner(&mut state.root, &made, (step.owner, step.group), step.mode)
            .map_err(tree("set the mode of", &step.dir))?;
    }
    Ok(())
}

fn set_owner(root: &mut Tree, at: &ImagePath, owner: (u32, u32), mode: u16) -> Result<ImagePath, TreeError> {
    root.update_metadata(at, Follow::No, |metadata| {
        (metadata.uid, metadata.gid) = owner;
        metadata.mode = mode;
        // As `chmod` does: the list says then what the mode says.
        metadata.acl = None;
    })
}

/// Makes or corrects a symbolic link.
pub(super) fn ensure_symlink(step: &EnsureSymlink, state: &mut ImageState) -> Result<(), StepError> {
    let metadata = written(step.owner, step.group, 0o777);
    put(&mut state.root, &step.link, Node::symlink(step.target.as_bytes(), metadata))
}

/// Sets owner and mode of what is there. No system has a mode of a link to set, so a link keeps the one that it has.
pub(super) fn ensure_perms(step: &EnsurePerms, state: &mut ImageState) -> Result<(), StepError> {
    let at = path(&step.path)?;
    let failed = tree("set the mode of", &step.path);
    let mode = match state.root.lookup(&at, Follow::No) {
        Ok((_, node)) if matches!(node.kind, NodeKind::Symlink(_)) => node.metadata.mode,
        Ok(_) => step.mode,
        Err(source) => return Err(failed(source)),
    };
    set_owner(&mut state.root, &at, (step.owner, step.group), mode).map(drop).map_err(failed)
}

/// Removes a file, a directory with everything below it, or every regular file whose name matches. Answers what was
/// there.
pub(super) fn remove_files(step: &RemoveFiles, state: &mut ImageState) -> Result<Vec<ImagePath>, StepError> {
    match &step.what {
        RemoveWhat::File(text) => remove_one(&mut state.root, text, step.optional, false),
        RemoveWhat::Dir(text) => remove_one(&mut state.root, text, step.optional, true),
        RemoveWhat::Pattern(pattern) => remove_matching(&mut state.root, pattern),
    }
}

fn remove_one(root: &mut Tree, text: &str, optional: bool, directory: bool) -> Result<Vec<ImagePath>, StepError> {
    let at = path(text)?;
    let found = match root.lookup(&at, Follow::No) {
        Ok((_, node)) => node.kind.clone(),
        Err(TreeError::NotFound { .. } | TreeError::NotADirectory { .. }) if optional => return Ok(Vec::new()),
        Err(source) => return Err(tree("remove", text)(source)),
    };
    let fits = match found {
        NodeKind::Directory => directory,
        NodeKind::Symlink(_) => true,
        _ => !directory,
    };
    if !fits {
        let wanted = if directory { "a directory" } else { "something that is no directory" };
        return Err(StepError::WrongKind { path: at, found: found.name(), wanted });
    }
    root.remove_subtree(&at).map(|at| vec![at]).map_err(tree("remove", text))
}

fn remove_matching(root: &mut Tree, pattern: &str) -> Result<Vec<ImagePath>, StepError> {
    let is_match = |entry: &image_tree::WalkEntry<'_>| {
        let name = entry.path.file_name().unwrap_or_default();
        entry.node.content().is_some() && name_matches(pattern, name)
    };
    let matching: Vec<ImagePath> = root.walk().filter(is_match).map(|entry| entry.path).collect();
    for at in &matching {
        root.remove(at).map_err(tree("remove", pattern))?;
    }
    Ok(matching)
}

/// Whether a name fits a pattern, as the `glob` crate of the original has it: `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`. A name
/// that is not UTF-8 is compared byte by byte.
fn name_matches(pattern: &str, name: &[u8]) -> bool {
    match std::str::from_utf8(name) {
        Ok(name) => glob_matches(pattern, name),
        Err(_) => glob_matches(pattern, &name.iter().copied().map(char::from).collect::<String>()),
    }
}

/// Joins the files of a directory into one, each trimmed and ended by a line feed, empty ones left out.
pub(super) fn assemble_files(
    step: &AssembleFiles,
    state: &mut ImageState,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let prefix = step.prefix.as_deref().unwrap_or_default().as_bytes();
    join_files((&step.dir, &step.output), |name| name.starts_with(prefix), state, context)
}

/// The same with the files of the names that are wanted.
pub(super) fn join_files(
    (dir, output_path): (&str, &str),
    wants: impl Fn(&[u8]) -> bool,
    state: &mut ImageState,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let at = path(dir)?;
    let (at, found) = state.root.lookup(&at, Follow::Yes).map_err(tree("read", dir))?;
    let wrong = StepError::WrongKind { path: at.clone(), found: found.kind.name(), wanted: "a directory" };
    let files = state.root.read_dir(&at).ok_or(wrong)?;
    let output = state.root.resolve(&path(output_path)?, Follow::No).map_err(tree("write", output_path))?.path;
    let mut text = Vec::new();
    for (name, node) in files {
        let is_output = at.join(name).is_ok_and(|child| child == output);
        let Some(content) = node.content().filter(|_| wants(name) && !is_output) else { continue };
        let bytes = context.store.read_blob(content.blob()).map_err(store("read", dir))?;
        let trimmed = std::str::from_utf8(&bytes).map_or(bytes.trim_ascii(), |text| text.trim().as_bytes());
        if !trimmed.is_empty() {
            text.extend_from_slice(trimmed);
            text.push(b'\n');
        }
    }
    let content = context.store.put_bytes(&text).map_err(store("store", output_path))?;
    put(&mut state.root, output_path, Node::regular(content, written(0, 0, 0o644)))
}

/// Fails with the template's own advice when the image lacks something.
pub(super) fn require_path(step: &RequirePath, state: &ImageState) -> Result<(), StepError> {
    match state.root.lookup(&path(&step.path)?, Follow::Yes) {
        Ok(_) => Ok(()),
        Err(_) => Err(StepError::Required { path: step.path.clone(), help: step.help.clone() }),
    }
}

/// What a removal acts on, for people.
pub(super) fn removal_subject(step: &RemoveFiles) -> String {
    match &step.what {
        RemoveWhat::File(text) | RemoveWhat::Dir(text) | RemoveWhat::Pattern(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::name_matches;

    #[test]
    fn patterns_match_base_names() {
        for (pattern, name, expected) in [
            ("*", ".hidden", true),
            ("ssh_host_*_key*", "ssh_host_rsa_key.pub", true),
            ("ssh_host_*_key*", "ssh_host_rsa", false),
            ("?.a", "x.a", true),
            ("?.a", "ä.a", true),
            ("[ab]*", "bcd", true),
            ("[!ab]*", "bcd", false),
            ("[^ab]", "^", true),
            ("[a-c]", "b", true),
            ("[]x]", "]", true),
            ("[*]", "*", true),
            ("[*]", "x", false),
            (r"\*", r"\x", true),
            (r"\*", "*", false),
        ] {
            assert_eq!(name_matches(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(name_matches("*.h", b"\xff\xfe.h") && !name_matches("*.c", b"\xff\xfe.h"));
    }

    /// Every further star made it take many times as long.
    #[test]
    fn a_hostile_pattern_is_done_at_once() {
        let name = "a".repeat(255);
        assert!(!name_matches(&"*a".repeat(256), name.as_bytes()));
        assert!(!name_matches(&format!("{}b", "*a*?".repeat(60)), name.as_bytes()));
        assert!(!name_matches(&format!("{}b", "*[a-z]".repeat(100)), name.as_bytes()));
    }
}
