//! What the files are called that lie beside an output, and which of them are there.

use crate::context::Context;
use std::path::{Path, PathBuf};

/// What the manifest of an output is called: its name and this.
pub const MANIFEST_SUFFIX: &str = ".manifest.jsonl";
/// What its evidence is called.
pub const EVIDENCE_SUFFIX: &str = ".evidence.json";
/// What the checksum of a file is called: the file's name, a dot, and this.
pub(crate) const SHA256_SUFFIX: &str = "sha256";

/// The checksum of a file of the output directory.
pub(crate) fn checksum_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{SHA256_SUFFIX}"));
    name.into()
}

/// What there is of the evidence of an output whose files are these.
pub(crate) fn beside(files: &[PathBuf], context: &Context<'_>) -> Vec<PathBuf> {
    let own = own_files(&context.output_name).map(|name| context.workspace.output().join(name));
    let all = own.into_iter().chain(files.iter().map(|file| checksum_of(file)));
    all.filter(|path| path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir())).collect()
}

/// The names of an output's evidence, but for the checksums of its files.
pub(super) fn own_files(output_name: &str) -> [String; 2] {
    [EVIDENCE_SUFFIX, MANIFEST_SUFFIX].map(|suffix| format!("{output_name}{suffix}"))
}
