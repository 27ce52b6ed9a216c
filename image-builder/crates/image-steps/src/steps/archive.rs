//! Archives, and what is made of files in the output directory.

use super::StepError;
use super::error::{path, store, tree};
use super::files::put;
use crate::context::Context;
use crate::evidence::files::beside;
use crate::inputs::{InputError, claim_output};
use crate::output::{persist, remove_durably, set_mode};
use crate::state::{ImageState, written};
use flate2::{Compression, GzBuilder};
use image_tree::{Content, Follow, ImagePath, Node, ReadTarOptions, Tree, WriteTarError, WriteTarOptions};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest as Hasher;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::slice;
use template::{Digest, DigestAlgorithm, Gzip, PackTar, UnpackTar};

/// Packs the image, or parts of it, into the output directory. Answers the archive's name.
pub(super) fn pack_tar(step: &PackTar, state: &ImageState, context: &Context<'_>) -> Result<String, StepError> {
    let target = context.workspace.output().join(&step.name);
    let failed = |source| StepError::Host { operation: "write", path: target.clone(), source };
    let relative =
        |text: &String| ImagePath::from_relative(text).map_err(|source| StepError::Path { path: text.clone(), source });
    let include: Vec<ImagePath> = step.include.iter().flatten().map(relative).collect::<Result<_, _>>()?;
    let gzip = step.name.ends_with("gz").then_some(6);
    let options = WriteTarOptions { gzip, include, progress: None };
    let file = tempfile::Builder::new().prefix(".packing-").tempfile_in(context.workspace.output()).map_err(failed)?;
    let writer = io::BufWriter::with_capacity(1 << 20, file);
    let written = image_tree::write_tar(&state.root, context.store, writer, options);
    let writer = written.map_err(|source| pack_error(&target, source))?;
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    // It holds /etc/shadow, like the image.
    set_mode(file.path(), 0o600).map_err(failed)?;
    claim_output(&step.name, context.store).map_err(|source| InputError::Remember { path: target.clone(), source })?;
    remove_durably(&beside(slice::from_ref(&target), context)).map_err(|(path, source)| StepError::Host {
        operation: "remove",
        path,
        source,
    })?;
    persist(file, &target).map_err(failed)?;
    Ok(step.name.clone())
}

fn pack_error(target: &Path, source: WriteTarError) -> StepError {
    StepError::Pack { path: target.to_owned(), source }
}

/// Unpacks an archive of the output directory into the root, or to the side for `tarsrc`.
pub(super) fn unpack_tar(step: &UnpackTar, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let source = context.workspace.output().join(&step.name);
    let file = open(&source)?;
    let into = if step.into_tmp { Tree::new(written(0, 0, 0o755)) } else { std::mem::take(&mut state.root) };
    let options = ReadTarOptions { into, progress: None };
    let unpacked = image_tree::read_tar(BufReader::with_capacity(1 << 20, file), context.store, options)
        .map_err(|error| StepError::Archive { path: source.clone(), source: Box::new(error) })?;
    for warning in &unpacked.warnings {
        let first = String::from_utf8_lossy(&warning.first_name).into_owned();
        context.progress.message(&format!(
            "{}: {}: {} entries, the first is number {}, {first}",
            step.name, warning.kind, warning.count, warning.first_entry
        ));
    }
    if step.into_tmp {
        state.scratch = Some(unpacked.tree);
    } else {
        state.root = unpacked.tree;
    }
    Ok(())
}

/// Compresses a file of the output directory into a new file of the image.
pub(super) fn gzip(step: &Gzip, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let at = path(&step.target)?;
    let existing = state.root.resolve(&at, Follow::No).map_err(tree("write", &step.target))?.node;
    if let Some(existing) = existing {
        return Err(StepError::WrongKind { path: at, found: existing.kind.name(), wanted: "nothing there yet" });
    }
    let source = context.workspace.output().join(&step.src);
    // No name and no time in the header: the same bytes on every host.
    let compressed = GzBuilder::new().mtime(0).read(BufReader::new(open(&source)?), Compression::best());
    let content = stored(compressed, context, &step.target)?;
    put(&mut state.root, &step.target, Node::regular(content, written(step.owner, step.group, step.mode)))
}

/// Writes the digest of a file of the output directory, in lower-case hexadecimal, with a line feed.
pub(super) fn digest(step: &Digest, state: &mut ImageState, context: &Context<'_>) -> Result<(), StepError> {
    let source = context.workspace.output().join(&step.src);
    let digest = match step.algorithm {
        DigestAlgorithm::Sha1 => hex_digest::<Sha1>(&source)?,
        DigestAlgorithm::Md5 => hex_digest::<Md5>(&source)?,
    };
    let content = stored(digest.as_bytes(), context, &step.target)?;
    put(&mut state.root, &step.target, Node::regular(content, written(step.owner, step.group, step.mode)))
}

fn hex_digest<H: Hasher + io::Write>(source: &Path) -> Result<String, StepError> {
    let mut hasher = H::new();
    let failed = |error| StepError::Host { operation: "read", path: source.to_owned(), source: error };
    io::copy(&mut open(source)?, &mut hasher).map_err(failed)?;
    Ok(crate::output::hex(&hasher.finalize()) + "\n")
}

fn stored(content: impl Read, context: &Context<'_>, what: &str) -> Result<Content, StepError> {
    context.store.put_reader(content).map_err(store("store", what))
}

fn open(source: &Path) -> Result<File, StepError> {
    File::open(source).map_err(|error| StepError::Host { operation: "read", path: source.to_owned(), source: error })
}
